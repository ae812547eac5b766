import { expect, it } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { compile, type Target } from '../driver/compile.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { printGraph } from '../ir/graph/print.ts';
import { verifyGraph } from '../ir/graph/verify.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { decodeAll } from '../isa-spec/encoding.ts';
import { sohu8 } from '../isa-spec/machines/sohu.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock, type StepTables } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { stagesOf } from '../passes/stage.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { simulateTiming } from '../simulator/timing/simulate.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, source, steps, store } from './compiled.ts';
import { emptyStep } from './simulator/functional/harness.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';

const stages = 3;
const lone = raggedStep([{ id: 2, rows: 1, past: 5 }], small.vocabulary);
/** Steps of other sequences and other numbers of rows: each must find its own at every stage. */
const under = [...steps, lone];

/** Three layers a stage: what is turned around, and the first and last beside it. */
const deep = tinyLlama({ ...small, layers: 3 * stages });

function pipeline(machine: typeof tiny, model: typeof source, parts: number) {
  const graph = normative(model, machine, 'fp8');
  const weights = model === source ? store : storeFor(model);
  const diagnostics = new Diagnostics();
  const divided = stagesOf(ungroup(graph), stages, diagnostics);
  for (const { module } of divided) verifyGraph(module, diagnostics);
  expect(diagnostics.all).toEqual([]);
  const placed = divided.map(({ module }, chip) => {
    const fit = fitted(module, machine, 0.25, 1, { ...smallBounds, tokens: 30, parts });
    return { fit, placed: { ...placedOn(fit.tile, machine), chips: [chip] } };
  });
  const program = readContainer(writeContainer(buildProgram(placed.map((one) => one.placed), machine, 'step', {})));
  const image = ({ fit, placed: { layout } }: (typeof placed)[number]): Uint8Array =>
    Uint8Array.from(Buffer.concat([...packWeights(fit.tile, layout, { graph: fit.graph, values: new WeightValues(weights, 1), tile: fit.tile.tile, lineBytes: machine.sram.lineBytes.value }, 0)]));
  return { graph, program, weights, state: createMachineState(program, placed.map((one) => imageSource(image(one)))) };
}

const small3 = { ...tiny, chips: stages };
it.each([
  ['the full-sized machine', sohu8, source, 1], ['a machine of 8x8 arrays', small3, source, 1],
  ['steps in two parts', sohu8, deep, 2], ['steps in two parts, on 8x8 arrays', { ...small3, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 14 } } }, deep, 2],
  ['steps in three parts, on 8x8 arrays', { ...small3, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 14 } } }, deep, 3],
] as const)('steps follow each other through the stages, with the bits of the graph: %s', (_, machine, model, parts) => {
  const { graph, program, state, weights } = pipeline(machine, model, parts);
  expect(program.code.some((chips) => chips.some(({ att }) => decodeAll(att.words, 'att').some((one) => one.op === 'aq' && one.fields.from !== undefined)))).toBe(parts > 1);
  expect(verify(program)).toEqual([]);
  const kv = new KvState();
  const wanted = under.map((step) => interpret(graph, step, { weights: new WeightValues(weights, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
  const got = [];
  for (let beat = 0; beat < under.length + stages - 1; beat++) {
    const tables = (chip: number): StepTables => {
      const step = under[beat - chip];
      return { ...(step === undefined ? emptyStep : tablesOf(step, smallBounds)), entry: chip };
    };
    runStep(state, Array.from({ length: stages }, (__, chip) => encodeStepBlock(tables(chip))));
    const done = under[beat - stages + 1];
    if (done !== undefined) got.push(resultOf(state, program, done.samples.length, stages - 1));
  }
  expect(got).toEqual(wanted);
});

it('stages have the layers, their weights and caches, and what comes before and after, once', () => {
  const parts = stagesOf(normative(source, tiny, 'fp8'), stages, new Diagnostics());
  expect(parts.map(({ like }) => like)).toEqual([0, 1, 2]);
  expect(stagesOf(normative({ ...source }, tiny, 'fp8'), 2, new Diagnostics()).map(({ module }) => module.caches.map(({ layers }) => layers))).toEqual([[1], [2]]);
  const kinds = parts.map(({ module }) => ['embed', 'take', 'give', 'sampleRows'].filter((kind) => printGraph(module).includes(` ${kind}(`)));
  expect(kinds).toEqual([['embed', 'take', 'give'], ['take', 'give'], ['take', 'sampleRows']]);
  expect(parts.map(({ module }) => module.inputs.map(({ feed }) => feed))).toEqual([['ids', 'positions'], ['positions'], ['positions']]);
  expect(parts.map(({ module }) => module.caches.map(({ layers }) => layers))).toEqual([[1], [1], [1]]);
});

it('more stages than layers are refused', () => {
  const diagnostics = new Diagnostics();
  expect(stagesOf(normative(source, tiny, 'fp8'), 4, diagnostics)).toEqual([]);
  expect(diagnostics.all.map(({ code, message }) => `${code} ${message}`)).toEqual(['E4002 `tiny` cannot be cut into 4 stages: only 3 of its layers are alike']);
});

it('stages alike are one entry, and timed as one chip', () => {
  const module = tinyLlama({ ...small, layers: 4 });
  const target: Target = { machine: sohu8, precision: 'fp8', tp: 1, pp: 4, stageShare: 0.25, parts: 1, serve: () => ({ workload: { isl: 6, osl: 1, batch: 4 }, bounds: smallBounds }) };
  const program = compile({ module, primitive: false, store: undefined, tensors: new Map() }, target, new Diagnostics())?.program ?? expect.fail('does not compile');
  expect(program.entries.map(({ chips }) => chips)).toEqual([[0], [1, 2], [3]]);
  const blocks = [0, 1, 1, 2].map((entry) => encodeStepBlock({ ...tablesOf(lone, smallBounds), entry }));
  const [every, few] = [true, false].map((full) => {
    const timing = simulateTiming(program, blocks, { full, budget: 1e6 });
    return timing.kind === 'timing' ? timing : expect.fail(timing.fault.message);
  });
  expect([few?.cycles, few?.perChip]).toEqual([every?.cycles, every?.perChip]);
  expect(few?.instructions).toBeLessThan(every?.instructions ?? 0);
});
