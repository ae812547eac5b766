import { activate, exp2f, roundTo, toBf16 } from '../../../isa-spec/numerics.ts';
import type { WorkEntry } from '../../../isa-spec/step-block.ts';
import type { TileAttrs } from '../ops.ts';
import { entryWords, type View, type Window } from './memory.ts';

const { fround } = Math;

/** Keys a softmax block has: part of the meaning, since rounding depends on it. */
const block = 128;
/** Probabilities below this are 0. */
const leastProbability = 2 ** -18;
const log2e = 1.4426950408889634;

/** `slopes`: by head, what is added to the score of a key for each place it is after the row's. */
type Sloped = TileAttrs['query'] & { readonly slopes: Float64Array | undefined };

/** The queries loaded, and for each row and head the running maximum m, sum l and output O of the online softmax. */
export type Queries = {
  readonly attrs: Sloped;
  readonly window: Window;
  readonly q: readonly Float64Array[];
  readonly work: readonly WorkEntry[];
  readonly m: Float64Array;
  readonly l: Float64Array;
  readonly O: readonly Float64Array[];
};

export function loadQueries(attrs: Sloped, q: View, worklist: View, window: Window, sequences: number): Queries {
  const words = worklist.row(0);
  const work = Array.from({ length: sequences }, (_, s): WorkEntry => {
    const [firstRow, rows, keys, firstPosition, firstPage] = words.subarray(s * entryWords, s * entryWords + 5) as unknown as [number, number, number, number, number];
    return { firstRow, rows, keys, firstPosition, firstPage };
  });
  const rows = Array.from({ length: window.count }, (_, i) => q.row(i).slice());
  const slots = window.count * attrs.heads;
  return { attrs, window, q: rows, work, m: new Float64Array(slots).fill(-Infinity), l: new Float64Array(slots), O: rows.map(() => new Float64Array(attrs.heads * attrs.headDim)) };
}

/** The keys of a sequence, and its values, by key index: a page is `pageRows` rows of keys then as many of values. */
function cached(kv: View, pages: View, { keys, firstPage }: WorkEntry, pageRows: number): { readonly k: readonly Float64Array[]; readonly v: readonly Float64Array[] } {
  const rowOf = (j: number): number => pages.row(0)[firstPage + Math.floor(j / pageRows)]! * 2 * pageRows + (j % pageRows);
  const k = Array.from({ length: keys }, (_, j) => kv.row(rowOf(j)));
  return { k, v: k.map((_, j) => kv.row(rowOf(j) + pageRows)) };
}

/** Streams every sequence's keys and values past the queries of its rows. */
export function attend(attrs: TileAttrs['attend'], queries: Queries, kv: View, pages: View): void {
  const { heads } = queries.attrs;
  const { first, count } = queries.window;
  for (const work of queries.work) {
    const from = Math.max(work.firstRow, first);
    const to = Math.min(work.firstRow + work.rows, first + count);
    if (from >= to) continue;
    const { k, v } = cached(kv, pages, work, attrs.pageRows);
    for (let row = from; row < to; row++) {
      const position = work.firstPosition + row - work.firstRow;
      const last = attrs.mask === 'causal' ? Math.min(work.keys - 1, position) : work.keys - 1;
      const least = attrs.window > 0 ? Math.max(0, position - attrs.window + 1) : 0;
      for (let head = 0; head < heads; head++) attendHead(attrs, queries, kv.format === 'e4m3', { row: row - first, position, head, least, last, k, v });
    }
  }
}

type HeadTask = { readonly row: number; readonly position: number; readonly head: number; readonly least: number; readonly last: number; readonly k: readonly Float64Array[]; readonly v: readonly Float64Array[] };

/** Online softmax over blocks of keys in index order; keys outside [least, last] are masked, blocks without others skipped. */
function attendHead({ kvHeads, softCap }: TileAttrs['attend'], queries: Queries, exact: boolean, { row, position, head, least, last, k, v }: HeadTask): void {
  const { heads, headDim, scale, slopes } = queries.attrs;
  const q = queries.q[row]!.subarray(head * headDim, (head + 1) * headDim);
  const column = Math.floor(head / (heads / kvHeads)) * headDim;
  const at = row * heads + head;
  const O = queries.O[row]!.subarray(head * headDim, (head + 1) * headDim);
  const factor = fround(fround(scale) * log2e);
  const bounded = (score: number, bound: number): number => fround(fround(bound * activate('tanh', fround(score / bound))) * fround(log2e));
  for (let start = Math.floor(least / block) * block; start <= last; start += block) {
    const from = Math.max(start, least);
    const to = Math.min(start + block - 1, last);
    const z: number[] = [];
    for (let j = from; j <= to; j++) {
      const product = dot(q, k[j]!, column, exact);
      const score = softCap === 0 ? fround(product * factor) : bounded(fround(product * fround(scale)), fround(softCap));
      z.push(slopes === undefined ? score : fround(score + fround(fround(slopes[head]! * fround(log2e)) * (j - position))));
    }
    const m = queries.m[at]!;
    const next = z.reduce((most, value) => Math.max(most, value), m);
    const alpha = m === -Infinity ? 0 : exp2f(fround(m - next));
    const p = z.map((value) => {
      const rounded = toBf16(exp2f(fround(value - next)));
      return rounded < leastProbability ? 0 : rounded;
    });
    const sum = fround(p.reduce((total, value) => total + value, 0));
    queries.m[at] = next;
    queries.l[at] = fround(fround(queries.l[at]! * alpha) + sum);
    for (let d = 0; d < headDim; d++) {
      let b = 0;
      for (let j = from; j <= to; j++) {
        const product = p[j - from]! * v[j]![column + d]!;
        b = exact ? b + product : fround(b + product);
      }
      O[d] = fround(fround(O[d]! * alpha) + fround(b));
    }
  }
}

/** e4m3: exact, then one rounding. bf16: every addition rounds, element after element. */
function dot(q: Float64Array, k: Float64Array, column: number, exact: boolean): number {
  let sum = 0;
  for (let d = 0; d < q.length; d++) sum = exact ? sum + q[d]! * k[column + d]! : fround(sum + q[d]! * k[column + d]!);
  return fround(sum);
}

/** out <- O / l (0 if l is 0), rounded. A sink of its head is the logit of one more key, of value 0. */
export function finish({ attrs: { heads, headDim }, m, l, O }: Queries, sinks: View | undefined, out: View, count: number): void {
  for (let i = 0; i < count; i++) {
    const to = out.row(i);
    for (let head = 0; head < heads; head++) {
      const at = i * heads + head;
      const logit = sinks === undefined ? -Infinity : fround(sinks.row(0)[head]! * fround(log2e));
      const most = Math.max(m[at]!, logit);
      const alpha = logit === -Infinity ? 1 : m[at] === -Infinity ? 0 : exp2f(fround(m[at]! - most));
      const sum = logit === -Infinity ? l[at]! : fround(fround(l[at]! * alpha) + exp2f(fround(logit - most)));
      for (let c = head * headDim; c < (head + 1) * headDim; c++) to[c] = roundTo(out.format, sum === 0 ? 0 : fround(fround(O[i]![c]! * alpha) / sum));
    }
  }
}
