import { powerOfTwo } from './powers.ts';

/**
 * Conversions of E5M2, of the UE8M0 scales of MX blocks, and of INT8, which no instruction names.
 * As everywhere: to nearest, ties to even; subnormals kept.
 */

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** What becomes of a value beyond the largest finite one, and of an infinity. */
export type Overflow = 'saturate' | 'infinity';

/** The value of each E5M2 code: S.EEEEE.MM, bias 15, IEEE-like: S.11111.00 is infinite, the rest of that exponent NaN. */
export const e5m2Values: Float64Array = Float64Array.from({ length: 256 }, (_, code) => {
  const exponent = (code >> 2) & 31;
  const mantissa = code & 3;
  const sign = code >= 0x80 ? -1 : 1;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? mantissa * powerOfTwo(-16) : (4 + mantissa) * powerOfTwo(exponent - 17));
});

/** The value of 8 bits of E5M2. */
export const decodeE5m2 = (code: number): number => e5m2Values[code]!;

/** Halfway between the largest finite value, 57344, and the 65536 that would follow; a tie is even beyond. */
const e5m2Overflow = 61440;

/** Nearest E5M2 value of any double. Beyond +-57344 it saturates, or from +-61440 on it is infinite; NaN stays NaN. */
export const toE5M2 = (x: number, overflow: Overflow): number => {
  if (x !== x) return NaN;
  single[0] = x;
  const exponent = Math.max(-14, ((bits[0]! >>> 23) & 0xff) - 127);
  const magnitude = x < 0 ? -x : x;
  let rounded: number;
  if (magnitude >= e5m2Overflow) rounded = overflow === 'infinity' ? Infinity : 57344;
  else {
    const rounder = powerOfTwo(52 + exponent - 2); // the distance of doubles there is that of E5M2 values here
    rounded = magnitude + rounder - rounder;
  }
  return bits[0]! >>> 31 === 1 ? -rounded : rounded;
};

/** The 8 bits of `toE5M2`; NaN is 0x7E. */
export const encodeE5m2 = (x: number, overflow: Overflow): number => {
  if (x !== x) return 0x7e;
  single[0] = toE5M2(x, overflow);
  const b = bits[0]!;
  const sign = (b >>> 24) & 0x80;
  if ((b & 0x7f800000) === 0x7f800000) return sign | 0x7c;
  const exponent = ((b >>> 23) & 0xff) - 112;
  if (exponent > 0) return sign | (exponent << 2) | ((b >>> 21) & 3);
  return sign | Math.abs(single[0]! * 65536);
};

/** The code of a UE8M0 scale that is NaN. */
export const ue8m0NaN = 0xff;

/** The value of 8 bits of UE8M0: 2^(code - 127), a subnormal FP32 number for code 0; 0xFF is NaN. */
export const decodeUe8m0 = (code: number): number => (code === ue8m0NaN ? NaN : powerOfTwo(code - 127));

/** The UE8M0 code of the greatest power of two not above x, from 2^-127 to 2^127; NaN, infinities, zero and negative numbers are 0xFF. */
export const encodeUe8m0 = (x: number): number => {
  if (!(x > 0) || x === Infinity) return ue8m0NaN;
  let low = 0;
  let high = 254;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (decodeUe8m0(middle) <= x) low = middle;
    else high = middle - 1;
  }
  return low;
};

/** Nearest INT8 value: ties to even, saturating at -128 and 127, NaN is 0. */
export const toInt8 = (x: number): number => {
  if (x !== x) return 0;
  if (x >= 127) return 127;
  if (x <= -128) return -128;
  return x + 6755399441055744 - 6755399441055744 + 0; // 1.5 * 2^52: doubles there are the integers; -0 is 0
};
