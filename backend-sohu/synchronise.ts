import { formatBytes } from '../isa-spec/fields.ts';
import type { Queue } from '../isa-spec/instructions.ts';
import { accessesOf } from '../ir/tile/lifetimes.ts';
import { type Buffer, type BufferId, isLoop, type Region, type TileLoop, type TileModule, type TileNode, type TileOp } from '../ir/tile/module.ts';
import { queueOf } from '../ir/tile/queue.ts';
import { type Layout, overlap } from './allocate.ts';
import { unimplied } from './implied.ts';
import { listed } from './listed.ts';

/** Tokens a queue takes before, or gives after, its part of a node. */
export type Marks = ReadonlyMap<TileNode | 'end', ReadonlyMap<Queue, readonly Mark[]>>;
export type Mark = { readonly semaphore: number; readonly count: number };
export type Semaphore = { readonly id: number; readonly poster: Queue; readonly waiter: Queue; readonly purpose: string };
export type Synchronised = { readonly before: { readonly waits: Marks; readonly posts: Marks }; readonly after: { readonly waits: Marks; readonly posts: Marks }; readonly semaphores: readonly Semaphore[] };

/** Most a semaphore counts, and a word can say. */
const countMax = 15;
const semaphoreMax = 255;

/** More parts need more. */
export class TooManySemaphores extends Error {}

type Leaf = { readonly op: TileOp | 'end'; readonly queue: Queue; readonly at: number; readonly path: readonly Step[] };
/** One level of the way to a leaf: the block (by the loop it is the body of), and which of its children. */
type Step = { readonly block: TileLoop | 'root'; readonly child: number; readonly node: TileNode | 'end' };
type Access = { readonly leaf: Leaf; readonly buffer: BufferId; readonly writes: boolean; readonly slot: readonly number[]; readonly lines: Span | undefined };
/** Lines of a row, from the first to before the last, that an access comes to in any turn; undefined where that says nothing. */
type Span = readonly [from: number, to: number];

/**
 * Order between two queues in one block: after its child `from`, before its child `to`; of the same iteration, or `distance` later ones of `carrier`. `inside`: the child of the loop `to` that is to wait, if that is one.
 * `since`: the node before `carrier` that the first turn of it waits for.
 */
export type Edge = { readonly from: Step; readonly to: Step; readonly inside?: Step | undefined; readonly since?: Step | undefined; readonly poster: Queue; readonly waiter: Queue; readonly carrier: TileLoop | undefined; readonly distance: number; readonly why: string };

/**
 * Orders every two accesses of the same memory, one of them a write, by different queues.
 *
 * Law. Two such accesses meet in a lowest common block. Within an iteration the earlier comes first: its queue posts after
 * its child of that block, the other waits before its own. Between iterations of an enclosing loop the later comes before
 * the earlier's next turn: tokens given in advance before the loop (`distance` of them: a ring of that many slots, else
 * one) and taken back after it. A ring has two semaphores for the whole step: its slots that are filled, and those that are free, all of
 * them before the first is filled: that of weights, that of accumulators. What fills a slot does so until the next op empties it. Where a second queue has a share in all slots
 * that a loop fills, it has two semaphores of its own, and begins once what empties them comes to the loop: all that was in them before has been read by then. Slots that are read again, by ops
 * that fill none, are filled no sooner than all those are done. Slots that a turn of the layer loop leaves out go by as tokens: what empties the ring gives them as its turn ends, what fills it
 * takes them as it ends its own. Every token flows forward in program order, so running the program in order never blocks; with
 * one waiting queue a semaphore, then nor does any other schedule.
 */
export function synchronise(module: TileModule, layout: Layout, lineBytes: number): Synchronised {
  const leaves = leavesOf(module);
  const accesses = leaves.flatMap((leaf) => accessesOfLeaf(leaf, module, lineBytes));
  const isRing = ({ buffer }: Access): boolean => module.buffers[buffer]?.role === 'ring';
  const ringed = accesses.filter(isRing);
  const edges = [...conflicts(accesses.filter((access) => !isRing(access)), layout), ...readAgain(ringed)].flatMap(([a, b]) => order(a, b, module));
  const groups = unimplied(entered(edges));
  return assign(groups, ringed, module);
}

/** Whether a queue has a part in a node. */
export const runsOn = (node: TileNode, queue: Queue, buffers: readonly Buffer[]): boolean => (isLoop(node) ? node.body.some((inner) => runsOn(inner, queue, buffers)) : queueOf(node, buffers) === queue);

function leavesOf(module: TileModule): readonly Leaf[] {
  const leaves: Leaf[] = [];
  const walk = (nodes: readonly TileNode[], block: TileLoop | 'root', path: readonly Step[]): void =>
    nodes.forEach((node, child) => {
      const here = [...path, { block, child, node }];
      if (isLoop(node)) walk(node.body, node, here);
      else leaves.push({ op: node, queue: queueOf(node, module.buffers), at: leaves.length, path: here });
    });
  walk(module.body, 'root', []);
  leaves.push({ op: 'end', queue: 'ctl', at: leaves.length, path: [{ block: 'root', child: module.body.length, node: 'end' }] });
  return leaves;
}

function accessesOfLeaf(leaf: Leaf, module: TileModule, lineBytes: number): readonly Access[] {
  if (leaf.op !== 'end') {
    const regions = Object.values(leaf.op.regions).filter((region) => region !== undefined);
    return [...accessesOf(leaf.op)].map(({ buffer, writes }) => {
      const slot = regions.find((region) => region.buffer === buffer)?.slot;
      return { leaf, buffer, writes, slot: slot === undefined ? [] : [slot.base, ...slot.steps], lines: linesOf(leaf, regions.filter((region) => region.buffer === buffer), { ...module, lineBytes }) };
    });
  }
  // The end of a step: whatever the host or the next step will read must be written.
  return module.buffers.flatMap((buffer, id) => (buffer.role === 'output' || buffer.role === 'kv' || buffer.role === 'pipe' ? [{ leaf, buffer: id as BufferId, writes: false, slot: [], lines: undefined }] : []));
}

/** The lines that regions of a buffer come to, which are values' columns: lists are read by what is in them. */
function linesOf({ path }: Leaf, regions: readonly Region[], { buffers, lineBytes }: Pick<TileModule, 'buffers'> & { readonly lineBytes: number }): Span | undefined {
  const ends = regions.map(({ buffer, column: { base, steps }, columns }): Span | undefined => {
    const { role, space, depth, format } = buffers[buffer] as Buffer;
    if (role !== 'value' || space !== 'sram' || depth > 1) return undefined;
    const furthest = path.reduce((sum, { node }) => sum + (node !== 'end' && isLoop(node) ? (steps[node.level] ?? 0) * (node.count - 1) : 0), base);
    return [Math.floor((base * formatBytes[format]) / lineBytes), Math.ceil(((furthest + columns) * formatBytes[format]) / lineBytes)];
  });
  return ends.reduce((all, one) => (all === undefined || one === undefined ? undefined : [Math.min(all[0], one[0]), Math.max(all[1], one[1])]));
}

/** Whether two accesses to a buffer are to columns apart. */
const isApart = (a: Access, b: Access): boolean => a.lines !== undefined && b.lines !== undefined && (a.lines[1] <= b.lines[0] || b.lines[1] <= a.lines[0]);

/** Pairs of accesses, the first earlier in program order, that must not be exchanged and that queue order does not keep apart. */
function conflicts(accesses: readonly Access[], layout: Layout): readonly (readonly [Access, Access])[] {
  const byBuffer = new Map<BufferId, Access[]>();
  for (const access of accesses) listed(byBuffer, access.buffer).push(access);
  const used = [...byBuffer.keys()].filter((id) => layout.addresses.has(id));
  const pairs: (readonly [Access, Access])[] = [];
  used.forEach((a, i) => {
    for (const b of used.slice(i)) {
      if (a !== b && !overlap(layout.addresses.get(a) as never, layout.addresses.get(b) as never)) continue;
      for (const x of byBuffer.get(a) ?? []) {
        for (const y of byBuffer.get(b) ?? []) {
          if ((x.writes || y.writes) && x.leaf.queue !== y.leaf.queue && (a !== b || (x.leaf.at < y.leaf.at && !isApart(x, y)))) pairs.push(x.leaf.at < y.leaf.at ? [x, y] : [y, x]);
        }
      }
    }
  });
  return pairs;
}

/** Pairs of what fills slots of a ring and what reads them after another has, the first earlier in program order. */
function readAgain(ringed: readonly Access[]): readonly (readonly [Access, Access])[] {
  return [...new Set(ringed.map(({ buffer }) => buffer))].flatMap((buffer) => {
    const turns = ringed.filter((access) => access.buffer === buffer);
    const again = turns.filter(({ writes }, i) => !writes && turns[i - 1]?.writes === false);
    return again.flatMap((reader) => turns.flatMap((one) => (!one.writes ? [] : [one.leaf.at < reader.leaf.at ? [one, reader] as const : [reader, one] as const])));
  });
}

function order(a: Access, b: Access, module: TileModule): readonly Edge[] {
  let depth = 0;
  while (a.leaf.path[depth]?.node === b.leaf.path[depth]?.node) depth++;
  const [from, to] = [a.leaf.path[depth], b.leaf.path[depth]] as [Step, Step];
  const why = `${module.buffers[a.buffer]?.name}${a.buffer === b.buffer ? '' : `, ${module.buffers[b.buffer]?.name}`}`;
  const forward: Edge = { from, to, inside: b.leaf.path[depth + 1], poster: a.leaf.queue, waiter: b.leaf.queue, carrier: undefined, distance: 0, why };
  if (from.block === 'root') return [forward];
  const loops = a.leaf.path.slice(0, depth).map((step) => step.node as TileLoop);
  const { carrier, distance } = carried(a, b, loops, module);
  return [forward, { from: to, to: from, poster: b.leaf.queue, waiter: a.leaf.queue, carrier, distance, why }];
}

/**
 * The loop that brings a pair of accesses back to the same memory, and after how many executions of their common block. A
 * ring whose slot both name alike, moved by common loops alone, comes round after `depth`, of which a semaphore counts no more than it can; anything else may be the next time.
 */
function carried(a: Access, b: Access, loops: readonly TileLoop[], module: TileModule): { carrier: TileLoop; distance: number } {
  const innermost = loops[loops.length - 1] as TileLoop;
  const ring = module.buffers[a.buffer]?.depth ?? 1;
  const alike = a.buffer === b.buffer && ring > 1 && a.slot.every((value, i) => value === b.slot[i]);
  const stepped = (loop: TileLoop): boolean => (a.slot[loop.level + 1] ?? 0) !== 0;
  const outer = loops.find(stepped);
  const below = [...a.leaf.path, ...b.leaf.path].some(({ node }) => node !== 'end' && isLoop(node) && !loops.includes(node) && stepped(node));
  return alike && outer !== undefined && stepped(innermost) && !below ? { carrier: outer, distance: Math.min(countMax, ring) } : { carrier: innermost, distance: 1 };
}

/** Queues whose ops take so long that a loop had better begin under what they did before it. */
const slow: ReadonlySet<Queue> = new Set<Queue>(['att']);

/**
 * Edges in groups, without those of a slow queue into a loop that it has edges in, from turn to turn: their tokens for the first turn, given when it is through with what an edge into the loop waits for, do for that too. So
 * each child of the loop waits for what it has to, and not the loop for all.
 */
function entered(edges: readonly Edge[]): readonly (readonly Edge[])[] {
  const [around, straight] = [prune(edges.filter(({ carrier }) => carrier !== undefined)), edges.filter(({ carrier }) => carrier === undefined)];
  const since = new Map<Edge, Step>();
  const left = straight.filter(({ from, inside, poster, waiter }) => {
    if (inside === undefined || !slow.has(poster) || from.block !== 'root') return true;
    const group = around.find(([edge]) => edge?.carrier === inside.block && edge.to.block === inside.block && edge.poster === poster && edge.waiter === waiter && edge.distance === 1);
    const first = group?.findLast(({ to }) => to.child <= inside.child);
    if (first === undefined) return true;
    if ((since.get(first)?.child ?? -1) < from.child) since.set(first, from);
    return false;
  });
  return [...around.map((group) => group.map((edge): Edge => ({ ...edge, since: since.get(edge) }))), ...prune(left)];
}

/** Edges that compete for one semaphore: same block, queues and carrier. */
const groupKey = (edge: Edge, ids: (node: TileLoop | 'root') => number): string =>
  [ids(edge.from.block), edge.poster, edge.waiter, edge.carrier === undefined ? '' : ids(edge.carrier), edge.distance].join(' ');

/** Drops an edge when another of its group posts no earlier and is waited for no later. */
function prune(edges: readonly Edge[]): readonly (readonly Edge[])[] {
  const numbers = new Map<TileLoop | 'root', number>();
  const ids = (node: TileLoop | 'root'): number => {
    if (!numbers.has(node)) numbers.set(node, numbers.size);
    return numbers.get(node) as number;
  };
  const groups = new Map<string, Edge[]>();
  for (const edge of edges) {
    listed(groups, groupKey(edge, ids)).push(edge);
  }
  return [...groups.values()].map((group) => {
    const kept: Edge[] = [];
    for (const edge of group.toSorted((a, b) => a.to.child - b.to.child || b.from.child - a.from.child)) {
      if (edge.from.child > (kept.at(-1)?.from.child ?? -1)) kept.push(edge);
    }
    return kept;
  });
}

/**
 * Gives each group a semaphore. Both queues of a group pass through the program in the same order, so the k-th wait is met by
 * the k-th post, and groups of the same queues in loops one after the other may share a semaphore, if it counts what is given in advance for two.
 */
function assign(groups: readonly (readonly Edge[])[], ringed: readonly Access[], module: TileModule): Synchronised {
  const marks = { before: { waits: new MarkTable(), posts: new MarkTable() }, after: { waits: new MarkTable(), posts: new MarkTable() } };
  const semaphores: Semaphore[] = [];
  const byPair = new Map<string, number[]>();
  const semaphore = (pair: string, index: number, edge: Edge): number => {
    const ids = byPair.get(pair) ?? [];
    byPair.set(pair, ids);
    if (ids[index] === undefined) {
      ids[index] = semaphores.length + 1;
      semaphores.push({ id: semaphores.length + 1, poster: edge.poster, waiter: edge.waiter, purpose: `${edge.carrier === undefined ? 'ready' : 'free'}: ${edge.why}` });
    }
    return ids[index];
  };
  for (const buffer of new Set(ringed.map((access) => access.buffer))) {
    const { name, depth: slots } = module.buffers[buffer] as TileModule['buffers'][number];
    // What fills a longer one is no further ahead than a semaphore counts.
    const depth = Math.min(countMax, slots);
    const turns = ringed.filter((access) => access.buffer === buffer);
    const [main, reader] = [turns.find(({ writes }) => writes), turns.find(({ writes }) => !writes)] as [Access, Access];
    const emptying = reader.leaf.queue;
    const all = fillings(turns);
    for (const filling of new Set(all.map(({ queue }) => queue))) {
      const make = (poster: Queue, waiter: Queue, purpose: string): number => semaphores.push({ id: semaphores.length + 1, poster, waiter, purpose });
      const [filled, free] = [make(filling, emptying, `filled: ${name}`), make(emptying, filling, `free: ${name}`)];
      const own = all.filter(({ queue }) => queue === filling);
      for (const { first, last, emptied } of own) {
        marks.before.waits.add(first, filling, { semaphore: free, count: 1 });
        marks.after.posts.add(last, filling, { semaphore: filled, count: 1 });
        marks.before.waits.add(emptied, emptying, { semaphore: filled, count: 1 });
        marks.after.posts.add(emptied, emptying, { semaphore: free, count: 1 });
      }
      const nodes = module.body;
      marks.before.posts.add(nodes.find((node) => runsOn(node, emptying, module.buffers)) as TileNode, emptying, { semaphore: free, count: depth });
      marks.after.waits.add(nodes.findLast((node) => runsOn(node, filling, module.buffers)) as TileNode, filling, { semaphore: free, count: depth });
      if (filling === main.leaf.queue) {
        for (const loop of nodes.filter((node): node is TileLoop => isLoop(node) && node.level === 0)) {
          const left = leftOut(turns.filter(({ leaf, writes }) => writes && leaf.path[0]?.node === loop));
          if (left === 0) continue;
          const last = (queue: Queue): TileNode => loop.body.findLast((node) => runsOn(node, queue, module.buffers)) as TileNode;
          marks.after.posts.add(last(emptying), emptying, { semaphore: free, count: left });
          marks.after.waits.add(last(filling), filling, { semaphore: free, count: left });
        }
        continue;
      }
      const begun = make(emptying, filling, `begun: ${name}`);
      for (const loop of new Set(own.map((one) => one.loop as TileLoop))) {
        marks.before.posts.add(loop, emptying, { semaphore: begun, count: 1 });
        marks.before.waits.add(loop, filling, { semaphore: begun, count: 1 });
      }
    }
  }
  const scopes = new Map<TileLoop | 'root', (readonly Edge[])[]>();
  for (const group of groups) {
    const [edge] = group;
    if (edge === undefined) continue;
    const scope = edge.carrier ?? edge.from.block;
    for (const part of countable(group)) scopes.set(scope, [...(scopes.get(scope) ?? []), part]);
  }
  let alone = 0;
  const visit = (scope: TileLoop | 'root', nodes: readonly TileNode[], taken: ReadonlyMap<string, number>): void => {
    const inUse = new Map(taken);
    for (const group of scopes.get(scope) ?? []) {
      const edge = group[0] as Edge;
      const isTimed = group.some(({ since }) => since !== undefined);
      // The poster may give in advance for the next loop before the waiter has taken back what is left of this one.
      const isShared = edge.carrier === undefined || (!isTimed && 2 * edge.distance * group.length <= countMax);
      const pair = `${edge.poster} ${edge.waiter}${isShared ? '' : ` ${alone++}`}`;
      const index = inUse.get(pair) ?? 0;
      inUse.set(pair, index + 1);
      const id = semaphore(pair, index, edge);
      for (const { from, to } of group) {
        marks.after.posts.add(from.node, edge.poster, { semaphore: id, count: 1 });
        marks.before.waits.add(to.node, edge.waiter, { semaphore: id, count: 1 });
      }
      if (edge.carrier === undefined) continue;
      const advance = { semaphore: id, count: edge.distance * group.length };
      if (isTimed) {
        for (const step of sinceWhen(group)) (step === undefined ? marks.before : marks.after).posts.add(step?.node ?? edge.carrier, edge.poster, { semaphore: id, count: 1 });
      } else marks.before.posts.add(edge.carrier, edge.poster, advance);
      marks.after.waits.add(edge.carrier, edge.waiter, advance);
    }
    for (const node of nodes) if (isLoop(node)) visit(node, node.body, inUse);
  };
  visit('root', module.body, new Map());
  if (semaphores.length > semaphoreMax) throw new TooManySemaphores(`internal: the program needs ${semaphores.length} semaphores, a chip has ${semaphoreMax}`);
  return { ...marks, semaphores };
}

/** Of each edge of a group, what its token for the first turn is given after: what it waits for itself, or those before it do; of those that wait for nothing, what the next does; undefined: all that comes before the loop. */
function sinceWhen(group: readonly Edge[]): readonly (Step | undefined)[] {
  const own = group.reduce<readonly (Step | undefined)[]>((all, { since }) => {
    const last = all.at(-1);
    return [...all, since === undefined || (last !== undefined && last.child > since.child) ? last : since];
  }, []);
  const first = own.find((step) => step !== undefined);
  return own.map((step) => step ?? first);
}

/** Edges of a group that one semaphore counts, in order. */
function countable(group: readonly Edge[]): readonly (readonly Edge[])[] {
  const most = Math.max(1, Math.floor(countMax / Math.max(1, group[0]?.distance ?? 1)));
  return Array.from({ length: Math.ceil(group.length / most) }, (_, i) => group.slice(i * most, (i + 1) * most));
}

/** Slots of a ring that a turn of the layer loop goes by without filling them, of all that fill some in the loop. */
function leftOut(fills: readonly Access[]): number {
  const first = Math.min(...fills.map(({ slot: [base = 0] }) => base));
  const last = Math.max(...fills.map(({ leaf: { path }, slot: [base = 0, , ...steps] }) =>
    path.reduce((sum, { node }) => sum + (node === 'end' || !isLoop(node) || node.level === 0 ? 0 : (steps[node.level - 1] ?? 0) * (node.count - 1)), base)));
  const step = fills[0]?.slot[1] ?? 0;
  return step === 0 ? 0 : step - (last + 1 - first);
}

/**
 * What fills a slot of a ring, or its share of one, and what empties it, in the lowest block that both are in: the first node that fills, the last, and the one that empties, each an op or the loop
 * of those that do together. The queue that fills, and the loop, outermost but for that of layers, they are in.
 */
type Filling = { readonly first: TileNode; readonly last: TileNode; readonly emptied: TileNode; readonly queue: Queue; readonly loop: TileLoop | undefined };

/** A slot is filled until the next op empties it. */
function fillings(turns: readonly Access[]): readonly Filling[] {
  const found: Filling[] = [];
  let filling: Leaf[] = [];
  for (const { leaf, writes } of turns) {
    if (writes) {
      filling.push(leaf);
      continue;
    }
    for (const queue of new Set(filling.map((one) => one.queue))) {
      const own = filling.filter((one) => one.queue === queue);
      const depth = Math.min(...own.map(({ path }) => path.findLastIndex(({ block }, i) => leaf.path[i]?.block === block)));
      const [first, last] = [own[0], own.at(-1)].map((one) => one?.path[depth]?.node as TileNode) as [TileNode, TileNode];
      const loop = leaf.path.slice(0, depth).map(({ node }) => node).find((node): node is TileLoop => node !== 'end' && isLoop(node) && node.level > 0);
      found.push({ first, last, emptied: leaf.path[depth]?.node as TileNode, queue, loop });
    }
    filling = [];
  }
  return found;
}

class MarkTable extends Map<TileNode | 'end', Map<Queue, Mark[]>> {
  add(node: TileNode | 'end', queue: Queue, mark: Mark): void {
    const queues = this.get(node) ?? new Map<Queue, Mark[]>();
    this.set(node, queues);
    queues.set(queue, [...(queues.get(queue) ?? []), mark]);
  }
}
