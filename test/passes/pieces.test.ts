import { expect, it } from 'vitest';
import { isLoop, type TileNode } from '../../ir/tile/module.ts';
import type { TileKind } from '../../ir/tile/ops.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { fitted, normative } from './lower.ts';
import { small, tinyLlama } from './tiny-llama.ts';

/** How often each node of a kind is written that is of the layers, outermost first: 1 of its own, or as many as its loop has turns. */
function written(inner: number, kind: TileKind): readonly number[] {
  const { tile: { body } } = fitted(normative(tinyLlama({ ...small, inner }), sohu, 'fp8'), sohu, 0.25);
  const of = (nodes: readonly TileNode[], times: number): readonly number[] => nodes.flatMap((node) => (isLoop(node) ? of(node.body, node.level === 0 ? 1 : node.count) : node.kind === kind ? [times] : []));
  return of(body.filter((node) => isLoop(node) && node.level === 0), 1);
}

it('makes the first piece of what one group of columns makes apart, so that it is multiplied while the others are made', () => {
  // Pieces of 2,048 columns; the last is cut short.
  expect(written(7000, 'quantiseBlocks')).toEqual([1, 2, 1]);
  expect(written(7000, 'multiply').slice(-3)).toEqual([1, 2, 1]);
});

it('makes all pieces of a group together where there are several groups', () => {
  // Gated columns for 64 arrays: 32 tiles in each of two groups, 4 pieces.
  expect(written(64 * 256, 'quantiseBlocks')).toEqual([4, 4]);
});
