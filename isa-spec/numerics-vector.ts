import type { Activation, VectorFunction } from './instructions.ts';
import { activate, expf } from './numerics.ts';

/** The micro-operations of the vector unit, to the bit: FP32 values in, one out. */

const { fround } = Math;

type Binary = (t: number, operand: number) => number;
type BinaryName = Extract<VectorFunction, 'add' | 'multiply' | 'subtract' | 'subtract_from' | 'divide' | 'divide_into' | 'minimum' | 'maximum'>;
type Unary = (t: number) => number;

/** Of the value so far and an operand. `minimum` and `maximum` are NaN if either is, and order zeros: -0 is below +0. */
const binary: { readonly [F in BinaryName]: Binary } = {
  add: (t, y) => fround(t + y),
  multiply: (t, y) => fround(t * y),
  subtract: (t, y) => fround(t - y),
  subtract_from: (t, y) => fround(y - t),
  divide: (t, y) => fround(t / y),
  divide_into: (t, y) => fround(y / t),
  minimum: Math.min,
  maximum: Math.max,
};

const activation = (name: Activation): Unary => (t) => activate(name, t);

/** Of the value so far. `rsqrt` rounds twice, as a norm does. */
const unary: { readonly [F in Exclude<VectorFunction, BinaryName>]: Unary } = {
  copy: (t) => t,
  relu: activation('relu'), silu: activation('silu'), gelu: activation('gelu'), gelu_tanh: activation('gelu_tanh'), tanh: activation('tanh'), sigmoid: activation('sigmoid'),
  negate: (t) => -t,
  absolute: Math.abs,
  square: (t) => fround(t * t),
  exp: expf,
  sqrt: (t) => fround(Math.sqrt(t)),
  rsqrt: (t) => fround(1 / fround(Math.sqrt(t))),
  reciprocal: (t) => fround(1 / t),
};

/** Whether a micro-operation takes an operand. */
export const takesOperand = (name: VectorFunction): name is BinaryName => name in binary;

/** A micro-operation of the value so far and, if it takes one, an operand. */
export const microOperation = (name: VectorFunction): Binary => (takesOperand(name) ? binary[name] : unary[name]);
