import { expect, it } from 'vitest';
import { decodeAll } from '../isa-spec/encoding.ts';
import { queues } from '../isa-spec/instructions.ts';
import { ungroup } from '../passes/group.ts';
import { holdable } from '../passes/plan/hold.ts';
import { parkings } from '../passes/plan/tiling.ts';
import { heldSuffix } from '../passes/tile/matmul.ts';
import { hastes, type Lag, partsOf } from '../passes/tile/parts.ts';
import { fitted, smallBounds } from './passes/lower.ts';
import { graph, lowered, machine, proved } from './four-layers.ts';

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
  const { homes, decisions } = fitted(graph, machine, 0.25, 1, { ...bounds, parts: count }).plan;
  expect(partsOf(ungroup(graph), bounds.tokens, count, machine)).toHaveLength(count);
  const asked = { ...homes, ahead, haste, lag, parked, held: held(holdable(decisions, count, machine).map(({ weight }) => weight)) };
  const made = lowered(asked, bounds);
  expect(made.tile.buffers.some(({ name }) => name.endsWith('.parked'))).toBe(parked !== 'no');
  expect(made.tile.buffers.filter(({ name }) => name.endsWith(heldSuffix))).toHaveLength(asked.held.length);
  const program = proved(made, bounds);
  expect(queues.some((queue) => decodeAll(program.code[0]![0]![queue].words, queue).some(({ op }) => op === 'call'))).toBe(count === 4);
});
