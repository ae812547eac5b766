import { exactProducts, type Magnitudes, noticed, noticeNothing } from './bf16.ts';
import type { Engine } from './engine.ts';
import { roundUp } from './job.ts';
import { panelBytes } from './product.ts';

/** Query rows of all heads of a group taken at a time, at least one row. */
const rowsAtATime = 32;
/** Keys a panel holds, or two. */
const panelKeys = 8;
/** The magnitude of BF16's infinity; beyond is NaN. */
const infinite = 0x7f80;
/** Scores taken at a time. */
const quad = 4;

/** Attention in SIMD, of queries that share a key head to a block of keys. */
export type BlockAttention = {
  /** Query rows to take at a time. */
  readonly chunk: number;
  /** The memory, and where in it keys and values of a block go, as they are in HBM; values of latents are in their keys. */
  readonly bytes: Uint8Array;
  readonly keysAt: number;
  readonly valuesAt: number;
  /** `count` rows of keys and values have been put there. */
  readonly take: (count: number) => void;
  /**
   * Unpacks those of key head `head` for so many query rows. False, if the products are not the plain loops': where FP32 would not hold
   * them exactly, and where 0 times a value that is not finite would be NaN, of a key that a row does not see.
   */
  readonly load: (head: number, rows: number) => boolean;
  /** Row r's queries go to queries[r * headDim ..]; the keys it sees are those from spans[2r] to spans[2r + 1], at most the first `count`. */
  readonly queries: Float64Array;
  readonly spans: Int32Array;
  /** The dot product of key j in row r: scores[r * keys + j]. */
  readonly scores: Float32Array | Float64Array;
  readonly score: (rows: number, count: number) => void;
  /** most[r], the largest score of row r so far, takes in these; sums[r] is the sum of their weights. */
  readonly most: Float32Array;
  readonly sums: Float64Array;
  readonly soften: (rows: number, count: number, factor: number) => void;
  /** Row r's unfinished output, outputs[r * valueDim ..], is scaled by scales[r], and the weighted sum of values added. */
  readonly outputs: Float64Array;
  readonly scales: Float32Array;
  readonly mix: (rows: number, count: number) => void;
};

/** Rows of keys, and of values if they are no latents, have so many bytes; a head of them so many elements. */
type Shape = {
  readonly format: 'bf16' | 'e4m3'; readonly headDim: number; readonly valueDim: number; readonly latent: boolean; readonly keyBytes: number; readonly valueBytes: number;
  readonly group: number; readonly keys: number; readonly magnitudes: Magnitudes;
};

/** Weights of keys are 0 or from 2^-18 to 1, in BF16. */
const ofWeights: Magnitudes = { most: 127 << 7, least: (127 - 18) << 7 };

/** Undefined where the kernels do not fit: heads that are no multiple of a panel. `keys`: the most in a block, a multiple of a panel. */
export const blockAttention = (engine: Engine, { format, headDim, valueDim, latent, keyBytes, valueBytes, group, keys, magnitudes }: Shape): BlockAttention | undefined => {
  if (headDim % panelKeys !== 0 || valueDim % panelKeys !== 0) return undefined;
  const { packF32, packF64, transposeF32, transposeF64, productF32, productF64, softenF32, softenF64, carryF32, carryF64, narrow, dotRow, mixRows, hasNan } = engine.functions;
  const exact = format === 'e4m3';
  const { bytes, lanes, codeBytes } = exact ? { bytes: 8, lanes: 4, codeBytes: 1 } : { bytes: 4, lanes: 8, codeBytes: 2 };
  const [pack, transpose, product, softenRows, carry] = exact ? [packF64, transposeF64, productF64, softenF64, carryF64] : [packF32, transposeF32, productF32, softenF32, carryF32];
  const chunk = Math.max(1, Math.floor(rowsAtATime / group));
  const rows = chunk * group;
  const { keysAt, planeAt, kAt, vAt, queriesAt, qAt, scoresAt, weightsAt, addedAt, outputsAt, spansAt, mostAt, sumsAt, scalesAt, factorAt } = engine.reserve({
    keysAt: roundUp(keys * keyBytes, 64), planeAt: latent ? 0 : roundUp(keys * valueBytes, 64), kAt: keys * headDim * bytes, vAt: keys * valueDim * bytes,
    queriesAt: rows * headDim * 8, qAt: rows * headDim * bytes, scoresAt: rows * keys * bytes, weightsAt: rows * keys * bytes, addedAt: rows * valueDim * bytes,
    outputsAt: rows * valueDim * 8, spansAt: rows * 8, mostAt: rows * 4, sumsAt: rows * 8, scalesAt: rows * 4, factorAt: 4,
  });
  const [valuesAt, valueStep, valueRowBytes] = latent ? [keysAt, headDim * codeBytes, keyBytes] : [planeAt, valueDim * codeBytes, valueBytes];
  const { u8, u16, i32, f32, f64 } = engine.views;
  const area = (at: number, count: number): Float32Array | Float64Array => (exact ? f64 : f32).subarray(at / bytes, at / bytes + count);
  const scores = area(scoresAt, rows * keys);
  const added = area(addedAt, rows * valueDim);
  const planes = latent ? [[keysAt, keyBytes] as const] : [[keysAt, keyBytes] as const, [valuesAt, valueBytes] as const];
  let [loaded, keyHeadAt, valueHeadAt, single, hasNumbers] = [0, 0, 0, false, true];
  return {
    chunk, bytes: u8, keysAt, valuesAt, scores,
    queries: f64.subarray(queriesAt / 8, queriesAt / 8 + rows * headDim),
    spans: i32.subarray(spansAt / 4, spansAt / 4 + 2 * rows),
    most: f32.subarray(mostAt / 4, mostAt / 4 + rows),
    sums: f64.subarray(sumsAt / 8, sumsAt / 8 + rows),
    outputs: f64.subarray(outputsAt / 8, outputsAt / 8 + rows * valueDim),
    scales: f32.subarray(scalesAt / 4, scalesAt / 4 + rows),
    take: (count) => {
      loaded = roundUp(count, panelKeys);
      hasNumbers = planes.every(([at, rowBytes]) => {
        u8.fill(0, at + count * rowBytes, at + roundUp(loaded * rowBytes, 64));
        return !exact || hasNan(at, roundUp(count * rowBytes, 64)) === 0;
      });
    },
    load: (head, used) => {
      keyHeadAt = keysAt + head * headDim * codeBytes;
      valueHeadAt = valuesAt + head * valueStep;
      single = exact && used === 1;
      if (single || !hasNumbers) return hasNumbers;
      noticeNothing(u16);
      transpose(keyHeadAt, keyBytes, kAt, headDim, loaded);
      const ofKeys = noticed(u16);
      noticeNothing(u16);
      pack(valueHeadAt, valueRowBytes, vAt, loaded, valueDim);
      const ofValues = noticed(u16);
      return exact || (exactProducts(magnitudes, ofKeys) && exactProducts(ofWeights, ofValues) && ofValues.most < infinite);
    },
    score: (used, count) => {
      if (single) {
        dotRow(scoresAt, queriesAt, keyHeadAt, keyBytes, count, headDim, qAt);
        return;
      }
      if (!exact) narrow(queriesAt, qAt, used * headDim);
      scores.fill(0, 0, used * keys);
      product(scoresAt, keys * bytes, exact ? queriesAt : qAt, headDim * bytes, bytes, kAt, headDim * panelBytes, headDim, used, Math.ceil(count / lanes), 0);
    },
    soften: (used, count, factor) => {
      f32[factorAt / 4] = factor;
      softenRows(scoresAt, weightsAt, keys * bytes, roundUp(count, quad), spansAt, mostAt, sumsAt, used, factorAt);
    },
    mix: (used, count) => {
      if (single) mixRows(addedAt, weightsAt, valueHeadAt, valueRowBytes, count, valueDim);
      else {
        added.fill(0, 0, used * valueDim);
        product(addedAt, valueDim * bytes, weightsAt, keys * bytes, bytes, vAt, loaded * panelBytes, count, used, valueDim / lanes, 0);
      }
      carry(outputsAt, addedAt, valueDim, scalesAt, used);
    },
  };
};
