import { formatBytes } from '../../isa-spec/fields.ts';
import { workEntryBytes } from '../../isa-spec/instructions.ts';
import { exp2f, toBf16 } from '../../isa-spec/numerics.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { type Chip, hbmOf, addressOf, windowOf } from './state.ts';

/** Keys the online softmax takes at a time, counted from key 0 of the sequence. */
const blockKeys = 128;
const leastWeight = 2 ** -18;

/** Rows of the loaded window that are of one sequence: [row, row + rows); the first of them is row `position` of the sequence. */
type Segment = { readonly row: number; readonly rows: number; readonly position: number; readonly keys: number; readonly firstPage: number };

/** What `aq` loads: queries, row-major, and for every row and head the softmax's maximum, sum, and unfinished output. */
export type AttentionRows = {
  readonly format: 'bf16' | 'e4m3';
  readonly rows: number;
  readonly heads: number;
  readonly headDim: number;
  /** scale x log2 e, in FP32. */
  readonly factor: number;
  readonly segments: readonly Segment[];
  readonly q: Float64Array;
  readonly m: Float64Array;
  readonly l: Float64Array;
  readonly o: Float64Array;
};

/** The sequences that rows [first, first + rows) belong to. Entries follow each other without gaps from row 0. */
const segmentsOf = (chip: Chip, line: number, first: number, rows: number): readonly Segment[] => {
  const segments: Segment[] = [];
  let next = 0;
  for (let entry = 0; rows > 0 && next < first + rows; entry++) {
    const at = chip.sram.range(line * chip.geometry.lineBytes + entry * workEntryBytes, workEntryBytes) / 4;
    const [firstRow, count, keys, firstPosition, firstPage] = chip.sram.views.u32.subarray(at, at + 5) as unknown as [number, number, number, number, number];
    if (firstRow !== next) throw new SimulationFault('table', `work-list entry ${entry} starts at row ${firstRow}, the one before it ends at ${next}`);
    if (keys < firstPosition + count && keys !== count) throw new SimulationFault('table', `work-list entry ${entry} has ${keys} keys for rows ${firstPosition} to ${firstPosition + count}`);
    next = firstRow + count;
    const from = Math.max(first, firstRow);
    const to = Math.min(first + rows, next);
    if (from < to) segments.push({ row: from - first, rows: to - from, position: firstPosition + from - firstRow, keys, firstPage });
  }
  return segments;
};

export const aq: Execute<'aq'> = (chip, queue, { format, q, pitch, worklist, heads, headDim, scale, rows: window }) => {
  if (format !== 'bf16' && format !== 'e4m3') throw new SimulationFault('operand', `queries are e4m3 or bf16, not ${format}`);
  const { first, rows } = windowOf(queue, window);
  const columns = heads * headDim;
  const queries = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    readElements[format](chip.sram.views, chip.sram.at(addressOf(queue, q) + r * pitch, columns * formatBytes[format]), columns, queries, r * columns);
  }
  chip.attention = {
    format, rows, heads, headDim,
    factor: Math.fround(scale * 1.4426950408889634),
    segments: segmentsOf(chip, worklist, first, rows),
    q: queries,
    m: new Float64Array(rows * heads).fill(-Infinity),
    l: new Float64Array(rows * heads),
    o: new Float64Array(rows * columns),
  };
};

const loaded = (chip: Chip): AttentionRows => {
  if (chip.attention === undefined) throw new SimulationFault('operand', 'no queries are loaded');
  return chip.attention;
};

export const attn: Execute<'attn'> = (chip, queue, fields) => {
  const { format, mask, kv, pages, pageRows, kvLines, kvHeads, window } = fields;
  const state = loaded(chip);
  const { lineBytes } = chip.geometry;
  const width = kvHeads * state.headDim;
  const rowBytes = width * formatBytes[state.format];
  if (format !== state.format) throw new SimulationFault('operand', `keys are ${format}, the queries ${state.format}`);
  if (state.heads % kvHeads !== 0) throw new SimulationFault('operand', `${state.heads} heads do not share ${kvHeads} heads of keys`);
  if (rowBytes > kvLines * lineBytes) throw new SimulationFault('operand', `a row of keys has ${rowBytes} bytes in ${kvLines} lines of ${lineBytes}`);
  const { region, offset } = hbmOf(chip, queue, kv);
  const raw = viewsOf(blockKeys * rowBytes);
  const block: Block = { k: new Float64Array(blockKeys * width), v: new Float64Array(blockKeys * width), width, group: state.heads / kvHeads, from: 0, to: 0 };

  const readPlane = (segment: Segment, plane: 0 | 1, from: number, to: number, out: Float64Array): void => {
    for (let key = from; key < to; key++) {
      const listed = chip.sram.range(pages * lineBytes + 4 * (segment.firstPage + Math.floor(key / pageRows)), 4) / 4;
      const row = (2 * chip.sram.views.i32[listed]! + plane) * pageRows + (key % pageRows);
      region.read(offset + row * kvLines * lineBytes, rowBytes, raw.u8, (key - from) * rowBytes);
    }
    readElements[format](raw, 0, (to - from) * width, out);
  };

  for (const segment of state.segments) {
    /** Keys row i of the segment sees: [low, high). */
    const seen = (i: number): readonly [number, number] => {
      const position = segment.position + i;
      return mask === 'causal' ? [window === 0 ? 0 : Math.max(0, position - window + 1), Math.min(segment.keys, position + 1)] : [0, segment.keys];
    };
    const low = seen(0)[0];
    const high = seen(segment.rows - 1)[1];
    for (let start = low - (low % blockKeys); start < high; start += blockKeys) {
      block.from = Math.max(low, start);
      block.to = Math.min(high, start + blockKeys);
      readPlane(segment, 0, block.from, block.to, block.k);
      readPlane(segment, 1, block.from, block.to, block.v);
      for (let i = 0; i < segment.rows; i++) {
        const [first, end] = seen(i);
        const from = Math.max(first, block.from);
        const to = Math.min(end, block.to);
        if (from < to) for (let head = 0; head < state.heads; head++) attend(state, segment.row + i, head, block, [from, to]);
      }
    }
  }
};

/** Keys and values of rows [from, to) of a sequence, all key heads side by side. `group` query heads share a key head. */
type Block = { readonly k: Float64Array; readonly v: Float64Array; readonly width: number; readonly group: number; from: number; to: number };

const z = new Float64Array(blockKeys);
/** Widest head an `aq` can name. */
const part = new Float64Array(1024);

/** One block of the online softmax, base 2: keys [from, to) of the block for one query row and head. */
const attend = (state: AttentionRows, row: number, head: number, block: Block, [from, to]: readonly [number, number]): void => {
  const { headDim, heads, format, factor, q, m, l, o } = state;
  const { k, v, width } = block;
  const at = row * heads + head;
  const query = at * headDim;
  const column = Math.floor(head / block.group) * headDim;
  const first = (from - block.from) * width + column;
  const count = to - from;
  const exact = format === 'e4m3';

  let most = m[at]!;
  for (let j = 0; j < count; j++) {
    const dot = exact ? dotExact(q, query, k, first + j * width, headDim) : dotChained(q, query, k, first + j * width, headDim);
    z[j] = Math.fround(Math.fround(dot) * factor);
    most = Math.max(most, z[j]!);
  }
  const alpha = m[at] === -Infinity ? 0 : exp2f(Math.fround(m[at]! - most));
  let sum = 0;
  for (let j = 0; j < count; j++) {
    const p = toBf16(exp2f(Math.fround(z[j]! - most)));
    z[j] = p < leastWeight ? 0 : p;
    sum += z[j]!;
  }
  m[at] = most;
  l[at] = Math.fround(Math.fround(l[at]! * alpha) + Math.fround(sum));
  part.fill(0, 0, headDim);
  for (let j = 0; j < count; j++) (exact ? addScaled : addScaledChained)(part, z[j]!, v, first + j * width, headDim);
  for (let d = 0; d < headDim; d++) o[query + d] = Math.fround(Math.fround(o[query + d]! * alpha) + Math.fround(part[d]!));
};

const dotExact = (a: Float64Array, at: number, b: Float64Array, bt: number, n: number): number => {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let p = at | 0;
  let q = bt | 0;
  const end = (at + n) | 0;
  for (const fours = (end - (n % 4)) | 0; p < fours; p += 4, q += 4) {
    s0 += a[p]! * b[q]!;
    s1 += a[p + 1]! * b[q + 1]!;
    s2 += a[p + 2]! * b[q + 2]!;
    s3 += a[p + 3]! * b[q + 3]!;
  }
  for (; p < end; p++, q++) s0 += a[p]! * b[q]!;
  return s0 + s1 + (s2 + s3);
};

const dotChained = (a: Float64Array, at: number, b: Float64Array, bt: number, n: number): number => {
  let sum = 0;
  for (let p = at | 0, q = bt | 0, end = (at + n) | 0; p < end; p++, q++) sum = Math.fround(sum + a[p]! * b[q]!);
  return sum;
};

const addScaled = (sums: Float64Array, p: number, v: Float64Array, at: number, n: number): void => {
  for (let d = 0, q = at | 0; d < n; d++, q++) sums[d] = sums[d]! + p * v[q]!;
};

const addScaledChained = (sums: Float64Array, p: number, v: Float64Array, at: number, n: number): void => {
  for (let d = 0, q = at | 0; d < n; d++, q++) sums[d] = Math.fround(sums[d]! + p * v[q]!);
};

export const afin: Execute<'afin'> = (chip, queue, { format, sink = false, out, pitch, rows: window, sinks = { addr: 0, ss: 0 } }) => {
  const state = loaded(chip);
  const { rows } = windowOf(queue, window);
  if (rows !== state.rows) throw new SimulationFault('operand', `stores ${rows} rows, loaded were ${state.rows}`);
  const columns = state.heads * state.headDim;
  const values = new Float64Array(columns);
  const logits = new Float64Array(state.heads).fill(-Infinity);
  if (sink && rows > 0) readElements.f32(chip.sram.views, chip.sram.at(addressOf(queue, sinks), 4 * state.heads), state.heads, logits);
  for (let r = 0; r < rows; r++) {
    for (let head = 0; head < state.heads; head++) {
      const [share, l] = withSink(state.m[r * state.heads + head]!, state.l[r * state.heads + head]!, logits[head]!);
      for (let i = head * state.headDim; i < (head + 1) * state.headDim; i++) values[i] = l === 0 ? 0 : Math.fround(Math.fround(state.o[r * columns + i]! * share) / l);
    }
    writeElements[format](chip.sram.views, chip.sram.writing(addressOf(queue, out) + r * pitch, columns * formatBytes[format]), columns, values);
  }
};

const log2e = Math.fround(1.4426950408889634);

/** What O is multiplied by, and l, once a key of this logit and of value 0 has been seen; -Infinity: there is none. */
const withSink = (m: number, l: number, logit: number): readonly [number, number] => {
  if (logit === -Infinity) return [1, l];
  const z = Math.fround(logit * log2e);
  const most = Math.max(m, z);
  const alpha = m === -Infinity ? 0 : exp2f(Math.fround(m - most));
  return [alpha, Math.fround(Math.fround(l * alpha) + exp2f(Math.fround(z - most)))];
};
