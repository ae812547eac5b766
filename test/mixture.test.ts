import { describe, expect, it } from 'vitest';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { allOps, type GraphModule } from '../ir/graph/module.ts';
import type { Step } from '../ir/step.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, randomSchedule } from '../simulator/functional/schedule.ts';
import { hasExperts } from '../passes/shard.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { freshState } from '../ir/tile/interpret/memory.ts';
import { verifyTile } from '../ir/tile/verify.ts';
import { stepFlops } from '../ir/graph/flops.ts';
import { simulateTiming } from '../simulator/timing/simulate.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { prove } from '../verifier/verify.ts';
import { machineFor, resultOf, type Variant, variants as usual } from './compiled.ts';
import { fitted, normative, raggedStep, storeFor, tablesOf } from './passes/lower.ts';
import { runTiles } from './passes/on-tiles.ts';
import { tinyMixture } from './passes/tiny-mixture.ts';
import { done } from './simulator/timing/build.ts';
import { isCheck, sweep } from './sweep.ts';

const steps: readonly Step[] = [
  raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], 40),
  raggedStep([{ id: 0, rows: 1, past: 7 }], 40),
];

/** The lists of a step's choices are held whole: where values are in HBM there has to be room for them. */
const inHbm = (name: string): Variant => ({ ...(usual[name] as Variant), machine: { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 15 } } }, stageShare: 0.1 });
/** Chips with whole experts, as many each; what they make of pairs takes more room than their columns of it. */
const spread: Readonly<Record<string, Variant>> = Object.fromEntries(['two chips', 'two small chips', 'two parts on two small chips', 'two chips that share rows'].map((name) => {
  const { machine, ...others } = usual[name] as Variant;
  return [`${name}, experts spread over them`, { ...others, ep: 2, machine: { ...machine, sram: { ...machine.sram, bytes: { ...machine.sram.bytes, value: 2 * machine.sram.bytes.value } } } }];
}));
const variants: Readonly<Record<string, Variant>> = { ...usual, ...spread, ...Object.fromEntries(['values in HBM', 'two parts, values in HBM', 'four parts, values in HBM'].map((name) => [name, inHbm(name)])) };
const machines = Object.entries(variants).filter(([name]) => !isCheck || ['a machine of 8x8 arrays and 8 KiB', 'values in HBM', 'two small chips', 'two small chips, experts spread over them'].includes(name));

const models: Readonly<Record<string, GraphModule>> = {
  'two of eight, of a softmax': tinyMixture({ experts: 8, k: 2, scores: 'softmax', normalise: true, biased: false, bias: false }),
  'three of six, of sigmoids, chosen with a bias; experts with biases': tinyMixture({ experts: 6, k: 3, scores: 'sigmoid', normalise: true, biased: true, bias: true }),
  'one of one': tinyMixture({ experts: 1, k: 1, scores: 'sigmoid', normalise: false, biased: false, bias: false }),
};

const bitsOf = (model: GraphModule, precision: 'fp8' | 'bf16', given: readonly Step[]): readonly (Float64Array | undefined)[] => {
  const graph = normative(model, sohu, precision);
  return given.map((step) => interpret(graph, step, { weights: new WeightValues(storeFor(model), 1), arithmetic: 'normative', state: new KvState() }).get('logits')?.data);
};

describe.each(sweep(Object.entries(models), 2))('%s', (_, source) => {
  const isSpreadable = [...allOps(source.body)].some(hasExperts);
  const on = machines.filter(([, { ep }]) => ep === undefined || isSpreadable);

  describe.each(['fp8', 'bf16'] as const)('%s', (precision) => {
    const wanted = bitsOf(source, precision, steps);

    it.each([2, 4])('chips that share every expert compute the same: %d', (tp) => {
      const graph = normative(source, sohu, precision, tp);
      expect([...allOps(graph.body)].flatMap((op) => (op.kind === 'experts' ? [op.attrs.parts] : []))).toEqual([tp]);
      const values = new WeightValues(storeFor(source), tp);
      steps.forEach((step, i) => expect(interpret(graph, step, { weights: values, arithmetic: 'normative', state: new KvState() }).get('logits')?.data).toEqual(wanted[i]));
    });

    it.runIf(isSpreadable)('chips that have whole experts compute the same', () => {
      const graph = normative(source, sohu, precision, 2, 2);
      expect([...allOps(graph.body)].flatMap((op) => (op.kind === 'experts' ? [op.attrs] : []))).toEqual([expect.objectContaining({ parts: 2, whole: true })]);
      const values = new WeightValues(storeFor(source), 2);
      steps.forEach((step, i) => expect(interpret(graph, step, { weights: values, arithmetic: 'normative', state: new KvState() }).get('logits')?.data).toEqual(wanted[i]));
    });

    it.each(on)('the program computes the bits of the graph on %s', (__, variant) => {
      const state = machineFor(variant, precision, (program) => program, source);
      for (const [i, step] of steps.entries()) {
        runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))]);
        for (let chip = 0; chip < variant.tp; chip++) expect(resultOf(state, state.program, step.samples.length, chip)).toEqual(wanted[i]);
      }
    });

    it.each(on.filter(([, { tp }]) => tp === 1))('tiles compute the bits of the graph on %s', (__, { machine, stageShare, bounds }) => {
      const fit = fitted(normative(source, machine, precision), machine, stageShare, 1, bounds);
      steps.forEach((step, i) => expect(runTiles(fit, step, freshState(), { store: storeFor(source), lineBytes: machine.sram.lineBytes.value })).toEqual(wanted[i]));
    });

    it.each(on)('tiles keep their rules, and the program is sound, on %s', (__, { machine, tp, ep, stageShare, bounds }) => {
      const { tile } = fitted(normative(source, machine, precision, tp, ep), machine, stageShare, tp, bounds);
      expect(verifyTile(tile)).toEqual([]);
      const { findings, verdicts } = prove(buildProgram([placedOn(tile, machine)], machine, 'step', {}));
      expect(findings.map(({ rule, message }) => `${rule} ${message}`)).toEqual([]);
      expect(verdicts.filter(({ outcome }) => outcome !== 'proved').map(({ rule }) => rule)).toEqual(['V02', 'V16']);
    });

    it('whichever queue goes first', () => {
      for (const schedule of [early, late, randomSchedule(1), randomSchedule(2)]) {
        const state = machineFor(variants['values in HBM'] as Variant, precision, (program) => program, source);
        runStep(state, [encodeStepBlock(tablesOf(steps[0] as Step, (variants['values in HBM'] as Variant).bounds))], schedule);
        expect(resultOf(state, state.program, 2, 0)).toEqual(wanted[0]);
      }
    });
  });
});

it('a row is what it is alone: neither its mates nor their choices change a bit', () => {
  const source = models['two of eight, of a softmax'] as GraphModule;
  const together = raggedStep([{ id: 0, rows: 3, past: 0 }, { id: 1, rows: 5, past: 0 }, { id: 2, rows: 9, past: 0 }], 40);
  const samples = together.ids.map((_, row) => row);
  const alone = together.ids.map((id): Step => ({ sequences: [{ id: 0, rows: 1, past: 0 }], ids: [id], positions: [0], types: [0], samples: [0] }));
  const [all] = bitsOf(source, 'fp8', [{ ...together, samples }]);
  expect(bitsOf(source, 'fp8', alone)).toEqual(together.ids.map((_, row) => all?.slice(row * 40, (row + 1) * 40)));
});

it('only the work of pairs is useful, and it adds up with what is lost', () => {
  const source = models['two of eight, of a softmax'] as GraphModule;
  const step = steps[0] as Step;
  for (const { machine, tp, ep, stageShare, bounds } of [usual['the full-sized machine'], usual['a machine of 8x8 arrays and 8 KiB'], variants['values in HBM'], spread['two small chips, experts spread over them']] as readonly Variant[]) {
    const { tile, graph } = fitted(normative(source, machine, 'fp8', tp, ep), machine, stageShare, tp, bounds);
    const [chip] = done(simulateTiming(buildProgram([placedOn(tile, machine)], machine, 'step', {}), [encodeStepBlock(tablesOf(step, bounds))])).perChip;
    const useful = chip?.usefulMatrixFlops ?? 0;
    expect(useful / stepFlops(graph, step).gemm).toBeCloseTo(1, 3);
    expect(useful + Object.values(chip?.losses ?? {}).reduce((sum, flops) => sum + flops, 0)).toBe(chip?.capacityFlops);
  }
});
