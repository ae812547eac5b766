import { allTileOps, isLoop, type BufferId, type TileModule, type TileNode, type TileOp } from './module.ts';
import { tileOperands } from './ops.ts';

/** When a buffer is in use: spans of ops, from the one numbered `from` to the one numbered `to`, counting a module's ops in program order; ascending, apart. */
export type Lifetime = { readonly buffer: BufferId; readonly spans: readonly Span[] };
export type Span = { readonly from: number; readonly to: number };

/** Most transfers from the chip before whose memory nobody has before them: those of more parts take turns in it. */
const earlyShifts = 2;

type Access = { readonly at: Span; readonly writes: boolean; readonly layer: Span | undefined };

/** The buffers an op touches, and how. */
export function* accessesOf(op: TileOp): Generator<{ buffer: BufferId; reads: boolean; writes: boolean }> {
  for (const [name, how] of Object.entries(tileOperands[op.kind])) {
    const region = (op.regions as Readonly<Record<string, { buffer: BufferId } | undefined>>)[name];
    if (region !== undefined) yield { buffer: region.buffer, reads: how !== 'write', writes: how === 'write' || how === 'update' };
  }
}

/**
 * The lifetime of every buffer that is used: from where something is written that does not depend on what was there, to its last reading. Inside
 * row, column and k loops that is the whole of the outermost of them. What an iteration of the layer loop reads before it is written is there
 * since the iteration before it, or since before the loop. A ring is in use throughout. Attention takes its time: what it touches is in use
 * until what it has made is read, so that what others do meanwhile has memory of its own. So has what comes from the chip before, from the beginning on, if it is for one part or for two: it waits for nobody.
 */
export function lifetimes(module: TileModule): readonly Lifetime[] {
  const accesses = new Map<BufferId, Access[]>();
  const ops = [...allTileOps(module.body)];
  /** The ops of each attention. */
  const attentions: Span[] = [];
  let at = 0;
  let queried = 0;
  const walk = (nodes: readonly TileNode[], layer: Span | undefined, tiles: Span | undefined): void => {
    for (const node of nodes) {
      if (isLoop(node)) {
        const span = { from: at, to: at + [...allTileOps(node.body)].length - 1 };
        walk(node.body, node.level === 0 ? span : layer, node.level === 0 ? tiles : (tiles ?? span));
        continue;
      }
      for (const { buffer, writes, reads } of accessesOf(node)) {
        const list = accesses.get(buffer) ?? [];
        list.push({ at: tiles ?? { from: at, to: at }, writes: writes && !reads, layer });
        accesses.set(buffer, list);
      }
      if (node.kind === 'query') queried = at;
      if (node.kind === 'finish') attentions.push(tiles ?? { from: queried, to: at });
      at++;
    }
  };
  walk(module.body, undefined, undefined);
  for (const over of attentions) {
    const to = lastBeside(ops, over);
    for (const list of accesses.values()) {
      const i = list.findLastIndex((access) => over.from <= access.at.from && access.at.to <= over.to);
      if (i >= 0) list.splice(i, 1, { ...(list[i] as Access), at: { from: (list[i] as Access).at.from, to } });
    }
  }
  const shifts = ops.filter((op) => op.kind === 'shift');
  const taken = new Set(shifts.length > earlyShifts ? [] : shifts.flatMap(({ regions }) => [regions.from.buffer, regions.out.buffer]));
  return [...accesses].map(([buffer, list]): Lifetime => {
    if (module.buffers[buffer]?.role === 'ring') return { buffer, spans: [{ from: 0, to: at }] };
    const spans = spansOf(list);
    return { buffer, spans: taken.has(buffer) ? merged([{ from: 0, to: spans[0]?.to ?? 0 }, ...spans]) : spans };
  });
}

/** The last op before what the ops of an attention have made is read by another. */
function lastBeside(ops: readonly TileOp[], over: Span): number {
  const made = new Set(ops.slice(over.from, over.to + 1).flatMap((op) => [...accessesOf(op)].flatMap(({ buffer, writes }) => (writes ? [buffer] : []))));
  const next = ops.findIndex((op, i) => i > over.to && [...accessesOf(op)].some(({ buffer, reads }) => reads && made.has(buffer)));
  return Math.max(over.to, next - 1);
}

function spansOf(accesses: readonly Access[]): readonly Span[] {
  // A loop that begins with a reading carries values around: they are written before it, or by the turn before.
  const carrying = new Set(accesses.flatMap(({ layer, writes }, i) => (layer !== undefined && !writes && accesses[i - 1]?.layer !== layer ? [layer] : [])));
  const spans: { from: number; to: number }[] = [];
  let read = true;
  const carriedBy = (layer: Span | undefined): Span | undefined => (layer !== undefined && carrying.has(layer) ? layer : undefined);
  accesses.forEach(({ at, writes, layer }, i) => {
    const before = accesses[i - 1]?.layer;
    const open = spans.at(-1);
    // Values on their way around the loop are there to its end, and from its beginning.
    if (open !== undefined && before !== layer) open.to = Math.max(open.to, carriedBy(before)?.to ?? 0);
    if (open === undefined || (writes && read && at.from > open.to)) spans.push({ ...at });
    else {
      open.from = Math.min(open.from, at.from);
      open.to = Math.max(open.to, at.to);
    }
    const here = spans.at(-1) as { from: number; to: number };
    if (before !== layer) here.from = Math.min(here.from, carriedBy(layer)?.from ?? here.from);
    read = !writes;
  });
  const last = accesses.at(-1);
  const open = spans.at(-1);
  if (open !== undefined) open.to = Math.max(open.to, carriedBy(last?.layer)?.to ?? 0);
  return merged(spans);
}

/** Spans that meet as one. */
function merged(spans: readonly Span[]): readonly Span[] {
  const apart: { from: number; to: number }[] = [];
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    const last = apart.at(-1);
    if (last !== undefined && from <= last.to + 1) last.to = Math.max(last.to, to);
    else apart.push({ from, to });
  }
  return apart;
}
