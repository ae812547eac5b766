import type { BlockAttention } from '../wasm/attention.ts';
import { capped, carry, type Scoring, share, soften, type Sums } from './softmax.ts';

/** Keys the online softmax takes at a time, counted from key 0 of the sequence. */
export const blockKeys = 128;

/** Queries, row-major, how they are scored, and what their softmax has come to. */
export type Queries = Scoring & {
  readonly exact: boolean;
  /** What is added to the score of a key for each place it is after the row's own, by head; places of rows. */
  readonly slopes: Float64Array | undefined;
  readonly places: Float64Array;
  readonly heads: number; readonly headDim: number; readonly valueDim: number; readonly q: Float64Array;
  readonly sums: Sums;
};

/**
 * Keys and values of a sequence's rows from `from`, all key heads side by side: rows of `kWidth` and `vWidth` elements, a head's values `vStep` elements after the
 * last one's. `group` query heads share a key head.
 */
export type Block = { readonly k: Float64Array; readonly v: Float64Array; readonly kWidth: number; readonly vWidth: number; readonly vStep: number; readonly group: number; readonly from: number };

const dots = new Float64Array(blockKeys);
/** Widest head an `aq` can name. */
const mixed = new Float64Array(1024);

/** One block of the online softmax, base 2: keys [from, to) for one query row and head. */
export const attend = (queries: Queries, row: number, head: number, block: Block, [from, to]: readonly [number, number]): void => {
  const { exact, heads, headDim, valueDim, q, sums } = queries;
  const { k, v, kWidth, vWidth } = block;
  const at = row * heads + head;
  const keyHead = Math.floor(head / block.group);
  const [firstKey, firstValue] = [(from - block.from) * kWidth + keyHead * headDim, (from - block.from) * vWidth + keyHead * block.vStep];
  const count = to - from;
  const z = dots.subarray(0, count);
  for (let j = 0; j < count; j++) z[j] = (exact ? dotExact : dotChained)(q, at * headDim, k, firstKey + j * kWidth, headDim);
  const { slopes, places } = queries;
  if (slopes !== undefined) for (let j = 0; j < count; j++) z[j] = sloped(queries, z[j]!, slopes[head]!, from + j - places[row]!);
  const alpha = soften(sums, at, slopes === undefined ? queries : scored, z);
  mixed.fill(0, 0, valueDim);
  for (let j = 0; j < count; j++) (exact ? addScaled : addScaledChained)(mixed, z[j]!, v, firstValue + j * vWidth, valueDim);
  carry(sums, at, alpha, mixed);
};

/** Scores are what they are. */
const scored: Scoring = { scale: 1, factor: 1, softCap: undefined };

/** A dot product as a score, base 2, of a key so many places after the row. */
const sloped = ({ scale, factor, softCap }: Scoring, dot: number, slope: number, after: number): number =>
  Math.fround((softCap === undefined ? Math.fround(Math.fround(dot) * factor) : capped(dot, scale, softCap)) + Math.fround(slope * after));

/** What `attendTogether` works on: rows [row, row + rows) of the window, which are of one sequence. */
export type Together = {
  readonly row: number;
  readonly rows: number;
  readonly group: number;
  /** The block's first key. */
  readonly firstKey: number;
  /** They have taken the block. */
  readonly kernels: BlockAttention;
  /** Keys of the block that row i sees. */
  readonly within: (i: number) => readonly [number, number];
  /** The plain loops for row i and a head. */
  readonly plain: (i: number, head: number) => void;
};

/** One block of the online softmax for all rows of a sequence and the heads that share key head `keyHead`. */
export const attendTogether = (queries: Queries, keyHead: number, { row, rows, group, firstKey, kernels, within, plain }: Together): void => {
  const { headDim, valueDim, heads, scale, factor, softCap, slopes, places, q, sums: { m, l, o } } = queries;
  const { chunk, spans, scores, most, sums, scales, outputs } = kernels;
  if (!kernels.load(keyHead, rows * group)) {
    for (let i = 0; i < rows; i++) for (let g = 0; g < group; g++) plain(i, keyHead * group + g);
    return;
  }
  // Rows that see any of the block follow each other.
  const sees = (i: number): boolean => within(i)[0] < within(i)[1];
  let start = 0;
  while (start < rows && !sees(start)) start++;
  let end = rows;
  while (end > start && !sees(end - 1)) end--;
  for (; start < end; start += chunk) {
    const used = Math.min(chunk, end - start);
    /** The softmax's place for row start + i and the first head of the group. */
    const placeOf = (i: number): number => (row + start + i) * heads + keyHead * group;
    let count = 0;
    for (let i = 0; i < used; i++) {
      const [from, to] = within(start + i);
      const at = placeOf(i);
      for (let g = 0; g < group; g++) {
        const r = i * group + g;
        spans[2 * r] = from - firstKey;
        spans[2 * r + 1] = to - firstKey;
        most[r] = m[at + g]!;
      }
      count = Math.max(count, to - firstKey);
      kernels.queries.set(q.subarray(at * headDim, (at + group) * headDim), i * group * headDim);
      outputs.set(o.subarray(at * valueDim, (at + group) * valueDim), i * group * valueDim);
    }
    kernels.score(used * group, count);
    if (slopes !== undefined) {
      for (let r = 0; r < used * group; r++) {
        const [slope, place] = [slopes[keyHead * group + (r % group)]!, places[row + start + Math.floor(r / group)]!];
        for (let j = spans[2 * r]!; j < spans[2 * r + 1]!; j++) scores[r * blockKeys + j] = sloped(queries, scores[r * blockKeys + j]!, slope, firstKey + j - place);
      }
    } else if (softCap !== undefined) for (let r = 0; r < used * group; r++) for (let j = spans[2 * r]!; j < spans[2 * r + 1]!; j++) scores[r * blockKeys + j] = capped(scores[r * blockKeys + j]!, scale, softCap);
    kernels.soften(used * group, count, softCap === undefined && slopes === undefined ? factor : 1);
    for (let r = 0; r < used * group; r++) {
      const at = placeOf(Math.floor(r / group)) + (r % group);
      scales[r] = share(m[at]!, most[r]!);
      m[at] = most[r]!;
      l[at] = Math.fround(Math.fround(l[at]! * scales[r]!) + Math.fround(sums[r]!));
    }
    kernels.mix(used * group, count);
    for (let i = 0; i < used; i++) o.set(outputs.subarray(i * group * valueDim, (i + 1) * group * valueDim), placeOf(i) * valueDim);
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
