import { divDims, equalDims, mulDims } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';

/**
 * A part of an axis: `batch` sequences, `row` the new rows of a sequence (those of one axis of an image `stride` apart), `key` its
 * cached and new rows, `memory` the rows it attends to besides, `feature` elements `stride` apart in a row, `repeat` the same element again, `element` elements of an input
 * that is not cut into rows yet. Parts of size 1 are not written down.
 */
export type Factor =
  | { readonly axis: 'batch' | 'key' | 'memory'; readonly size: Dim }
  | { readonly axis: 'row'; readonly size: Dim; readonly stride?: Dim }
  | { readonly axis: 'repeat'; readonly size: Dim }
  | { readonly axis: 'feature'; readonly size: number; readonly stride: number }
  | { readonly axis: 'element'; readonly size: Dim; readonly stride: Dim };

/** The parts of each axis of a tensor, outermost first. */
export type Axes = readonly (readonly Factor[])[];

/** A tensor whose elements are those of rows: feature `base` plus what its factors add. */
export type Layout = { readonly base: number; readonly axes: Axes };

export const transposed = (layout: Layout, perm: readonly number[]): Layout => ({ ...layout, axes: perm.map((axis) => layout.axes[axis] as readonly Factor[]) });

/** The same elements in the same order, cut into other axes; undefined where a cut falls within a part that cannot be cut. */
export function reshaped(layout: Layout, shape: readonly Dim[]): Layout | undefined {
  const rest: Factor[] = layout.axes.flat();
  const axes: Factor[][] = [];
  for (const size of shape) {
    const taken: Factor[] = [];
    let missing: Dim = size;
    while (!equalDims(missing, 1)) {
      const next = rest.shift();
      if (next === undefined) return undefined;
      const left = divDims(missing, next.size);
      if (left !== undefined) {
        taken.push(next);
        missing = left;
        continue;
      }
      const inner = divDims(next.size, missing);
      if (typeof inner !== 'number' || !isCuttable(next)) return undefined;
      taken.push(withSize(next, missing as number, inner));
      rest.unshift(withSize(next, inner, 1));
      missing = 1;
    }
    axes.push(taken);
  }
  return rest.length === 0 ? { ...layout, axes } : undefined;
}

const isCuttable = (factor: Factor): boolean => factor.axis !== 'batch' && factor.axis !== 'key' && factor.axis !== 'memory' && typeof factor.size === 'number';

/** How far apart the elements of a factor are in what it is a factor of. */
const strideOf = (factor: Factor): Dim => ('stride' in factor ? (factor.stride ?? 1) : 1);

/** `size` elements of a factor, each `step` apart. */
function withSize(factor: Factor, size: number, step: number): Factor {
  if (factor.axis === 'feature') return { ...factor, size, stride: factor.stride * step };
  if (factor.axis === 'element') return { ...factor, size, stride: mulDims(factor.stride, step) };
  return factor.axis === 'row' ? rowFactor(size, mulDims(strideOf(factor), step)) : { ...factor, size };
}

export const rowFactor = (size: Dim, stride: Dim): Factor => (equalDims(stride, 1) ? { axis: 'row', size } : { axis: 'row', size, stride });

/** Elements start, start + step, ... (count of them) of an axis of features; undefined for other axes and uneven cuts. */
export function strided(layout: Layout, axis: number, start: number, step: number, count: number): Layout | undefined {
  const factors = layout.axes[axis] as readonly Factor[];
  const [outer, ...inner] = factors;
  if (outer === undefined) return start === 0 && count === 1 ? layout : undefined;
  if (outer.axis !== 'feature' && outer.axis !== 'repeat') return undefined;
  const unit = volume(inner);
  if (typeof unit !== 'number' || typeof outer.size !== 'number') return undefined;
  if (inner.length === 0 || (start % unit === 0 && count % unit === 0 && step === 1)) {
    if (start + (count - 1) * step >= outer.size * unit) return undefined;
    const part = withSize(outer, count / unit, inner.length === 0 ? step : 1);
    const base = layout.base + (outer.axis === 'feature' ? (start / unit) * outer.stride : 0);
    return { base, axes: layout.axes.with(axis, part.size === 1 ? inner : [part, ...inner]) };
  }
  const first = Math.floor(start / unit);
  if (step !== 1 || Math.floor((start + count - 1) / unit) !== first || outer.axis !== 'feature') return undefined;
  return strided({ base: layout.base + first * outer.stride, axes: layout.axes.with(axis, inner) }, axis, start % unit, 1, count);
}

/** Repeated to a shape, as NumPy broadcasts. */
export function expanded(layout: Layout, from: readonly Dim[], to: readonly Dim[]): Layout {
  const missing = to.length - from.length;
  const axes = to.map((size, i): readonly Factor[] => {
    const factors = i < missing ? [] : (layout.axes[i - missing] as readonly Factor[]);
    const source = i < missing ? 1 : (from[i - missing] as Dim);
    return equalDims(source, 1) && !equalDims(size, 1) ? [{ axis: 'repeat', size }] : factors;
  });
  return { ...layout, axes };
}

const volume = (factors: readonly Factor[]): Dim => factors.reduce<Dim>((product, { size }) => mulDims(product, size), 1);

export const features = (factors: readonly Factor[]): readonly Extract<Factor, { axis: 'feature' }>[] =>
  factors.filter((factor): factor is Extract<Factor, { axis: 'feature' }> => factor.axis === 'feature');

/** Offsets of the elements of factors, outermost first, in features. Throws on factors of unknown size. */
export function offsets(factors: readonly Factor[]): readonly number[] {
  return factors.reduce<readonly number[]>((outer, factor) => {
    if (typeof factor.size !== 'number') throw new Error('internal: a factor of unknown size');
    const stride = factor.axis === 'feature' ? factor.stride : 0;
    return outer.flatMap((offset) => Array.from({ length: factor.size as number }, (_, i) => offset + i * stride));
  }, [0]);
}

/** Neighbouring features that make one run are one factor, and so are rows. */
export function merged(factors: readonly Factor[]): readonly Factor[] {
  const result: Factor[] = [];
  for (const factor of factors) {
    const last = result.at(-1);
    if (last?.axis === 'feature' && factor.axis === 'feature' && last.stride === factor.size * factor.stride) result[result.length - 1] = { axis: 'feature', size: last.size * factor.size, stride: factor.stride };
    else if (last?.axis === 'row' && factor.axis === 'row' && equalDims(strideOf(last), mulDims(factor.size, strideOf(factor)))) result[result.length - 1] = rowFactor(mulDims(last.size, factor.size), strideOf(factor));
    else result.push(factor);
  }
  return result;
}

/** Whether two tensors hold their elements alike; parts one of them lacks (a batch it does not depend on) are taken from the other. */
export function joined(a: Layout, b: Layout): Layout | undefined {
  if (a.base !== b.base) return undefined;
  const rank = Math.max(a.axes.length, b.axes.length);
  const axes: (readonly Factor[])[] = [];
  for (let i = 0; i < rank; i++) {
    const left = merged(a.axes[i - rank + a.axes.length] ?? []);
    const right = merged(b.axes[i - rank + b.axes.length] ?? []);
    const both = left.length === 0 && right.every(isShared) ? right : right.length === 0 && left.every(isShared) ? left : sameFactors(left, right) ? left : undefined;
    if (both === undefined) return undefined;
    axes.push(both);
  }
  return { base: a.base, axes };
}

const isShared = (factor: Factor): boolean => factor.axis === 'batch' || factor.axis === 'row' || factor.axis === 'memory';

const sameFactors = (a: readonly Factor[], b: readonly Factor[]): boolean =>
  a.length === b.length && a.every((factor, i) => factor.axis === (b[i] as Factor).axis && equalDims(factor.size, (b[i] as Factor).size) && equalDims(strideOf(factor), strideOf(b[i] as Factor)));
