import { e4m3Values } from '../../isa-spec/numerics.ts';
import type { Engine } from './engine.ts';
import { eighths, noticedAt } from './kernels.ts';

/** A product as `mm` asks for it. Elements are codes: bytes of E4M3, words of BF16. */
export type Job = {
  readonly size: number;
  readonly kTiles: number;
  /** Rows of the last k-tile. */
  readonly kLast: number;
  readonly nTiles: number;
  readonly rows: number;
  readonly x: Uint8Array | Uint16Array;
  /** Where row r starts in `x`. */
  readonly xAt: (r: number) => number;
  /** Tiles, k outermost, a row of one taking `pitch` elements. */
  readonly tiles: Uint8Array | Uint16Array;
  readonly pitch: number;
  /** Rows [row, row + rows) of the product in tile column `nt`: where their sums are. */
  readonly places: readonly { readonly row: number; readonly rows: number; readonly at: number; readonly sums: (nt: number) => Float64Array }[];
};

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;
/** Columns the packing kernels take at a time. */
const lanes = 16;
const quad = 4;
/** Added to a row of activations, lest rows a power of two apart share few lines of a cache. */
const spread = 32;
/** Rows of a tile taken at a time: products counted in sixty-fourths, a 32-bit sum holds so many, 128 x 3584^2 < 2^31. */
const sliceDepth = 128;

/** Rows [first, first + depth) of k-tile `kt`, filled up with zeros to `deep`; k of the first in the packed rows of activations. */
type Slice = { readonly kt: number; readonly first: number; readonly depth: number; readonly deep: number; readonly at: number };

const slicesOf = ({ size, kTiles, kLast }: Job): readonly Slice[] => {
  const slices: Slice[] = [];
  let at = 0;
  for (let kt = 0; kt < kTiles; kt++) {
    const rows = kt === kTiles - 1 ? kLast : size;
    for (let first = 0; first < rows; first += sliceDepth) {
      const depth = Math.min(sliceDepth, rows - first);
      const deep = roundUp(depth, quad);
      slices.push({ kt, first, depth, deep, at });
      at += deep;
    }
  }
  return slices;
};

/** Copies a slice of tile column `nt` to `to`, rows `width` elements apart. */
const copySlice = ({ tiles, pitch, size, nTiles }: Job, nt: number, { kt, first, depth, deep }: Slice, into: Uint8Array | Uint16Array, [to, width]: readonly [number, number]): void => {
  const from = ((kt * nTiles + nt) * size + first) * pitch;
  if (pitch === width && size === width) into.set(tiles.subarray(from, from + depth * pitch), to);
  else {
    into.fill(0, to, to + depth * width);
    for (let k = 0; k < depth; k++) into.set(tiles.subarray(from + k * pitch, from + k * pitch + size), to + k * width);
  }
  into.fill(0, to + depth * width, to + deep * width);
};

const loadSums = ({ places, size }: Job, nt: number, c: Float64Array | Float32Array, width: number): void => {
  for (const { row, rows, at, sums } of places) {
    const from = sums(nt);
    for (let r = 0; r < rows; r++) c.set(from.subarray(at + r * size, at + (r + 1) * size), (row + r) * width);
  }
};

const storeSums = ({ places, size }: Job, nt: number, c: Float64Array | Float32Array, width: number): void => {
  for (const { row, rows, at, sums } of places) {
    const to = sums(nt);
    for (let r = 0; r < rows; r++) to.set(c.subarray((row + r) * width, (row + r) * width + size), at + r * size);
  }
};

const inEighths = Int16Array.from(e4m3Values, (value) => (Math.abs(value) >= 1 ? value * eighths : 0));
const isSmall = Uint8Array.from(e4m3Values, (value) => (value !== 0 && Math.abs(value) < 1 ? 1 : 0));
/** The shares of elements below 1 from which doubles are faster than exceptions. */
const smallShare = { activations: 1 / 8, weights: 1 / 12 };

/** Activations of one slice: elements below 1, as r * deep + k, and whether eighths and those suffice. */
type Exceptions = { readonly small: readonly number[]; readonly whole: boolean };

/**
 * E4M3 products, exact. An element of magnitude 1 or more is a number of eighths of 13 bits: those are multiplied in 16-bit integers and
 * summed in 32; the few others are multiplied apart, in doubles. Where there are many, or NaN, all are.
 */
export const multiplyE4m3 = (engine: Engine, job: Job): void => {
  const { size, nTiles, rows } = job;
  const slices = slicesOf(job);
  const width = roundUp(size, lanes);
  const xPitch = slices.reduce((sum, { deep }) => sum + deep, spread);
  const { tileAt, packedAt, listAt, wholeAt, codesAt, doublesAt, cAt } = engine.reserve({
    tileAt: sliceDepth * width, packedAt: sliceDepth * width * 8, listAt: sliceDepth * width * 4,
    wholeAt: rows * xPitch * 2, codesAt: rows * xPitch, doublesAt: rows * sliceDepth * 8, cAt: rows * width * 8,
  });
  const { u8, i16, i32, f64 } = engine.views;
  const { productI16, productF64, packI16, gatherF64, addListed, addRow } = engine.functions;
  const c = f64.subarray(cAt / 8, cAt / 8 + rows * width);

  const read = ({ kt, first, depth, deep, at }: Slice): Exceptions => {
    const small: number[] = [];
    let whole = true;
    for (let r = 0; r < rows; r++) {
      const from = job.xAt(r) + kt * size + first;
      const to = r * xPitch + at;
      for (let k = 0; k < deep; k++) {
        const code = k < depth ? job.x[from + k]! : 0;
        u8[codesAt + to + k] = code;
        i16[wholeAt / 2 + to + k] = inEighths[code]!;
        if (isSmall[code] === 1) small.push(r * deep + k);
        if ((code & 0x7f) === 0x7f) whole = false;
      }
    }
    return { small, whole: whole && small.length <= rows * depth * smallShare.activations };
  };
  const exceptions = slices.map(read);
  const isNan = (): boolean => [0, 1, 2, 3].some((word) => i32[noticedAt / 4 + word] !== 0);

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    slices.forEach((slice, i) => {
      const { deep, at } = slice;
      const { small, whole } = exceptions[i]!;
      copySlice(job, nt, slice, u8, [tileAt, width]);
      const listed = whole ? packI16(tileAt, width, packedAt, deep, width, listAt) : Infinity;
      if (listed > deep * width * smallShare.weights || isNan()) {
        for (let r = 0; r < rows; r++) for (let k = 0; k < deep; k++) f64[doublesAt / 8 + r * deep + k] = e4m3Values[u8[codesAt + r * xPitch + at + k]!]!;
        gatherF64(tileAt, width, 1, packedAt, deep, width, deep);
        productF64(cAt, width * 8, doublesAt, deep * 8, packedAt, deep, rows, width / 4);
        return;
      }
      productI16(cAt, width * 8, wholeAt + at * 2, xPitch * 2, packedAt, deep / 2, rows, width / 8);
      addListed(cAt, width * 8, codesAt + at, xPitch, tileAt, width, listAt, listed, rows);
      for (const one of small) {
        const k = one % deep;
        const r = (one - k) / deep;
        addRow(cAt + r * width * 8, packedAt + (k >> 1) * 32, deep * 16, codesAt + at + r * xPitch + k, k & 1, width / 8);
      }
    });
    storeSums(job, nt, c, width);
  }
};

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

/** What `packF32` noticed. */
export const noticed = (u16: Uint16Array): Magnitudes => {
  let most = 0;
  let least = 0xffff;
  for (let lane = 0; lane < 8; lane++) {
    most = Math.max(most, u16[noticedAt / 2 + lane]!);
    least = Math.min(least, u16[noticedAt / 2 + 8 + lane]!);
  }
  return { most, least: least === 0xffff ? least : least + 1 };
};

/**
 * BF16 products, chained: c <- fround(c + x w), k ascending. In FP32, where products are exact, the sum rounds once; a tile whose products
 * are not is chained in doubles, which for sums of FP32 values round as FP32 does (53 >= 2 x 24 + 2 bits).
 */
export const multiplyBf16 = (engine: Engine, job: Job): void => {
  const { size, nTiles, rows } = job;
  const slices = slicesOf(job);
  const width = roundUp(size, lanes);
  const xPitch = slices.reduce((sum, { deep }) => sum + deep, spread);
  const { tileAt, packedAt, xAt, cAt } = engine.reserve({ tileAt: sliceDepth * width * 2, packedAt: sliceDepth * width * 4, xAt: rows * xPitch * 4, cAt: rows * width * 4 });
  const { u16, i32, f32 } = engine.views;
  const c = f32.subarray(cAt / 4, cAt / 4 + rows * width);

  const read = ({ kt, first, depth, deep, at }: Slice): Magnitudes => {
    let magnitudes: Magnitudes = { most: 0, least: 0xffff };
    for (let r = 0; r < rows; r++) {
      const from = job.xAt(r) + kt * size + first;
      const to = xAt / 4 + r * xPitch + at;
      magnitudes = magnitudesOf(job.x, from, depth, magnitudes);
      for (let k = 0; k < deep; k++) i32[to + k] = k < depth ? job.x[from + k]! << 16 : 0;
    }
    return magnitudes;
  };
  const seen = slices.map(read);

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    slices.forEach((slice, i) => {
      const { deep, at } = slice;
      copySlice(job, nt, slice, u16, [tileAt / 2, width]);
      engine.functions.packF32(tileAt, width * 2, packedAt, deep, width);
      const x = xAt + at * 4;
      if (exactProducts(seen[i]!, noticed(u16))) engine.functions.productF32(cAt, width * 4, x, xPitch * 4, packedAt, deep, rows, width / 8);
      else chain(f32, { c: cAt / 4, width, x: x / 4, xPitch, w: packedAt / 4, depth: deep, rows });
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
