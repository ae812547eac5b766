import { expect, it } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { decodeAll } from '../isa-spec/encoding.ts';
import { queues } from '../isa-spec/instructions.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { deciding } from '../passes/plan/decisions.ts';
import { holdable } from '../passes/plan/hold.ts';
import { parkings } from '../passes/plan/tiling.ts';
import { heldSuffix } from '../passes/tile/matmul.ts';
import { hastes, type Lag, partsOf } from '../passes/tile/parts.ts';
import { tile } from '../passes/tile/tile.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, roundRobin } from '../simulator/functional/schedule.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, steps } from './compiled.ts';
import { fitted, normative, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';

/** Four layers: what is turned around, and what is beside it, two where parts lag. */
const model = tinyLlama({ ...small, layers: 4 });
const weights = storeFor(model);
/** Room for all of it, so that what the planner would only do for want of room can be asked for. Parts of few rows, on short lines. */
const machine = { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 18 } } };
const graph = normative(model, machine, 'fp8');
const kv = new KvState();
const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(weights, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);

const bounds = { ...smallBounds, tokens: 24 };
const none = (): readonly string[] => [];
const ways = ([
  ...[1, 2, 3].flatMap((ahead) => parkings.map((parked) => ({ count: 4, ahead, haste: 'none' as const, parked }))),
  ...hastes.flatMap((haste) => parkings.map((parked) => ({ count: 2, ahead: 1, haste, parked }))),
  ...(['some', 'most'] as const).map((haste) => ({ count: 4, ahead: 1, haste, parked: 'aside' as const })),
] as const).map((way) => ({ ...way, lag: 'none' as Lag, holds: 'nothing', held: none }));
const lagging = parkings.map((parked) => ({ count: 4, ahead: 2, haste: 'none' as const, lag: 'late' as const, parked, holds: 'nothing', held: none }));
/** Weights of a layer that the first part leaves the others: some, or all. */
const holding = [
  { holds: 'queries, keys, values', held: ([qkv]: readonly string[]) => [qkv as string] },
  { holds: 'what is quantised as it is made', held: (all: readonly string[]) => all.filter((what) => what.endsWith(' to codes')) },
  { holds: 'all', held: (all: readonly string[]) => all },
].map((of) => ({ ...of, lag: 'none' as const })).flatMap((of) => [
  ...hastes.map((haste) => ({ ...of, count: 2, ahead: 1, haste, parked: 'no' as const })),
  { ...of, count: 2, ahead: 1, haste: 'none' as const, parked: 'attending' as const },
  { ...of, count: 3, ahead: 2, haste: 'none' as const, parked: 'no' as const },
]);

it.each([...ways, ...lagging, ...holding])('$count parts, queries $ahead turns ahead, haste: $haste, lag: $lag, parked: $parked, held: $holds: the bits of the graph, and proved', ({ count, ahead, haste, lag, parked, held }) => {
  const module = ungroup(graph);
  const { homes, decisions } = fitted(graph, machine, 0.25, 1, { ...bounds, parts: count }).plan;
  expect(partsOf(module, bounds.tokens, count, machine)).toHaveLength(count);
  const asked = { ...homes, ahead, haste, lag, parked, held: held(holdable(decisions, count, machine).map(({ weight }) => weight)) };
  const { tile: made, graph: lowered } = tile(module, { machine, bounds, chips: 1 }, asked, deciding(machine, asked));
  expect(made.buffers.some(({ name }) => name.endsWith('.parked'))).toBe(parked !== 'no');
  const placed = placedOn(made, machine);
  const program = readContainer(writeContainer(buildProgram([placed], machine, 'step', {})));
  expect(verify(program)).toEqual([]);
  expect(made.buffers.filter(({ name }) => name.endsWith(heldSuffix))).toHaveLength(asked.held.length);
  expect(queues.some((queue) => decodeAll(program.code[0]![0]![queue].words, queue).some(({ op }) => op === 'call'))).toBe(count === 4);
  const image = Uint8Array.from(Buffer.concat([...packWeights(made, placed.layout, { graph: lowered, values: new WeightValues(weights, 1), tile: made.tile, lineBytes: machine.sram.lineBytes.value }, 0)]));
  for (const schedule of [roundRobin, early, late]) {
    const state = createMachineState(program, [imageSource(image)]);
    const got = steps.map((step) => {
      runStep(state, [encodeStepBlock(tablesOf(step, bounds))], schedule);
      return resultOf(state, program, step.samples.length, 0);
    });
    expect(got).toEqual(wanted);
  }
});
