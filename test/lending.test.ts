import { expect, it } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { lending, lendings } from '../isa-spec/machine.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { apply } from '../passes/plan/apply.ts';
import { fit } from '../passes/plan/fit.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import type { Timing } from '../simulator/timing/result.ts';
import { simulateTiming } from '../simulator/timing/simulate.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, source, store } from './compiled.ts';
import { normative, raggedStep, smallBounds, tablesOf } from './passes/lower.ts';
import { small } from './passes/tiny-llama.ts';
import { done } from './simulator/timing/build.ts';

const graph = normative(source, tiny, 'fp8');
const step = raggedStep([{ id: 0, rows: 20, past: 0 }], small.vocabulary);

function programLending(lent: number): { readonly program: Program; readonly images: readonly Uint8Array[] } {
  const target = { machine: tiny, bounds: smallBounds, chips: 1, stageShare: 0.25, parts: 1, lent };
  const plan = fit(ungroup(graph), target, new Diagnostics()) ?? expect.fail('does not fit');
  const { tile, graph: lowered } = apply(ungroup(graph), target, plan);
  const placed = placedOn(tile, tiny);
  const from = { graph: lowered, values: new WeightValues(store, 1), tile: tile.tile, lineBytes: tiny.sram.lineBytes.value };
  return { program: buildProgram([{ ...placed, lent }], tiny, 'step', {}), images: [Uint8Array.from(Buffer.concat([...packWeights(tile, placed.layout, from, 0)]))] };
}

const timed = (program: Program): Timing => done(simulateTiming(program, [encodeStepBlock(tablesOf(step, smallBounds))]));

it('a machine lends all but a half, a quarter or an eighth of its matrix arrays, each for as many of the attention unit\'s as it is as large as', () => {
  expect(lendings(sohu)).toEqual([0, 32, 48, 56]);
  expect(lending(sohu, 0)).toBe(sohu);
  const { arrays, attention } = lending(sohu, 48);
  expect([arrays.count.value, attention.count.value]).toEqual([16, 16 + 48 * 4]);
  const peak = (machine: typeof sohu): number => machine.arrays.count.value * machine.arrays.size.value ** 2 + machine.attention.count.value * machine.attention.size.value ** 2;
  for (const lent of lendings(sohu)) expect(peak(lending(sohu, lent))).toBe(peak(sohu));
  expect(lendings({ ...sohu, attention: { ...sohu.attention, size: { ...sohu.attention.size, value: 512 } } })).toEqual([0]);
});

it.each(lendings(tiny))('results do not depend on it: of four arrays %d are lent', (lent) => {
  const { program, images } = programLending(lent);
  expect(verify(program)).toEqual([]);
  const state = createMachineState(program, images.map(imageSource));
  runStep(state, [encodeStepBlock(tablesOf(step, smallBounds))]);
  const wanted = interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state: new KvState() }).get('logits')?.data;
  expect(resultOf(state, program, step.samples.length, 0)).toEqual(wanted);
});

it('attention is faster by it and products are slower, of the same peak together', () => {
  const [none, half] = [0, 2].map((lent) => timed(programLending(lent).program)) as [Timing, Timing];
  const engine = (timing: Timing, wanted: string): { readonly peakPerCycle: number; readonly work: number } => timing.perChip[0]!.engines.find(({ name }) => name === wanted)!;
  expect(engine(half, 'attention').peakPerCycle).toBe(2 * engine(none, 'attention').peakPerCycle);
  expect(engine(half, 'matrix').peakPerCycle).toBe(engine(none, 'matrix').peakPerCycle / 2);
  for (const name of ['attention', 'matrix']) expect(engine(half, name).work).toBe(engine(none, name).work);
  expect(half.perChip[0]!.capacityFlops / half.cycles).toBe(none.perChip[0]!.capacityFlops / none.cycles);
  expect(half.perChip[0]!.queues.find(({ queue }) => queue === 'att')!.busy).toBeLessThan(none.perChip[0]!.queues.find(({ queue }) => queue === 'att')!.busy);
});

it('a product on arrays that are lent is found', () => {
  const { program } = programLending(0);
  const rules = verify({ ...program, entries: program.entries.map((entry) => ({ ...entry, lent: 2 })) }).map(({ rule, message }) => `${rule} ${message}`);
  expect(rules.length).toBeGreaterThan(0);
  for (const one of rules) expect(one).toMatch(/^V01 .*(wld|mm|epi)/);
});
