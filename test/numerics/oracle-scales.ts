/** Quantisation of rows and blocks on FP32 codes, from the prose of the manual. */
import { compare, divide, e4m3, e5m2, encode, exact, type Finite, type Layout, one, quotient, rational, type Single, single, ue8m0, type Value, zero } from './oracle.ts';

/** Formats rows are quantised to: the layout, the largest number, the exponent of the power of two in it. */
export const targets = { e4m3: { layout: e4m3, largest: 448n, exponent: 8 }, e5m2: { layout: e5m2, largest: 57344n, exponent: 15 } } as const;
export type Target = keyof typeof targets;

const stored = (layout: Layout, value: Value): number => Number(encode(layout, value));
const power = (k: number): Finite => (k < 0 ? rational(1n, 1n << BigInt(-k)) : rational(1n << BigInt(k)));

/** The largest magnitude; NaN is largest of all. */
const largest = (x: readonly Single[]): Value =>
  x.map((code) => exact(code & 0x7fffffff)).reduce((most, v) => (most.kind === 'nan' || v.kind === 'nan' ? { kind: 'nan' } : compare(v, most) > 0 ? v : most), zero);

/** The FP32 scale of elements. */
export const scaleOf = (x: readonly Single[], format: Target, pow2 = false): Single => {
  const rounded = single(quotient(largest(x), rational(targets[format].largest)));
  const scale = rounded === 0 ? single(one) : rounded;
  const value = exact(scale);
  if (!pow2 || value.kind !== 'finite') return scale;
  let k = -127;
  while (compare(power(k), value) < 0) k++;
  return single(power(k));
};

/** Elements over an FP32 scale. */
export const codesBy = (x: readonly Single[], scale: Single, format: Target): number[] => x.map((v) => stored(targets[format].layout, exact(divide(v, scale))));

/** One row: its codes and the FP32 scale. */
export const quantise = (x: readonly Single[], format: Target = 'e4m3', pow2 = false): { readonly codes: number[]; readonly scale: Single } => {
  const scale = scaleOf(x, format, pow2);
  return { codes: codesBy(x, scale, format), scale };
};

export type Blocks = { readonly codes: number[]; readonly scales: number[] };
const each = (x: readonly Single[], size: number, of: (block: readonly Single[]) => { readonly codes: number[]; readonly scale: number }): Blocks => {
  const made = Array.from({ length: Math.ceil(x.length / size) }, (_, block) => of(x.slice(block * size, (block + 1) * size)));
  return { codes: made.flatMap(({ codes }) => codes), scales: made.map(({ scale }) => scale) };
};

/** An FP32 scale for 128 elements. */
export const quantiseBlocks = (x: readonly Single[], format: Target, pow2: boolean): Blocks => each(x, 128, (block) => quantise(block, format, pow2));

/** The UE8M0 code of a block: the power of two not above the largest magnitude, less the format's. */
const mxCode = (x: readonly Single[], format: Target): number => {
  const most = largest(x);
  if (most.kind !== 'finite') return 255;
  if (most.n === 0n) return 127;
  let k = -200;
  while (compare(power(k + 1), most) <= 0) k++;
  return Math.max(0, k - targets[format].exponent + 127);
};

/** A UE8M0 scale for 32 elements: the quotient is exact. */
export const quantiseMx = (x: readonly Single[], format: Target): Blocks =>
  each(x, 32, (block) => {
    const scale = mxCode(block, format);
    return { codes: block.map((v) => stored(targets[format].layout, quotient(exact(v), ue8m0(scale)))), scale };
  });
