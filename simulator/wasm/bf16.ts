import type { Engine } from './engine.ts';
import { copyRow, copySlice, type Job, lanes, loadSums, partsOf, roundUp, slicesOf, type Slice, sliceDepth, storeSums } from './job.ts';
import { panelBytes } from './product.ts';
import { at as tables } from './tables.ts';

/** The largest magnitude of BF16 codes and the least that is not 0, as codes without sign; 0 and 0xFFFF of none. */
export type Magnitudes = { readonly most: number; readonly least: number };

export const magnitudesOf = (codes: Uint16Array | Uint8Array, from: number, count: number, { most, least }: Magnitudes): Magnitudes => {
  for (let i = from; i < from + count; i++) {
    const magnitude = codes[i]! & 0x7fff;
    if (magnitude > most) most = magnitude;
    if (magnitude !== 0 && magnitude < least) least = magnitude;
  }
  return { most, least };
};

/**
 * Whether FP32 holds all products of BF16 values exactly: 16 significant bits, the largest below 2^128, the last bit not under 2^-149.
 * (Infinities and NaN, of exponent 255, behave in FP32 as they do in double.)
 */
export const exactProducts = (x: Magnitudes, w: Magnitudes): boolean => {
  const exponent = (code: number): number => Math.max(1, code >> 7);
  return x.least === 0xffff || w.least === 0xffff || ((x.most >> 7) + (w.most >> 7) <= 380 && exponent(x.least) + exponent(w.least) >= 119);
};

/** Before `packF32` notices anything. */
export const noticeNothing = (u16: Uint16Array): void => {
  u16.fill(0, tables.noticed / 2, tables.noticed / 2 + 8);
  u16.fill(0xffff, tables.noticed / 2 + 8, tables.noticed / 2 + 16);
};

/** What `packF32` noticed since. */
export const noticed = (u16: Uint16Array): Magnitudes => {
  let most = 0;
  let least = 0xffff;
  for (let lane = 0; lane < 8; lane++) {
    most = Math.max(most, u16[tables.noticed / 2 + lane]!);
    least = Math.min(least, u16[tables.noticed / 2 + 8 + lane]!);
  }
  return { most, least: least === 0xffff ? least : least + 1 };
};

/**
 * BF16 products, chained: c <- fround(c + x w), k ascending. In FP32, where products are exact, the sum rounds once; a tile whose products
 * are not is chained in doubles, which for sums of FP32 values round as FP32 does (53 >= 2 x 24 + 2 bits).
 */
export const multiplyBf16 = (engine: Engine, job: Job): void => {
  for (const part of partsOf(job)) multiplyPart(engine, part);
};

const multiplyPart = (engine: Engine, job: Job): void => {
  const { size, nTiles, rows } = job;
  const slices = slicesOf(job);
  const width = roundUp(size, lanes);
  const depth = slices.reduce((sum, { deep }) => sum + deep, 0);
  const { tileAt, packedAt, rowAt, xAt, cAt } = engine.reserve({ tileAt: sliceDepth * width * 2, packedAt: sliceDepth * width * 4, rowAt: sliceDepth * 2, xAt: rows * depth * 4, cAt: rows * width * 4 });
  const { u16, f32 } = engine.views;
  const { packF32, productF32 } = engine.functions;
  const c = f32.subarray(cAt / 4, cAt / 4 + rows * width);

  const read = (slice: Slice): Magnitudes => {
    noticeNothing(u16);
    for (let r = 0; r < rows; r++) {
      copyRow(job, r, slice, u16, rowAt / 2);
      packF32(rowAt, 0, xAt + 4 * (rows * slice.at + r * slice.deep), 1, slice.deep);
    }
    return noticed(u16);
  };
  const seen = slices.map(read);

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    slices.forEach((slice, i) => {
      const { deep, at } = slice;
      copySlice(job, nt, slice, u16, [tileAt / 2, width]);
      noticeNothing(u16);
      packF32(tileAt, width * 2, packedAt, deep, width);
      const x = xAt + 4 * rows * at;
      if (exactProducts(seen[i]!, noticed(u16))) productF32(cAt, width * 4, x, deep * 4, 4, packedAt, deep * panelBytes, deep, rows, width / 8, 0);
      else chain(f32, { c: cAt / 4, width, x: x / 4, xPitch: deep, w: packedAt / 4, depth: deep, rows });
    });
    storeSums(job, nt, c, width);
  }
};

/** As `productF32`, in doubles; places and pitches in elements. */
const chain = (f32: Float32Array, { c, width, x, xPitch, w, depth, rows }: { readonly c: number; readonly width: number; readonly x: number; readonly xPitch: number; readonly w: number; readonly depth: number; readonly rows: number }): void => {
  for (let r = 0; r < rows; r++) {
    for (let n = 0; n < width; n++) {
      let sum = f32[c + r * width + n]!;
      for (let k = 0; k < depth; k++) sum = Math.fround(sum + f32[x + r * xPitch + k]! * f32[w + ((n >> 3) * depth + k) * 8 + (n & 7)]!);
      f32[c + r * width + n] = sum;
    }
  }
};
