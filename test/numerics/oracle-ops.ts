/** Whole operations, in the order the specification rounds them, on codes and exact rationals (see oracle.ts). */
import { exp2Value, fixedOf, turn, valueOf } from './oracle-functions.ts';
import {
  add, bf16, chainedDot, compare, decode, divide, e4m3, e5m2, encode, exact, exactDot, f64, type Layout, multiply, one,
  product, rational, type Single, single, squareRoot, subtract, sum, type Value, values, zero,
} from './oracle.ts';

const isZero = (code: Single): boolean => (code & 0x7fffffff) === 0;
const minusInfinity = 0xff800000;

/** The nearest value of a format, as its code. */
export const stored = (layout: Layout, code: Single): number => Number(encode(layout, exact(code)));
/** A decimal number as FP32: its double, then rounded. */
export const singleOf = (x: number): Single => single(fromDouble(x));
/** The exact value of a double, from its bits. */
export const fromDouble = (x: number): Value => {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  return decode(f64, view.getBigUint64(0));
};
const count = (n: number): Single => single(rational(BigInt(n)));

/** Sixteen sums, of elements j, j + 16, ...; then of halves. */
const laneSum = (x: readonly Single[]): Single => {
  let lanes = Array.from({ length: 16 }, (_, lane) => x.filter((__, i) => i % 16 === lane).reduce(add, 0));
  while (lanes.length > 1) {
    const half = lanes.length / 2;
    lanes = lanes.slice(0, half).map((lane, j) => add(lane, lanes[j + half]!));
  }
  return lanes[0]!;
};

const inverseRoot = (x: readonly Single[], epsilon: Single): Single => {
  const mean = divide(laneSum(x.map((v) => multiply(v, v))), count(x.length));
  return divide(single(one), squareRoot(add(mean, epsilon)));
};

/** One row of FP32 values. `beta` makes it a layer norm. */
export const norm = (x: readonly Single[], epsilon: Single, gamma: readonly Single[], beta: readonly Single[] | undefined): Single[] => {
  if (beta === undefined) {
    const r = inverseRoot(x, epsilon);
    return x.map((v, i) => multiply(multiply(v, r), gamma[i]!));
  }
  const mean = divide(laneSum(x), count(x.length));
  const centred = x.map((v) => subtract(v, mean));
  const r = inverseRoot(centred, epsilon);
  return centred.map((v, i) => add(multiply(multiply(v, r), gamma[i]!), beta[i]!));
};

/** Cosines, then sines, of a position: the angle is the double nearest to position * frequency. */
export const turns = (frequencies: readonly number[], position: number): Single[] => {
  const angles = frequencies.map((f) => {
    const angle = decode(f64, encode(f64, product(fromDouble(position), fromDouble(f))));
    if (angle.kind !== 'finite') throw new Error('an angle is a number');
    return turn(fixedOf(angle));
  });
  return [...angles.map(({ cos }) => single(valueOf(cos))), ...angles.map(({ sin }) => single(valueOf(sin)))];
};

/** One head, its first elements turned by the pairs of `table`, cosines first. */
export const rope = (x: readonly Single[], table: readonly Single[], interleaved: boolean): Single[] => {
  const pairs = table.length / 2;
  const out = [...x];
  for (let i = 0; i < pairs; i++) {
    const [first, second] = interleaved ? [2 * i, 2 * i + 1] : [i, i + pairs];
    const [a, b, cos, sin] = [x[first]!, x[second]!, table[i]!, table[pairs + i]!];
    out[first] = subtract(multiply(a, cos), multiply(b, sin));
    out[second] = add(multiply(b, cos), multiply(a, sin));
  }
  return out;
};

const maximum = (a: Single, b: Single): Single => {
  const [x, y] = [exact(a), exact(b)];
  if (x.kind === 'nan' || y.kind === 'nan') return 0x7fc00000;
  return compare(y, x) > 0 ? b : a;
};

const exp2 = (x: Single): Single => single(exp2Value(exact(x)));

/** 2^-18. */
const least: Value = rational(1n, 1n << 18n);

/** exp2(z - most) as BF16, small ones 0. */
const weightOf = (z: Single, most: Single): Value => {
  const p = decode(bf16, BigInt(stored(bf16, exp2(subtract(z, most)))));
  return p.kind === 'finite' && compare(p, least) < 0 ? zero : p;
};

const layouts = { e4m3, e5m2, bf16 } as const;

export type Head = {
  readonly format: keyof typeof layouts;
  /** Codes of one query; of keys and values, a row each. */
  readonly q: readonly number[];
  readonly k: readonly (readonly number[])[];
  readonly v: readonly (readonly number[])[];
  /** FP32(scale * log2 e). */
  readonly factor: Single;
  /** Keys it may see: [low, high). */
  readonly low: number;
  readonly high: number;
};

/** FP32(scale * log2 e), the product in double. */
export const factorOf = (scale: number): Single =>
  single(decode(f64, encode(f64, product(exact(singleOf(scale)), fromDouble(1.4426950408889634)))));

/** A softmax under way: its maximum, sum, and output. */
type Part = { readonly m: Single; readonly l: Single; readonly o: readonly Single[] };

/** What keys [from, to) come to, of those the head may see: the softmax in base 2, in blocks of 128 keys from key 0. */
const partOf = ({ format, q, k, v, factor, low, high }: Head, from: number, to: number): Part => {
  const layout = layouts[format];
  const dot = (a: readonly Value[], b: readonly Value[]): Single => (format === 'e4m3' ? single(exactDot(a, b)) : chainedDot(a, b));
  const query = values(layout, q);
  let part: Part = { m: minusInfinity, l: 0, o: v[0]!.map(() => 0) };
  for (let block = from; block < Math.min(to, high); block += 128) {
    const seen = k.map((_, j) => j).filter((j) => j >= block && j < block + 128 && j >= low && j < high);
    if (seen.length === 0) continue;
    const { m, l, o } = part;
    const z = seen.map((j) => multiply(dot(query, values(layout, k[j]!)), factor));
    const most = z.reduce(maximum, m);
    const alpha = m === minusInfinity ? 0 : exp2(subtract(m, most));
    const p = z.map((score) => weightOf(score, most));
    part = { m: most, l: add(multiply(l, alpha), single(p.reduce(sum, zero))), o: o.map((x, e) => add(multiply(x, alpha), dot(p, seen.map((j) => decode(layout, BigInt(v[j]![e]!)))))) };
  }
  return part;
};

/** Both scaled to the larger maximum; one that has seen nothing is left out. */
const addParts = (a: Part, b: Part): Part => {
  if (isZero(a.l)) return b;
  if (isZero(b.l)) return a;
  const most = maximum(a.m, b.m);
  const [left, right] = [a, b].map(({ m }) => (m === minusInfinity ? 0 : exp2(subtract(m, most)))) as [Single, Single];
  return { m: most, l: add(multiply(a.l, left), multiply(b.l, right)), o: a.o.map((x, e) => add(multiply(x, left), multiply(b.o[e]!, right))) };
};

/** One query head, its keys in parts of `partKeys`, added up in their order. */
export const attend = (head: Head, partKeys = head.k.length): Single[] => {
  const parts = Array.from({ length: Math.ceil(head.k.length / partKeys) }, (_, i) => partOf(head, i * partKeys, (i + 1) * partKeys));
  const { l, o } = parts.reduce(addParts);
  return o.map((x) => (isZero(l) ? 0 : divide(x, l)));
};
