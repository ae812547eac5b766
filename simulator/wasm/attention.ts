import type { Engine } from './engine.ts';
import { exactProducts, type Magnitudes, noticed, noticeNothing } from './bf16.ts';

/** Query rows of all heads of a group taken at a time, at least one row. */
const rowsAtATime = 128;

/** The products of attention in SIMD: of the queries that share a key head with a block of keys, and of their weights with its values. */
export type BlockProducts = {
  /** Query rows to take at a time. */
  readonly chunk: number;
  /** The memory, and where in it keys and values of a block go, as they are in HBM; values of latents are in their keys. */
  readonly bytes: Uint8Array;
  readonly keysAt: number;
  readonly valuesAt: number;
  /** Unpacks `count` rows of key head `head`. False: FP32 would not hold all products exactly. */
  readonly load: (head: number, count: number) => boolean;
  /** Row r's queries go to queries[r * headDim ..]; its dot products with key j are scores[r * keys + j]. */
  readonly queries: Float32Array | Float64Array;
  readonly scores: Float32Array | Float64Array;
  readonly score: (rows: number) => void;
  /** Weight of key j in row r: weights[r * keys + j]; the sum of values: outputs[r * valueDim ..]. */
  readonly weights: Float32Array | Float64Array;
  readonly outputs: Float32Array | Float64Array;
  readonly mix: (rows: number) => void;
};

/** Rows of keys, and of values if they are no latents, have so many bytes; a head of them so many elements. */
type Shape = {
  readonly format: 'bf16' | 'e4m3'; readonly headDim: number; readonly valueDim: number; readonly latent: boolean; readonly keyBytes: number; readonly valueBytes: number;
  readonly group: number; readonly keys: number; readonly magnitudes: Magnitudes;
};

/** Weights of keys are 0 or from 2^-18 to 1, in BF16. */
const ofWeights: Magnitudes = { most: 127 << 7, least: (127 - 18) << 7 };

/** Undefined where the kernels do not fit: heads that are no multiple of a panel. `keys`: the most in a block, even. */
export const blockProducts = (engine: Engine, { format, headDim, valueDim, latent, keyBytes, valueBytes, group, keys, magnitudes }: Shape): BlockProducts | undefined => {
  if (headDim % 8 !== 0 || valueDim % 8 !== 0) return undefined;
  const exact = format === 'e4m3';
  const bytes = exact ? 8 : 4;
  const lanes = exact ? 4 : 8;
  const elementBytes = exact ? 1 : 2;
  const chunk = Math.max(1, Math.floor(rowsAtATime / group));
  const rows = chunk * group;
  const { keysAt, planeAt, kAt, vAt, qAt, zAt, pAt, oAt } = engine.reserve({
    keysAt: keys * keyBytes, planeAt: latent ? 0 : keys * valueBytes, kAt: keys * headDim * bytes, vAt: keys * valueDim * bytes,
    qAt: rows * headDim * bytes, zAt: rows * keys * bytes, pAt: rows * keys * bytes, oAt: rows * valueDim * bytes,
  });
  const [valuesAt, valueStep, valueRowBytes] = latent ? [keysAt, headDim * elementBytes, keyBytes] : [planeAt, valueDim * elementBytes, valueBytes];
  const { u8, u16, f32, f64 } = engine.views;
  const { gatherF32, gatherF64, packF32, productF32, productF64 } = engine.functions;
  const gather = exact ? gatherF64 : gatherF32;
  const product = exact ? productF64 : productF32;
  const area = (at: number, count: number): Float32Array | Float64Array => (exact ? f64 : f32).subarray(at / bytes, at / bytes + count);
  const scores = area(zAt, rows * keys);
  const outputs = area(oAt, rows * valueDim);
  let loaded = 0;
  return {
    chunk, bytes: u8, keysAt, valuesAt, scores, outputs,
    queries: area(qAt, rows * headDim),
    weights: area(pAt, rows * keys),
    load: (head, count) => {
      const firstKey = keysAt + head * headDim * elementBytes;
      const firstValue = valuesAt + head * valueStep;
      loaded = count + (count % 2);
      if (loaded > count) u8.fill(0, valuesAt + count * valueRowBytes, valuesAt + loaded * valueRowBytes);
      if (!exact) {
        noticeNothing(u16);
        packF32(firstKey, keyBytes, kAt, count, headDim);
        if (!exactProducts(magnitudes, noticed(u16))) return false;
        noticeNothing(u16);
        packF32(firstValue, valueRowBytes, vAt, loaded, valueDim);
        if (!exactProducts(ofWeights, noticed(u16))) return false;
      } else gather(firstValue, valueRowBytes, elementBytes, vAt, loaded, valueDim, loaded);
      gather(firstKey, elementBytes, keyBytes, kAt, headDim, count, headDim);
      return true;
    },
    score: (used) => {
      scores.fill(0, 0, used * keys);
      product(zAt, keys * bytes, qAt, headDim * bytes, bytes, kAt, headDim, used, Math.ceil(loaded / lanes), 0);
    },
    mix: (used) => {
      outputs.fill(0, 0, used * valueDim);
      product(oAt, valueDim * bytes, pAt, keys * bytes, bytes, vAt, loaded, used, valueDim / lanes, 0);
    },
  };
};
