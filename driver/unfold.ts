import { evaluateDim, sizesOf } from '../ir/dims.ts';
import type { Stride, Unfold } from '../ir/graph/module.ts';
import type { Dim } from '../ir/types.ts';

/** A tensor of a source: its shape, and its elements row-major. */
export type Elements = { readonly shape: readonly number[]; readonly data: ArrayLike<number> };

/** Why a tensor, or a number of rows, is none an input can be made of. */
export class UnfoldError extends Error {}

type Sizes = ReadonlyMap<string, number>;

/** The sizes a shape names, as a tensor has them. */
export function sizesIn(shape: readonly Dim[], tensor: Elements, name: string): Sizes {
  const sizes = new Map<string, number>();
  const fits = shape.length === tensor.shape.length && shape.every((dim, i) => {
    const size = tensor.shape[i] as number;
    if (typeof dim === 'string' && sizesOf(dim)[0] === dim && !sizes.has(dim)) sizes.set(dim, size);
    return sizesOf(dim).some((each) => !sizes.has(each)) || evaluateDim(dim, sizes) === size;
  });
  if (!fits || tensor.data.length !== tensor.shape.reduce((product, size) => product * size, 1)) throw new UnfoldError(`\`${name}\` is [${shape.join(', ')}], not [${tensor.shape.join(', ')}]`);
  return sizes;
}

/** The rows of one sequence, row-major, as `Unfold` has it. */
export function rowsOf(unfold: Unfold, tensor: Elements, sequence: number): Float64Array {
  const sizes = sizesIn(unfold.shape, tensor, unfold.tensor);
  const [rows, columns] = [offsets(unfold.rows, sizes), offsets(unfold.columns, sizes)];
  const base = sequence * evaluateDim(unfold.batch.stride, sizes);
  const data = new Float64Array((unfold.before + rows.length) * columns.length);
  rows.forEach((row, r) => columns.forEach((column, c) => (data[(unfold.before + r) * columns.length + c] = tensor.data[base + row + column] as number)));
  return data;
}

/** The tensor of one sequence that rows were made of; elements no row has are 0. */
export function tensorOf(unfold: Unfold, data: Float64Array): Elements {
  const width = widthOf(unfold);
  const sizes = sizesOfRows(unfold, data.length / width - unfold.before);
  const [rows, columns] = [offsets(unfold.rows, sizes), offsets(unfold.columns, sizes)];
  const shape = unfold.shape.map((dim, axis) => (axis === 0 && unfold.shape.length > 2 ? 1 : evaluateDim(dim, sizes)));
  const elements = new Float64Array(shape.reduce((product, size) => product * size, 1));
  rows.forEach((row, r) => columns.forEach((column, c) => (elements[row + column] = data[(unfold.before + r) * width + c] as number)));
  return { shape, data: elements };
}

/** Features of a row. */
export const widthOf = ({ columns }: Unfold): number => columns.reduce((product, { size }) => product * (size as number), 1);

/** How many rows each sequence has; undefined where that is up to who runs it. */
export function fixedRows(unfold: Unfold): number | undefined {
  const count = unfold.rows.reduce((product, { size }) => product * (typeof size === 'number' ? size : NaN), 1);
  return Number.isNaN(count) ? undefined : unfold.before + count;
}

/** What named sizes are where there are `count` rows. */
function sizesOfRows({ rows, tensor }: Unfold, count: number): Sizes {
  const known = rows.reduce((product, { size }) => product * (typeof size === 'number' ? size : 1), 1);
  const named = rows.flatMap(({ size }) => (typeof size === 'string' ? [size] : []));
  const [name] = named;
  if (name === undefined) return new Map();
  if (named.length > 1 || sizesOf(name)[0] !== name) throw new UnfoldError(`how large \`${tensor}\` is does not follow from its rows`);
  return new Map([[name, count / known]]);
}

/** Where the elements over some strides are, row-major. */
const offsets = (strides: readonly Stride[], sizes: Sizes): readonly number[] =>
  strides.reduce<readonly number[]>((outer, { size, stride }) => {
    const step = evaluateDim(stride, sizes);
    return outer.flatMap((at) => Array.from({ length: evaluateDim(size, sizes) }, (_, i) => at + i * step));
  }, [0]);
