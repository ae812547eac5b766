import type { Queue } from '../isa-spec/instructions.ts';
import { listed } from './listed.ts';
import type { Edge } from './synchronise.ts';

/** The last child of a block that a queue knows each other to be done with. */
type Known = ReadonlyMap<Queue, number>;

/**
 * Groups of edges without those that others imply. Within an iteration of a block a queue that waits for another knows as well all that other knew when it began what is waited for: to wait for
 * any of that again orders nothing. Edges to later iterations stay: the tokens of those that are left are taken back by them.
 */
export function unimplied(groups: readonly (readonly Edge[])[]): readonly (readonly Edge[])[] {
  const blocks = new Map<Edge['from']['block'], Edge[]>();
  for (const edge of groups.flat()) if (edge.carrier === undefined) listed(blocks, edge.from.block).push(edge);
  const needed = new Set([...blocks.values()].flatMap(neededOf));
  return groups.map((group) => group.filter((edge) => edge.carrier !== undefined || needed.has(edge))).filter(({ length }) => length > 0);
}

/** In the order of what waits; of what waits together first what is waited for longest: it may imply the others, and none of them it. */
function neededOf(edges: readonly Edge[]): readonly Edge[] {
  const histories = new Map<Queue, { readonly since: number; readonly known: Known }[]>();
  const knownAt = (queue: Queue, child: number): Known => histories.get(queue)?.findLast(({ since }) => since <= child)?.known ?? new Map();
  return edges.toSorted((a, b) => a.to.child - b.to.child || b.from.child - a.from.child).filter(({ poster, waiter, from: { child }, to }) => {
    const before = knownAt(waiter, to.child);
    if ((before.get(poster) ?? -1) >= child) return false;
    const known = new Map(before);
    for (const [queue, last] of [...knownAt(poster, child), [poster, child] as const]) known.set(queue, Math.max(last, known.get(queue) ?? -1));
    listed(histories, waiter).push({ since: to.child, known });
    return true;
  });
}
