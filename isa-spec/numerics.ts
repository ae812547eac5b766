import type { Format } from './fields.ts';
import type { Activation } from './instructions.ts';
import { decodeUe8m0, encodeUe8m0, toE5M2 } from './numerics-formats.ts';
import { powers } from './powers.ts';

/**
 * The scalar arithmetic of the machine, to the bit: conversions between formats and the functions of one value.
 * Everything here is built of IEEE double + - * / sqrt, comparisons and tables made of those, so it is the same on every
 * JavaScript engine; `Math.exp` and its like are only approximated by the language standard and are not used.
 */

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/**
 * Nearest bf16 value of any double, ties to even, one rounding only: a double that FP32 rounds onto the midpoint of two bf16
 * values is put back on its side. NaN stays NaN; beyond the largest value it is infinite.
 */
export const toBf16 = (x: number): number => {
  bits[0] = encodeBf16(x) << 16;
  return single[0]!;
};

/** The 16 bits of `toBf16(x)`; NaN is 0x7FC0. */
export const encodeBf16 = (x: number): number => {
  if (x !== x) return 0x7fc0;
  single[0] = x;
  const b = bits[0]!;
  if ((b & 0xffff) === 0x8000 && single[0] !== x) return Math.abs(x) > Math.abs(single[0]!) ? (b >>> 16) + 1 : b >>> 16;
  return (b & 0x7f800000) === 0x7f800000 ? b >>> 16 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
};

/** The value of 16 bits of bf16. */
export const decodeBf16 = (code: number): number => {
  bits[0] = code << 16;
  return single[0]!;
};

/** `2^52 * q`, where q is the distance of E4M3 values in [2^e, 2^(e+1)), for e from -6 to 8: adding and taking it away rounds to q. */
const e4m3Rounder = Float64Array.from({ length: 15 }, (_, e) => powers[1074 + 52 + e - 6 - 3]!);

/** Nearest E4M3 (FN) value of any double: ties to even, subnormals kept, saturating at +-448 (infinities too), NaN stays NaN. */
export const toE4M3 = (x: number): number => {
  if (x !== x) return NaN;
  single[0] = x;
  const b = bits[0]!;
  const e = ((b >>> 23) & 0xff) - 127;
  const rounder = e4m3Rounder[e < -6 ? 0 : e > 8 ? 14 : e + 6]!;
  const magnitude = x < 0 ? -x : x;
  const rounded = magnitude > 448 ? 448 : magnitude + rounder - rounder;
  return b >>> 31 === 1 ? -rounded : rounded;
};

/** The 8 bits of `toE4M3(x)`; NaN is 0x7F. */
export const encodeE4m3 = (x: number): number => {
  if (x !== x) return 0x7f;
  single[0] = toE4M3(x);
  const b = bits[0]!;
  const sign = (b >>> 24) & 0x80;
  const exponent = ((b >>> 23) & 0xff) - 120;
  if (exponent > 0) return sign | (exponent << 3) | ((b >>> 20) & 7);
  return sign | Math.abs(single[0]! * 512);
};

/** The value of each E4M3 (FN) code: S.EEEE.MMM, bias 7, S.1111.111 is NaN, no infinities. */
export const e4m3Values: Float64Array = Float64Array.from({ length: 256 }, (_, code) => {
  if ((code & 0x7f) === 0x7f) return NaN;
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  const magnitude = exponent === 0 ? mantissa * powers[1074 - 9]! : (8 + mantissa) * powers[1074 + exponent - 10]!;
  return code >= 0x80 ? -magnitude : magnitude;
});

/** The value of 8 bits of E4M3. */
export const decodeE4m3 = (code: number): number => e4m3Values[code]!;

/** Nearest i32: ties to even, saturating, NaN is 0. */
const toI32 = (x: number): number => {
  if (x !== x) return 0;
  if (x >= 2147483647) return 2147483647;
  if (x <= -2147483648) return -2147483648;
  return x + 6755399441055744 - 6755399441055744; // 1.5 * 2^52: doubles there are the integers
};

/** Nearest value of a format, ties to even; of ue8m0, the power of two not above. */
export const roundTo = (format: Format, x: number): number => {
  switch (format) {
    case 'f32':
      return Math.fround(x);
    case 'bf16':
      return toBf16(x);
    case 'e4m3':
      return toE4M3(x);
    case 'i32':
      return toI32(x);
    case 'e5m2':
      return toE5M2(x, 'saturate');
    case 'ue8m0':
      return decodeUe8m0(encodeUe8m0(x));
  }
};

export const ln2 = 0.6931471805599453;
const log2e = 1.4426950408889634;

/** `2^(i/32)`, by the Taylor series of e^y. */
export const exp2Roots = Float64Array.from({ length: 32 }, (_, i) => {
  const y = (i / 32) * ln2;
  let sum = 1;
  for (let k = 22; k >= 1; k--) sum = 1 + (sum * y) / k;
  return sum;
});

/** 2^x in double to about 3e-16: x = k + i/32 + r, |r| <= 1/64, and six terms of e^(r ln 2). */
const exp2 = (x: number): number => {
  if (x >= 1024) return Infinity;
  if (x < -1074) return 0;
  if (x !== x) return NaN;
  const n = Math.floor(x * 32 + 0.5);
  const i = n & 31;
  const y = (x - n / 32) * ln2;
  const p = 1 + y * (1 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))));
  const k = (n - i) / 32;
  return k > 1023 ? 2 * exp2Roots[i]! * p * powers[2097]! : exp2Roots[i]! * p * powers[k + 1074]!;
};

const exp = (x: number): number => exp2(x * log2e);

/** 2^x, one rounding to FP32. */
export const exp2f = (x: number): number => Math.fround(exp2(x));

/** e^x, one rounding to FP32. */
export const expf = (x: number): number => Math.fround(exp(x));

const sigmoid = (x: number): number => 1 / (1 + exp(-x));

/** x * sigmoid(scaled), its limit -0 at -Infinity. */
const gatedBySigmoid = (x: number, scaled: number): number => (x === -Infinity ? -0 : x * sigmoid(scaled));

/** tanh by its series near 0, where the quotient of exponentials would cancel. */
const tanh = (x: number): number => {
  if (Math.abs(x) < 0.05) {
    const s = x * x;
    return x * (1 + s * (-1 / 3 + s * (2 / 15 + s * (-17 / 315 + s * (62 / 2835)))));
  }
  const e = exp(2 * Math.abs(x));
  const magnitude = e === Infinity ? 1 : (e - 1) / (e + 1);
  return x < 0 ? -magnitude : magnitude;
};

const inverseSqrtPi = 0.5641895835477563;

/** erf(z) for 0 <= z < 3: 2/sqrt(pi) e^(-z^2) sum 2^n z^(2n+1) / (2n+1)!!, all terms positive (Abramowitz and Stegun 7.1.6). */
const erfSeries = (z: number): number => {
  const twice = 2 * z * z;
  let term = z;
  let sum = z;
  for (let odd = 3; term > sum * 1e-17; odd += 2) {
    term *= twice / odd;
    sum += term;
  }
  return 2 * inverseSqrtPi * exp(-z * z) * sum;
};

/** erfc(z) for z >= 3: e^(-z^2)/sqrt(pi) / (z + 1/2/(z + 1/(z + 3/2/(z + ...)))) (Abramowitz and Stegun 7.1.14). */
const erfcFraction = (z: number): number => {
  let tail = z;
  for (let k = 30; k >= 1; k--) tail = z + k / 2 / tail;
  return (exp(-z * z) * inverseSqrtPi) / tail;
};

/** x Phi(x), Phi the normal distribution function: accurate relative to its value far into the negative tail. */
const gelu = (x: number): number => {
  if (x === 0 || x !== x) return x;
  if (x === -Infinity) return -0;
  const z = Math.abs(x) * 0.7071067811865476;
  if (z < 3) return x * 0.5 * (x < 0 ? 1 - erfSeries(z) : 1 + erfSeries(z));
  return x * (x < 0 ? 0.5 * erfcFraction(z) : 1 - 0.5 * erfcFraction(z));
};

const sqrt2OverPi = 0.7978845608028654;

const functions: Readonly<Record<Activation, (x: number) => number>> = {
  none: (x) => x,
  relu: (x) => (x > 0 ? x : x !== x ? NaN : 0),
  silu: (x) => gatedBySigmoid(x, x),
  gelu,
  /** x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
  gelu_tanh: (x) => gatedBySigmoid(x, 2 * sqrt2OverPi * (x + 0.044715 * x * x * x)),
  tanh,
  sigmoid,
};

/** An activation of an FP32 value: computed in double, one rounding to FP32. */
export const activate = (fn: Activation, x: number): number => Math.fround(functions[fn](x));

/** pi/2 in three parts: two of at most 27 bits, whose products with a 26-bit integer are exact, and the rest. */
const halfPi = [1.570796325802803, 9.920935739593517e-10, 5.721188726109832e-18] as const;

/**
 * [cos, sin] of an angle in radians, each rounded once to FP32. Reduced by multiples of pi/2 (Cody and Waite) and summed by
 * Taylor series: the absolute error before rounding is below 1e-15 for |angle| <= 1e8. NaN if the angle is larger or not a number.
 */
export const cosSin = (angle: number): readonly [number, number] => {
  if (!(Math.abs(angle) <= 1e8)) return [NaN, NaN];
  const n = Math.floor(angle * 0.6366197723675814 + 0.5);
  const r = angle - n * halfPi[0] - n * halfPi[1] - n * halfPi[2];
  const s = r * r;
  let sin = 0;
  let cos = 0;
  for (let k = 9; k >= 1; k--) {
    sin = (1 + sin) * (-s / (2 * k * (2 * k + 1)));
    cos = (1 + cos) * (-s / (2 * k * (2 * k - 1)));
  }
  sin = Math.fround(r === 0 ? r : r + r * sin);
  cos = Math.fround(1 + cos);
  switch (((n % 4) + 4) % 4) {
    case 0:
      return [cos, sin];
    case 1:
      return [-sin, cos];
    case 2:
      return [-cos, -sin];
    default:
      return [sin, -cos];
  }
};
