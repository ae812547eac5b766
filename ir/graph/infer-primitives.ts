import { addDims, equalDims, parseDim, stepsAcross, subDims } from '../dims.ts';
import type { Dim, DType, TensorType } from '../types.ts';
import type { PrimitiveAttrs } from './ops.ts';

type Rule<K extends keyof PrimitiveAttrs> = (attrs: PrimitiveAttrs[K], operands: readonly TensorType[]) => readonly TensorType[];

/** Result types of the primitives, as NumPy and ONNX have them. Axes may be negative: they count from the last. */
export const primitiveRules: { readonly [K in keyof PrimitiveAttrs]: Rule<K> } = {
  pconst: explicit('pconst'),
  preshape: explicit('preshape'),
  pexpand: explicit('pexpand'),
  pcast: explicit('pcast'),
  piota: explicit('piota'),
  psizes: ({ sizes }) => [{ dtype: 'i64', shape: [sizes.length] }],
  punary: ({ fn }, operands) => {
    const [x] = take(operands, 1);
    return [{ dtype: fn === 'not' || fn === 'isnan' ? 'bool' : x.dtype, shape: x.shape }];
  },
  pbinary: ({ fn }, operands) => {
    const [x, y] = take(operands, 2);
    const dtype: DType = truths.has(fn) ? 'bool' : x.dtype;
    return [{ dtype, shape: broadcastShapes(x.shape, y.shape) }];
  },
  pwhere: (_, operands) => {
    const [condition, x, y] = take(operands, 3);
    return [{ dtype: x.dtype, shape: broadcastShapes(condition.shape, broadcastShapes(x.shape, y.shape)) }];
  },
  pmatmul: (_, operands) => {
    const [x, y] = take(operands, 2);
    if (x.shape.length < 2 || y.shape.length < 2) throw new Error('operands of pmatmul have at least two axes');
    const [rows, k] = x.shape.slice(-2) as [Dim, Dim];
    const [yk, columns] = y.shape.slice(-2) as [Dim, Dim];
    broadcastDim(k, yk, false);
    return [{ dtype: x.dtype, shape: [...broadcastShapes(x.shape.slice(0, -2), y.shape.slice(0, -2)), rows, columns] }];
  },
  preduce: ({ axes, keepDims }, operands) => {
    const [x] = take(operands, 1);
    const reduced = new Set(axes.map((axis) => axisOf(axis, x.shape.length)));
    const shape = x.shape.flatMap((dim, i) => (reduced.has(i) ? (keepDims ? [1] : []) : [dim]));
    return [{ dtype: x.dtype, shape }];
  },
  psoftmax: ({ axis }, operands) => alongAxis(axis, operands),
  pcumsum: ({ axis }, operands) => alongAxis(axis, operands),
  ptrilu: (_, operands) => alongAxis(-2, operands),
  ptranspose: ({ perm }, operands) => {
    const [x] = take(operands, 1);
    const fits = perm.length === x.shape.length && perm.toSorted((a, b) => a - b).every((axis, i) => axis === i);
    if (!fits) throw new Error(`[${perm.join(', ')}] does not permute ${x.shape.length} axes`);
    return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis] as Dim) }];
  },
  pslice: ({ axis, start, end, step }, operands) => {
    const [x] = take(operands, 1);
    return [{ dtype: x.dtype, shape: x.shape.with(axisOf(axis, x.shape.length), sliceLength(parseDim(start), parseDim(end), step)) }];
  },
  pconcat: ({ axis }, operands) => {
    const [first] = take(operands, operands.length);
    const at = axisOf(axis, first.shape.length);
    const length = operands.map((operand) => operand.shape[at] as Dim).reduce<Dim>(addDims, 0);
    for (const { shape } of operands) {
      if (shape.length !== first.shape.length) throw new Error(`pconcat of ranks ${first.shape.length} and ${shape.length}`);
      shape.forEach((dim, i) => i !== at && broadcastDim(dim, first.shape[i] as Dim, false));
    }
    return [{ dtype: first.dtype, shape: first.shape.with(at, length) }];
  },
  pgather: ({ axis }, operands) => {
    const [data, indices] = take(operands, 2);
    const at = axisOf(axis, data.shape.length);
    return [{ dtype: data.dtype, shape: [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)] }];
  },
  ppick: ({ axis }, operands) => {
    const [data, indices] = take(operands, 2);
    const at = axisOf(axis, data.shape.length);
    sameRank('ppick', operands);
    return [{ dtype: data.dtype, shape: broadcastShapes(data.shape.with(at, 1), indices.shape.with(at, 1)).with(at, indices.shape[at] as Dim) }];
  },
  pscatter: ({ axis }, operands) => {
    const [data, indices, updates] = take(operands, 3);
    const at = axisOf(axis, data.shape.length);
    sameRank('pscatter', operands);
    broadcastShapes(indices.shape, updates.shape).forEach((dim, i) => broadcastDim(dim, updates.shape[i] as Dim, false));
    const beyond = updates.shape.findIndex((dim, i) => i !== at && typeof dim === 'number' && typeof data.shape[i] === 'number' && dim > (data.shape[i] as number));
    if (beyond >= 0) throw new Error(`${updates.shape[beyond]} updates for an axis of ${data.shape[beyond]}`);
    return [data];
  },
  ptopk: ({ axis, k }, operands) => {
    const [x] = take(operands, 1);
    const at = axisOf(axis, x.shape.length);
    const [count, size] = [parseDim(k), x.shape[at] as Dim];
    if (typeof count === 'number' && (count < 0 || (typeof size === 'number' && count > size))) throw new Error(`${k} of ${size} elements`);
    return [{ dtype: 'i64', shape: x.shape.with(at, count) }];
  },
};

/** NumPy's broadcast of two shapes. Sizes that cannot be compared are taken to be equal at run time; a number wins over a name. */
export function broadcastShapes(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => broadcastDim(a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1, true));
}

/** An axis counted from the first. */
export function axisOf(axis: number, rank: number): number {
  const at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank) throw new Error(`axis ${axis} of a tensor of rank ${rank}`);
  return at;
}

const truths: ReadonlySet<string> = new Set(['equal', 'less', 'lessEqual', 'greater', 'greaterEqual', 'and', 'or']);

function broadcastDim(a: Dim, b: Dim, stretch: boolean): Dim {
  if (equalDims(a, b)) return a;
  if (stretch && a === 1) return b;
  if (stretch && b === 1) return a;
  if (typeof a === 'number' && typeof b === 'number') throw new Error(`sizes ${a} and ${b} differ`);
  return typeof b === 'number' ? b : a;
}

function sliceLength(start: Dim, end: Dim, step: number): Dim {
  const length = stepsAcross(subDims(end, start), step);
  return typeof length === 'number' ? Math.max(0, length) : length;
}

function alongAxis(axis: number, operands: readonly TensorType[]): readonly TensorType[] {
  const [x] = take(operands, 1);
  axisOf(axis, x.shape.length);
  return [x];
}

function sameRank(kind: string, operands: readonly TensorType[]): void {
  const ranks = operands.map(({ shape }) => shape.length);
  if (new Set(ranks).size > 1) throw new Error(`${kind} of ranks ${ranks.join(' and ')}`);
}

function take(operands: readonly TensorType[], count: number): readonly [TensorType, TensorType, TensorType] {
  if (operands.length !== count || count === 0) throw new Error(`${operands.length} operands where ${count === 0 ? 'some' : count} are wanted`);
  return operands as unknown as readonly [TensorType, TensorType, TensorType];
}

function explicit(kind: keyof PrimitiveAttrs): () => never {
  return () => {
    throw new Error(`the results of \`${kind}\` need explicit types`);
  };
}
