/**
 * The arithmetic of the specification written a second time, naively, from its prose: every value is a code (the bits of a format), every
 * number in between an exact rational of BigInts. Shares no code with isa-spec and uses no floating-point operation.
 */

/** A number: (-1)^negative * n / d, n >= 0, d > 0. Zero has a sign. */
export type Finite = { readonly kind: 'finite'; readonly negative: boolean; readonly n: bigint; readonly d: bigint };
export type Value = Finite | { readonly kind: 'infinite'; readonly negative: boolean } | { readonly kind: 'nan' };

/**
 * A binary format of IEEE's make. `top`: what the codes of the largest exponent are. `ieee`: infinity and NaN; `e4m3`: numbers but for the
 * last, which is NaN. `saturates`: what is beyond the largest number becomes it.
 */
export type Layout = { readonly exponent: number; readonly mantissa: number; readonly top: 'ieee' | 'e4m3'; readonly saturates: boolean; readonly nan: number };

export const f64: Layout = { exponent: 11, mantissa: 52, top: 'ieee', saturates: false, nan: 0 };
export const f32: Layout = { exponent: 8, mantissa: 23, top: 'ieee', saturates: false, nan: 0x7fc00000 };
export const bf16: Layout = { exponent: 8, mantissa: 7, top: 'ieee', saturates: false, nan: 0x7fc0 };
export const e4m3: Layout = { exponent: 4, mantissa: 3, top: 'e4m3', saturates: true, nan: 0x7f };
export const e5m2: Layout = { exponent: 5, mantissa: 2, top: 'ieee', saturates: true, nan: 0x7e };
export const e5m2Infinite: Layout = { ...e5m2, saturates: false };

const nan: Value = { kind: 'nan' };
const infinite = (negative: boolean): Value => ({ kind: 'infinite', negative });
export const rational = (n: bigint, d = 1n): Finite => ({ kind: 'finite', negative: n < 0n, n: n < 0n ? -n : n, d });
const signed = ({ negative, n }: Finite): bigint => (negative ? -n : n);

const biasOf = ({ exponent }: Layout): number => 2 ** (exponent - 1) - 1;
/** The exponent of the least subnormal number: all values are multiples of 2 to it. */
const leastOf = (layout: Layout): number => 1 - biasOf(layout) - layout.mantissa;
const power = (k: number): bigint => 1n << BigInt(k);

/** The value of a code. */
export const decode = (layout: Layout, code: bigint): Value => {
  const { exponent: width, mantissa: fraction, top } = layout;
  const negative = code >> BigInt(width + fraction) === 1n;
  const exponent = Number((code >> BigInt(fraction)) & (power(width) - 1n));
  const mantissa = code & (power(fraction) - 1n);
  if (exponent === 2 ** width - 1) {
    if (top === 'ieee') return mantissa === 0n ? infinite(negative) : nan;
    if (mantissa === power(fraction) - 1n) return nan;
  }
  const n = exponent === 0 ? mantissa : mantissa + power(fraction);
  const scale = leastOf(layout) + Math.max(0, exponent - 1);
  return scale >= 0 ? { kind: 'finite', negative, n: n << BigInt(scale), d: 1n } : { kind: 'finite', negative, n, d: power(-scale) };
};

const bitsOf = (n: bigint): number => {
  const hex = n.toString(16);
  return 4 * (hex.length - 1) + (32 - Math.clz32(Number.parseInt(hex[0]!, 16)));
};

/** n / d to the nearest integer, ties to even. */
const nearest = (n: bigint, d: bigint): bigint => {
  const below = n / d;
  const twice = 2n * (n - below * d);
  return twice > d || (twice === d && below % 2n === 1n) ? below + 1n : below;
};

const largestOf = (layout: Layout): bigint => power(layout.exponent + layout.mantissa) - (layout.top === 'e4m3' ? 2n : power(layout.mantissa) + 1n);

/** The code nearest to a value, ties to even. */
export const encode = (layout: Layout, value: Value): bigint => {
  if (value.kind === 'nan') return BigInt(layout.nan);
  const sign = value.negative ? power(layout.exponent + layout.mantissa) : 0n;
  const largest = largestOf(layout);
  const beyond = sign + (layout.saturates ? largest : largest + 1n);
  if (value.kind === 'infinite') return beyond;
  const { n, d } = value;
  if (n === 0n) return sign;
  // 2^e <= n/d < 2^(e+1)
  let e = bitsOf(n) - bitsOf(d);
  if (e >= 0 ? n < d << BigInt(e) : n << BigInt(-e) < d) e--;
  const quantum = Math.max(leastOf(layout), e - layout.mantissa);
  const m = quantum >= 0 ? nearest(n, d << BigInt(quantum)) : nearest(n << BigInt(-quantum), d);
  // A subnormal m is the code; otherwise its leading bit adds one to the exponent's field, as does a carry.
  const code = (BigInt(quantum - leastOf(layout)) << BigInt(layout.mantissa)) + m;
  return code > largest ? beyond : sign + code;
};

/** Of exact values; what no number is follows IEEE 754. */
export const sum = (a: Value, b: Value): Value => {
  if (a.kind === 'nan' || b.kind === 'nan') return nan;
  if (a.kind === 'infinite') return b.kind === 'infinite' && a.negative !== b.negative ? nan : a;
  if (b.kind === 'infinite') return b;
  const n = signed(a) * b.d + signed(b) * a.d;
  return n === 0n ? { kind: 'finite', negative: a.negative && b.negative, n, d: 1n } : rational(n, a.d * b.d);
};
const negated = (a: Value): Value => (a.kind === 'nan' ? a : { ...a, negative: !a.negative });
export const product = (a: Value, b: Value): Value => {
  if (a.kind === 'nan' || b.kind === 'nan') return nan;
  const negative = a.negative !== b.negative;
  if (a.kind === 'finite' && b.kind === 'finite') return { kind: 'finite', negative, n: a.n * b.n, d: a.d * b.d };
  const zero = (a.kind === 'finite' && a.n === 0n) || (b.kind === 'finite' && b.n === 0n);
  return zero ? nan : infinite(negative);
};
export const quotient = (a: Value, b: Value): Value => {
  if (a.kind === 'nan' || b.kind === 'nan') return nan;
  const negative = a.negative !== b.negative;
  if (a.kind === 'infinite') return b.kind === 'infinite' ? nan : infinite(negative);
  if (b.kind === 'infinite') return { kind: 'finite', negative, n: 0n, d: 1n };
  if (b.n === 0n) return a.n === 0n ? nan : infinite(negative);
  return { kind: 'finite', negative, n: a.n * b.d, d: a.d * b.n };
};

/** The largest integer whose square is at most n. */
const integerRoot = (n: bigint): bigint => {
  if (n < 2n) return n;
  let root = power(Math.ceil(bitsOf(n) / 2));
  for (;;) {
    const next = (root + n / root) / 2n;
    if (next >= root) return root;
    root = next;
  }
};

/** A number that rounds to FP32 as the square root of `a` does: the root to 200 binary places, and half a place more if it is not exact. */
const root = (a: Value): Value => {
  if (a.kind === 'nan' || (a.kind === 'finite' && a.n === 0n)) return a;
  if (a.negative) return nan;
  if (a.kind === 'infinite') return a;
  const scaled = (a.n << 400n) / a.d;
  const places = integerRoot(scaled);
  const exact = places * places * a.d === a.n << 400n;
  return rational(2n * places + (exact ? 0n : 1n), power(201));
};

/** -1, 0 or 1 as a is less than, equal to or greater than b; neither may be NaN. */
export const compare = (a: Value, b: Value): number => {
  if (a.kind === 'nan' || b.kind === 'nan') throw new Error('NaN has no order');
  if (a.kind === 'infinite' || b.kind === 'infinite') {
    const rank = (v: Value): number => (v.kind === 'infinite' ? (v.negative ? -1 : 1) : 0);
    return rank(a) - rank(b);
  }
  const difference = signed(a) * b.d - signed(b) * a.d;
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
};

/** FP32 values as codes: 32 bits, unsigned. */
export type Single = number;
export const single = (value: Value): Single => Number(encode(f32, value));
export const exact = (code: Single): Value => decode(f32, BigInt(code));

/** One FP32 operation on FP32 codes. */
export const add = (a: Single, b: Single): Single => single(sum(exact(a), exact(b)));
export const subtract = (a: Single, b: Single): Single => single(sum(exact(a), negated(exact(b))));
export const multiply = (a: Single, b: Single): Single => single(product(exact(a), exact(b)));
export const divide = (a: Single, b: Single): Single => single(quotient(exact(a), exact(b)));
export const squareRoot = (a: Single): Single => single(root(exact(a)));

/** Codes of a format as values. */
export const values = (layout: Layout, codes: readonly number[]): Value[] => codes.map((code) => decode(layout, BigInt(code)));

export const zero: Value = rational(0n);
export const one: Value = rational(1n);

/** Profile X: the exact sum of products, a zero sum being +0. */
export const exactDot = (a: readonly Value[], b: readonly Value[]): Value => a.reduce((total, x, i) => sum(total, product(x, b[i]!)), zero);

/** Profile F: each exact product added to an FP32 sum, rounded, in order from +0. */
export const chainedDot = (a: readonly Value[], b: readonly Value[]): Single =>
  a.reduce((total, x, i) => single(sum(exact(total), product(x, b[i]!))), 0);

/** Blocks of `size` with a scale each: the exact sum of a block times FP32(scaleA * scaleB), FP32 each, added in order. */
export const blockDot = (a: readonly Value[], b: readonly Value[], scalesA: readonly Single[], scalesB: readonly Single[], size: number): Single =>
  scalesA.reduce((total, scale, block) => {
    const part = single(exactDot(a.slice(block * size, (block + 1) * size), b.slice(block * size, (block + 1) * size)));
    return add(total, multiply(part, multiply(scale, scalesB[block]!)));
  }, 0);

/** The value of a UE8M0 code. */
export const ue8m0 = (code: number): Value => (code === 255 ? nan : code >= 127 ? rational(power(code - 127)) : rational(1n, power(127 - code)));

/** MX: the exact sum of 32 products times both scales, rounded once to FP32, added in order; NaN if any scale is. */
export const mxDot = (a: readonly Value[], b: readonly Value[], codesA: readonly number[], codesB: readonly number[]): Single =>
  codesA.reduce((total, code, block) => {
    const part = exactDot(a.slice(block * 32, (block + 1) * 32), b.slice(block * 32, (block + 1) * 32));
    return add(total, single(product(part, product(ue8m0(code), ue8m0(codesB[block]!)))));
  }, 0);
