import { describe, expect, it } from 'vitest';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { runStep } from '../simulator/functional/run.ts';
import { verify } from '../verifier/verify.ts';
import { built, machineFor, resultOf, steps, type Variant, variants } from './compiled.ts';
import { normative, raggedStep, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama, type Traits } from './passes/tiny-llama.ts';
import { sweep } from './sweep.ts';

const traits: Readonly<Record<string, Traits>> = {
  'RMS norms of each head': { qkNorm: { norm: 'rms', of: 'heads' } },
  'layer norms of each head': { qkNorm: { norm: 'layer', of: 'heads' } },
  'capped scores': { softCap: 0.5 },
  sinks: { sinks: true },
  slopes: { slopes: true },
  'slopes beside caps and sinks': { slopes: true, softCap: 0.5, sinks: true },
  'capped logits': { cappedLogits: true },
};
const machines = sweep(['a machine of 8x8 arrays and 8 KiB', 'four chips, two to a KV head', 'the full-sized machine', 'two small chips'], 2);

describe.each(Object.entries(traits))('%s', (_, trait) => {
  const module = tinyLlama(small, trait);
  const store = storeFor(module);

  it.each(['fp8', 'bf16'] as const)('%s: the program computes the bits of the graph', (precision) => {
    const graph = normative(module, sohu, precision);
    const kv = new KvState();
    const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
    for (const name of machines) {
      const variant = variants[name] as Variant;
      const state = machineFor(variant, precision, undefined, module);
      for (const [i, step] of steps.entries()) {
        runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))]);
        expect(resultOf(state, state.program, step.samples.length, variant.tp - 1)).toEqual(wanted[i]);
      }
    }
  });

  it('is proved by the verifier', () => {
    for (const name of machines) expect(verify(built(variants[name] as Variant, 'fp8', module).program)).toEqual([]);
  });
});

it('logits wider than a unit can say are worked on in pieces', () => {
  const module = tinyLlama({ ...small, layers: 1, vocabulary: 140_000 }, { cappedLogits: true });
  const step = raggedStep([{ id: 0, rows: 2, past: 0 }], 40);
  const [wanted] = interpret(normative(module, sohu, 'bf16'), step, { weights: new WeightValues(storeFor(module), 1), arithmetic: 'normative', state: new KvState() }).values();
  const state = machineFor(variants['the full-sized machine'] as Variant, 'bf16', undefined, module);
  runStep(state, [encodeStepBlock(tablesOf(step, smallBounds))]);
  expect(resultOf(state, state.program, 1, 0)).toEqual(wanted?.data);
});

it('heads whose queries are normalised together are not divided over chips', () => {
  const module = tinyLlama(small, { qkNorm: { norm: 'rms', of: 'row' } });
  expect(() => normative(module, sohu, 'bf16', 2)).toThrow('whole on every chip');
  expect(normative(module, sohu, 'bf16', 1).body.ops.length).toBeGreaterThan(0);
});
