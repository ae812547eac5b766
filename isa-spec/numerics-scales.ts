import { type BlockScaling } from './instructions.ts';
import { decodeUe8m0, encodeUe8m0 } from './numerics-formats.ts';
import { roundTo } from './numerics.ts';

/** Scales, and elements quantised by them: of a row, of a block of it, of a tile of a matrix. */

const { fround } = Math;

/** By how blocks are scaled: the elements of one that share a scale, and the format of the scale. */
export const blockScales = { block: { size: 128, format: 'f32' }, mx: { size: 32, format: 'ue8m0' } } as const satisfies { readonly [S in BlockScaling]: object };

/** Formats elements are quantised to: the largest number of each, and the exponent of the power of two in it. */
const quantised = { e4m3: { largest: 448, exponent: 8 }, e5m2: { largest: 57344, exponent: 15 } } as const;
export type Quantised = keyof typeof quantised;

/** Whether a format is one elements are quantised to. */
export const isQuantised = (format: string): format is Quantised => format in quantised;

/** The largest magnitude of elements [from, to); NaN if any is. */
const largest = (values: ArrayLike<number>, from: number, to: number): number => {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
};

/**
 * The FP32 scale of elements whose largest magnitude is `amax`: FP32(amax / the format's largest), or 1 if that is 0. It is 0 not of zeros
 * alone but wherever FP32 cannot hold it (E4M3: amax below 2^-141): such elements, divided by 1, round to 0. A scale among
 * the subnormals is coarse, and the largest elements may saturate.
 */
export const scaleOf = (amax: number, format: Quantised = 'e4m3'): number => {
  const scale = fround(amax / quantised[format].largest);
  return scale === 0 ? 1 : scale;
};

/** The least power of two not below a scale, from 2^-127 on, so that UE8M0 has it; infinity and NaN stay. */
const upToPower = (scale: number): number => {
  if (!Number.isFinite(scale)) return scale;
  const code = encodeUe8m0(scale);
  return decodeUe8m0(decodeUe8m0(code) < scale ? code + 1 : code);
};

/** How elements are quantised: the format, and whether FP32 scales are brought up to powers of two. */
export type Quantisation = { readonly format: Quantised; readonly pow2: boolean };

/** The FP32 scale of elements [from, to). */
export const scaleOfElements = (values: ArrayLike<number>, from: number, to: number, { format, pow2 }: Quantisation): number => {
  const scale = scaleOf(largest(values, from, to), format);
  return pow2 ? upToPower(scale) : scale;
};

/**
 * The UE8M0 code of an MX block whose largest magnitude is `amax` (OCP Microscaling Formats 1.0, 6.3): 2^floor(log2 amax) over the power
 * of two in the format's largest number, at least 2^-127. 127, a scale of 1, if all is zero; 0xFF if amax is infinite or NaN.
 */
export const mxScaleOf = (amax: number, format: Quantised = 'e4m3'): number => (amax === 0 ? 127 : encodeUe8m0(amax / 2 ** quantised[format].exponent));

const blocksOf = (length: number, size: number): number => Math.ceil(length / size);

/** An element by its scale: rounded to FP32, then to the format, where it saturates. */
export const quantiseElement = (x: number, scale: number, format: Quantised): number => roundTo(format, fround(x / scale));

/** Values, each block of 128 (the last may be shorter) with its own scale: format(FP32(x / scale)). */
export const quantiseBlocks = (values: ArrayLike<number>, quantisation: Quantisation): { readonly values: Float64Array; readonly scales: Float64Array } => {
  const { size } = blockScales.block;
  const scales = Float64Array.from({ length: blocksOf(values.length, size) }, (_, block) => scaleOfElements(values, block * size, Math.min(values.length, (block + 1) * size), quantisation));
  return { values: Float64Array.from(values, (x, i) => quantiseElement(x, scales[Math.floor(i / size)]!, quantisation.format)), scales };
};

/**
 * A row-major matrix in tiles of 128 x 128 (those at the edges smaller), each as E4M3 with its own scale. `scales` is row-major too,
 * ceil(columns / 128) in a row of tiles: the scales of matrix row r are those from floor(r / 128) * ceil(columns / 128) on.
 */
export const quantiseTiles = (values: ArrayLike<number>, columns: number): { readonly values: Float64Array; readonly scales: Float64Array } => {
  const { size } = blockScales.block;
  const across = blocksOf(columns, size);
  const scales = new Float64Array(blocksOf(values.length / columns, size) * across);
  const tileOf = (i: number): number => Math.floor(i / columns / size) * across + Math.floor((i % columns) / size);
  for (let i = 0; i < values.length; i++) scales[tileOf(i)] = Math.max(scales[tileOf(i)]!, Math.abs(values[i]!));
  for (let tile = 0; tile < scales.length; tile++) scales[tile] = scaleOf(scales[tile]!);
  return { values: Float64Array.from(values, (x, i) => quantiseElement(x, scales[tileOf(i)]!, 'e4m3')), scales };
};

/** Values, each block of 32 with a UE8M0 code: format(x / scale), saturating; the division by a power of two is exact. A block without a scale is NaN. */
export const quantiseMx = (values: ArrayLike<number>, format: Quantised): { readonly values: Float64Array; readonly codes: Uint8Array } => {
  const { size } = blockScales.mx;
  const codes = Uint8Array.from({ length: blocksOf(values.length, size) }, (_, block) => mxScaleOf(largest(values, block * size, Math.min(values.length, (block + 1) * size)), format));
  return { values: Float64Array.from(values, (x, i) => roundTo(format, x / decodeUe8m0(codes[Math.floor(i / size)]!))), codes };
};
