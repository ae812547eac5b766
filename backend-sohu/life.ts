import type { Json } from '../isa-spec/json.ts';
import type { Queue } from '../isa-spec/instructions.ts';
import { type Affine, type Buffer, type BufferId, isLoop, type Region, type RowBound, type TileLoop, type TileModule, type TileNode, type TileOp } from '../ir/tile/module.ts';
import { type TileKind, tileOperands } from '../ir/tile/ops.ts';
import { queueOf } from '../ir/tile/queue.ts';
import type { Layout } from './allocate.ts';
import { fromOf, kindOf, singleBits } from './select.ts';

/** The instruction field each operand of a tile op becomes. */
const fieldOf: { readonly [K in TileKind]: { readonly [N in keyof (typeof tileOperands)[K]]: string } } = {
  input: { out: 'dst' },
  load: { from: 'src', out: 'dst' },
  store: { from: 'src', out: 'dst' },
  gather: { table: 'src', index: 'index', out: 'dst' },
  scatter: { from: 'src', index: 'index', out: 'dst' },
  fill: { out: 'dst' },
  weights: { from: 'src', scales: 'scales' },
  multiply: { a: 'a', scales: 'scales', acc: 'acc' },
  drain: { acc: 'acc', params: 'params', residual: 'residualAt', rowScale: 'rowScale', out: 'out' },
  query: { q: 'q', worklist: 'worklist', slopes: 'slopes' },
  attend: { kv: 'kv', pages: 'pages' },
  finish: { sinks: 'sinks', out: 'out' },
  map: { x: 'x', y: 'y', same: 'y', out: 'out' },
  norm: { x: 'x', params: 'params', out: 'out' },
  rope: { x: 'x', table: 'table', out: 'out' },
  quantise: { x: 'x', out: 'out', rowScale: 'rowScale' },
  quantiseBlocks: { x: 'x', out: 'out', scales: 'scales' },
  route: { x: 'x', biases: 'biases', indices: 'indices', weights: 'weights', offsets: 'offsets' },
  bin: { indices: 'indices', offsets: 'offsets', sources: 'sources', places: 'targets', owners: 'owners' },
  mix: { x: 'x', weights: 'weights', out: 'out' },
  allgather: { from: 'src', out: 'out' },
  reduceScatter: { from: 'src', out: 'out' },
  exchange: { from: 'src', out: 'out' },
  collect: { from: 'src', out: 'out' },
  collectList: { from: 'src', out: 'out' },
  shift: { from: 'src', out: 'out' },
};

type Leaf = { readonly op: TileOp; readonly at: number; readonly loops: readonly Span[] };
type Span = { readonly loop: TileLoop; readonly first: number; last: number };
type Access = { readonly leaf: Leaf; readonly field: string; readonly does: 'defines' | 'uses' | 'updates'; readonly region: Region };

/**
 * The certificate of an entry: its ops in program order and the instruction each became, the loops around them, and every
 * buffer with the ops that define and use it, in that order, each with its part of the buffer. `from` of a use: the ops
 * whose values it must find there. `computes`: fields of the instruction that say what, not where. `pcs`: by queue, where its ops' instructions are, in order, subprograms written out.
 */
export function lifeOf(module: TileModule, layout: Layout, lineBytes: number, pcs: (queue: Queue) => readonly number[]): Json {
  const { leaves, spans } = walk(module.body);
  const next = new Map<Queue, number>();
  const ops = leaves.map(({ op }) => {
    const queue = queueOf(op, module.buffers);
    const n = next.get(queue) ?? 0;
    next.set(queue, n + 1);
    return { queue, pc: pcs(queue)[n] as number, max: op.rows.max, of: countText(op.rows), computes: functionOf(op, module.buffers, lineBytes) };
  });
  const byBuffer = new Map<BufferId, Access[]>();
  for (const access of leaves.flatMap(accessesOf)) byBuffer.set(access.region.buffer, [...(byBuffer.get(access.region.buffer) ?? []), access]);
  const buffers = module.buffers.flatMap((buffer, i): Json[] => {
    const address = layout.addresses.get(i as BufferId);
    if (address === undefined) return [];
    const { space, base, at, size, pitch, slot } = address;
    return [{ ...shapeOf(buffer), space, base, at, size, pitch, slot, accesses: (byBuffer.get(i as BufferId) ?? []).map((access, _, all) => accessJson(access, all)) }];
  });
  return { ops, loops: spans.map(({ loop: { level, count }, first, last }) => ({ level, count, first, last })), buffers };
}

/** The count of rows a window is shortened by, as a term of the step's counts. */
const countText = ({ of, part, shared }: RowBound): string => {
  const count = part === undefined ? of : `minimum(subtract(${of}, ${part.first}), ${part.rows})`;
  return shared === undefined ? count : `ceildiv(${count}, ${shared})`;
};

/** What an op computes, apart from where and how much: attributes no other part of the certificate implies. */
function functionOf({ kind, attrs, regions, rows }: TileOp, buffers: TileModule['buffers'], lineBytes: number): { readonly [field: string]: Json } {
  switch (kind) {
    case 'input': return { table: attrs.table };
    case 'fill': return { fill: true, value: singleBits(attrs.value) };
    case 'weights': return inBlocks(regions.scales);
    case 'multiply': return { accumulate: attrs.accumulate, ...inBlocks(regions.scales) };
    case 'quantiseBlocks': return { ...inBlocks(regions.scales), pow2: false };
    case 'drain': return { activation: attrs.activation, gated: attrs.gated };
    case 'query': return { scale: Math.fround(attrs.scale), ...(regions.slopes === undefined ? {} : { sloped: true }), ...fromOf(rows, lineBytes) };
    case 'attend': return { mask: attrs.mask, window: attrs.window, ...(attrs.softCap === 0 ? {} : { softCap: Math.fround(attrs.softCap) }) };
    case 'finish': return regions.sinks === undefined ? {} : { sink: true };
    case 'map': return { function: attrs.function, ...(regions.same === undefined ? {} : { yIs: kindOf(regions.same) }) };
    case 'norm': return { kind: attrs.norm, ...(attrs.groups === 1 ? {} : { groups: attrs.groups }) };
    case 'rope': return { interleaved: attrs.interleaved };
    case 'gather':
    case 'scatter': return attrs.skip ? { oob: 'skip' } : {};
    case 'route': return { scores: attrs.scores, normalise: attrs.normalise, experts: attrs.experts, k: attrs.k };
    case 'bin': return { inverse: true, experts: attrs.experts, k: attrs.k, size: attrs.size, ...(attrs.group === 1 ? {} : { group: attrs.group }) };
    case 'mix': return { k: attrs.k };
    case 'reduceScatter': return { tag: attrs.tag, format: (buffers[regions.from.buffer] as Buffer).format };
    case 'allgather':
    case 'exchange':
    case 'collect':
    case 'collectList':
    case 'shift': return { tag: attrs.tag };
    default: return {};
  }
}

const inBlocks = (scales: Region | undefined): { readonly [field: string]: Json } => (scales === undefined ? {} : { scaling: 'block' });

const shapeOf = ({ name, depth, rows, columns, format, role }: Buffer): { readonly [key: string]: Json } => ({ name, depth, rows, columns, format, role });

function walk(body: readonly TileNode[]): { readonly leaves: readonly Leaf[]; readonly spans: readonly Span[] } {
  const leaves: Leaf[] = [];
  const spans: Span[] = [];
  const into = (nodes: readonly TileNode[], loops: readonly Span[]): void => {
    for (const node of nodes) {
      if (!isLoop(node)) {
        leaves.push({ op: node, at: leaves.length, loops });
        continue;
      }
      const span: Span = { loop: node, first: leaves.length, last: 0 };
      spans.push(span);
      into(node.body, [...loops, span]);
      span.last = leaves.length - 1;
    }
  };
  into(body, []);
  return { leaves, spans };
}

const accessesOf = (leaf: Leaf): readonly Access[] => {
  const { kind, attrs, regions } = leaf.op;
  return Object.entries(tileOperands[kind] as Readonly<Record<string, 'read' | 'write' | 'update' | 'read?'>>).flatMap(([name, how]): Access[] => {
    const region = (regions as Readonly<Record<string, Region | undefined>>)[name];
    if (region === undefined) return [];
    const defines = how === 'write' || (kind === 'multiply' && name === 'acc' && attrs.accumulate === 'no');
    return [{ leaf, field: (fieldOf[kind] as Readonly<Record<string, string>>)[name] as string, does: defines ? 'defines' : how === 'update' ? 'updates' : 'uses', region }];
  });
};

const accessJson = (access: Access, all: readonly Access[]): Json => {
  const { leaf, field, does, region: { slot, row, column, rows, columns } } = access;
  return { op: leaf.at, field, does, slot: affineJson(slot), row: affineJson(row), column: affineJson(column), rows, columns, from: does === 'defines' ? [] : sourcesOf(access, all) };
};

/** Base, then steps of levels 0 to 3, without the zeros at the end. */
const affineJson = ({ base, steps }: Affine): readonly number[] => {
  const all = [base, ...steps];
  return all.slice(0, all.findLastIndex((value) => value !== 0) + 1);
};

/**
 * Where a use's value comes from: the last op before it in program order that defines the buffer, with all its fellows of
 * that label: as [op, -1] if of the same turn of the loops both are in, as [op, l] if of the turn before of a loop of level l.
 * Looks outwards from the innermost loop: an earlier definition in the same turn hides all others. A residual that lies where the sum goes
 * is not what other parts of the same op have made: they make other columns.
 */
function sourcesOf(use: Access, all: readonly Access[]): readonly (readonly [number, number])[] {
  const defines = all.filter((access) => access.does !== 'uses');
  const isOwn = ({ leaf }: Access): boolean => use.field === 'residualAt' && leaf.op.kind === 'drain' && leaf.op.label === use.leaf.op.label;
  const before = (first: number): readonly Access[] => defines.filter((access) => access.leaf.at >= first && access.leaf.at < use.leaf.at && !isOwn(access));
  const fellows = (among: readonly Access[]): readonly number[] => among.filter(({ leaf }) => leaf.op.label === among.at(-1)?.leaf.op.label).map(({ leaf }) => leaf.at);
  const sources: (readonly [number, number])[] = [];
  for (const { loop, first, last } of use.leaf.loops.toReversed()) {
    const near = before(first);
    if (near.length > 0) return [...sources, ...fellows(near).map((op) => [op, -1] as const)];
    const carried = defines.filter((access) => access.leaf.at >= use.leaf.at && access.leaf.at <= last && (loop.level === 0 || !isOwn(access)));
    sources.push(...fellows(carried).map((op) => [op, loop.level] as const));
  }
  return [...sources, ...fellows(before(0)).map((op) => [op, -1] as const)];
}
