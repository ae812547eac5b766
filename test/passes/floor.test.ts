import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { compile, type Target } from '../../driver/compile.ts';
import { operandBytes } from '../../driver/serving.ts';
import { blankStep, boundsOf, freshTables } from '../../driver/workload.ts';
import { memoryFiles } from '../../frontend/files.ts';
import { importFolder } from '../../frontend/huggingface/import.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import { lending } from '../../isa-spec/machine.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import type { Precision } from '../../passes/formats.ts';
import { ungroup } from '../../passes/group.ts';
import { floorOf } from '../../passes/plan/floor.ts';
import { hasteOf } from '../../passes/plan/haste.ts';
import { lagOf } from '../../passes/plan/lag.ts';
import { partsOf } from '../../passes/tile/parts.ts';
import { simulateTiming, timingDefaults } from '../../simulator/timing/simulate.ts';
import { normative } from './lower.ts';
import { small, tinyLlama } from './tiny-llama.ts';

const folder = (config: object): GraphModule => importFolder(memoryFiles(new Map([['config.json', new TextEncoder().encode(JSON.stringify(config))]])), new Diagnostics())!.module;
const llama = (hidden: number, inner: number, layers: number): GraphModule =>
  folder({
    model_type: 'llama', hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: hidden / 128, num_key_value_heads: 8, vocab_size: 128256,
    max_position_embeddings: 8192, rms_norm_eps: 1e-5, rope_theta: 500000, hidden_act: 'silu', tie_word_embeddings: false,
  });
const decoding = (count: number, from: number): readonly StepSequence[] => Array.from({ length: count }, (_, i) => ({ id: from + i, rows: 1, past: 2048 + i }));
const prompt = { id: 0, rows: 2048, past: 0 };
const mixed = [...decoding(127, 2), prompt, { ...prompt, id: 1 }, ...decoding(127, 129)];

describe('the least a step takes by the closed forms', () => {
  const models = [
    tinyLlama({ ...small, layers: 3 }),
    folder({ model_type: 'gpt2', n_embd: 80, n_layer: 3, n_head: 5, n_positions: 64, n_ctx: 64, vocab_size: 40, activation_function: 'gelu_new', layer_norm_epsilon: 1e-5 }),
    folder({ model_type: 'gpt_neox', hidden_size: 64, intermediate_size: 256, num_hidden_layers: 3, num_attention_heads: 4, vocab_size: 40, max_position_embeddings: 64, rotary_pct: 1, layer_norm_eps: 1e-5, hidden_act: 'gelu', use_parallel_residual: true }),
    folder({ model_type: 'bert', hidden_size: 64, intermediate_size: 256, num_hidden_layers: 3, num_attention_heads: 4, vocab_size: 40, max_position_embeddings: 64, type_vocab_size: 2, hidden_act: 'gelu', layer_norm_eps: 1e-12 }),
  ];
  const sequences = fc.array(fc.record({ rows: fc.integer({ min: 1, max: 40 }), past: fc.integer({ min: 0, max: 20 }) }), { minLength: 1, maxLength: 8 });
  it('is no more than its program takes, in one part or two, of each family', () => {
    fc.assert(fc.property(sequences, fc.constantFrom(...models), fc.constantFrom<Precision>('fp8', 'bf16'), fc.constantFrom(1, 2), fc.constantFrom(tiny, sohu), (some, module, precision, parts, machine) => {
      const step = some.map(({ rows, past }, id) => ({ id, rows, past: module.caches.length === 0 ? 0 : past }));
      const workload = { isl: 60, osl: 1, batch: step.length };
      const target: Target = { machine, precision, tp: 1, pp: 1, stageShare: 0.25, parts, serve: (made) => ({ workload, step, bounds: boundsOf(made, machine, step, { context: 60, elementBytes: operandBytes[precision], stages: 1 }) }) };
      const made = compile({ module, primitive: false, store: undefined, tensors: new Map() }, target, new Diagnostics(), { until: 'time', ended: () => {}, isProved: false });
      if (made === undefined) return;
      const { program, stages } = made;
      const timing = simulateTiming(program, [encodeStepBlock(freshTables(blankStep(step), { pageRows: program.entries[0]!.bounds['pageRows']! }))], timingDefaults);
      if (timing.kind === 'fault') expect.fail(timing.fault.message);
      expect(floorOf(stages[0]!.graph, step, machine).seconds).toBeLessThanOrEqual(timing.seconds);
    }), { numRuns: 80 });
  });

  it('is that of what decides', () => {
    const of = (module: GraphModule, step: readonly StepSequence[]): string => {
      const { by, parts } = floorOf(ungroup(normative(module, sohu, 'fp8')), step, sohu);
      return `${by}, parts ${parts}`;
    };
    const model = llama(4096, 14336, 32);
    expect({ mixed: of(model, mixed), decoding: of(model, decoding(16, 0)), prompt: of(model, [{ ...prompt, rows: 8192 }]), few: of(llama(1024, 4096, 8), [{ ...prompt, rows: 512 }]) }).toMatchInlineSnapshot(`
      {
        "decoding": "hbm, parts 1",
        "few": "hbm, parts 1",
        "mixed": "attention, parts 2",
        "prompt": "matrix, parts 2",
      }
    `);
  });
});

describe('haste', () => {
  const of = (module: GraphModule, step: readonly StepSequence[]): string => {
    const graph = ungroup(normative(module, sohu, 'fp8'));
    return hasteOf(graph, partsOf(graph, step.reduce((sum, { rows }) => sum + rows, 0), 2, sohu), step, sohu);
  };
  it('is had where attention would wait, and by both parts where that takes longer than products do', () => {
    const [small8, large] = [llama(4096, 14336, 32), llama(8192, 28672, 80)];
    const fewer = [...decoding(40, 2), prompt, { ...prompt, id: 1 }, ...decoding(40, 42)];
    expect({ prompt: of(small8, [prompt]), mixed: of(small8, mixed), 'fewer that decode': of(small8, fewer), large: of(large, mixed) }).toEqual({ prompt: 'some', mixed: 'all', 'fewer that decode': 'most', large: 'none' });
  });
});

describe('a lag', () => {
  const long: StepSequence = { id: 0, rows: 32768, past: 0 };
  const of = (layers: number, ahead: number, machine = lending(sohu, 32)): string => {
    const graph = ungroup(normative(llama(8192, 28672, layers), sohu, 'fp8'));
    return lagOf(graph, partsOf(graph, long.rows, 17, sohu), [long], machine, ahead);
  };
  it('late parts have where attention of the last is longer than what is beside it, and that of the first shorter', () => {
    expect({ long: of(10, 2), 'no arrays lent, all wait': of(10, 2, sohu), 'one ahead': of(10, 1), 'no turn but the first and the last': of(2, 2) }).toEqual({ long: 'late', 'no arrays lent, all wait': 'none', 'one ahead': 'none', 'no turn but the first and the last': 'none' });
  });
});
