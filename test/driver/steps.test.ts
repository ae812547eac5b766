import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ranked } from '../../driver/explain-mapping.ts';
import { countsOf, steadyStep } from '../../driver/workload.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { sohu, sohu8 } from '../../isa-spec/machines/sohu.ts';
import { efficiencyOf, pageSizes, pagesOf, runOf } from '../../passes/plan/pages.ts';
import type { CostReport } from '../../report/report.ts';
import { attentionCost } from '../../simulator/timing/attention.ts';
import { hbmEfficiency, ratesOf } from '../../simulator/timing/rates.ts';
import { isCheck } from '../sweep.ts';
import { folder, sohuc } from './command.ts';
import { llama70 } from './llama70.ts';

const small = { ...llama70, hidden_size: 1024, intermediate_size: 3584, num_hidden_layers: 4, num_attention_heads: 16, vocab_size: 32768 };
const told = (config: object, ...words: readonly string[]): ReturnType<typeof sohuc> => {
  const at = folder();
  writeFileSync(join(at, 'config.json'), JSON.stringify(config));
  return sohuc(at, '--machine', 'sohu-8', '--out', join(at, 'out'), ...words);
};
const asked = async (config: object, ...words: readonly string[]): Promise<unknown> => JSON.parse((await told(config, '--json', ...words)).stdout);

describe('pieces of prompts', () => {
  it('bring in a step what requests of such lengths do, whose rows have as many before them as in whole prompts', () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 400 }), fc.integer({ min: 2, max: 40 }), fc.integer({ min: 1, max: 200 }), (isl, osl, batch) => {
      const { prompts, promptRows, decoding } = countsOf({ isl, osl, batch });
      const pieces = steadyStep({ isl, osl, batch }, 1, false).filter(({ id }) => id < prompts);
      expect(prompts + decoding).toBe(batch);
      expect(Math.abs(prompts * promptRows - Math.max(prompts, (isl * batch) / osl))).toBeLessThanOrEqual(prompts / 2);
      for (const { rows, past } of pieces) {
        expect(past + rows).toBeLessThanOrEqual(isl);
        if (rows > 1) expect(Math.abs(past + rows / 2 - isl / 2)).toBeLessThanOrEqual(1);
      }
    }));
  });
});

it('those that decode are spread evenly over their outputs, however few', () => {
  fc.assert(fc.property(fc.integer({ min: 2, max: 40 }), fc.integer({ min: 2, max: 200 }), (osl, batch) => {
    const pasts = steadyStep({ isl: 50, osl, batch }, 1, false).flatMap(({ rows, past }) => (rows === 1 && past >= 50 ? [past - 50] : []));
    const mean = pasts.reduce((sum, past) => sum + past, 0) / pasts.length;
    if (pasts.length > 0) expect(Math.abs(mean - (osl - 2) / 2)).toBeLessThanOrEqual(1);
  }));
});

describe('pages', () => {
  it('lie in a row as attention reads them, at the rate HBM then has', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1024 }), (kvLines, pageRows) => {
      const query = { heads: 8, headDim: 128 } as InstructionOf<'aq'>['fields'];
      const keys = { format: 'e4m3', mask: 'causal', kvLines, pageRows, kvHeads: 8, window: 0 } as InstructionOf<'attn'>['fields'];
      const { runBytes } = attentionCost({ query, keys, rates: ratesOf(sohu, 1) }, [], 0, 1);
      expect(runOf(pageRows, kvLines * sohu.sram.lineBytes.value)).toBe(runBytes);
      expect(efficiencyOf(sohu, runBytes)).toBe(hbmEfficiency(ratesOf(sohu, 1), runBytes));
    }));
  });

  it('are as long as makes reading them fastest, and no longer', () => {
    const cache = (kvHeads: number, headDim: number): Parameters<typeof pagesOf>[0] => ({ caches: [{ key: '', layers: 4, kvHeads, headDim }] as never });
    const best = (kvHeads: number, headDim: number, context = 2176): number => pagesOf(cache(kvHeads, headDim), sohu8, { context, sequences: 8, stages: 1, elementBytes: 1 })[0]!.rows;
    expect([best(8, 128), best(1, 128), best(1, 64), best(1, 64, 20)]).toEqual([16, 16, 32, 16]);
    for (const { rows, idleBytes, listBytes } of pagesOf(cache(8, 128), sohu8, { context: 2176, sequences: 8, stages: 2, elementBytes: 1 })) {
      expect({ rows, idleBytes, listBytes }).toEqual({ rows, idleBytes: (rows / 2) * 2 * 1024 * 4 * 8, listBytes: 8 * Math.ceil(2176 / rows) * 4 });
    }
  });
});

describe('the steps of a mapping', () => {
  it('--prefill-rows says how many: whole prompts, or pieces; one or the other, this or --batch', async () => {
    const rows = async (...words: readonly string[]): Promise<unknown> => (await asked(small, '--mapping', 'tp1xpp2xr2', '--isl', '256', '--osl', '32', ...words) as CostReport).workload;
    expect(await rows('--prefill-rows', '768')).toEqual(await rows('--batch', String(2 * 2 * 3 * 32)));
    expect(await rows('--prefill-rows', '128')).toMatchObject({ batch: 32 });
    const { code, stderr } = await told(small, '--prefill-rows', '128', '--batch', '4');
    expect([code, stderr]).toEqual([2, expect.stringContaining('`--prefill-rows` says what `--batch` does')]);
  });

  it('are in tiles alike in all stages, though those with the head have less room', async () => {
    const { code } = await told({ ...small, num_key_value_heads: 1 }, '--mapping', 'tp1xpp2xr4', '--isl', '1024', '--osl', '16', '--batch', '128', '--parts', '2');
    expect(code).toBe(0);
  });

  it.skipIf(isCheck)('more prompts than two, where that is faster; what it lost to is told of each, and of other pages', async () => {
    const words = ['--isl', '2048', '--osl', '128', '--replicas', '8'] as const;
    const rows = (await asked(small, '--explain', 'mapping', ...words)) as readonly Ranked[];
    expect(rows[0]!.step).toEqual({ prefillRows: 8192, decodeRows: 508, parts: 4 });
    expect(new Set(rows.map(({ step }) => step!.prefillRows))).toEqual(new Set([1024, 2048, 4096, 6144, 8192]));
    expect(rows.flatMap(({ pageRows = 16 }) => (pageRows === 16 ? [] : [pageRows]))).toEqual(pageSizes.filter((size) => size !== 16));
    const { workload } = (await asked(small, ...words)) as CostReport;
    expect(workload.batch).toBe(512);
  });

  it('of the three alternatives ranked first the rate is within a tenth of what the report of its program says', async () => {
    const given = fc.record({ isl: fc.constantFrom(1, 64, 300, 1024), osl: fc.constantFrom(16, 48), heads: fc.constantFrom(1, 8), steps: fc.constantFrom([], ['--prefill-rows', '32'], ['--prefill-rows', '2048'], ['--batch', '24']), pages: fc.constantFrom([], ['--page-rows', '8'], ['--page-rows', '64']) });
    await fc.assert(fc.asyncProperty(given, async ({ isl, osl, heads, steps, pages }) => {
      const config = { ...small, num_key_value_heads: heads };
      const words = ['--isl', String(isl), '--osl', String(osl), ...pages];
      const rows = (await asked(config, '--explain', 'mapping', '--replicas', '4', ...words, ...steps)) as readonly Ranked[];
      for (const { tp, pp, replicas, step, settings, totalTokensPerSecond } of rows.filter(({ rank = 4 }) => rank <= 3)) {
        const { timing } = (await asked(config, '--mapping', `tp${tp}xpp${pp}xr${replicas}`, '--batch', String(settings!.batch * replicas), '--parts', String(step!.parts), ...words)) as CostReport;
        expect(Math.abs(totalTokensPerSecond! / timing.totalTokensPerSecond - 1)).toBeLessThan(0.1);
      }
    }), { numRuns: isCheck ? 2 : 8 });
  });
});
