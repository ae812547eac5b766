import type { BlockProducts } from '../wasm/attention.ts';
import { carry, type Scoring, soften, type Sums } from './softmax.ts';

/** Keys the online softmax takes at a time, counted from key 0 of the sequence. */
export const blockKeys = 128;

/** Queries, row-major, how they are scored, and what their softmax has come to. */
export type Queries = Scoring & { readonly exact: boolean; readonly heads: number; readonly headDim: number; readonly valueDim: number; readonly q: Float64Array; readonly sums: Sums };

/**
 * Keys and values of rows [from, to) of a sequence, all key heads side by side: rows of `kWidth` and `vWidth` elements, a head's values `vStep` elements after the last one's.
 * `group` query heads share a key head.
 */
export type Block = {
  readonly k: Float64Array; readonly v: Float64Array; readonly kWidth: number; readonly vWidth: number; readonly vStep: number; readonly group: number;
  from: number; to: number;
};

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
  const alpha = soften(sums, at, queries, z);
  mixed.fill(0, 0, valueDim);
  for (let j = 0; j < count; j++) (exact ? addScaled : addScaledChained)(mixed, z[j]!, v, firstValue + j * vWidth, valueDim);
  carry(sums, at, alpha, mixed);
};

/** What `attendTogether` works on: rows [row, row + rows) of the window, which are of one sequence. */
export type Together = {
  readonly row: number;
  readonly rows: number;
  readonly block: Block;
  readonly products: BlockProducts;
  /** Keys of the block that row i sees. */
  readonly within: (i: number) => readonly [number, number];
  /** The plain loops for row i and a head. */
  readonly plain: (i: number, head: number) => void;
};

/** One block of the online softmax for all rows of a sequence and the heads that share key head `keyHead`. */
export const attendTogether = (queries: Queries, keyHead: number, { row, rows, block, products, within, plain }: Together): void => {
  const { headDim, valueDim, heads, q, sums } = queries;
  const { m, l } = sums;
  const { group } = block;
  const { chunk, scores, weights, outputs } = products;
  if (!products.load(keyHead, block.to - block.from)) {
    for (let i = 0; i < rows; i++) for (let g = 0; g < group; g++) plain(i, keyHead * group + g);
    return;
  }
  const before = new Float64Array(3 * chunk * group);
  for (let start = 0; start < rows; start += chunk) {
    const used = Math.min(chunk, rows - start);
    /** The softmax's place for row start + i and the first head of the group. */
    const placeOf = (i: number): number => (row + start + i) * heads + keyHead * group;
    for (let i = 0; i < used; i++) products.queries.set(q.subarray(placeOf(i) * headDim, (placeOf(i) + group) * headDim), i * group * headDim);
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
        const z = dots.subarray(0, to - from);
        z.set(scores.subarray(first, first + to - from));
        before[3 * r + 2] = soften(sums, at, queries, z);
        weights.set(z, first);
      }
    }
    products.mix(used * group);
    for (let i = 0; i < used; i++) {
      const [from, to] = within(start + i);
      for (let g = 0; g < group && from < to; g++) {
        const r = i * group + g;
        const at = placeOf(i) + g;
        const output = outputs.subarray(r * valueDim, (r + 1) * valueDim);
        if (to - from === block.to - block.from || output.every(Number.isFinite)) {
          carry(sums, at, before[3 * r + 2]!, output);
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
