import { volume } from '../../weight-expr.ts';
import type { PrimitiveAttrs } from '../ops.ts';
import { roundEven } from './casts.ts';
import { erf } from './numbers.ts';
import type { Tensor } from './tensor.ts';

/** Element-wise functions of one value, as ONNX has them; booleans are 0 and 1. */
export const unary: Readonly<Record<PrimitiveAttrs['punary']['fn'], (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  sqrt: Math.sqrt,
  reciprocal: (x) => 1 / x,
  exp: Math.exp,
  log: Math.log,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  erf,
  relu: (x) => Math.max(0, x),
  sin: Math.sin,
  cos: Math.cos,
  floor: Math.floor,
  ceil: Math.ceil,
  not: (x) => (x === 0 ? 1 : 0),
  isnan: (x) => (Number.isNaN(x) ? 1 : 0),
  sign: Math.sign,
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  round: roundEven,
};

/** Element-wise functions of two values. `whole`: of integers, where division truncates. */
export const binary: Readonly<Record<PrimitiveAttrs['pbinary']['fn'], (x: number, y: number, whole: boolean) => number>> = {
  add: (x, y) => x + y,
  sub: (x, y) => x - y,
  mul: (x, y) => x * y,
  div: (x, y, whole) => (whole ? Math.trunc(x / y) : x / y),
  pow: (x, y) => x ** y,
  min: (x, y) => Math.min(x, y),
  max: (x, y) => Math.max(x, y),
  /** The sign of the divisor, as Python and ONNX with fmod = 0. */
  mod: (x, y) => {
    const rest = x % y;
    return rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest;
  },
  equal: (x, y) => (x === y ? 1 : 0),
  less: (x, y) => (x < y ? 1 : 0),
  lessEqual: (x, y) => (x <= y ? 1 : 0),
  greater: (x, y) => (x > y ? 1 : 0),
  greaterEqual: (x, y) => (x >= y ? 1 : 0),
  and: (x, y) => (x !== 0 && y !== 0 ? 1 : 0),
  or: (x, y) => (x !== 0 || y !== 0 ? 1 : 0),
};

/** The shape operands broadcast to; throws where sizes differ and neither is 1. */
export function broadcastSizes(shapes: readonly (readonly number[])[]): readonly number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = new Set(shapes.map((shape) => shape[axis - rank + shape.length] ?? 1).filter((size) => size !== 1));
    if (sizes.size > 1) throw new Error(`shapes ${shapes.map((shape) => `[${shape.join(', ')}]`).join(', ')} do not broadcast`);
    return [...sizes][0] ?? 1;
  });
}

/** For each element of `shape` in row-major order, the position in `from` it is broadcast from. */
export function broadcastIndex(from: readonly number[], shape: readonly number[]): Int32Array {
  const strides = shape.map((_, axis) => {
    const own = axis - shape.length + from.length;
    return own < 0 || from[own] === 1 ? 0 : from.slice(own + 1).reduce((product, size) => product * size, 1);
  });
  return stridedIndex(shape, strides, 0);
}

/** Distance of neighbours along each axis of row-major data. */
export const stridesOf = (shape: readonly number[]): readonly number[] => shape.map((_, axis) => volume(shape.slice(axis + 1)));

/** Positions `base + sum index[i] * strides[i]` for every index of `shape` in row-major order. */
export function stridedIndex(shape: readonly number[], strides: readonly number[], base: number): Int32Array {
  let positions = Int32Array.of(base);
  shape.forEach((size, axis) => {
    const stride = strides[axis] as number;
    const next = new Int32Array(positions.length * size);
    for (let at = 0; at < positions.length; at++) for (let i = 0; i < size; i++) next[at * size + i] = (positions[at] as number) + i * stride;
    positions = next;
  });
  return positions;
}

/** Elements of a tensor at positions, in a new shape. */
export function pick({ data }: Tensor, positions: Int32Array, shape: readonly number[]): Tensor {
  // `TypedArray.from` with a function takes ten times as long as a loop.
  const picked = new Float64Array(positions.length);
  for (let i = 0; i < picked.length; i++) picked[i] = data[positions[i] as number] as number;
  return { shape, data: picked };
}

/** A tensor broadcast to a shape: itself if it has that. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  if (x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis])) return x;
  if (x.data.length === 1) return { shape, data: new Float64Array(volume(shape)).fill(x.data[0] as number) };
  return pick(x, broadcastIndex(x.shape, shape), shape);
}

/** A function of two or three broadcast operands, element by element. */
export function zip(operands: readonly [Tensor, Tensor] | readonly [Tensor, Tensor, Tensor], f: (a: number, b: number, c: number) => number): Tensor {
  const shape = broadcastSizes(operands.map((operand) => operand.shape));
  const [a, b, c = b] = operands.map((operand) => expand(operand, shape).data) as [Float64Array, Float64Array, Float64Array?];
  const data = new Float64Array(a.length);
  for (let i = 0; i < data.length; i++) data[i] = f(a[i] as number, b[i] as number, c[i] as number);
  return { shape, data };
}
