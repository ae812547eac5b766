/** The micro-operations of the vector unit on FP32 codes, from the prose of the manual. */
import type { VectorFunction } from '../../isa-spec/instructions.ts';
import { exponential, type Fixed, fixedOf, gelu, geluTanh, sigmoid, silu, tanh, valueOf } from './oracle-functions.ts';
import { add, compare, divide, exact, multiply, one, rational, type Single, single, squareRoot, subtract, type Value } from './oracle.ts';

const nan = 0x7fc00000;
const sign = 0x80000000;
const isNan = (code: Single): boolean => exact(code).kind === 'nan';

/** Which of two is the lesser; -0 is below +0. */
const lesser = (a: Single, b: Single): readonly [lesser: Single, greater: Single] => {
  const order = compare(exact(a), exact(b)) || (b >= sign ? 1 : 0) - (a >= sign ? 1 : 0);
  return order <= 0 ? [a, b] : [b, a];
};
const ordered = (a: Single, b: Single, which: 0 | 1): Single => (isNan(a) || isNan(b) ? nan : lesser(a, b)[which]);

/** A function of a finite number, by its limits elsewhere. A result that rounds to zero has the sign of `x` where the function is odd. */
const of = (f: (x: Fixed) => Fixed, low: Value, high: Value, signed: boolean) => (code: Single): Single => {
  const value = exact(code);
  if (value.kind === 'nan') return nan;
  const y = single(value.kind === 'finite' ? valueOf(f(fixedOf(value))) : value.negative ? low : high);
  return y === 0 && signed && value.negative ? sign : y;
};

const zero = rational(0n);
const infinity: Value = { kind: 'infinite', negative: false };
const minusOne = rational(-1n);

type Micro = (t: Single, operand: Single) => Single;

/** Each micro-operation of the value so far and its operand. */
const micro: { readonly [F in VectorFunction]: Micro } = {
  copy: (t) => t,
  add, subtract, multiply, divide,
  subtract_from: (t, y) => subtract(y, t),
  divide_into: (t, y) => divide(y, t),
  minimum: (t, y) => ordered(t, y, 0),
  maximum: (t, y) => ordered(t, y, 1),
  negate: (t) => (isNan(t) ? nan : (t ^ sign) >>> 0),
  absolute: (t) => (isNan(t) ? nan : t & 0x7fffffff),
  square: (t) => multiply(t, t),
  reciprocal: (t) => divide(single(one), t),
  sqrt: squareRoot,
  rsqrt: (t) => divide(single(one), squareRoot(t)),
  exp: of(exponential, zero, infinity, false),
  relu: (t) => (isNan(t) ? nan : t >= sign ? 0 : t),
  silu: of(silu, zero, infinity, true),
  gelu: of(gelu, zero, infinity, true),
  gelu_tanh: of(geluTanh, zero, infinity, true),
  tanh: of(tanh, minusOne, rational(1n), true),
  sigmoid: of(sigmoid, zero, rational(1n), false),
};

/** A chain on one element: those of two operands take y, then z, then z again. */
export const chain = (functions: readonly VectorFunction[], t: Single, operands: readonly Single[]): Single => {
  let taken = 0;
  const takes = (name: VectorFunction): boolean => micro[name].length === 2;
  return functions.reduce((value, name) => micro[name](value, takes(name) ? operands[Math.min(taken++, operands.length - 1)]! : 0), t);
};
