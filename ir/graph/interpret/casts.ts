import type { DType } from '../../types.ts';

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** The integer a number is nearest to, the even one of two. */
export function roundEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/** Rounds to `mantissa` bits after the leading one, exponents from `least` on, nothing beyond `most`. */
const nearest = (mantissa: number, least: number, most: number) => (x: number): number => {
  double[0] = x;
  const exponent = Math.max(least, (((words[1] as number) >>> 20) & 0x7ff) - 1023);
  const step = 2 ** (exponent - mantissa);
  return Number.isFinite(x) ? Math.min(most, Math.max(-most, roundEven(x / step) * step)) : Number.isNaN(x) ? NaN : Math.sign(x) * most;
};

/** The integer part, of which an integer of `bits` keeps the low ones; 0 of what is no number, as x86 and Arm have it. */
const wrapped = (bits: number, signed: boolean) => (x: number): number => {
  if (Number.isNaN(x)) return 0;
  const span = 2 ** bits;
  const low = Math.trunc(x) - span * Math.floor(Math.trunc(x) / span);
  return signed && low >= span / 2 ? low - span : low;
};

const same = (x: number): number => x;

/** What a number becomes when it is cast. Floats of 8 bits and fewer round (to nearest, ties to even, saturating), wider ones hold what they are given. */
export const casts: Readonly<Record<DType, (x: number) => number>> = {
  f64: same, f32: same, f16: same, bf16: same, e8m0: same,
  e4m3: nearest(3, -6, 448), e5m2: nearest(2, -14, 57344), e4m3fnuz: nearest(3, -7, 240), e5m2fnuz: nearest(2, -15, 57344), e2m1: nearest(1, 0, 6),
  i64: Math.trunc, i32: Math.trunc, i16: wrapped(16, true), i8: wrapped(8, true), i4: wrapped(4, true), i2: wrapped(2, true),
  u64: Math.trunc, u32: Math.trunc, u16: wrapped(16, false), u8: wrapped(8, false), u4: wrapped(4, false), u2: wrapped(2, false),
  bool: (x) => (x === 0 ? 0 : 1),
};

/** Whether a cast to it keeps every value. */
export const isWide = (dtype: DType): boolean => casts[dtype] === same;
