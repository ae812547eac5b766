import { expect, it } from 'vitest';
import { allocate } from '../../backend-sohu/allocate.ts';
import { type Mark, synchronise } from '../../backend-sohu/synchronise.ts';
import { isLoop } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { graph, lowered, machine } from '../four-layers.ts';
import { moduleOf } from '../ir/tile/texts.ts';
import { fitted, smallBounds } from '../passes/lower.ts';

const lineElements = tiny.sram.lineBytes.value / 4;
const roomy: Machine = { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 16 } } };
const row = `0 +: 1, 0 +: ${lineElements}`;
const loop = (name: string): string => `loop i1 "${name}" 40 {
  @${name}
  load from=x[i1 +: 1, 0 +: ${lineElements}] out=staged{i1}[${row}] rows 1
  map function=relu x=staged{i1}[${row}] out=made[${row}] rows 1
}
`;

/** What the vector unit gives the loads in advance, for two loops through so many slots, one after the other: semaphores and tokens. */
function given(depth: number): readonly { readonly semaphore: number; readonly count: number }[] {
  const module = moduleOf(`tile "advance" side 4 chips 1
bounds tokens 2 sequences 1 samples 1 memory 0 poolPages 1 pageRows 1 pageListEntries 1
buffer x hbm value f32[40, ${lineElements}]
buffer staged sram stage f32[1, ${lineElements}] depth ${depth}
buffer made sram value f32[1, ${lineElements}]

${loop('first')}${loop('second')}`);
  const { before } = synchronise(module, allocate(module, roomy), tiny.sram.lineBytes.value);
  return module.body.flatMap((node) => [...(before.posts.get(node)?.get('vec') ?? [])]);
}

it('gives as many slots in advance as there are, but no more than a semaphore counts', () => {
  expect([2, 7, 15, 18].map((depth) => given(depth).map(({ count }) => count))).toEqual([[2, 2], [7, 7], [15, 15], [15, 15]]);
});

it('counts two loops by one semaphore only if it has room for what is given to both: the first may not all have been taken back', () => {
  const semaphores = (depth: number): number => new Set(given(depth).map(({ semaphore }) => semaphore)).size;
  expect([2, 7, 8, 15].map(semaphores)).toEqual([1, 1, 2, 2]);
});

it('has a queue wait in the first turn of the layers for what it needs, and not for all that attention does before them', () => {
  const { homes } = fitted(graph, machine, 0.25, 1, { ...smallBounds, tokens: 24, parts: 2 }).plan;
  const { tile } = lowered({ ...homes, haste: 'all' }, { ...smallBounds, tokens: 24 });
  const { after, before, semaphores } = synchronise(tile, allocate(tile, machine), machine.sram.lineBytes.value);
  const layers = tile.body.findIndex((node) => isLoop(node) && node.level === 0);
  const attended = tile.body.flatMap((node, at) => (at < layers && !isLoop(node) && node.kind === 'finish' ? [node] : []));
  const toVector = (some: readonly Mark[] | undefined): readonly Mark[] => (some ?? []).filter(({ semaphore }) => semaphores.some(({ id, waiter, purpose }) => id === semaphore && waiter === 'vec' && purpose.startsWith('free')));
  expect(attended).toHaveLength(2);
  // A token for the first turn after each attention, and none as the layers begin.
  expect(attended.map((node) => toVector(after.posts.get(node)?.get('att')).length)).toEqual([1, 1]);
  expect(toVector(before.posts.get(tile.body[layers]!)?.get('att'))).toEqual([]);
});
