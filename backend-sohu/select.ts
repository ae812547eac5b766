import { type AccOperand, type Format, formatBytes, type HbmOperand, type RowWindow, type SramOperand } from '../isa-spec/fields.ts';
import { still } from '../isa-spec/encoding.ts';
import { hbmBases, type InstructionOf, type Mnemonic, stepCounts, type StrideSet } from '../isa-spec/instructions.ts';
import { type Affine, allTileOps, type Buffer, type Region, type RowBound, type TileModule, type TileNode, type TileOp, type TileOpOf } from '../ir/tile/module.ts';
import type { TileKind } from '../ir/tile/ops.ts';
import type { Address, Layout } from './allocate.ts';

/** An op begins at a column that no address is of. */
export class OffLine extends Error {}

/** What a window of rows is shortened by, apart from its height: all that it needs a register for. */
export type RowCount = Pick<RowBound, 'of' | 'part' | 'shared'>;
const countKey = ({ of, part, shared }: RowCount): string => `${of}${part === undefined ? '' : ` ${part.first} ${part.rows}`}${shared === undefined ? '' : ` / ${shared}`}`;
/** Those of which a chip has its share. */
export const wholeCount = ({ of, part }: RowCount): RowCount => ({ of, ...(part === undefined ? {} : { part }) });

/** The counts a module's windows are shortened by, each once: those of the step as they are, then those of parts, then a chip's shares of either. */
export function rowCounts(body: readonly TileNode[]): readonly RowCount[] {
  const once = (counts: readonly RowCount[]): readonly RowCount[] => [...new Map(counts.map((count) => [countKey(count), count])).values()];
  const rows = [...allTileOps(body)].map((op) => op.rows);
  const shares = rows.flatMap(({ shared, ...count }) => (shared === undefined ? [] : [{ ...wholeCount(count), shared }]));
  return [...stepCounts.map((of): RowCount => ({ of })), ...once(rows.filter(({ part }) => part !== undefined).map(wholeCount)), ...once(shares)];
}

/** The loop level row windows count with. */
const rowLevel = 1;

/** Addresses for one queue: operands of regions, and the stride sets they need, each made once. */
export class Addressing {
  readonly strideSets: StrideSet[] = [];
  readonly #known = new Map<string, number>();
  readonly #registers: ReadonlyMap<string, number>;
  readonly #module: TileModule;
  readonly #layout: Layout;
  readonly lineBytes: number;

  constructor(module: TileModule, layout: Layout, lineBytes: number) {
    this.#module = module;
    this.#registers = new Map(rowCounts(module.body).map((count, i) => [countKey(count), i + 1]));
    this.#layout = layout;
    this.lineBytes = lineBytes;
  }

  /** Chips the layers are divided over. */
  get chips(): number {
    return this.#module.chips;
  }

  buffer(region: Region): Buffer {
    return this.#module.buffers[region.buffer] as Buffer;
  }

  address(region: Region): Address {
    return this.#layout.addresses.get(region.buffer) as Address;
  }

  pitch(region: Region): number {
    return this.address(region).pitch;
  }

  /** Lines the region's part of a row takes. */
  lines(region: Region): number {
    return Math.ceil((region.columns * formatBytes[this.buffer(region).format]) / this.lineBytes);
  }

  sram(region: Region): SramOperand {
    const { at, ss } = this.#move(region);
    return { addr: at, ss };
  }

  hbm(region: Region): HbmOperand {
    const { at, ss } = this.#move(region);
    return { base: hbmBases.indexOf(this.address(region).base), off: at, ss };
  }

  /** An accumulator region is a whole ring slot. Two slots are a bank each: a bank serves the arrays or the epilogue in a cycle, not both. */
  acc(region: Region): AccOperand {
    const { at, slot } = this.address(region);
    return { addr: at, ss: this.#strideSet([0, 0, 0, 0], slot, this.buffer(region).depth, region.slot) };
  }

  /** A list starts on a line and is not moved. */
  list(region: Region | undefined): number {
    if (region === undefined) return 0;
    const line = (region.column.base * formatBytes[this.buffer(region).format]) / this.lineBytes;
    if (!Number.isInteger(line)) throw new OffLine(`element ${region.column.base} of \`${this.buffer(region).name}\` is not on a line of memory`);
    return this.address(region).at + line;
  }

  /** The register a count is in: 0, which shortens nothing, for all rows. */
  register(count: RowCount): number {
    return count.of === 'all' ? 0 : (this.#registers.get(countKey(count)) as number);
  }

  window(rows: RowBound): RowWindow {
    return { max: rows.max, reg: this.register(rows), level: rowLevel };
  }


  #move(region: Region): { at: number; ss: number } {
    const { at, pitch, slot } = this.address(region);
    const buffer = this.buffer(region);
    const perColumn = formatBytes[buffer.format] / this.lineBytes;
    const lines = (row: number, column: number): number => {
      const whole = row * pitch + column * perColumn;
      if (!Number.isInteger(whole)) throw new OffLine(`column ${column} of \`${buffer.name}\` is not on a line of memory`);
      return whole;
    };
    const strides = region.row.steps.map((step, l) => lines(step, region.column.steps[l] ?? 0)) as unknown as StrideSet['strides'];
    return { at: at + lines(region.row.base, region.column.base), ss: this.#strideSet(strides, slot, buffer.depth, region.slot) };
  }

  #strideSet(strides: StrideSet['strides'], slotSize: number, depth: number, slot: Affine): number {
    const modulo = (value: number): number => ((value % depth) + depth) % depth;
    const ring = depth > 1 ? { stride: slotSize, depth, base: modulo(slot.base), steps: slot.steps.map(modulo) as unknown as StrideSet['strides'] } : still.ring;
    if (ring.base === 0 && [...strides, ...ring.steps].every((step) => step === 0)) return 0;
    const set: StrideSet = { strides, ring };
    const key = JSON.stringify(set);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.strideSets.push(set);
    this.#known.set(key, this.strideSets.length);
    return this.strideSets.length;
  }
}

/** `from` of aq: lines of a row list before the row that is row 0 of a part. The list of the part's own rows starts on a line. */
export const fromOf = ({ part }: RowBound, lineBytes: number): { readonly from?: number } => (part === undefined || part.first === 0 ? {} : { from: (part.first * formatBytes.i32) / lineBytes });
/** What numbers that are the same for every row are to vmap. */
export const kindOf = ({ columns }: Region): 'number' | 'vector' => (columns === 1 ? 'number' : 'vector');
/** The bits of an FP32 number. */
export const singleBits = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0] as number;
const nowhere: SramOperand = { addr: 0, ss: 0 };

type Selected = { readonly [M in Mnemonic]: { readonly op: M; readonly fields: InstructionOf<M>['fields'] } }[Mnemonic];
type Select<K extends TileKind> = (op: TileOpOf<K>, to: Addressing) => Selected;

type Brought = 'allgather' | 'reduceScatter' | 'exchange' | 'collect' | 'shift';

/** Rows of all chips, or those before, brought together; `format` of those that are added up. */
const collective = (kind: InstructionOf<'coll'>['fields']['kind'], format?: Format) => ({ attrs, regions: { from, out }, rows }: TileOpOf<Brought>, to: Addressing): Selected => ({
  op: 'coll',
  fields: {
    kind, ...(format === undefined ? {} : { format }), group: to.chips, src: to.sram(from), srcPitch: to.pitch(from), out: to.sram(out), outPitch: to.pitch(out),
    bytes: from.columns * formatBytes[to.buffer(from).format], tag: attrs.tag, rows: to.window(rows),
  },
});

/** The instruction of each tile op. */
const selectors: { readonly [K in TileKind]: Select<K> } = {
  input: ({ attrs, regions: { out } }, to) => ({ op: 'hostw', fields: { table: attrs.table, dst: to.sram(out), bytes: out.columns * 4 } }),
  load: ({ regions: { from, out }, rows }, to) => ({
    op: 'dld', fields: { src: to.hbm(from), srcPitch: to.pitch(from), dst: to.sram(out), dstPitch: to.pitch(out), lines: to.lines(from), rows: to.window(rows) },
  }),
  store: ({ regions: { from, out }, rows }, to) => ({
    op: 'dst', fields: { src: to.sram(from), srcPitch: to.pitch(from), dst: to.hbm(out), dstPitch: to.pitch(out), lines: to.lines(from), rows: to.window(rows) },
  }),
  gather: ({ attrs: { skip }, regions: { table, index, out }, rows }, to) => ({
    op: 'dgat', fields: { ...(skip ? { oob: 'skip' } : {}), src: to.hbm(table), srcPitch: to.pitch(table), dst: to.sram(out), dstPitch: to.pitch(out), index: to.list(index), lines: to.lines(table), rows: to.window(rows) },
  }),
  scatter: ({ attrs: { skip }, regions: { from, index, out }, rows }, to) => ({
    op: 'dsct', fields: { ...(skip ? { oob: 'skip' } : {}), src: to.sram(from), srcPitch: to.pitch(from), dst: to.hbm(out), dstPitch: to.pitch(out), index: to.list(index), lines: to.lines(from), rows: to.window(rows) },
  }),
  fill: ({ attrs: { value }, regions: { out }, rows }, to) => ({
    op: 'dcp', fields: { fill: true, src: nowhere, srcPitch: 0, dst: to.sram(out), dstPitch: to.pitch(out), lines: to.lines(out), value: singleBits(value), rows: to.window(rows) },
  }),
  weights: ({ attrs: { kTiles, nTiles, split, kSplit }, regions: { from, scales } }, to) => ({
    op: 'wld', fields: { format: to.buffer(from).format, src: to.sram(from), kTiles, nTiles, split, ...(kSplit === 0 ? {} : { kSplit }), ...(scales === undefined ? {} : { scaling: 'block', scales: to.sram(scales) }) },
  }),
  multiply: ({ attrs: { accumulate, split, kSplit, kTiles, kLast, nTiles }, regions: { a, scales, acc }, rows }, to) => ({
    op: 'mm',
    fields: {
      format: to.buffer(a).format, accumulate, split, a: to.sram(a), pitch: to.pitch(a), acc: to.acc(acc), kTiles, kLast, nTiles, rows: to.window(rows), ...(kSplit === 0 ? {} : { kSplit }),
      ...(scales === undefined ? {} : { scaling: 'block', scales: to.sram(scales), scalePitch: to.pitch(scales) }),
    },
  }),
  drain: ({ attrs: { activation, scale, bias, gated, split, nTiles, nLast }, regions: { acc, params, residual, rowScale, out }, rows }, to) => ({
    op: 'epi',
    fields: {
      format: to.buffer(out).format, activation, scale, bias, residual: residual !== undefined, gated, split,
      acc: to.acc(acc), out: to.sram(out), pitch: to.pitch(out), params: params === undefined ? nowhere : to.sram(params),
      residualAt: residual === undefined ? nowhere : to.sram(residual), rowScale: to.list(rowScale), nTiles, nLast, rows: to.window(rows),
    },
  }),
  query: ({ attrs: { heads, headDim, scale }, regions: { q, worklist, slopes }, rows }, to) => ({
    op: 'aq', fields: { format: to.buffer(q).format, q: to.sram(q), pitch: to.pitch(q), worklist: to.list(worklist), heads, headDim, scale: Math.fround(scale), rows: to.window(rows), ...(slopes === undefined ? {} : { sloped: true, slopes: to.list(slopes) }), ...fromOf(rows, to.lineBytes) },
  }),
  attend: ({ attrs: { mask, window: keys, softCap, kvHeads, pageRows }, regions: { kv, pages } }, to) => ({
    op: 'attn', fields: { format: to.buffer(kv).format, mask, kv: to.hbm(kv), pages: to.list(pages), pageRows, kvLines: to.pitch(kv), kvHeads, window: keys, ...(softCap === 0 ? {} : { softCap: Math.fround(softCap) }) },
  }),
  finish: ({ regions: { sinks, out }, rows }, to) => ({
    op: 'afin', fields: { format: to.buffer(out).format, out: to.sram(out), pitch: to.pitch(out), rows: to.window(rows), ...(sinks === undefined ? {} : { sink: true, sinks: to.sram(sinks) }) },
  }),
  map: ({ attrs, regions: { x, y, same, out }, rows }, to) => ({
    op: 'vmap',
    fields: {
      function: attrs.function, xFormat: to.buffer(x).format, yFormat: to.buffer(y ?? same ?? x).format, format: to.buffer(out).format, ...(same === undefined ? {} : { yIs: kindOf(same) }),
      x: to.sram(x), xPitch: to.pitch(x), y: y === undefined && same === undefined ? nowhere : to.sram((y ?? same) as Region), yPitch: y === undefined ? 0 : to.pitch(y), out: to.sram(out), outPitch: to.pitch(out), columns: out.columns, rows: to.window(rows),
    },
  }),
  norm: ({ attrs, regions: { x, params, out }, rows }, to) => ({
    op: 'vnorm',
    fields: { xFormat: to.buffer(x).format, format: to.buffer(out).format, kind: attrs.norm, x: to.sram(x), xPitch: to.pitch(x), params: to.sram(params), out: to.sram(out), outPitch: to.pitch(out), columns: x.columns, rows: to.window(rows), ...(attrs.groups === 1 ? {} : { groups: attrs.groups }) },
  }),
  rope: ({ attrs: { interleaved, headDim, rotary, heads }, regions: { x, table, out }, rows }, to) => ({
    op: 'vrope',
    fields: { xFormat: to.buffer(x).format, format: to.buffer(out).format, interleaved, x: to.sram(x), xPitch: to.pitch(x), table: to.sram(table), out: to.sram(out), outPitch: to.pitch(out), headDim, rotary, heads, rows: to.window(rows) },
  }),
  quantise: ({ regions: { x, out, rowScale }, rows }, to) => ({
    op: 'vqnt',
    fields: { xFormat: to.buffer(x).format, format: to.buffer(out).format, x: to.sram(x), xPitch: to.pitch(x), out: to.sram(out), outPitch: to.pitch(out), rowScale: to.list(rowScale), columns: x.columns, rows: to.window(rows) },
  }),
  quantiseBlocks: ({ regions: { x, out, scales }, rows }, to) => ({
    op: 'vqblk',
    fields: {
      xFormat: to.buffer(x).format, format: to.buffer(out).format, scaling: 'block', pow2: false, x: to.sram(x), xPitch: to.pitch(x), out: to.sram(out), outPitch: to.pitch(out),
      scales: to.sram(scales), scalePitch: to.pitch(scales), columns: x.columns, rows: to.window(rows),
    },
  }),
  route: ({ attrs: { scores, normalise, experts, k }, regions: { x, biases, indices, weights, offsets }, rows }, to) => ({
    op: 'route',
    fields: {
      scores, normalise, bias: biases !== undefined, xFormat: to.buffer(x).format, x: to.sram(x), xPitch: to.pitch(x),
      biases: to.list(biases), indices: to.list(indices), weights: to.list(weights), offsets: to.list(offsets), experts, k, rows: to.window(rows),
    },
  }),
  bin: ({ attrs: { experts, k, size, group }, regions: { indices, offsets, sources, places, owners }, rows }, to) => ({
    op: 'bin', fields: { inverse: true, indices: to.list(indices), offsets: to.list(offsets), sources: to.list(sources), targets: to.list(places), owners: to.list(owners), experts, k, size, rows: to.window(rows), ...(group === 1 ? {} : { group }) },
  }),
  mix: ({ attrs: { k }, regions: { x, weights, out }, rows }, to) => ({
    op: 'mix',
    fields: { xFormat: to.buffer(x).format, format: to.buffer(out).format, x: to.sram(x), xPitch: to.pitch(x), weights: to.sram(weights), out: to.sram(out), outPitch: to.pitch(out), columns: out.columns, k, rows: to.window(rows) },
  }),
  allgather: collective('allgather'),
  reduceScatter: (op, to) => collective('reducescatter', to.buffer(op.regions.from).format)(op, to),
  exchange: collective('exchange'),
  collect: collective('collect'),
  collectList: ({ attrs, regions: { from, out }, rows }, to) => ({
    op: 'coll', fields: { kind: 'collectlist', group: to.chips, src: { addr: to.list(from), ss: 0 }, srcPitch: 0, out: { addr: to.list(out), ss: 0 }, outPitch: 0, bytes: formatBytes[to.buffer(from).format], tag: attrs.tag, rows: to.window(rows) },
  }),
  shift: collective('shift'),
};

/** The instruction that does a tile op, without its tokens. */
export const select = (op: TileOp, to: Addressing): Selected => (selectors[op.kind] as Select<TileKind>)(op as never, to);

