/**
 * Functions of one value to hundreds of binary places, by series in BigInts. A number is an integer count of 2^-places.
 * The series are chosen for being obvious, not fast, and other than those of the specification where there is a choice.
 */
import { type Finite, rational, type Value } from './oracle.ts';

const places = 448n;
/** 1. */
const unit = 1n << places;

export type Fixed = bigint;
const times = (a: Fixed, b: Fixed): Fixed => (a * b) >> places;
const over = (a: Fixed, b: Fixed): Fixed => (a << places) / b;

/** A finite value, cut to the places there are: all FP32 values are exact. */
export const fixedOf = ({ negative, n, d }: Finite): Fixed => ((negative ? -n : n) << places) / d;
export const valueOf = (x: Fixed): Finite => rational(x, unit);
/** The most places of a number as a double holds, for printing: x * 2^scale as an integer. */
export const scaled = (x: Fixed, scale: number): bigint => x >> (places - BigInt(scale));

/** e^x: Taylor's series of x / 2^32, squared 32 times with 64 places more. */
const exp = (x: Fixed): Fixed => {
  const more = 64n;
  const small = x << (more - 32n);
  const full = places + more;
  let term = 1n << full;
  let sum = term;
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    term = ((term * small) >> full) / k;
    sum += term;
  }
  for (let i = 0; i < 32; i++) sum = (sum * sum) >> full;
  return sum >> more;
};

/** ln 2 = sum 1 / (k 2^k). */
const ln2 = ((): Fixed => {
  let sum = 0n;
  for (let k = 1n; k < places; k++) sum += (unit >> k) / k;
  return sum;
})();

const arctangentOfInverse = (m: bigint): Fixed => {
  let sum = 0n;
  let part = unit / m;
  for (let k = 1n; part !== 0n; k += 2n) {
    sum += (k % 4n === 1n ? part : -part) / k;
    part /= m * m;
  }
  return sum;
};

/** Machin: pi = 16 arctan 1/5 - 4 arctan 1/239. */
const pi: Fixed = 16n * arctangentOfInverse(5n) - 4n * arctangentOfInverse(239n);

const squareRoot = (x: Fixed): Fixed => {
  let root = x > unit ? x : unit;
  for (;;) {
    const next = (root + over(x, root)) / 2n;
    if (next >= root) return root;
    root = next;
  }
};
const sqrt2 = squareRoot(2n * unit);
const sqrtPi = squareRoot(pi);
const sqrt2OverPi = squareRoot(over(2n * unit, pi));

/** Below -250, e^x is below 2^-360: nothing an FP32 result could show. */
const limit = 250n * unit;

/** e^x: beyond FP32 above 250, and below what rounds to one under -250. */
export const exponential = (x: Fixed): Fixed => {
  if (x > limit) return unit << 300n;
  return x < -limit ? 0n : exp(x);
};

export const exp2 = (x: Fixed): Fixed => {
  if (x > 300n * unit) return unit << 300n;
  const whole = x >> places; // the rest is in [0, 1)
  const rest = exp(times(x - (whole << places), ln2));
  return whole >= 0n ? rest << whole : rest >> -whole;
};

export const sigmoid = (x: Fixed): Fixed => {
  if (x > limit) return unit;
  if (x < -limit) return 0n;
  return over(unit, unit + exp(-x));
};
export const silu = (x: Fixed): Fixed => times(x, sigmoid(x));

export const tanh = (x: Fixed): Fixed => {
  if (x > limit) return unit;
  if (x < -limit) return -unit;
  const e = exp(2n * x);
  return over(e - unit, e + unit);
};

/** 2/sqrt(pi) sum (-1)^n z^(2n+1) / (n! (2n+1)); terms grow to e^(z^2), so |z| is kept to 12.1, where they leave 230 places. */
const erf = (z: Fixed): Fixed => {
  const square = times(z, z);
  let power = z;
  let sum = 0n;
  for (let n = 0n; power !== 0n && power !== -1n; n++) {
    sum += power / (2n * n + 1n);
    power = -times(power, square) / (n + 1n);
  }
  return over(2n * sum, sqrtPi);
};

/** x Phi(x). Below -17, it is below 2^-208. */
export const gelu = (x: Fixed): Fixed => {
  if (x > 17n * unit) return x;
  if (x < -17n * unit) return 0n;
  return times(x, unit + erf(over(x, sqrt2))) / 2n;
};

/** x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
export const geluTanh = (x: Fixed): Fixed => {
  if (x > 100n * unit) return x;
  if (x < -100n * unit) return 0n;
  const cubic = x + (times(times(x, x), x) * 44715n) / 1000000n;
  return times(x, sigmoid(2n * times(sqrt2OverPi, cubic)));
};

/** cos and sin by Taylor's series of the angle less the nearest multiple of 2 pi. */
export const turn = (angle: Fixed): { readonly cos: Fixed; readonly sin: Fixed } => {
  const turns = (angle + pi) / (2n * pi) - (angle + pi < 0n ? 1n : 0n);
  const r = angle - turns * 2n * pi;
  let term = unit;
  let [cos, sin] = [0n, 0n];
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    if (k % 2n === 1n) cos += k % 4n === 1n ? term : -term;
    else sin += k % 4n === 2n ? term : -term;
    term = times(term, r) / k;
  }
  return { cos, sin };
};

/** 2^x of a finite value as FP32 has it, or its limits. */
export const exp2Value = (x: Value): Value => {
  if (x.kind === 'nan') return x;
  if (x.kind === 'infinite') return x.negative ? rational(0n) : x;
  return valueOf(exp2(fixedOf(x)));
};
