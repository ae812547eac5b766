import { decodeUe8m0, encodeUe8m0, ue8m0NaN } from './numerics-formats.ts';
import { powerOfTwo, toE4M3 } from './numerics.ts';

/**
 * Sums of products by profile, and the scales of blocks. A profile says which sums are exact and where FP32 roundings are, so that
 * results do not depend on how the work is divided. NaN and infinities follow IEEE 754; a sum that is zero is +0.
 */

const { fround } = Math;

/** Elements of a block that shares an FP32 scale. */
export const scaleBlock = 128;
/** Elements of an MX block, which shares a UE8M0 scale. */
export const mxBlock = 32;

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
  let sum = 0;
  for (let block = 0, from = 0; from < a.length; block++, from += scaleBlock) {
    const part = fround(exactSum(a, b, from, Math.min(a.length, from + scaleBlock)));
    sum = fround(sum + fround(part * fround(scalesA[block]! * scalesB[block]!)));
  }
  return sum;
};

/**
 * Profile MX: E4M3 values, one UE8M0 code for each 32 elements of each side. Each block: the exact sum times 2^(codeA + codeB - 254),
 * rounded once to FP32; blocks are added in FP32, ascending from +0. A scale of 0xFF makes the result NaN.
 */
export const dotMx = (a: ArrayLike<number>, b: ArrayLike<number>, codesA: ArrayLike<number>, codesB: ArrayLike<number>): number => {
  let sum = 0;
  for (let block = 0, from = 0; from < a.length; block++, from += mxBlock) {
    const [codeA, codeB] = [codesA[block]!, codesB[block]!];
    if (codeA === ue8m0NaN || codeB === ue8m0NaN) return NaN;
    sum = fround(sum + fround(exactSum(a, b, from, Math.min(a.length, from + mxBlock)) * powerOfTwo(codeA + codeB - 254)));
  }
  return sum;
};

/** The largest magnitude; NaN if any element is. */
const largest = (values: ArrayLike<number>, from: number, to: number): number => {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
};

/** The FP32 scale of elements whose largest magnitude is `amax`: FP32(amax / 448), or 1 if that is 0. */
export const scaleOf = (amax: number): number => {
  const scale = fround(amax / 448);
  return scale === 0 ? 1 : scale;
};

/** Values, each block of 128 (the last may be shorter) as E4M3 with its own scale: E4M3(FP32(x / scale)). */
export const quantiseBlocks = (values: ArrayLike<number>): { readonly values: Float64Array; readonly scales: Float64Array } => {
  const scales = Float64Array.from({ length: Math.ceil(values.length / scaleBlock) }, (_, block) => scaleOf(largest(values, block * scaleBlock, Math.min(values.length, (block + 1) * scaleBlock))));
  return { values: Float64Array.from(values, (x, i) => toE4M3(fround(x / scales[Math.floor(i / scaleBlock)]!))), scales };
};

/**
 * A row-major matrix in tiles of 128 x 128 (those at the edges smaller), each as E4M3 with its own scale. `scales` is row-major too,
 * ceil(columns / 128) in a row of tiles: the scales of matrix row r are those from floor(r / 128) * ceil(columns / 128) on.
 */
export const quantiseTiles = (values: ArrayLike<number>, columns: number): { readonly values: Float64Array; readonly scales: Float64Array } => {
  const rows = values.length / columns;
  const across = Math.ceil(columns / scaleBlock);
  const scales = new Float64Array(Math.ceil(rows / scaleBlock) * across);
  const tileOf = (i: number): number => Math.floor(i / columns / scaleBlock) * across + Math.floor((i % columns) / scaleBlock);
  for (let i = 0; i < values.length; i++) scales[tileOf(i)] = Math.max(scales[tileOf(i)]!, Math.abs(values[i]!));
  for (let tile = 0; tile < scales.length; tile++) scales[tile] = scaleOf(scales[tile]!);
  return { values: Float64Array.from(values, (x, i) => toE4M3(fround(x / scales[tileOf(i)]!))), scales };
};

/**
 * The UE8M0 code of an MX block of E4M3 whose largest magnitude is `amax` (OCP Microscaling Formats 1.0, 6.3): 2^floor(log2 amax) over
 * 2^8, the power of two in 448; at least 2^-127. 127, a scale of 1, if all is zero; 0xFF if amax is infinite or NaN.
 */
export const mxScaleOf = (amax: number): number => (amax === 0 ? 127 : encodeUe8m0(amax / 256));

/** Values, each block of 32 as E4M3 with a UE8M0 scale: E4M3(x / scale), saturating; the division by a power of two is exact. A block without a scale is NaN. */
export const quantiseMx = (values: ArrayLike<number>): { readonly values: Float64Array; readonly codes: Uint8Array } => {
  const codes = Uint8Array.from({ length: Math.ceil(values.length / mxBlock) }, (_, block) => mxScaleOf(largest(values, block * mxBlock, Math.min(values.length, (block + 1) * mxBlock))));
  return { values: Float64Array.from(values, (x, i) => toE4M3(x / decodeUe8m0(codes[Math.floor(i / mxBlock)]!))), codes };
};
