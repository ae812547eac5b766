import { formatBytes } from '../../isa-spec/fields.ts';
import { type InstructionOf, workEntryBytes } from '../../isa-spec/instructions.ts';
import { isMatrixFormat, type MatrixFormat } from '../../isa-spec/profiles.ts';
import { SimulationFault } from '../fault.ts';
import { type Views, viewsOf } from '../memory.ts';
import { blockAttention } from '../wasm/attention.ts';
import { type Magnitudes, magnitudesOf } from '../wasm/bf16.ts';
import { attend, attendTogether, type Block, blockKeys, type Queries } from './attend.ts';
import { linesOf, readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addPart, clearedSums, type Sums, withSink } from './softmax.ts';
import { addressOf, type Chip, hbmOf, windowOf } from './state.ts';

/** Rows of the loaded window that are of one sequence: [row, row + rows); the first of them is row `position` of the sequence. `short`: not all rows are among the keys. */
type Segment = { readonly row: number; readonly rows: number; readonly position: number; readonly keys: number; readonly firstPage: number; readonly short: boolean };

/** What `aq` loads, and what its softmax has come to. */
export type AttentionRows = Omit<Queries, 'softCap' | 'exact'> & {
  readonly format: MatrixFormat;
  readonly rows: number;
  readonly segments: readonly Segment[];
  /** Of BF16 queries. */
  readonly magnitudes: Magnitudes;
};

/** The sequences that rows [first, first + rows) belong to. Entries follow each other without gaps from row 0. */
const segmentsOf = (chip: Chip, line: number, first: number, rows: number): readonly Segment[] => {
  const segments: Segment[] = [];
  let next = 0;
  for (let entry = 0; rows > 0 && next < first + rows; entry++) {
    const at = chip.sram.range(line * chip.geometry.lineBytes + entry * workEntryBytes, workEntryBytes) / 4;
    const [firstRow, count, keys, firstPosition, firstPage] = chip.sram.views.u32.subarray(at, at + 5) as unknown as [number, number, number, number, number];
    if (firstRow !== next) throw new SimulationFault('table', `work-list entry ${entry} starts at row ${firstRow}, the one before it ends at ${next}`);
    next = firstRow + count;
    const from = Math.max(first, firstRow);
    const to = Math.min(first + rows, next);
    if (from < to) segments.push({ row: from - first, rows: to - from, position: firstPosition + from - firstRow, keys, firstPage, short: keys < firstPosition + count && keys !== count });
  }
  return segments;
};

export const aq: Execute<'aq'> = (chip, queue, { format, q, pitch, worklist, heads, headDim, valueDim = headDim, sloped = false, slopes = 0, from = 0, scale, rows: window }) => {
  if (!isMatrixFormat(format)) throw new SimulationFault('operand', `queries are e4m3, e5m2 or bf16, not ${format}`);
  const { first, rows } = windowOf(queue, window);
  const columns = heads * headDim;
  const queries = new Float64Array(rows * columns);
  let magnitudes: Magnitudes = { most: 0, least: 0xffff };
  for (let r = 0; r < rows; r++) {
    const at = chip.sram.at(addressOf(queue, q) + r * pitch, columns * formatBytes[format]);
    readElements[format](chip.sram.views, at, columns, queries, r * columns);
    if (format === 'bf16') magnitudes = magnitudesOf(chip.sram.views.u16, at / 2, columns, magnitudes);
  }
  const segments = segmentsOf(chip, worklist, (from * chip.geometry.lineBytes) / formatBytes.i32 + first, rows);
  const places = new Float64Array(rows);
  for (const segment of segments) for (let i = 0; i < segment.rows; i++) places[segment.row + i] = segment.position + i;
  const each = new Float64Array(heads);
  if (sloped && rows > 0) readElements.f32(chip.sram.views, chip.sram.at(slopes, 4 * heads), heads, each);
  chip.attention = {
    format, rows, heads, headDim, valueDim, scale, magnitudes,
    factor: Math.fround(scale * 1.4426950408889634),
    segments, places,
    slopes: !sloped ? undefined : each.map((slope) => Math.fround(slope * Math.fround(1.4426950408889634))),
    q: queries,
    sums: clearedSums(rows * heads, valueDim),
  };
};

const loaded = (chip: Chip): AttentionRows => {
  if (chip.attention === undefined) throw new SimulationFault('operand', 'no queries are loaded');
  return chip.attention;
};

/** Keys of a sequence: [low, high). */
type Keys = readonly [low: number, high: number];

/** The keys of each part attended to, ascending; of keys that are not split, all. Parts beyond `keys` are left out. */
const partsOf = ({ splitBlocks, firstPart = 0, parts = Infinity }: InstructionOf<'attn'>['fields'], keys: number): readonly Keys[] => {
  if (splitBlocks === undefined) return [[0, keys]];
  const size = splitBlocks * blockKeys;
  const end = Math.min(firstPart + parts, Math.ceil(keys / size));
  return Array.from({ length: Math.max(0, end - firstPart) }, (_, i) => [(firstPart + i) * size, (firstPart + i + 1) * size]);
};

export const attn: Execute<'attn'> = (chip, queue, fields) => {
  const { format, mask, latent = false, kv, pages, pageRows, kvLines, kvHeads, window, softCap, splitBlocks } = fields;
  const state = loaded(chip);
  const { heads, headDim, valueDim, segments } = state;
  const { lineBytes } = chip.geometry;
  const group = heads / kvHeads;
  if (format !== state.format) throw new SimulationFault('operand', `keys are ${format}, the queries ${state.format}`);
  const short = mask === 'causal' ? segments.find((segment) => segment.short) : undefined;
  if (short !== undefined) throw new SimulationFault('table', `a causal mask over ${short.keys} keys for rows from ${short.position} on, which are not among them`);
  if (heads % kvHeads !== 0) throw new SimulationFault('operand', `${heads} heads do not share ${kvHeads} heads of keys`);
  if (latent && valueDim > headDim) throw new SimulationFault('operand', `values of ${valueDim} elements are to be part of keys of ${headDim}`);
  const keyBytes = kvHeads * headDim * formatBytes[format];
  const valueBytes = kvHeads * valueDim * formatBytes[format];
  if (Math.max(keyBytes, valueBytes) > kvLines * lineBytes) throw new SimulationFault('operand', `a row of keys or values has ${Math.max(keyBytes, valueBytes)} bytes in ${kvLines} lines of ${lineBytes}`);
  const { region, offset } = hbmOf(chip, queue, kv);
  const kernels = chip.simd === undefined || format === 'e5m2' ? undefined
    : blockAttention(chip.simd, { format, headDim, valueDim, latent, keyBytes, valueBytes, group, keys: blockKeys, magnitudes: state.magnitudes });
  /** The keys at hand. */
  const span = { from: 0, to: 0 };
  const planes = latent ? 1 : 2;

  const readPlane = (segment: Segment, plane: 0 | 1, into: Uint8Array, at: number): void => {
    const bytes = plane === 0 ? keyBytes : valueBytes;
    const pitch = kvLines * lineBytes;
    for (let key = span.from, end; key < span.to; key = end) {
      const page = Math.floor(key / pageRows);
      end = Math.min(span.to, (page + 1) * pageRows);
      const listed = chip.sram.range(pages * lineBytes + 4 * (segment.firstPage + page), 4) / 4;
      const first = offset + ((planes * chip.sram.views.i32[listed]! + plane) * pageRows + (key % pageRows)) * pitch;
      const to = at + (key - span.from) * bytes;
      if (bytes === pitch) region.read(first, (end - key) * bytes, into, to);
      else for (let i = 0; i < end - key; i++) region.read(first + i * pitch, bytes, into, to + i * bytes);
    }
  };
  let decoded: { readonly raw: Views; readonly k: Float64Array; readonly v: Float64Array } | undefined;
  const decode = (segment: Segment): Block => {
    const [kWidth, vWidth] = [kvHeads * headDim, kvHeads * (latent ? headDim : valueDim)];
    const k = decoded?.k ?? new Float64Array(blockKeys * kWidth);
    decoded ??= { raw: viewsOf(blockKeys * Math.max(keyBytes, valueBytes)), k, v: latent ? k : new Float64Array(blockKeys * vWidth) };
    const { raw, v } = decoded;
    for (const [plane, width, out] of [[0, kWidth, k], [1, vWidth, v]] as const) {
      if (plane === planes) break;
      readPlane(segment, plane, raw.u8, 0);
      readElements[format](raw, 0, (span.to - span.from) * width, out);
    }
    return { k, v, kWidth, vWidth, vStep: latent ? headDim : valueDim, group, from: span.from };
  };

  const attendTo = (queries: Queries, segment: Segment, [partLow, partHigh]: Keys): void => {
    /** Keys row i of the segment sees. */
    const seen = (i: number): Keys => {
      const position = segment.position + i;
      const [from, to]: Keys = mask === 'causal' ? [window === 0 ? 0 : Math.max(0, position - window + 1), Math.min(segment.keys, position + 1)] : [0, segment.keys];
      return [Math.max(from, partLow), Math.min(to, partHigh)];
    };
    const low = seen(0)[0];
    const high = seen(segment.rows - 1)[1];
    for (let start = low - (low % blockKeys); start < high; start += blockKeys) {
      span.from = Math.max(low, start);
      span.to = Math.min(high, start + blockKeys);
      const within = (i: number): Keys => {
        const [first, end] = seen(i);
        return [Math.max(first, span.from), Math.min(end, span.to)];
      };
      let block: Block | undefined;
      const plain = (i: number, head: number): void => {
        block ??= decode(segment);
        const keys = within(i);
        if (keys[0] < keys[1]) attend(queries, segment.row + i, head, block, keys);
      };
      if (kernels === undefined) {
        for (let i = 0; i < segment.rows; i++) for (let head = 0; head < heads; head++) plain(i, head);
        continue;
      }
      readPlane(segment, 0, kernels.bytes, kernels.keysAt);
      if (!latent) readPlane(segment, 1, kernels.bytes, kernels.valuesAt);
      kernels.take(span.to - span.from);
      for (let head = 0; head < kvHeads; head++) attendTogether(queries, head, { row: segment.row, rows: segment.rows, group, firstKey: span.from, kernels, within, plain });
    }
  };

  const longest = segments.reduce((most, { keys }) => Math.max(most, keys), 0);
  for (const part of partsOf(fields, longest)) {
    const sums = splitBlocks === undefined ? state.sums : clearedSums(state.rows * heads, valueDim);
    const queries: Queries = { ...state, softCap, exact: format === 'e4m3', sums };
    for (const segment of segments) attendTo(queries, segment, part);
    if (sums !== state.sums) addPart(state.sums, sums);
  }
};

export const afin: Execute<'afin'> = (chip, queue, { format, sink = false, partial = false, out, pitch, rows: window, sinks = { addr: 0, ss: 0 }, merge = 0, partials = { addr: 0, ss: 0 }, partialPitch = 0 }) => {
  const state = loaded(chip);
  const { rows } = windowOf(queue, window);
  if (rows !== state.rows) throw new SimulationFault('operand', `stores ${rows} rows, loaded were ${state.rows}`);
  const { heads, valueDim } = state;
  const { views } = chip.sram;
  const size = heads * (valueDim + 2);
  const sums = merge === 0 ? state.sums : clearedSums(rows * heads, valueDim);
  for (let i = 0; i < merge; i++) {
    const line = addressOf(queue, partials) + i * linesOf('f32', size, chip.geometry.lineBytes);
    const part = clearedSums(rows * heads, valueDim);
    for (let r = 0; r < rows; r++) {
      let at = chip.sram.at(line + r * partialPitch, 4 * size);
      for (const list of partialOf(part, r, heads)) {
        readElements.f32(views, at, list.length, list);
        at += 4 * list.length;
      }
    }
    addPart(sums, part);
  }
  if (merge > 0) addPart(sums, state.sums);
  if (partial) {
    for (let r = 0; r < rows; r++) {
      let at = chip.sram.writing(addressOf(queue, out) + r * pitch, 4 * size);
      for (const list of partialOf(sums, r, heads)) {
        writeElements.f32(views, at, list.length, list);
        at += 4 * list.length;
      }
    }
    return;
  }
  const columns = heads * valueDim;
  const values = new Float64Array(columns);
  const logits = new Float64Array(heads).fill(-Infinity);
  if (sink && rows > 0) readElements.f32(views, chip.sram.at(addressOf(queue, sinks), 4 * heads), heads, logits);
  for (let r = 0; r < rows; r++) {
    for (let head = 0; head < heads; head++) {
      const [share, l] = withSink(sums.m[r * heads + head]!, sums.l[r * heads + head]!, logits[head]!);
      for (let i = head * valueDim; i < (head + 1) * valueDim; i++) values[i] = l === 0 ? 0 : Math.fround(Math.fround(sums.o[r * columns + i]! * share) / l);
    }
    writeElements[format](views, chip.sram.writing(addressOf(queue, out) + r * pitch, columns * formatBytes[format]), columns, values);
  }
};

/** What a row's partial is made of, in its order: views of the sums. */
const partialOf = ({ m, l, o, width }: Sums, row: number, heads: number): readonly Float64Array[] => {
  const [first, end] = [row * heads, (row + 1) * heads];
  return [m.subarray(first, end), l.subarray(first, end), o.subarray(first * width, end * width)];
};
