import fc from 'fast-check';
import { expect, it } from 'vitest';
import { unimplied } from '../../backend-sohu/implied.ts';
import type { Edge } from '../../backend-sohu/synchronise.ts';
import { type Queue, queues } from '../../isa-spec/instructions.ts';
import type { TileLoop } from '../../ir/tile/module.ts';

/** Between the children of the outermost block. */
const edge = (poster: Queue, from: number, waiter: Queue, to: number, carrier?: TileLoop): Edge =>
  ({ poster, waiter, from: { block: 'root', child: from, node: 'end' }, to: { block: 'root', child: to, node: 'end' }, carrier, distance: 1, why: '' });

const childMost = 6;
const three = queues.slice(0, 3) as readonly Queue[];
const drawn = fc.tuple(fc.constantFrom(...three), fc.integer({ min: 0, max: childMost - 1 }), fc.constantFrom(...three), fc.integer({ min: 1, max: childMost })).filter(([poster, from, waiter, to]) => poster !== waiter && from < to).map((of) => edge(...of));

/** All that comes before what: the parts that queues have in children, in the order of each queue and by edges. */
function orderOf(edges: readonly Edge[]): ReadonlySet<string> {
  const order = new Set(three.flatMap((queue) => Array.from({ length: childMost }, (_, at) => `${queue}${at} ${queue}${at + 1}`)));
  for (const { poster, from, waiter, to } of edges) order.add(`${poster}${from.child} ${waiter}${to.child}`);
  for (let size = 0; size < order.size; ) {
    size = order.size;
    const pairs = [...order].map((pair) => pair.split(' ') as [string, string]);
    for (const [a, b] of pairs) for (const [c, d] of pairs) if (b === c) order.add(`${a} ${d}`);
  }
  return order;
}

it('leaves the order as it was, and no edge that the others imply', () => {
  fc.assert(fc.property(fc.array(drawn, { maxLength: 12 }), (edges) => {
    const kept = unimplied([edges]).flat();
    const order = orderOf(kept);
    expect(order).toEqual(orderOf(edges));
    for (const one of kept) expect(orderOf(kept.filter((other) => other !== one)).size).toBeLessThan(order.size);
  }));
});

it('keeps what takes tokens back', () => {
  const loop = { level: 0 } as TileLoop;
  const back = [edge('vec', 2, 'mxu', 0, loop), edge('dma0', 3, 'mxu', 0, loop)];
  const [first, second, third] = [edge('mxu', 0, 'vec', 1), edge('vec', 1, 'dma0', 2), edge('mxu', 0, 'dma0', 3)];
  expect(unimplied([[first], [second], [third], back])).toEqual([[first], [second], back]);
});
