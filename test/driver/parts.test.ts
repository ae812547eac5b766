import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Homes } from '../../passes/plan/tiling.ts';
import type { CostReport } from '../../report/report.ts';
import { isCheck } from '../sweep.ts';
import { folder, sohuc } from './command.ts';
import { llama70 } from './llama70.ts';

const mixtral = {
  model_type: 'mixtral', hidden_size: 256, intermediate_size: 512, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 1000,
  max_position_embeddings: 1024, rms_norm_eps: 1e-5, rope_theta: 10000, hidden_act: 'silu', num_local_experts: 4, num_experts_per_tok: 2,
};

/** Steps of 30 rows, in parts that begin at multiples of 16. */
it.each(['2', '3'])('a mixture in parts that do not come out even: %s are asked for', async (parts) => {
  const at = folder();
  writeFileSync(join(at, 'config.json'), JSON.stringify(mixtral));
  const { code, stdout, stderr } = await sohuc(at, '--batch', '16', '--isl', '8', '--osl', '8', '--parts', parts, '--json', '--out', join(at, 'out'));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect((JSON.parse(stdout) as CostReport).workload.batch).toBe(16);
});

it('a mixture in as many parts as there are semaphores for', async () => {
  const at = folder();
  writeFileSync(join(at, 'config.json'), JSON.stringify(mixtral));
  const words = [at, '--batch', '1', '--isl', '512', '--osl', '1', '--parts', '27', '--json', '--out', join(at, 'out')] as const;
  expect((await sohuc(...words)).code).toBe(0);
  const { stages: [stage] } = JSON.parse((await sohuc(...words, '--explain', 'tiling')).stdout) as { readonly stages: readonly { readonly plan: { readonly homes: Homes } }[] };
  expect(stage!.plan.homes.parts.length).toBe(16);
});

it.skipIf(isCheck)('a long prompt in as many parts as SRAM has room for, and nothing of it in HBM but what rests', async () => {
  const at = folder();
  writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
  const words = [at, '--isl', '8192', '--osl', '1', '--batch', '1', '--json', '--out', join(at, 'out')] as const;
  const [compiled, explained] = [await sohuc(...words), await sohuc(...words, '--explain', 'tiling')];
  expect((JSON.parse(compiled.stdout) as CostReport).timing.speedOfLightRatio).toBeGreaterThan(0.9);
  const { stages: [stage] } = JSON.parse(explained.stdout) as { readonly stages: readonly { readonly plan: { readonly homes: Homes } }[] };
  const { parts, ahead, spilled, parked } = stage!.plan.homes;
  expect({ parts: parts.length, ahead, spilled, parked }).toEqual({ parts: 4, ahead: 2, spilled: [], parked: 'aside' });
});
