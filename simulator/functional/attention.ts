import { formatBytes } from '../../isa-spec/fields.ts';
import { workEntryBytes } from '../../isa-spec/instructions.ts';
import { activate, exp2f, toBf16 } from '../../isa-spec/numerics.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { readElements, writeElements } from './elements.ts';
import { type BlockProducts, blockProducts } from '../wasm/attention.ts';
import { type Magnitudes, magnitudesOf } from '../wasm/bf16.ts';
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
  readonly scale: number;
  /** scale x log2 e, in FP32. */
  readonly factor: number;
  /** Bound of scores, if they have one. */
  readonly softCap: number | undefined;
  readonly segments: readonly Segment[];
  readonly q: Float64Array;
  /** Of BF16 queries. */
  readonly magnitudes: Magnitudes;
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
  let magnitudes: Magnitudes = { most: 0, least: 0xffff };
  for (let r = 0; r < rows; r++) {
    const at = chip.sram.at(addressOf(queue, q) + r * pitch, columns * formatBytes[format]);
    readElements[format](chip.sram.views, at, columns, queries, r * columns);
    if (format === 'bf16') magnitudes = magnitudesOf(chip.sram.views.u16, at / 2, columns, magnitudes);
  }
  chip.attention = {
    format, rows, heads, headDim,
    scale,
    factor: Math.fround(scale * 1.4426950408889634),
    softCap: undefined,
    segments: segmentsOf(chip, worklist, first, rows),
    q: queries,
    magnitudes,
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
  const state: AttentionRows = { ...loaded(chip), softCap: fields.softCap };
  const { lineBytes } = chip.geometry;
  const width = kvHeads * state.headDim;
  const rowBytes = width * formatBytes[state.format];
  if (format !== state.format) throw new SimulationFault('operand', `keys are ${format}, the queries ${state.format}`);
  if (state.heads % kvHeads !== 0) throw new SimulationFault('operand', `${state.heads} heads do not share ${kvHeads} heads of keys`);
  if (rowBytes > kvLines * lineBytes) throw new SimulationFault('operand', `a row of keys has ${rowBytes} bytes in ${kvLines} lines of ${lineBytes}`);
  const { region, offset } = hbmOf(chip, queue, kv);
  const products = chip.simd === undefined ? undefined
    : blockProducts(chip.simd, { format: state.format, headDim: state.headDim, rowBytes, group: state.heads / kvHeads, keys: blockKeys, magnitudes: state.magnitudes });
  const raw = viewsOf(blockKeys * rowBytes);
  const block: Block = { k: new Float64Array(blockKeys * width), v: new Float64Array(blockKeys * width), width, group: state.heads / kvHeads, from: 0, to: 0 };

  const readPlane = (segment: Segment, plane: 0 | 1, into: Uint8Array, at: number): void => {
    const { from, to } = block;
    for (let key = from; key < to; key++) {
      const listed = chip.sram.range(pages * lineBytes + 4 * (segment.firstPage + Math.floor(key / pageRows)), 4) / 4;
      const row = (2 * chip.sram.views.i32[listed]! + plane) * pageRows + (key % pageRows);
      region.read(offset + row * kvLines * lineBytes, rowBytes, into, at + (key - from) * rowBytes);
    }
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
      const within = (i: number): readonly [number, number] => {
        const [first, end] = seen(i);
        return [Math.max(first, block.from), Math.min(end, block.to)];
      };
      let decoded = false;
      const plain = (i: number, head: number): void => {
        if (!decoded) for (const [plane, out] of [[0, block.k], [1, block.v]] as const) {
          readPlane(segment, plane, raw.u8, 0);
          readElements[format](raw, 0, (block.to - block.from) * width, out);
        }
        decoded = true;
        const keys = within(i);
        if (keys[0] < keys[1]) attend(state, segment.row + i, head, block, keys);
      };
      if (products === undefined) {
        for (let i = 0; i < segment.rows; i++) for (let head = 0; head < state.heads; head++) plain(i, head);
        continue;
      }
      readPlane(segment, 0, products.bytes, products.keysAt);
      readPlane(segment, 1, products.bytes, products.valuesAt);
      for (let head = 0; head < kvHeads; head++) attendTogether(state, segment, head, { block, products, within, plain });
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
  const { headDim, heads, format, q, o } = state;
  const { k, v, width } = block;
  const at = row * heads + head;
  const query = at * headDim;
  const column = Math.floor(head / block.group) * headDim;
  const first = (from - block.from) * width + column;
  const count = to - from;
  const exact = format === 'e4m3';
  for (let j = 0; j < count; j++) z[j] = (exact ? dotExact : dotChained)(q, query, k, first + j * width, headDim);
  const alpha = soften(state, at, count);
  part.fill(0, 0, headDim);
  for (let j = 0; j < count; j++) (exact ? addScaled : addScaledChained)(part, z[j]!, v, first + j * width, headDim);
  carry(o, query, alpha, part.subarray(0, headDim));
};

/** The first `count` dot products in `z` become weights; the softmax's maximum and sum `at` take them in. Returns what earlier outputs are scaled by. */
const soften = ({ scale, factor, softCap, m, l }: AttentionRows, at: number, count: number): number => {
  let most = m[at]!;
  for (let j = 0; j < count; j++) {
    const s = Math.fround(z[j]!);
    z[j] = softCap === undefined ? Math.fround(s * factor) : Math.fround(Math.fround(softCap * activate('tanh', Math.fround(Math.fround(s * scale) / softCap))) * log2e);
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
  return alpha;
};

const carry = (o: Float64Array, at: number, alpha: number, sums: Float64Array | Float32Array): void => {
  for (let d = 0; d < sums.length; d++) o[at + d] = Math.fround(Math.fround(o[at + d]! * alpha) + Math.fround(sums[d]!));
};

type Together = {
  readonly block: Block;
  readonly products: BlockProducts;
  /** Keys of the block that row i of the segment sees. */
  readonly within: (i: number) => readonly [number, number];
  /** The plain loops for row i and a head. */
  readonly plain: (i: number, head: number) => void;
};

/** One block of the online softmax for all rows of a segment and the heads that share key head `keyHead`. */
const attendTogether = (state: AttentionRows, { row: firstRow, rows }: Segment, keyHead: number, { block, products, within, plain }: Together): void => {
  const { headDim, heads, q, m, l, o } = state;
  const { group } = block;
  const { chunk, queries, scores, weights, outputs } = products;
  if (!products.load(keyHead, block.to - block.from)) {
    for (let i = 0; i < rows; i++) for (let g = 0; g < group; g++) plain(i, keyHead * group + g);
    return;
  }
  const before = new Float64Array(3 * chunk * group);
  for (let start = 0; start < rows; start += chunk) {
    const used = Math.min(chunk, rows - start);
    /** The softmax's place for row start + i and the first head of the group. */
    const placeOf = (i: number): number => (firstRow + start + i) * heads + keyHead * group;
    for (let i = 0; i < used; i++) queries.set(q.subarray(placeOf(i) * headDim, (placeOf(i) + group) * headDim), i * group * headDim);
    products.score(used * group);
    weights.fill(0, 0, used * group * blockKeys);
    for (let i = 0; i < used; i++) {
      const [from, to] = within(start + i);
      for (let g = 0; g < group && from < to; g++) {
        const r = i * group + g;
        const at = placeOf(i) + g;
        const first = r * blockKeys + from - block.from;
        before[3 * r] = m[at]!;
        before[3 * r + 1] = l[at]!;
        z.set(scores.subarray(first, first + to - from));
        before[3 * r + 2] = soften(state, at, to - from);
        weights.set(z.subarray(0, to - from), first);
      }
    }
    products.mix(used * group);
    for (let i = 0; i < used; i++) {
      const [from, to] = within(start + i);
      for (let g = 0; g < group && from < to; g++) {
        const r = i * group + g;
        const at = placeOf(i) + g;
        const sums = outputs.subarray(r * headDim, (r + 1) * headDim);
        if (to - from === block.to - block.from || sums.every(Number.isFinite)) {
          carry(o, at * headDim, before[3 * r + 2]!, sums);
          continue;
        }
        // A value of a key the row does not see may be what is not finite: 0 times it is NaN.
        m[at] = before[3 * r]!;
        l[at] = before[3 * r + 1]!;
        plain(start + i, keyHead * group + g);
      }
    }
  }
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
