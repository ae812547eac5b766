import type { StepTables } from '../../isa-spec/step-block.ts';
import { attend, finish, loadQueries, type Queries } from './interpret/attention.ts';
import { drain, multiply, readWeights, type WeightEntry } from './interpret/matrix.ts';
import { Memories, type TileMemory, type View, wordsOf } from './interpret/memory.ts';
import { binPairs, mixRows, routeRows } from './interpret/experts.ts';
import { copyRows, gatherRows, mapRows, normRows, quantiseRowBlocks, quantiseRows, ropeRows, scatterRows } from './interpret/rows.ts';
import { isLoop, type Region, type TileModule, type TileNode, type TileOp, type TileOpOf } from './module.ts';
import type { TileKind } from './ops.ts';

/** One result: its rows of this step, row-major. */
export type TileOutput = { readonly name: string; readonly rows: number; readonly columns: number; readonly data: Float64Array };

/** What an op may touch besides regions. */
type Machine = { readonly memories: Memories; readonly fifo: WeightEntry[]; queries: Queries | undefined; readonly chips: number };

/** Bytes of an FP32 element. */
const f32Bytes = 4;

/**
 * The meaning of a tile program: one chip, every op in program order, in the arithmetic the machine is specified to have.
 * Buffers start as NaN; `memory.state` keeps the KV pages between steps. Throws RangeError when a region or an index lies
 * outside its buffer, Error when ops do not fit together (see verify.ts), when a collective has more than one chip.
 */
export function interpretTile(module: TileModule, step: StepTables, memory: TileMemory): readonly TileOutput[] {
  const machine: Machine = { memories: new Memories(module, step, memory), fifo: [], queries: undefined, chips: module.chips };
  runAll(module.body, machine);
  return module.outputs.map(({ name, buffer, rows: of }) => {
    const { columns, rows: most } = module.buffers[buffer]!;
    const zero = { base: 0, steps: [0, 0, 0, 0] } as const;
    const rows = step.counts[of];
    const view = machine.memories.view({ buffer, slot: zero, row: zero, column: zero, rows: most, columns });
    const data = new Float64Array(rows * columns);
    for (let i = 0; i < rows; i++) data.set(view.row(i), i * columns);
    return { name, rows, columns, data };
  });
}

function runAll(nodes: readonly TileNode[], machine: Machine): void {
  const { I } = machine.memories;
  for (const node of nodes) {
    if (!isLoop(node)) run(node, machine);
    else {
      for (let i = 0; i < node.count; i++) {
        I[node.level] = i;
        runAll(node.body, machine);
      }
      I[node.level] = 0;
    }
  }
}

type Meaning<K extends TileKind> = (op: TileOpOf<K>, view: (region: Region) => View, machine: Machine) => void;

const meanings: { readonly [K in TileKind]: Meaning<K> } = {
  input: ({ attrs, regions }, view, { memories }) => {
    const table = wordsOf(memories.step, attrs.table);
    const words = view(regions.out).row(0);
    for (let i = 0; i < Math.min(words.length, table.length); i++) words[i] = table[i]!;
  },
  load: ({ regions, rows }, view, { memories }) => copyRows(view(regions.from), view(regions.out), memories.window(rows).count),
  store: ({ regions, rows }, view, { memories }) => copyRows(view(regions.from), view(regions.out), memories.window(rows).count),
  gather: ({ attrs, regions, rows }, view, { memories }) => gatherRows(attrs.skip, view(regions.table), view(regions.index), view(regions.out), memories.window(rows)),
  scatter: ({ attrs, regions, rows }, view, { memories }) => scatterRows(attrs.skip, view(regions.from), view(regions.index), view(regions.out), memories.window(rows)),
  fill: ({ attrs, regions: { out }, rows }, view, { memories }) => {
    for (let i = 0; i < memories.window(rows).count; i++) view(out).row(i).fill(Math.fround(attrs.value));
  },
  weights: ({ attrs, regions: { from, scales } }, view, { fifo }) => void fifo.push(readWeights(attrs, view(from), scales === undefined ? undefined : view(scales))),
  multiply: ({ attrs, regions, rows }, view, { memories, fifo }) => {
    const entry = fifo.shift();
    if (entry === undefined) throw new Error('a product finds no weights');
    const overwrite = attrs.accumulate === 'no' || (attrs.accumulate === 'first' && memories.I[3] === 0);
    const scales = regions.scales === undefined ? undefined : view(regions.scales);
    multiply(attrs, entry, { a: view(regions.a), scales, acc: view(regions.acc) }, { count: memories.window(rows).count, overwrite });
  },
  drain: ({ attrs, regions, rows }, view, { memories }) => {
    const optional = (region: Region | undefined): View | undefined => (region === undefined ? undefined : view(region));
    const { acc, params, residual, rowScale, out } = regions;
    drain(attrs, { acc: view(acc), params: optional(params), residual: optional(residual), rowScale: optional(rowScale), out: view(out), lineElements: memories.lineBytes / f32Bytes }, memories.window(rows));
  },
  query: ({ attrs, regions, rows }, view, machine) => {
    const { memories } = machine;
    const { first, count } = memories.window(rows);
    machine.queries = loadQueries({ ...attrs, slopes: regions.slopes === undefined ? undefined : view(regions.slopes).row(0).slice() }, view(regions.q), view(regions.worklist), { first: first + (rows.part?.first ?? 0), count }, memories.step.counts.sequences);
  },
  attend: ({ attrs, regions }, view, { queries }) => {
    if (queries === undefined) throw new Error('attention finds no queries');
    attend(attrs, queries, view(regions.kv), view(regions.pages));
  },
  finish: ({ regions, rows }, view, { queries, memories }) => {
    if (queries === undefined) throw new Error('attention finds no queries');
    finish(queries, regions.sinks === undefined ? undefined : view(regions.sinks), view(regions.out), memories.window(rows).count);
  },
  map: ({ attrs, regions: { x, y, same, out }, rows }, view, { memories }) => {
    const [xs, to] = [view(x), view(out)];
    const numbers = same === undefined ? undefined : view(same).row(0);
    const ys = y === undefined ? undefined : view(y);
    const other = (row: number): Float64Array => (numbers?.length === 1 ? to.row(row).map(() => numbers[0]!) : (numbers ?? (ys ?? xs).row(row)));
    mapRows(attrs.function, xs, other, to, memories.window(rows).count);
  },
  norm: ({ attrs, regions: { x, params, out }, rows }, view, { memories }) =>
    normRows({ ...attrs, lineElements: memories.lineBytes / f32Bytes }, view(x), view(params), view(out), memories.window(rows).count),
  rope: ({ attrs, regions: { x, table, out }, rows }, view, { memories }) => ropeRows(attrs, view(x), view(table), view(out), memories.window(rows).count),
  quantise: ({ regions: { x, out, rowScale }, rows }, view, { memories }) => quantiseRows(view(x), view(out), view(rowScale), memories.window(rows)),
  quantiseBlocks: ({ regions: { x, out, scales }, rows }, view, { memories }) => quantiseRowBlocks(view(x), view(out), view(scales), memories.window(rows).count),
  route: ({ attrs, regions: { x, biases, indices, weights, offsets }, rows }, view, { memories }) =>
    routeRows(attrs, { x: view(x), biases: biases === undefined ? undefined : view(biases), indices: view(indices), weights: view(weights), offsets: view(offsets) }, memories.window(rows).count),
  bin: ({ attrs, regions, rows }, view, { memories }) =>
    binPairs(attrs, { indices: view(regions.indices), offsets: view(regions.offsets), sources: view(regions.sources), places: view(regions.places), owners: view(regions.owners) }, memories.window(rows).count),
  mix: ({ attrs, regions: { x, weights, out }, rows }, view, { memories }) => mixRows(attrs.k, view(x), view(weights), view(out), memories.window(rows).count),
  allgather: ({ regions: { from, out }, rows }, view, { memories, chips }) => {
    if (chips > 1) throw new Error(`an all-gather of ${chips} chips cannot be interpreted on one`);
    copyRows(view(from), view(out), memories.window(rows).count);
  },
  reduceScatter: () => shares(),
  exchange: () => shares(),
  collect: () => shares(),
  collectList: () => shares(),
  shift: () => {
    throw new Error('a pipeline cannot be interpreted on one chip');
  },
};

const shares = (): never => {
  throw new Error('rows that chips share cannot be interpreted on one');
};

const run = (op: TileOp, machine: Machine): void => (meanings[op.kind] as Meaning<TileKind>)(op as never, (region) => machine.memories.view(region), machine);
