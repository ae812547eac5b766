import { expect } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { deciding } from '../passes/plan/decisions.ts';
import type { Homes } from '../passes/plan/tiling.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { tile, type Tiled } from '../passes/tile/tile.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, roundRobin } from '../simulator/functional/schedule.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, steps } from './compiled.ts';
import { normative, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';

/** What is turned around, and what is beside it, two where parts lag. */
const model = tinyLlama({ ...small, layers: 4 });
const weights = storeFor(model);
/** Room for all of it, so that what the planner would only do for want of room can be asked for. Parts of few rows, on short lines. */
export const machine = { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 18 } } };
export const graph = normative(model, machine, 'fp8');
const kv = new KvState();
const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(weights, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);

/** The tiles of the layers as asked for. */
export const lowered = (homes: Homes, bounds: Bounds): Tiled => tile(ungroup(graph), { machine, bounds, chips: 1 }, homes, deciding(machine, homes));

/** Their program: it is proved, and has the bits of the graph in whatever order queues are served. */
export function proved({ tile: made, graph: rows }: Tiled, bounds: Bounds): Program {
  const placed = placedOn(made, machine);
  const program = readContainer(writeContainer(buildProgram([placed], machine, 'step', {})));
  expect(verify(program)).toEqual([]);
  const image = Uint8Array.from(Buffer.concat([...packWeights(made, placed.layout, { graph: rows, values: new WeightValues(weights, 1), tile: made.tile, lineBytes: machine.sram.lineBytes.value }, 0)]));
  for (const schedule of [roundRobin, early, late]) {
    const state = createMachineState(program, [imageSource(image)]);
    const got = steps.map((step) => {
      runStep(state, [encodeStepBlock(tablesOf(step, bounds))], schedule);
      return resultOf(state, program, step.samples.length, 0);
    });
    expect(got).toEqual(wanted);
  }
  return program;
}
