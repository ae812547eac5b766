import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Axes, type Factor, merged, offsets } from './axes.ts';
import { rowsOfHeads } from './elements.ts';
import { shortest } from './kept.ts';
import { findMask, findMemoryMask } from './mask.ts';
import { type Lifted, type Raising } from './raising.ts';
import { isolated, type RowNode, type View } from './rows.ts';
import { headNumbers, sinksOf } from './sinks.ts';
import type { Source } from './source.ts';
import { tidy } from '../recognise/tidy.ts';

/** A recognised attention, heads by where they lie in rows, and its mask by what it hides. */
export function liftAttention(op: OpOf<'tattention'>, raising: Raising): Lifted {
  const { source, known } = raising;
  const [left, middle, right, ...others] = op.operands as readonly [ValueId, ValueId, ValueId, ...ValueId[]];
  const [bias, sink] = op.attrs.biased ? others : [undefined, ...others];
  const [q, k, v] = [raising.view(left), ...[middle, right].map((side) => keptHeads(side, raising))];
  if (q === undefined || k === undefined || v === undefined) return undefined;
  const parts = headsOf(q, k, v);
  if (typeof parts === 'string') return parts;
  const { lead } = parts;
  const find = k.row.of === 'memory' ? findMemoryMask : findMask;
  const found = known.recall(`mask ${JSON.stringify(lead)} ${bias} ${source.type(left).shape.join()} ${source.type(middle).shape.join()} ${sink !== undefined}`, () => find(source, { q: left, k: middle, bias, sunk: sink !== undefined, heads: parts.heads, headDim: parts.headDim }, lead));
  if (typeof found === 'string') return found;
  const { heads, kvHeads, headDim } = parts;
  const sinks = sink === undefined ? undefined : sinksOf(source, sink, { q: left, lead, heads, headDim });
  if (sink !== undefined && sinks === undefined) return 'its sinks are not one number a head';
  const [keys, values] = k.row.of === 'memory' ? [] : [k.past ?? presentOf(source, middle), v.past ?? presentOf(source, right)];
  const cache = keys === undefined || values === undefined ? '' : raising.cacheOf(keys, values, { kvHeads, headDim });
  if (cache !== '') raising.sees(cache, found.window);
  const kept = Math.min(k.kept ?? Infinity, v.kept ?? Infinity);
  if (found.window === 0 || found.window > kept + 1) {
    if (kept < shortest) return `it sees only the last ${kept} cached rows, which is no window`;
    if (kept < Infinity) raising.limit(kept);
  }
  const scale = nearRoot(op.attrs.scale * q.scale * k.scale, headDim);
  const attrs = { heads, kvHeads, headDim, scale, softCap: op.attrs.softCap, sinks: sinks !== undefined, slopes: found.slopes !== undefined, mask: found.mask, window: found.window, cache };
  const row: RowNode = { kind: 'attention', attrs, rows: [parts.q, parts.k, parts.v], weights: [...(sinks === undefined ? [] : [sinks]), ...(found.slopes === undefined ? [] : [headNumbers('slopes', found.slopes)])], width: heads * headDim, of: 'tokens', from: [op] };
  return { row, layout: { base: 0, axes: outputAxes(q, headDim) }, scale: v.scale, past: undefined };
}

/** Keys or values: made of rows, or brought as they were kept. */
function keptHeads(value: ValueId, raising: Raising): View | undefined {
  const kept = rowsOfHeads(value, raising);
  return typeof kept === 'object' ? kept : raising.view(value);
}

/** The output of the source that keys or values are views of, if there is one. */
function presentOf(source: Source, value: ValueId): ValueId | undefined {
  let at: ValueId | undefined = value;
  while (at !== undefined && !source.module.body.yields.includes(at)) at = source.dominator(at);
  return at !== undefined && source.type(at).shape.length === 4 ? at : undefined;
}

/** Exporters split 1/sqrt(headDim) into FP32 factors; what is that number to FP32's precision is meant to be it. */
function nearRoot(scale: number, headDim: number): number {
  const root = 1 / Math.sqrt(headDim);
  return Math.abs(scale - root) < 5e-7 * root ? root : tidy(scale);
}

type Heads = { readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly q: RowNode; readonly k: RowNode; readonly v: RowNode; readonly lead: Axes };

/** q is [..., rows, d], k and v are [..., keys, d]; what leads are sequences and heads, and head h must read KV head floor(h / group). */
function headsOf(q: View, k: View, v: View): Heads | string {
  const sides = [q, k, v].map(isolated);
  const [qs, ks, vs] = sides;
  if (qs === undefined || ks === undefined || vs === undefined) return 'its heads are not regular parts of a row';
  const [qRows, qDims] = qs.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  const [kRows, kDims] = ks.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  const [vRows, vDims] = vs.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  const keyAxis = (side: View): 'row' | 'key' | 'memory' => (side.row.of === 'memory' ? 'memory' : side.past === undefined ? 'row' : 'key');
  if (qs.row.of === 'memory' || ks.row.of !== vs.row.of || !isRows(qRows, 'row') || !isRows(kRows, keyAxis(ks)) || !isRows(vRows, keyAxis(vs))) return 'its queries, keys and values are not rows of one sequence';
  if ((ks.past === undefined) !== (vs.past === undefined)) return 'only one of its keys and values continues a past';
  const sizes = [qDims, kDims, vDims].map((factors) => (factors.length === 1 && factors[0]?.axis === 'feature' && factors[0].stride === 1 ? factors[0].size : factors.length === 0 ? 1 : undefined));
  const [headDim] = sizes;
  if (headDim === undefined || sizes.some((size) => size !== headDim)) return `its queries, keys and values have heads of ${sizes.map((size) => size ?? 'irregular').join(', ')} features`;
  const lead = qs.layout.axes.slice(0, -2);
  const places = [qs, ks, vs].map((side) => headPlaces(spread(side.layout.axes.slice(0, -2), lead)));
  const [qPlaces, kPlaces, vPlaces] = places;
  if (qPlaces === undefined || kPlaces === undefined || vPlaces === undefined) return 'its leading axes are not sequences, then heads';
  const heads = qPlaces.length;
  const kvHeads = ks.row.width / headDim;
  const group = heads / kvHeads;
  const fits = (list: readonly number[]): boolean => list.length === heads && list.every((at, h) => at === Math.floor(h / group) * headDim);
  if (qs.row.width !== heads * headDim || !qPlaces.every((at, h) => at === h * headDim)) return 'its query heads are not in order';
  if (vs.row.width !== ks.row.width || !Number.isInteger(group) || !fits(kPlaces) || !fits(vPlaces)) return 'its KV heads are not shared by neighbouring query heads';
  return { heads, kvHeads, headDim, q: qs.row, k: ks.row, v: vs.row, lead };
}

const isRows = (factors: readonly Factor[], axis: 'row' | 'key' | 'memory'): boolean => factors.length === 0 || (factors.length === 1 && factors[0]?.axis === axis);

/** Leading axes as a product broadcasts them: where one side has a single head it is read again for each of the other's. */
const spread = (axes: Axes, wanted: Axes): Axes =>
  wanted.map((factors, i) => {
    const own = axes[i - wanted.length + axes.length] ?? [];
    return own.length > 0 ? own : factors.map((factor): Factor => (factor.axis === 'feature' ? { axis: 'repeat', size: factor.size } : factor));
  });

/** Feature offset of each head; sequences come first. */
function headPlaces(axes: Axes): readonly number[] | undefined {
  const factors = axes.flat();
  const rest = factors[0]?.axis === 'batch' ? factors.slice(1) : factors;
  return rest.some(({ axis, size }) => (axis !== 'feature' && axis !== 'repeat') || typeof size !== 'number') ? undefined : offsets(rest);
}

/** The axes of the queries, whose heads now lie in the rows of the result. */
function outputAxes(q: View, headDim: number): Axes {
  const lead = q.layout.axes.slice(0, -2);
  const heads = lead.flat().filter(({ axis }) => axis === 'feature');
  let stride = heads.reduce((product, { size }) => product * (size as number), headDim);
  const restrided = lead.map((factors) =>
    factors.map((factor): Factor => {
      if (factor.axis !== 'feature') return factor;
      stride /= factor.size;
      return { ...factor, stride };
    }),
  );
  return [...restrided, q.layout.axes.at(-2) as readonly Factor[], headDim === 1 ? [] : [{ axis: 'feature', size: headDim, stride: 1 }]];
}
