import { expect, it } from 'vitest';
import { allTileOps, type TileModule } from '../ir/tile/module.ts';
import { ringMost } from '../passes/plan/matmul.ts';
import type { Tiled } from '../passes/tile/tile.ts';
import { fitted, smallBounds } from './passes/lower.ts';
import { graph, lowered, machine, proved } from './four-layers.ts';

const { homes } = fitted(graph, machine, 0.25).plan;
const inRings = (ringDepth: number): Tiled => lowered({ ...homes, ringDepth }, smallBounds);

/** How far a turn of the layer loop goes on in a ring. */
function turnOf({ body, buffers }: TileModule, ring: string): number {
  const turns = [...allTileOps(body)].flatMap(({ regions }) => Object.values(regions).flatMap((region) => (region !== undefined && buffers[region.buffer]?.name === ring ? [region.slot.steps[0]] : [])));
  return Math.max(...turns);
}

it('end a layer where they began it if that leaves out a third of their slots at most, and no more than a semaphore counts', () => {
  const turns = Array.from({ length: ringMost - 1 }, (_, i) => inRings(i + 2)).map(({ tile: made }) => [turnOf(made, 'weights.e4m3'), turnOf(made, 'params')]);
  // A layer fills 50 slots and 14; of depth 2 to 15. Of 50, 4 would leave out 2, 9 and 12 too many, 15 has 10 over.
  expect(turns).toEqual([[50, 14], [51, 15], [50, 14], [50, 15], [50, 14], [50, 14], [50, 16], [50, 14], [50, 14], [50, 14], [50, 14], [52, 14], [50, 14], [50, 14]]);
});

it.each([3, 5, 8, 13])('of %i slots, some of them left out: the bits of the graph, and proved', (depth) => {
  proved(inRings(depth), smallBounds);
});
