import { expect, it } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { compile, type Target } from '../driver/compile.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { printGraph } from '../ir/graph/print.ts';
import { verifyGraph } from '../ir/graph/verify.ts';
import type { Step } from '../ir/step.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { decodeAll } from '../isa-spec/encoding.ts';
import { hbmBases } from '../isa-spec/instructions.ts';
import { sohu8 } from '../isa-spec/machines/sohu.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock, type StepTables } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { cutOf } from '../passes/plan/cut.ts';
import { stagesOf } from '../passes/stage.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin } from '../simulator/functional/schedule.ts';
import type { Timing } from '../simulator/timing/result.ts';
import { simulateSteps, timingDefaults } from '../simulator/timing/simulate.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, source, steps, store } from './compiled.ts';
import { emptyStep } from './simulator/functional/harness.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';
import { tinyMixture } from './passes/tiny-mixture.ts';
import { sweep } from './sweep.ts';

const stages = 3;
const lone = raggedStep([{ id: 2, rows: 1, past: 5 }], small.vocabulary);
/** Steps of other sequences and other numbers of rows: each must find its own at every stage. */
const under = [...steps, lone];

/** Three layers a stage: what is turned around, and the first and last beside it. */
const deep = tinyLlama({ ...small, layers: 3 * stages });

const mixture = tinyMixture({ experts: 8, k: 2, scores: 'softmax', normalise: true, biased: false, bias: false });

/** On how many stages, of how many chips each, which may have whole experts, and in how many parts a step is worked on. */
type Cut = { readonly stages: number; readonly tp: number; readonly ep?: number; readonly parts: number };

function pipeline(machine: typeof tiny, model: typeof source, { stages, tp, ep, parts }: Cut) {
  const graph = normative(model, machine, 'fp8', tp, ep);
  const weights = model === source ? store : storeFor(model);
  const diagnostics = new Diagnostics();
  const divided = stagesOf(ungroup(graph), cutOf(ungroup(graph), stages, undefined), diagnostics);
  for (const { module } of divided) verifyGraph(module, diagnostics);
  expect(diagnostics.all).toEqual([]);
  const placed = divided.map(({ module }, stage) => {
    const fit = fitted(module, machine, 0.25, tp, { ...smallBounds, tokens: 30, parts });
    return { fit, placed: { ...placedOn(fit.tile, machine), chips: Array.from({ length: tp }, (_, rank) => stage * tp + rank) } };
  });
  const program = readContainer(writeContainer(buildProgram(placed.map((one) => one.placed), machine, 'step', {})));
  const images = ({ fit, placed: { layout } }: (typeof placed)[number]): readonly Uint8Array[] => {
    const from = { graph: fit.graph, values: new WeightValues(weights, tp), tile: fit.tile.tile, lineBytes: machine.sram.lineBytes.value };
    return Array.from({ length: tp }, (_, rank) => Uint8Array.from(Buffer.concat([...packWeights(fit.tile, layout, from, rank)])));
  };
  return { program, state: createMachineState(program, placed.flatMap(images).map(imageSource)) };
}

const small4 = { ...tiny, chips: 4 };
const roomy = { ...small4, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 14 } } };
/** Of whose HBM products need more than half while they go on. */
const thin = { ...roomy, hbm: { ...tiny.hbm, bytesPerSecond: { ...tiny.hbm.bytesPerSecond, value: 24e9 } } };
const three: Cut = { stages, tp: 1, parts: 1 };
const twoByTwo: Cut = { stages: 2, tp: 2, parts: 1 };
it.each([
  ['the full-sized machine', sohu8, source, three, roundRobin], ['a machine of 8x8 arrays', small4, source, three, roundRobin],
  ['steps in two parts', sohu8, deep, { ...three, parts: 2 }, roundRobin], ['steps in two parts, on 8x8 arrays', roomy, deep, { ...three, parts: 2 }, roundRobin],
  ['steps in three parts, on 8x8 arrays', roomy, deep, { ...three, parts: 3 }, roundRobin],
  ['stages of two chips', sohu8, source, twoByTwo, roundRobin], ['stages of four', sohu8, source, { ...twoByTwo, tp: 4 }, roundRobin], ['three stages of two', sohu8, deep, { stages, tp: 2, parts: 2 }, roundRobin],
  ['stages of two chips with experts of their own', sohu8, mixture, { ...twoByTwo, ep: 2 }, roundRobin],
  ...sweep(Object.entries({ early, late, 'random 1': randomSchedule(1), 'random 2': randomSchedule(2) }), 1).flatMap(([name, schedule]) => [
    [`stages of two chips of 8x8 arrays, ${name}`, small4, source, twoByTwo, schedule] as const,
    [`weights by both queues of loads, ${name}`, thin, deep, { ...three, parts: 2 }, schedule] as const,
  ]),
] as const)('steps follow each other through the stages, with the bits of the graph on one chip: %s', (_, machine, model, cut, schedule) => {
  const { program, state } = pipeline(machine, model, cut);
  const graph = normative(model, machine, 'fp8');
  const weights = model === source ? store : storeFor(model);
  expect(program.code.some((chips) => chips.some(({ att }) => decodeAll(att.words, 'att').some((one) => one.op === 'aq' && one.fields.from !== undefined)))).toBe(cut.parts > 1);
  const isAside = program.code.some((chips) => chips.some(({ dma1 }) => decodeAll(dma1.words, 'dma1').some((one) => one.op === 'dld' && one.fields.src.base === hbmBases.indexOf('weights'))));
  expect(isAside).toBe(machine === thin);
  expect(verify(program)).toEqual([]);
  const kv = new KvState();
  const wanted = under.map((step) => interpret(graph, step, { weights: new WeightValues(weights, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
  const got = [];
  for (let beat = 0; beat < under.length + cut.stages - 1; beat++) {
    const tables = (stage: number): StepTables => {
      const step = under[beat - stage];
      return { ...(step === undefined ? emptyStep : tablesOf(step, smallBounds)), entry: stage };
    };
    runStep(state, Array.from({ length: program.chips }, (__, chip) => encodeStepBlock(tables(Math.floor(chip / cut.tp)))), schedule);
    const done = under[beat - cut.stages + 1];
    if (done !== undefined) got.push(resultOf(state, program, done.samples.length, program.chips - 1));
  }
  expect(got).toEqual(wanted);
});

it('the second of two parts takes its rows under the first queries, before keys and values are stored', () => {
  const { debugMap } = pipeline(sohu8, deep, { ...three, parts: 2 }).program;
  const labels = debugMap.entries[1]!.dma1.map((index) => debugMap.labels[index]!.label);
  const places = [/\.take$/, /\.take\.part1$/, /\.attention$/, /\.attention\.part1$/].map((pattern) => labels.findIndex((label) => pattern.test(label)));
  expect(places.includes(-1)).toBe(false);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});

it('stages have the layers, their weights and caches, and what comes before and after, once', () => {
  const parts = stagesOf(normative(source, tiny, 'fp8'), [1, 1, 1], new Diagnostics());
  expect(parts.map(({ like }) => like)).toEqual([0, 1, 2]);
  expect(stagesOf(normative({ ...source }, tiny, 'fp8'), [1, 2], new Diagnostics()).map(({ module }) => module.caches.map(({ layers }) => layers))).toEqual([[1], [2]]);
  const kinds = parts.map(({ module }) => ['embed', 'take', 'give', 'sampleRows'].filter((kind) => printGraph(module).includes(` ${kind}(`)));
  expect(kinds).toEqual([['embed', 'take', 'give'], ['take', 'give'], ['take', 'sampleRows']]);
  expect(parts.map(({ module }) => module.inputs.map(({ feed }) => feed))).toEqual([['ids', 'positions'], ['positions'], ['positions']]);
  expect(parts.map(({ module }) => module.caches.map(({ layers }) => layers))).toEqual([[1], [1], [1]]);
});

it('more stages than layers are refused', () => {
  const diagnostics = new Diagnostics();
  expect(stagesOf(normative(source, tiny, 'fp8'), [1, 1, 1, 1], diagnostics)).toEqual([]);
  expect(diagnostics.all.map(({ code, message }) => `${code} ${message}`)).toEqual(['E4002 `tiny` cannot be cut into 4 stages: only 3 of its layers are alike']);
});

it.each([1, 2])('stages alike are one entry, and timed as one chip if their steps are: of %d', (tp) => {
  const module = tinyLlama({ ...small, layers: 4 });
  const target: Target = { machine: sohu8, precision: 'fp8', tp, pp: 4, stageShare: 0.25, parts: 1, serve: () => ({ workload: { isl: 6, osl: 1, batch: 4 }, bounds: smallBounds }) };
  const program = compile({ module, primitive: false, store: undefined, tensors: new Map() }, target, new Diagnostics())?.program ?? expect.fail('does not compile');
  const of = (...ofStages: readonly number[]): readonly number[] => ofStages.flatMap((stage) => Array.from({ length: tp }, (_, rank) => stage * tp + rank));
  expect(program.entries.map(({ chips }) => chips)).toEqual([of(0), of(1, 2), of(3)]);
  const entryOf = (stage: number): number => [0, 1, 1, 2][stage] ?? 0;
  const blocks = (ofStage: (stage: number) => Step): readonly Uint8Array[] => of(0, 1, 2, 3).map((chip) => Math.floor(chip / tp)).map((stage) => encodeStepBlock({ ...tablesOf(ofStage(stage), smallBounds), entry: entryOf(stage) }));
  const timed = (full: boolean, ...steps: readonly (readonly Uint8Array[])[]): Timing => {
    const timing = simulateSteps(program, steps, { ...timingDefaults, full });
    return timing.kind === 'timing' ? timing : expect.fail(timing.fault.message);
  };
  const [alike, other] = [blocks(() => lone), blocks((stage) => (stage === 2 ? steps[0]! : lone))];
  const [every, few] = [timed(true, alike, alike), timed(false, alike, alike)];
  expect([few.steps, few.cycles, few.perChip]).toEqual([2, every.cycles, every.perChip]);
  expect(few.instructions).toBeLessThan(every.instructions);
  expect(few.cycles).toBe(2 * timed(false, alike).cycles);
  // In one step of two another has more rows: nothing stands for it.
  const [mixed, each] = [timed(false, alike, other), timed(true, alike, other)];
  expect([mixed.cycles, mixed.perChip]).toEqual([each.cycles, each.perChip]);
  expect(mixed.instructions).toBeGreaterThan(few.instructions);
  const busy = ({ perChip }: Timing): number => perChip.reduce((sum, { queues }) => sum + queues.reduce((own, queue) => own + queue.busy, 0), 0);
  expect(busy(mixed)).toBeGreaterThan(busy(few));
  expect(() => simulateSteps(program, [alike, alike.with(tp, alike[0]!)])).toThrow(`chip ${tp} is to run entry 1, then 0`);
  expect(() => simulateSteps(program, [alike, alike.slice(2)])).toThrow(RangeError);
  expect(() => simulateSteps(program, [])).toThrow('no step to time');
});
