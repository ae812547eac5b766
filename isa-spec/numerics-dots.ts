import { ue8m0NaN } from './numerics-formats.ts';
import { blockScales } from './numerics-scales.ts';
import { powerOfTwo } from './powers.ts';

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
 * Profile block: E4M3 values, one FP32 scale for each 128 elements of each side. Each block: the exact sum rounded to FP32, times
 * FP32(scaleA * scaleB), rounded; blocks are added in FP32, ascending from +0.
 */
export const dotBlocks = (a: ArrayLike<number>, b: ArrayLike<number>, scalesA: ArrayLike<number>, scalesB: ArrayLike<number>): number => {
  const { size } = blockScales.block;
  let sum = 0;
  for (let block = 0, from = 0; from < a.length; block++, from += size) {
    const part = fround(exactSum(a, b, from, Math.min(a.length, from + size)));
    sum = fround(sum + fround(part * fround(scalesA[block]! * scalesB[block]!)));
  }
  return sum;
};

/**
 * Profile MX: E4M3 values, one UE8M0 code for each 32 elements of each side. Each block: the exact sum times 2^(codeA + codeB - 254),
 * rounded once to FP32; blocks are added in FP32, ascending from +0. A scale of 0xFF makes the result NaN.
 */
export const dotMx = (a: ArrayLike<number>, b: ArrayLike<number>, codesA: ArrayLike<number>, codesB: ArrayLike<number>): number => {
  const { size } = blockScales.mx;
  let sum = 0;
  for (let block = 0, from = 0; from < a.length; block++, from += size) {
    const [codeA, codeB] = [codesA[block]!, codesB[block]!];
    if (codeA === ue8m0NaN || codeB === ue8m0NaN) return NaN;
    sum = fround(sum + fround(exactSum(a, b, from, Math.min(a.length, from + size)) * powerOfTwo(codeA + codeB - 254)));
  }
  return sum;
};
