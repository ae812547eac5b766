import { activate, exp2f, toBf16 } from '../../../isa-spec/numerics.ts';
import type { Step } from '../../step.ts';
import type { GraphAttrs } from '../ops.ts';
import { type Dots, plainDots } from './dots.ts';
import type { Cached } from './kv-state.ts';
import { extent, type Tensor } from './tensor.ts';

const log2e = Math.fround(1.4426950408889634);
/** Keys per block of the online softmax. */
const blockKeys = 128;

/** One query head against keys `low` to `high` (all it may see) of one KV head; writes headDim results. */
type Head = (query: Float64Array, seen: Seen, out: Float64Array) => void;
type Seen = {
  /** Keys, and values, of one head: [rows, headDim]. */
  readonly keys: Float64Array;
  readonly values: Float64Array;
  readonly low: number;
  readonly high: number;
  /** The logit of one more key, of value 0; -Infinity: there is none. */
  readonly sink: number;
  /** What is added to the score of a key for each place it is after the row's own. */
  readonly slope: number | undefined;
  readonly position: number;
};

/** Where keys and values come from: how many rows a sequence brings, and what it has once they are there, with how many of them are past. */
type Keys = {
  readonly rowsOf: (sequence: Step['sequences'][number]) => number;
  readonly remember: (sequence: Step['sequences'][number], keys: Float64Array, values: Float64Array) => Cached & { readonly past: number };
};

/** Attention of every row of a step over its own sequence, or over what is given it to attend to. */
export function attention(
  [q, k, v, ...each]: readonly [Tensor, Tensor, Tensor, ...Tensor[]],
  attrs: GraphAttrs['attention'],
  step: Step,
  { rowsOf: keysOf, remember }: Keys,
  head: Head,
): Tensor {
  const { heads, kvHeads, headDim } = attrs;
  const [sinks, slopes] = attrs.sinks ? each : [undefined, ...each];
  const width = heads * headDim;
  const kvWidth = kvHeads * headDim;
  const data = new Float64Array(q.data.length);
  let first = 0;
  let firstKey = 0;
  for (const sequence of step.sequences) {
    const brought = keysOf(sequence);
    const rowsOf = (of: Tensor): Float64Array => of.data.subarray(firstKey * kvWidth, (firstKey + brought) * kvWidth);
    const cached = remember(sequence, rowsOf(k), rowsOf(v));
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const keys = headOf(cached.keys, cached.rows, kvWidth, kvHead * headDim, headDim);
      const values = headOf(cached.values, cached.rows, kvWidth, kvHead * headDim, headDim);
      for (let row = 0; row < sequence.rows; row++) {
        const position = cached.past + row;
        const high = attrs.mask === 'causal' ? position + 1 : cached.rows;
        const low = attrs.window > 0 ? Math.max(0, position - attrs.window + 1) : 0;
        const group = heads / kvHeads;
        for (let h = kvHead * group; h < (kvHead + 1) * group; h++) {
          const at = (first + row) * width + h * headDim;
          head(q.data.subarray(at, at + headDim), { keys, values, low, high, sink: sinks?.data[h] ?? -Infinity, slope: slopes?.data[h], position }, data.subarray(at, at + headDim));
        }
      }
    }
    first += sequence.rows;
    firstKey += brought;
  }
  if (first !== extent(q)[0]) throw new Error(`the step has ${first} rows, the queries ${extent(q)[0]}`);
  return { shape: q.shape, data };
}

function headOf(data: Float64Array, rows: number, width: number, start: number, headDim: number): Float64Array {
  if (width === headDim) return data.subarray(0, rows * headDim);
  const head = new Float64Array(rows * headDim);
  for (let row = 0; row < rows; row++) head.set(data.subarray(row * width + start, row * width + start + headDim), row * headDim);
  return head;
}

type Scoring = Pick<GraphAttrs['attention'], 'scale' | 'softCap'>;

/** softmax(cap(scale * q k^T)) v. Rows that see no key are 0. */
export const realHead = ({ scale, softCap }: Scoring): Head => (query, { keys, values, low, high, sink, slope = 0, position }, out) => {
  const d = query.length;
  if (high <= low) return;
  const dots = new Float64Array(high - low);
  plainDots(query, keys.subarray(low * d, high * d), d, { data: dots, pitch: 0, column: 0 });
  const scores = dots.map((dot, j) => (softCap === 0 ? dot * scale : softCap * Math.tanh((dot * scale) / softCap)) + slope * (low + j - position));
  const most = scores.reduce((max, score) => Math.max(max, score), sink);
  let sum = Math.exp(sink - most);
  for (let j = 0; j < scores.length; j++) {
    const p = Math.exp((scores[j] as number) - most);
    sum += p;
    for (let e = 0; e < d; e++) out[e] = (out[e] as number) + p * (values[(low + j) * d + e] as number);
  }
  for (let e = 0; e < d; e++) out[e] = (out[e] as number) / sum;
};

/** The attention unit's online softmax, base 2, in blocks of 128 keys counted from key 0. `exactValues`: values are e4m3. */
export const normativeHead = ({ scale, softCap }: Scoring, dots: Dots, exactValues: boolean): Head => {
  const { fround } = Math;
  const factor = fround(fround(scale) * 1.4426950408889634);
  const [single, cap] = [fround(scale), fround(softCap)];
  const scoreOf = (dot: number): number => (cap === 0 ? fround(dot * factor) : fround(fround(cap * activate('tanh', fround(fround(dot * single) / cap))) * log2e));
  const z = new Float64Array(blockKeys);
  const p = new Float64Array(blockKeys);
  return (query, { keys, values, low, high, sink, slope, position }, out) => {
    const d = query.length;
    const rise = slope === undefined ? undefined : fround(slope * log2e);
    let m = -Infinity;
    let l = 0;
    for (let block = Math.floor(low / blockKeys) * blockKeys; block < high; block += blockKeys) {
      const from = Math.max(low, block);
      const count = Math.min(high, block + blockKeys) - from;
      dots(query, keys.subarray(from * d, (from + count) * d), d, { data: z, pitch: 0, column: 0 });
      let most = m;
      for (let j = 0; j < count; j++) {
        const score = scoreOf(fround(z[j] as number));
        z[j] = rise === undefined ? score : fround(score + fround(rise * (from + j - position)));
        most = Math.max(most, z[j] as number);
      }
      const alpha = m === -Infinity ? 0 : exp2f(Math.fround(m - most));
      let sum = 0;
      for (let j = 0; j < count; j++) {
        const weight = toBf16(exp2f(Math.fround((z[j] as number) - most)));
        p[j] = weight < 2 ** -18 ? 0 : weight;
        sum += p[j] as number;
      }
      l = Math.fround(Math.fround(l * alpha) + Math.fround(sum));
      for (let e = 0; e < d; e++) {
        let part = 0;
        if (exactValues) for (let j = 0, at = from * d + e; j < count; j++, at += d) part += (p[j] as number) * (values[at] as number);
        else for (let j = 0, at = from * d + e; j < count; j++, at += d) part = Math.fround(part + (p[j] as number) * (values[at] as number));
        out[e] = Math.fround(Math.fround((out[e] as number) * alpha) + Math.fround(part));
      }
      m = most;
    }
    if (sink !== -Infinity) {
      const logit = fround(sink * log2e);
      const most = Math.max(m, logit);
      const alpha = m === -Infinity ? 0 : exp2f(fround(m - most));
      l = fround(fround(l * alpha) + exp2f(fround(logit - most)));
      for (let e = 0; e < d; e++) out[e] = fround((out[e] as number) * alpha);
    }
    for (let e = 0; e < d; e++) out[e] = l === 0 ? 0 : Math.fround((out[e] as number) / l);
  };
};
