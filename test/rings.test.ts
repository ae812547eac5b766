import { expect, it } from 'vitest';
import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { allTileOps, type TileModule } from '../ir/tile/module.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { ungroup } from '../passes/group.ts';
import { deciding } from '../passes/plan/decisions.ts';
import { ringMost } from '../passes/plan/matmul.ts';
import { tile } from '../passes/tile/tile.ts';
import { createMachineState, imageSource } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { early, late, roundRobin } from '../simulator/functional/schedule.ts';
import { verify } from '../verifier/verify.ts';
import { resultOf, steps } from './compiled.ts';
import { fitted, normative, smallBounds, storeFor, tablesOf } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';

const model = tinyLlama({ ...small, layers: 3 });
const weights = storeFor(model);
/** Room for a ring of any depth. */
const machine = { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 18 } } };
const graph = normative(model, machine, 'fp8');
const { homes } = fitted(graph, machine, 0.25).plan;

function lowered(ringDepth: number): ReturnType<typeof tile> {
  const asked = { ...homes, ringDepth };
  return tile(ungroup(graph), { machine, bounds: smallBounds, chips: 1 }, asked, deciding(machine, asked));
}

/** How far a turn of the layer loop goes on in a ring. */
function turnOf({ body, buffers }: TileModule, ring: string): number {
  const turns = [...allTileOps(body)].flatMap(({ regions }) => Object.values(regions).flatMap((region) => (region !== undefined && buffers[region.buffer]?.name === ring ? [region.slot.steps[0]] : [])));
  return Math.max(...turns);
}

it('end a layer where they began it if that leaves out a third of their slots at most, and no more than a semaphore counts', () => {
  const turns = Array.from({ length: ringMost - 1 }, (_, i) => lowered(i + 2)).map(({ tile: made }) => [turnOf(made, 'weights.e4m3'), turnOf(made, 'params')]);
  // A layer fills 50 slots and 14; of depth 2 to 15. Of 50, 4 would leave out 2, 9 and 12 too many, 15 has 10 over.
  expect(turns).toEqual([[50, 14], [51, 15], [50, 14], [50, 15], [50, 14], [50, 14], [50, 16], [50, 14], [50, 14], [50, 14], [50, 14], [52, 14], [50, 14], [50, 14]]);
});

it.each([3, 5, 8, 13])('of %i slots, some of them left out: the bits of the graph, and proved', (depth) => {
  const { tile: made, graph: rows } = lowered(depth);
  const placed = placedOn(made, machine);
  const program = readContainer(writeContainer(buildProgram([placed], machine, 'step', {})));
  expect(verify(program)).toEqual([]);
  const image = Uint8Array.from(Buffer.concat([...packWeights(made, placed.layout, { graph: rows, values: new WeightValues(weights, 1), tile: made.tile, lineBytes: machine.sram.lineBytes.value }, 0)]));
  const kv = new KvState();
  const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(weights, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
  for (const schedule of [roundRobin, early, late]) {
    const state = createMachineState(program, [imageSource(image)]);
    const got = steps.map((step) => {
      runStep(state, [encodeStepBlock(tablesOf(step, smallBounds))], schedule);
      return resultOf(state, program, step.samples.length, 0);
    });
    expect(got).toEqual(wanted);
  }
});
