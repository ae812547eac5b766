import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { findMask } from './attention.ts';
import { type Axes, type Factor, features, merged, offsets } from './axes.ts';
import { matrixOf, tidy, weightOf } from './constants.ts';
import { coneOf, evaluate, sample, scenarioOf, shapeUnder } from './evaluate.ts';
import { keyOf } from './known.ts';
import { findIndex, rowAxes } from './lookup.ts';
import { type Lifted, opsOf, type Raising } from './raising.ts';
import { isolated, type RowNode, type View } from './rows.ts';
import type { Source } from './source.ts';

/** A product with a constant matrix is a linear; with values, attention's second half. */
export function liftProduct(op: OpOf<'pmatmul'>, raising: Raising): Lifted {
  const { source } = raising;
  const [left, right] = op.operands as readonly [ValueId, ValueId];
  if (source.dependence(right) === 'constant') return liftLinear(op, raising);
  if (source.dependence(left) !== 'active' || source.dependence(right) !== 'active') return 'it multiplies activations by a matrix that depends on positions or masks';
  const weights = rootOf(source, left);
  return source.definition(weights)?.kind === 'psoftmax' ? liftAttention(op, weights, raising) : 'it multiplies activations with activations, and no softmax comes before it';
}

function liftLinear(op: OpOf<'pmatmul'>, raising: Raising): Lifted {
  const { source } = raising;
  const [left, right] = op.operands as readonly [ValueId, ValueId];
  const view = raising.view(left);
  if (view === undefined) return undefined;
  const x = lastAxisRows(view);
  if (x === undefined) return 'its operand does not have the features of a row along its last axis';
  const matrix = matrixOf(source, right);
  if (matrix === undefined) return `its second operand, [${source.type(right).shape.join(', ')}], is not one matrix`;
  const w = view.scale === 1 ? matrix : { ...matrix, name: `${matrix.name}*${view.scale}`, instances: matrix.instances.map((of): WeightExpr => ({ kind: 'scale', of, by: view.scale })) };
  const [width] = w.shape as readonly [number];
  const row: RowNode = { kind: 'linear', attrs: { activation: 'none', gated: false, scaled: false, bias: false, residual: false }, rows: [x], weights: [w], width, sampled: x.sampled, from: [op] };
  return { row, layout: { base: 0, axes: [...view.layout.axes.slice(0, -1), [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}

/** The rows of a view, its scale aside, whose last axis is all their features in order; its other axes have none. */
export function lastAxisRows(view: View): RowNode | undefined {
  const alone = isolated(view);
  if (alone === undefined || alone.past !== undefined || features(alone.layout.axes.slice(0, -1).flat()).length > 0) return undefined;
  const last = merged(alone.layout.axes.at(-1) ?? []);
  const [only] = last;
  const isWhole = last.length === 1 && only?.axis === 'feature' && only.size === alone.row.width && only.stride === 1;
  return isWhole || (last.length === 0 && alone.row.width === 1) ? alone.row : undefined;
}

/** The anchor a value is a function of, or the value itself where it is a function of several. */
function rootOf(source: Source, value: ValueId): ValueId {
  let at = value;
  for (let next = source.dominator(at); next !== undefined; next = source.dominator(at)) at = next;
  return at;
}

/** values^T softmax(mask(scale * scores)): the pieces by their places, heads by where they lie in rows. */
function liftAttention(op: OpOf<'pmatmul'>, weights: ValueId, raising: Raising): Lifted {
  const { source } = raising;
  const softmax = source.definition(weights) as OpOf<'psoftmax'>;
  const logits = softmax.operands[0] as ValueId;
  const rank = source.type(logits).shape.length;
  if ((softmax.attrs.axis + rank) % rank !== rank - 1) return 'its weights do not sum to one along the last axis';
  if (!keepsWeights(source, weights, op.operands[0] as ValueId)) return 'its weights are changed after the softmax';
  const scores = rootOf(source, logits);
  const product = source.definition(scores);
  if (product?.kind !== 'pmatmul') return 'what its softmax normalises is not a product of queries and keys';
  const [left, right] = product.operands as readonly [ValueId, ValueId];
  const q = raising.view(left);
  const k = raising.view(right);
  const v = raising.view(op.operands[1] as ValueId);
  if (q === undefined || k === undefined || v === undefined) return undefined;
  const parts = headsOf(q, k, v);
  if (typeof parts === 'string') return parts;
  const lead = q.layout.axes.slice(0, -2);
  const between = coneOf(source, logits, (value) => value === scores || source.dependence(value) !== 'active');
  const { text } = keyOf(source, scores, between, 'fixed');
  const found = raising.known.masks.recall(`${JSON.stringify(lead)} ${logits === scores} ${text}`, () => findMask(source, scores, logits, lead));
  if (typeof found === 'string') return found;
  const { heads, kvHeads, headDim } = parts;
  const [keys, values] = [k.past ?? presentOf(source, right), v.past ?? presentOf(source, op.operands[1] as ValueId)];
  const cache = keys === undefined || values === undefined ? '' : raising.cacheOf(keys, values, { kvHeads, headDim });
  const scale = nearRoot(found.scale * q.scale * k.scale, headDim);
  const from = [op, softmax, product, ...opsOf(source, between)];
  const attrs = { heads, kvHeads, headDim, scale, mask: found.mask, window: found.window, cache };
  const row: RowNode = { kind: 'attention', attrs, rows: [parts.q, parts.k, parts.v], weights: [], width: heads * headDim, sampled: false, from };
  return { row, layout: { base: 0, axes: outputAxes(q, headDim) }, scale: v.scale, past: undefined };
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

/** What comes between the softmax and the values keeps every row of weights: reshapes, casts, guards against NaN. */
function keepsWeights(source: Source, weights: ValueId, used: ValueId): boolean {
  if (weights === used) return true;
  const scenario = scenarioOf(source, { batch: 2, rows: 3, past: 2 });
  const shape = shapeUnder(source.type(weights).shape, scenario.sizes);
  const keys = shape.at(-1) as number;
  const positive = sample(shape, 3).data.map(Math.abs);
  const data = positive.map((value, i) => value / positive.subarray(i - (i % keys), i - (i % keys) + keys).reduce((a, b) => a + b, 0));
  const after = evaluate(source, used, scenario, new Map([[weights, { shape, data }]])).data;
  return after.length === data.length && after.every((value, i) => value === data[i]);
}

type Heads = { readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly q: RowNode; readonly k: RowNode; readonly v: RowNode };

/** q is [..., rows, d], k is [..., d, keys], v is [..., keys, d]; what leads are sequences and heads, and head h must read KV head floor(h / group). */
function headsOf(q: View, k: View, v: View): Heads | string {
  const sides = [q, k, v].map(isolated);
  const [qs, ks, vs] = sides;
  if (qs === undefined || ks === undefined || vs === undefined) return 'its heads are not regular parts of a row';
  const [qRows, qDims] = qs.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  const [kDims, kRows] = ks.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  const [vRows, vDims] = vs.layout.axes.slice(-2).map(merged) as [readonly Factor[], readonly Factor[]];
  if (!isRows(qRows, 'row') || !isRows(kRows, ks.past === undefined ? 'row' : 'key') || !isRows(vRows, vs.past === undefined ? 'row' : 'key')) return 'its queries, keys and values are not rows of one sequence';
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
  return { heads, kvHeads, headDim, q: qs.row, k: ks.row, v: vs.row };
}

const isRows = (factors: readonly Factor[], axis: 'row' | 'key'): boolean => factors.length === 0 || (factors.length === 1 && factors[0]?.axis === axis);

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

/** Rows of a constant table by a row list. */
export function liftLookup(op: OpOf<'pgather'>, raising: Raising): Lifted {
  const { source } = raising;
  const [table, index] = op.operands as readonly [ValueId, ValueId];
  const weight = weightOf(source, table);
  if (weight === undefined || weight.shape.length !== 2 || op.attrs.axis !== 0) return 'it looks up what is not the rows of a table';
  const axes = rowAxes(source, source.type(index).shape);
  if (axes === undefined) return `its index, [${source.type(index).shape.join(', ')}], is not one of each row`;
  const found = findIndex(source, index, axes);
  if (found === undefined) return 'its index is neither token ids nor positions nor token types';
  const [size, width] = weight.shape as readonly [number, number];
  const of = weight.instances[0] as WeightExpr;
  const rows: Weight = found.offset === 0 ? weight : { ...weight, name: `${weight.name}[${found.offset}:]`, shape: [size - found.offset, width], instances: [{ kind: 'slice', of, axis: 0, start: found.offset, end: size }] };
  const row: RowNode = { kind: 'embed', attrs: {}, rows: [found.feed], weights: [rows], width, sampled: false, from: [op] };
  return { row, layout: { base: 0, axes: [...axes, [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}

/** The first rows of a constant table, as many as there are positions: [.., positions, features]. */
export function liftPositions(op: OpOf<'pslice'>, raising: Raising): Lifted {
  const { source } = raising;
  const weight = weightOf(source, op.operands[0] as ValueId);
  const shape = source.type(op.results[0] as ValueId).shape;
  const axes = rowAxes(source, shape.slice(0, -1));
  const [size, width] = weight?.shape.slice(-2) ?? [];
  if (weight === undefined || size === undefined || width === undefined || axes === undefined || axes.flat().length !== 1 || weight.shape.slice(0, -2).some((each) => each !== 1)) return 'it is not a table of positions';
  const start = Number(op.attrs.start);
  const past = source.axes.past;
  const counts = past === undefined ? Number.isInteger(start) && start >= 0 : op.attrs.start === past;
  if (!counts) return 'the positions it starts from are not those of the rows';
  const offset = past === undefined ? start : 0;
  const of: WeightExpr = { kind: 'reshape', of: weight.instances[0] as WeightExpr, shape: [size, width] };
  const rows: Weight = { name: `${weight.name}[${offset}:]`, dtype: weight.dtype, shape: [size - offset, width], instances: [{ kind: 'slice', of, axis: 0, start: offset, end: size }] };
  const row: RowNode = { kind: 'embed', attrs: {}, rows: ['positions'], weights: [rows], width, sampled: false, from: [op] };
  return { row, layout: { base: 0, axes: [...axes, [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}
