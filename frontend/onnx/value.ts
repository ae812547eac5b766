import { addDims, degreesOf, divDims, equalDims, floorDims, leastOf, minDims, mulDims, subDims } from '../../ir/dims.ts';
import { binary, unary } from '../../ir/graph/interpret/elementwise.ts';
import type { PrimitiveAttrs } from '../../ir/graph/ops.ts';
import type { DType, Dim, ValueId } from '../../ir/types.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import { limits } from './limits.ts';

/**
 * A tensor while a graph is imported. `known`: every element, row-major, numbers or size expressions; `weight`: it is stored, or
 * made of what is. Such a tensor becomes an op only when one needs it. `parts`: it is a list of tensors, and no value of the module.
 * Else `id` is its value in the module.
 * `dtype` is what the source says; casts between floats make no op, so the module's type may be another float.
 */
export type Value = {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
  readonly known?: readonly Dim[];
  readonly weight?: StoredWeight;
  readonly parts?: readonly Value[];
  readonly id?: ValueId;
};

/** A weight as it is stored or made, whatever casts between floats have called it since. */
export type StoredWeight = { readonly dtype: DType; readonly shape: readonly number[]; readonly expr: WeightExpr };

/** Elements of a tensor of known values; larger ones are computed at run time. */
export const knownElements = 1024;

export const knownValue = (dtype: DType, shape: readonly number[], known: readonly Dim[]): Value => ({ dtype, shape, known });

/** What a node asks that this importer cannot express or that contradicts the rules of ONNX. */
export class CannotImport extends Error {
  readonly code: 'E1003' | 'E1004' | 'E3001';

  constructor(code: 'E1003' | 'E1004' | 'E3001', message: string) {
    super(message);
    this.name = 'CannotImport';
    this.code = code;
  }
}

/** The size of an axis, counted from the last if negative; there must be such an axis. */
export function dimAt({ shape }: { readonly shape: readonly Dim[] }, axis: number): Dim {
  const size = shape.at(axis);
  if (size === undefined) throw new CannotImport('E1003', `[${shape.join(', ')}] has no axis ${axis}`);
  return size;
}

type Sizes = { readonly 2: readonly [Dim, Dim]; readonly 3: readonly [Dim, Dim, Dim]; readonly 4: readonly [Dim, Dim, Dim, Dim]; readonly 5: readonly [Dim, Dim, Dim, Dim, Dim] };

/** The sizes of a tensor, whose rank must be that. */
export function dimsOf<R extends keyof Sizes>({ shape }: { readonly shape: readonly Dim[] }, rank: R): Sizes[R] {
  if (shape.length !== rank) throw new CannotImport('E1003', `[${shape.join(', ')}] is not of rank ${rank}`);
  return shape as unknown as Sizes[R];
}

/** f of one element; undefined if it is an expression f does not keep whole. */
export function foldUnary(fn: PrimitiveAttrs['punary']['fn'], x: Dim): Dim | undefined {
  if (typeof x === 'number') return unary[fn](x);
  if (fn === 'neg') return mulDims(-1, x);
  if (fn === 'floor' || fn === 'ceil' || fn === 'round') return x;
  if (fn === 'isnan') return 0;
  if (fn === 'abs' || fn === 'relu') return leastOf(x) >= 0 ? x : undefined;
  return fn === 'not' && leastOf(x) > 0 ? 0 : undefined;
}

/**
 * A size that is not too much to compute with: hostile graphs square sizes until nothing is left of memory. Real models
 * stay far below.
 */
export function soundDim(dim: Dim): Dim {
  if (typeof dim === 'number') return dim;
  const degrees = dim.length > 256 ? [] : degreesOf(dim);
  if (dim.length > 256 || degrees.length > 16 || Math.max(...degrees) > 5 || /[0-9]{16}|[0-9.]e/.test(dim)) {
    throw new CannotImport('E1004', `a size is too complicated: ${dim.slice(0, 64)}...`);
  }
  return dim;
}

/** The same of a shape and the number of its elements. */
export function soundShape(shape: readonly Dim[]): readonly Dim[] {
  if (shape.length > limits.rank) throw new CannotImport('E1004', `a tensor has rank ${shape.length}, more than ${limits.rank}`);
  for (const dim of shape) {
    soundDim(dim);
    if (typeof dim === 'number' && (!Number.isSafeInteger(dim) || dim < 0)) throw new CannotImport('E1003', `${dim} is not a size`);
  }
  const terms = shape.reduce<number>((product, dim) => product * degreesOf(dim).length, 1);
  if (terms > 256) throw new CannotImport('E1004', `a number of elements is too complicated: [${shape.join(', ').slice(0, 64)}...]`);
  if (isStatic(shape) && elementCount(shape) > limits.elements) throw new CannotImport('E1004', `a tensor of [${shape.join(', ')}] has more than ${limits.elements} elements`);
  return shape;
}

/** x fn y of elements; undefined if it depends on the sizes in a way no expression says. `whole`: integers. */
export function foldBinary(fn: PrimitiveAttrs['pbinary']['fn'], whole: boolean, x: Dim, y: Dim): Dim | undefined {
  const folded = foldExpressions(fn, whole, x, y);
  return folded === undefined ? undefined : soundDim(folded);
}

/** What is made of a size that may grow and a number, whichever is which. */
function bounded(x: Dim, y: Dim, make: (size: Dim, bound: number) => Dim): Dim | undefined {
  const [size, bound] = typeof y === 'number' ? [x, y] : [y, x];
  return typeof bound === 'number' && leastOf(size) > -Infinity ? make(size, bound) : undefined;
}

function foldExpressions(fn: PrimitiveAttrs['pbinary']['fn'], whole: boolean, x: Dim, y: Dim): Dim | undefined {
  if (typeof x === 'number' && typeof y === 'number') return whole && fn === 'div' && y === 0 ? undefined : binary[fn](x, y, whole);
  if (![x, y].every((each) => typeof each === 'string' || Number.isSafeInteger(each))) return undefined;
  const [above, below] = [leastOf(subDims(x, y)), leastOf(subDims(y, x))];
  const truth = (yes: boolean, no: boolean): Dim | undefined => (yes ? 1 : no ? 0 : undefined);
  switch (fn) {
    case 'add':
      return addDims(x, y);
    case 'sub':
      return subDims(x, y);
    case 'mul':
      return mulDims(x, y);
    case 'div':
      // Rounded towards zero, which is down where x is no less.
      return divDims(x, y) ?? (whole && leastOf(x) >= 0 ? floored(x, y) : undefined);
    case 'mod': {
      const quotient = divDims(x, y) ?? floored(x, y);
      return quotient === undefined ? undefined : subDims(x, mulDims(quotient, y));
    }
    case 'pow':
      return y === 2 ? mulDims(x, x) : y === 1 ? x : undefined;
    case 'equal':
      return truth(equalDims(x, y), above > 0 || below > 0);
    case 'less':
      return truth(below > 0, above >= 0);
    case 'lessEqual':
      return truth(below >= 0, above > 0);
    case 'greater':
      return truth(above > 0, below >= 0);
    case 'greaterEqual':
      return truth(above >= 0, below > 0);
    case 'max':
      return above >= 0 ? x : below >= 0 ? y : bounded(x, y, (size, bound) => subDims(addDims(size, bound), minDims(size, bound)));
    case 'min':
      return above >= 0 ? y : below >= 0 ? x : bounded(x, y, minDims);
    case 'and':
    case 'or':
      return undefined;
  }
}

const floored = (x: Dim, y: Dim): Dim | undefined => (typeof y === 'number' && y > 0 ? floorDims(x, y) : undefined);

/** Elements of a known tensor picked for each index of a shape: `from` says which one. Undefined if there are too many. */
export function pickKnown({ known }: Value, shape: readonly Dim[], from: (index: readonly number[]) => number): readonly Dim[] | undefined {
  if (known === undefined || !isStatic(shape) || elementCount(shape) > knownElements) return undefined;
  return Array.from(indicesOf(shape), (index) => known[from(index)] as Dim);
}

/** Elements of a known tensor, those at known indices along an axis replaced by known others. Undefined if there are too many. */
export function writtenKnown(data: Value, indices: Value, updates: Value, axis: number): readonly Dim[] | undefined {
  const places = indices.known;
  const size = data.shape[axis];
  if (data.known === undefined || updates.known === undefined || typeof size !== 'number' || places?.every((place) => typeof place === 'number') !== true || !isStatic(updates.shape) || elementCount(updates.shape) > knownElements) return undefined;
  const written = [...data.known];
  for (const index of indicesOf(updates.shape)) {
    const place = places[flatIndex(indices.shape, index)] as number;
    if (place < -size || place >= size) return undefined;
    written[flatAt(data.shape, index.with(axis, place < 0 ? place + size : place))] = updates.known[flatAt(updates.shape, index)] as Dim;
  }
  return written;
}

/** The indices of a shape, in row-major order. The same list each time: it is not to be kept. */
function* indicesOf(shape: readonly number[]): Generator<readonly number[]> {
  const index = shape.map(() => 0);
  for (let left = elementCount(shape); left > 0; left--) {
    yield index;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      index[axis] = 0;
    }
  }
}

export const isStatic = (shape: readonly Dim[]): shape is readonly number[] => shape.every((dim) => typeof dim === 'number');
export const elementCount = (shape: readonly number[]): number => shape.reduce((product, dim) => product * dim, 1);

/** Position in row-major data of `shape` of an index of a shape it broadcasts to. */
export function flatIndex(shape: readonly Dim[], index: readonly number[]): number {
  let at = 0;
  const skip = index.length - shape.length;
  shape.forEach((dim, axis) => {
    at = at * (dim as number) + (dim === 1 ? 0 : (index[axis + skip] as number));
  });
  return at;
}

/** Position in row-major data of an index of the same shape. */
export function flatAt(shape: readonly Dim[], index: readonly number[]): number {
  return shape.reduce<number>((at, dim, axis) => at * (dim as number) + (index[axis] as number), 0);
}
