import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import { mulDims } from '../../ir/dims.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { features, type Layout, offsets } from './axes.ts';
import { constantOf, coneOf } from './evaluate.ts';
import type { Source } from './source.ts';

/** Constants no larger than this are written out where no expression over the source's tensors makes them. */
const writtenOut = 1 << 20;

/** A value that depends on nothing as a weight of the program: an expression over the source's tensors if one makes it, else its numbers. */
export function weightOf(source: Source, value: ValueId): Weight | undefined {
  if (source.dependence(value) !== 'constant') return undefined;
  const { dtype, shape: dims } = source.type(value);
  if (dims.some((size) => typeof size !== 'number')) return undefined;
  const shape = dims as readonly number[];
  const expr = exprOf(source, value);
  if (expr !== undefined) return { name: nameOf(source, value), dtype, shape, instances: [expr] };
  if (shape.reduce((product, size) => product * size, 1) > writtenOut) return undefined;
  const data = (constantOf(source, value) as Tensor).data;
  return { name: nameOf(source, value), dtype, shape, instances: [{ kind: 'values', shape, values: [...data] }] };
}

function exprOf(source: Source, value: ValueId): WeightExpr | undefined {
  const op = source.definition(value);
  const of = op?.operands[0] === undefined ? undefined : exprOf(source, op.operands[0]);
  const shape = source.type(value).shape as readonly number[];
  switch (op?.kind) {
    case 'weight':
      return source.module.weights.find((weight) => weight.name === op.attrs.name)?.instances[0];
    case 'pconst':
      return op.attrs.values.length === 1 ? { kind: 'values', shape, values: op.attrs.values } : undefined;
    case 'pcast':
      return of;
    case 'preshape':
      return of === undefined ? undefined : { kind: 'reshape', of, shape };
    case 'ptranspose':
      return of === undefined || !op.attrs.perm.every((axis, i) => axis === op.attrs.perm.length - 1 - i) ? undefined : transpose(of);
    case 'pslice': {
      const axis = op.attrs.axis < 0 ? op.attrs.axis + shape.length : op.attrs.axis;
      return of === undefined || op.attrs.step !== 1 ? undefined : { kind: 'slice', of, axis, start: Number(op.attrs.start), end: Number(op.attrs.start) + (shape[axis] as number) };
    }
    default:
      return undefined;
  }
}

export const transpose = (of: WeightExpr): WeightExpr => (of.kind === 'transpose' ? of.of : { kind: 'transpose', of });

/** The name of the source's tensor a constant is made of, made unlike the names of other constants by its value's number. */
function nameOf(source: Source, value: ValueId): string {
  const [first, ...others] = coneOf(source, value, () => false).flatMap((each) => {
    const op = source.definition(each);
    return op?.kind === 'weight' ? [op.attrs.name] : [];
  });
  const isItself = source.definition(value)?.kind === 'weight';
  return first === undefined ? `constant.${value}` : isItself && others.length === 0 ? first : `${first}~${value}`;
}

/** A [k, n] operand of a product as the [n, k] rows of a linear; leading axes of size 1 are dropped. */
export function matrixOf(source: Source, value: ValueId): Weight | undefined {
  const weight = weightOf(source, value);
  if (weight === undefined || weight.shape.slice(0, -2).some((size) => size !== 1)) return undefined;
  const [k, n] = weight.shape.slice(-2) as [number, number];
  const expr = weight.instances[0] as WeightExpr;
  const flat: WeightExpr = weight.shape.length === 2 ? expr : { kind: 'reshape', of: expr, shape: [k, n] };
  return { name: `${weight.name}.T`, dtype: weight.dtype, shape: [n, k], instances: [transpose(flat)] };
}

/** A constant of `width` elements as a vector of them, in row-major order; undefined for others. */
export function vectorOf(source: Source, value: ValueId, width: number): Weight | undefined {
  const { shape } = source.type(value);
  if (shape.reduce<Dim>(mulDims, 1) !== width) return undefined;
  const weight = weightOf(source, value);
  if (weight === undefined || shape.length === 1) return weight;
  return { ...weight, name: `${weight.name}~`, shape: [width], instances: weight.instances.map((of) => ({ kind: 'reshape', of, shape: [width] })) };
}

/** A parameter that broadcasts to `layout` as one number for each of `width` features: it may be the same for each group of them. */
export function parameterOf(source: Source, value: ValueId, { axes }: Layout, { width, group }: { readonly width: number; readonly group: number }): Weight | undefined {
  const { shape } = source.type(value);
  const varying = axes.slice(axes.length - shape.length).flatMap((factors, i) => (shape[i] === 1 ? [] : factors));
  const own = features(varying).reduce((product, { size }) => product * size, 1);
  const ordered = varying.every(({ axis }) => axis === 'feature') && offsets(varying).every((at, i) => at === i);
  if (!ordered || own % group > 0) return undefined;
  const weight = vectorOf(source, value, own);
  if (weight === undefined || own === width) return weight;
  const [of] = weight.instances as readonly [WeightExpr];
  return { ...weight, name: `${weight.name}x${width / own}`, shape: [width], instances: [{ kind: 'concat', axis: 0, of: Array.from({ length: width / own }, () => of) }] };
}

/** The number a constant holds in all its elements. */
export function scalarOf(source: Source, value: ValueId): number | undefined {
  const { shape } = source.type(value);
  if (source.dependence(value) !== 'constant' || shape.some((size) => typeof size !== 'number')) return undefined;
  const volume = (shape as readonly number[]).reduce((product, size) => product * size, 1);
  if (volume > 65_536 || volume === 0) return undefined;
  const { data } = constantOf(source, value) as Tensor;
  return data.every((number) => number === data[0]) ? data[0] : undefined;
}
