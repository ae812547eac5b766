import { describe, expect, it } from 'vitest';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin } from '../simulator/functional/schedule.ts';
import { machineFor, resultOf, source, steps, store, type Variant, variants } from './compiled.ts';
import { normative, tablesOf } from './passes/lower.ts';

describe.each(['fp8', 'bf16'] as const)('%s: the program computes the bits of the graph', (precision) => {
  const graph = normative(source, sohu, precision);
  const kv = new KvState();
  const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);

  it.each(Object.entries(variants))('on %s, prefill and decode', (_, variant) => {
    const state = machineFor(variant, precision);
    for (const [i, step] of steps.entries()) {
      runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))]);
      for (let chip = 0; chip < variant.tp; chip++) {
        const logits = resultOf(state, state.program, step.samples.length, chip);
        expect(logits.every(Number.isFinite)).toBe(true);
        expect(logits).toEqual(wanted[i]);
      }
    }
  });

  it.each(Object.entries({ early, late, roundRobin, ...Object.fromEntries([1, 2, 3, 4].map((seed) => [`random ${seed}`, randomSchedule(seed)])) }))('whichever queue goes first: %s', (_, schedule) => {
    for (const name of ['values in HBM', 'two small chips', 'two small chips that share rows'] as const) {
      const variant = variants[name] as Variant;
      const state = machineFor(variant, precision);
      for (const [i, step] of steps.entries()) {
        runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))], schedule);
        expect(resultOf(state, state.program, step.samples.length, 0)).toEqual(wanted[i]);
      }
    }
  });
});
