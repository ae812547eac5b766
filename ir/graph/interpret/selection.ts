import type { PrimitiveAttrs } from '../ops.ts';
import { broadcastIndex, broadcastSizes, stridedIndex, stridesOf } from './elementwise.ts';
import type { Tensor } from './tensor.ts';

/** Elements of data by an index along an axis for each; the other axes broadcast. */
export function pickAlong(data: Tensor, indices: Tensor, axis: number): Tensor {
  const others = broadcastSizes([data.shape.with(axis, 1), indices.shape.with(axis, 1)]);
  const shape = others.with(axis, indices.shape[axis] as number);
  const strides = stridesOf(data.shape);
  const [size, stride] = [data.shape[axis] as number, strides[axis] as number];
  const bases = stridedIndex(shape, strides.map((each, at) => (at === axis || data.shape[at] === 1 ? 0 : each)), 0);
  const places = broadcastIndex(indices.shape, shape);
  return { shape, data: Float64Array.from(bases, (base, i) => data.data[base + placeOf(indices.data[places[i] as number] as number, size) * stride] as number) };
}

const combine: Readonly<Record<PrimitiveAttrs['pscatter']['reduction'], (old: number, update: number) => number>> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  min: Math.min,
  max: Math.max,
};

/** Data with its elements at an index along an axis for each update written, in row-major order of the updates. */
export function scatterAlong(data: Tensor, indices: Tensor, updates: Tensor, { axis, reduction }: PrimitiveAttrs['pscatter']): Tensor {
  const strides = stridesOf(data.shape);
  const [size, stride] = [data.shape[axis] as number, strides[axis] as number];
  const result = data.data.slice();
  const places = broadcastIndex(indices.shape, updates.shape);
  const write = combine[reduction];
  stridedIndex(updates.shape, strides.with(axis, 0), 0).forEach((base, i) => {
    const at = base + placeOf(indices.data[places[i] as number] as number, size) * stride;
    result[at] = write(result[at] as number, updates.data[i] as number);
  });
  return { shape: data.shape, data: result };
}

/** Indices of a line's k best, best first; of equals the first comes first, and what is no number is above all. */
export function topOf(line: Float64Array, k: number, largest: boolean): Float64Array {
  if (k > line.length) throw new Error(`${k} of ${line.length} elements`);
  const order = Array.from(line, (_, i) => i).sort((a, b) => {
    const [x, y] = [line[a] as number, line[b] as number];
    const above = Number.isNaN(x) ? (Number.isNaN(y) ? 0 : 1) : Number.isNaN(y) ? -1 : Math.sign(x - y) || 0;
    return (largest ? -above : above) || a - b;
  });
  return Float64Array.from(order.slice(0, k));
}

function placeOf(index: number, size: number): number {
  const place = index < 0 ? index + size : index;
  if (!(place >= 0 && place < size)) throw new Error(`index ${index} of an axis of ${size}`);
  return place;
}
