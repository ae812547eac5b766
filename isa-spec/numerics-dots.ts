import type { BlockScaling } from './instructions.ts';
import { decodeUe8m0 } from './numerics-formats.ts';
import { blockScales } from './numerics-scales.ts';

/**
 * Sums of products by profile. A profile says which sums are exact and where FP32 roundings are, so that
 * results do not depend on how the work is divided. NaN and infinities follow IEEE 754; a sum that is zero is +0.
 */

const { fround } = Math;

/** The exact sum of products of E4M3 values [from, to), any order: multiples of 2^-18 below 2^17.7, of which a double holds 2^17 and more. */
const exactSum = (a: ArrayLike<number>, b: ArrayLike<number>, from: number, to: number): number => {
  let sum = 0;
  for (let i = from; i < to; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Profile X: E4M3 by E4M3, at most 2^17 of them. The exact sum, rounded once to FP32. */
export const dotExact = (a: ArrayLike<number>, b: ArrayLike<number>): number => fround(exactSum(a, b, 0, a.length));

/**
 * Profile F: BF16, E4M3 and E5M2 values in any mixture. s <- FP32(s + a b), ascending from +0, the product exact. The sum in double
 * rounded to FP32 is the exact sum rounded once: a sum that is no double is nearer to one of its terms than to any midpoint.
 */
export const dotChained = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum = fround(sum + a[i]! * b[i]!);
  return sum;
};

/**
 * What a block adds to an FP32 sum, of its exact sum and both scales. block: FP32(FP32(sum) * FP32(scaleA * scaleB)); mx, whose scales are
 * powers of two: FP32(sum * scaleA * scaleB), one rounding, NaN if a scale is.
 */
export const scaledTerm: { readonly [S in BlockScaling]: (sum: number, scaleA: number, scaleB: number) => number } = {
  block: (sum, scaleA, scaleB) => fround(fround(sum) * fround(scaleA * scaleB)),
  mx: (sum, scaleA, scaleB) => fround(sum * (scaleA * scaleB)),
};

type Blocks = { readonly a: ArrayLike<number>; readonly b: ArrayLike<number>; readonly scalesA: ArrayLike<number>; readonly scalesB: ArrayLike<number> };

const dotScaled = (scaling: BlockScaling, { a, b, scalesA, scalesB }: Blocks): number => {
  const { size } = blockScales[scaling];
  let sum = 0;
  for (let block = 0, from = 0; from < a.length; block++, from += size) {
    sum = fround(sum + scaledTerm[scaling](exactSum(a, b, from, Math.min(a.length, from + size)), scalesA[block]!, scalesB[block]!));
  }
  return sum;
};

/**
 * Profile block: E4M3 values, one FP32 scale for each 128 elements of each side. Each block: the exact sum rounded to FP32, times
 * FP32(scaleA * scaleB), rounded; blocks are added in FP32, ascending from +0.
 */
export const dotBlocks = (a: ArrayLike<number>, b: ArrayLike<number>, scalesA: ArrayLike<number>, scalesB: ArrayLike<number>): number =>
  dotScaled('block', { a, b, scalesA, scalesB });

/**
 * Profile MX: E4M3 values, one UE8M0 code for each 32 elements of each side. Each block: the exact sum times 2^(codeA + codeB - 254),
 * rounded once to FP32; blocks are added in FP32, ascending from +0. A scale of 0xFF makes the result NaN.
 */
export const dotMx = (a: ArrayLike<number>, b: ArrayLike<number>, codesA: ArrayLike<number>, codesB: ArrayLike<number>): number =>
  dotScaled('mx', { a, b, scalesA: Float64Array.from(codesA, decodeUe8m0), scalesB: Float64Array.from(codesB, decodeUe8m0) });
