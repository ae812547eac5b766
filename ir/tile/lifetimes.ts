import { isLoop, type BufferId, type TileModule, type TileNode, type TileOp } from './module.ts';
import { tileOperands } from './ops.ts';

/** When a buffer is in use: from the op numbered `from` to the one numbered `to`, counting a module's ops in program order. */
export type Lifetime = { readonly buffer: BufferId; readonly from: number; readonly to: number };

type Access = { readonly at: number; readonly writes: boolean; readonly loops: readonly Span[] };
type Span = { readonly level: number; readonly from: number; readonly to: number };

/** The buffers an op touches, and how. */
export function* accessesOf(op: TileOp): Generator<{ buffer: BufferId; reads: boolean; writes: boolean }> {
  for (const [name, how] of Object.entries(tileOperands[op.kind])) {
    const region = (op.regions as Readonly<Record<string, { buffer: BufferId } | undefined>>)[name];
    if (region !== undefined) yield { buffer: region.buffer, reads: how !== 'write', writes: how === 'write' || how === 'update' };
  }
}

/**
 * The lifetime of every buffer that is used. Inside row, column and k loops a buffer is in use for the whole of the outermost
 * of them. In the layer loop it is, if an iteration reads what was there before it, or the buffer is used outside as well.
 */
export function lifetimes(module: TileModule): readonly Lifetime[] {
  const accesses = new Map<BufferId, Access[]>();
  let at = 0;
  const walk = (nodes: readonly TileNode[], loops: readonly { level: number; from: number; to: number }[]): void => {
    for (const node of nodes) {
      if (isLoop(node)) {
        const span = { level: node.level, from: at, to: at };
        walk(node.body, [...loops, span]);
        span.to = at - 1;
        continue;
      }
      for (const { buffer, writes, reads } of accessesOf(node)) {
        const list = accesses.get(buffer) ?? [];
        list.push({ at, writes: writes && !reads, loops });
        accesses.set(buffer, list);
      }
      at++;
    }
  };
  walk(module.body, []);

  return [...accesses].map(([buffer, list]) => {
    let from = Number.POSITIVE_INFINITY;
    let to = 0;
    const layer = list.find((access) => access.loops[0]?.level === 0)?.loops[0];
    const inLayer = list.filter((access) => access.loops[0] === layer);
    const carried = layer !== undefined && (inLayer.length < list.length || inLayer[0]?.writes === false);
    for (const access of list) {
      const tiles = access.loops.find((loop) => loop.level > 0);
      const span = carried && access.loops[0] === layer ? layer : (tiles ?? { from: access.at, to: access.at });
      from = Math.min(from, span.from);
      to = Math.max(to, span.to);
    }
    return { buffer, from, to };
  });
}
