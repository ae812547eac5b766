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
/** Rows of a tile whose products, counted in sixty-fourths, a 32-bit sum holds: 128 x 3584^2 < 2^31. */
const wholeDepth = 128;

type Shape = { readonly depth: number; readonly deep: number; readonly width: number };

/** Copies the first `depth` rows of a tile to `to`, `width` elements apart, zeros where there are none up to `deep` rows. */
const copyTile = ({ tiles, pitch, size }: Job, index: number, { depth, deep, width }: Shape, into: Uint8Array | Uint16Array, to: number): void => {
  const first = index * size * pitch;
  if (pitch === width && size === width) into.set(tiles.subarray(first, first + depth * pitch), to);
  else {
    into.fill(0, to, to + depth * width);
    for (let k = 0; k < depth; k++) into.set(tiles.subarray(first + k * pitch, first + k * pitch + size), to + k * width);
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
/** Of 8 elements, or of 12, more than one below 1: then doubles are faster than the exceptions. */
const smallShare = { activations: 1 / 8, weights: 1 / 12 };

/** Activations of one k-tile: elements below 1, as r * deep + k, and whether eighths and those suffice. */
type Exceptions = { readonly small: readonly number[]; readonly whole: boolean };

/**
 * E4M3 products, exact. An element of magnitude 1 or more is a number of eighths of 13 bits: those are multiplied in 16-bit integers and
 * summed in 32; the few others are multiplied apart, in doubles. Where there are many, or NaN, all are.
 */
export const multiplyE4m3 = (engine: Engine, job: Job): void => {
  const { size, kTiles, kLast, nTiles, rows } = job;
  const width = roundUp(size, lanes);
  const deep = roundUp(size, quad);
  const xPitch = kTiles * deep;
  const { tileAt, packedAt, listAt, wholeAt, codesAt, doublesAt, cAt } = engine.reserve({
    tileAt: deep * width, packedAt: deep * width * 8, listAt: deep * width * 4, wholeAt: rows * xPitch * 2, codesAt: rows * xPitch, doublesAt: rows * deep * 8, cAt: rows * width * 8,
  });
  const { u8, i16, i32, f64 } = engine.views;
  const { productI16, productF64, packI16, gatherF64, addListed, addRow } = engine.functions;
  const c = f64.subarray(cAt / 8, cAt / 8 + rows * width);
  const depthOf = (kt: number): number => (kt === kTiles - 1 ? kLast : size);

  const readTile = (kt: number): Exceptions => {
    const small: number[] = [];
    const depth = depthOf(kt);
    let whole = deep <= wholeDepth;
    for (let r = 0; r < rows; r++) {
      const from = job.xAt(r) + kt * size;
      const to = r * xPitch + kt * deep;
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
  const read = Array.from({ length: kTiles }, (_, kt) => readTile(kt));

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    for (let kt = 0; kt < kTiles; kt++) {
      const depth = roundUp(depthOf(kt), quad);
      const { small, whole } = read[kt]!;
      copyTile(job, kt * nTiles + nt, { depth: depthOf(kt), deep: depth, width }, u8, tileAt);
      const listed = whole ? packI16(tileAt, width, packedAt, depth, width, listAt) : Infinity;
      const sawNan = i32[noticedAt / 4] !== 0 || i32[noticedAt / 4 + 1] !== 0 || i32[noticedAt / 4 + 2] !== 0 || i32[noticedAt / 4 + 3] !== 0;
      const codes = codesAt + kt * deep;
      if (listed > depth * width * smallShare.weights || sawNan) {
        for (let r = 0; r < rows; r++) for (let k = 0; k < depth; k++) f64[doublesAt / 8 + r * deep + k] = e4m3Values[u8[codes + r * xPitch + k]!]!;
        gatherF64(tileAt, width, 1, packedAt, depth, width, depth);
        productF64(cAt, width * 8, doublesAt, deep * 8, packedAt, depth, rows, width / 4);
      } else {
        productI16(cAt, width * 8, wholeAt + kt * deep * 2, xPitch * 2, packedAt, depth / 2, rows, width / 8);
        addListed(cAt, width * 8, codes, xPitch, tileAt, width, listAt, listed, rows);
        for (const at of small) {
          const k = at % deep;
          const r = (at - k) / deep;
          addRow(cAt + r * width * 8, packedAt + (k >> 1) * 32, depth * 16, codes + r * xPitch + k, k & 1, width / 8);
        }
      }
    }
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
  const { size, kTiles, kLast, nTiles, rows } = job;
  const width = roundUp(size, lanes);
  const deep = roundUp(size, quad);
  const xPitch = kTiles * deep;
  const { tileAt, packedAt, xAt, cAt } = engine.reserve({ tileAt: deep * width * 2, packedAt: deep * width * 4, xAt: rows * xPitch * 4, cAt: rows * width * 4 });
  const { u16, i32, f32 } = engine.views;
  const c = f32.subarray(cAt / 4, cAt / 4 + rows * width);
  const depthOf = (kt: number): number => (kt === kTiles - 1 ? kLast : size);

  const read = Array.from({ length: kTiles }, (_, kt) => {
    let magnitudes: Magnitudes = { most: 0, least: 0xffff };
    const depth = depthOf(kt);
    for (let r = 0; r < rows; r++) {
      const from = job.xAt(r) + kt * size;
      const to = xAt / 4 + r * xPitch + kt * deep;
      magnitudes = magnitudesOf(job.x, from, depth, magnitudes);
      for (let k = 0; k < deep; k++) i32[to + k] = k < depth ? job.x[from + k]! << 16 : 0;
    }
    return magnitudes;
  });

  for (let nt = 0; nt < nTiles; nt++) {
    loadSums(job, nt, c, width);
    for (let kt = 0; kt < kTiles; kt++) {
      const depth = roundUp(depthOf(kt), quad);
      copyTile(job, kt * nTiles + nt, { depth: depthOf(kt), deep: depth, width }, u16, tileAt / 2);
      engine.functions.packF32(tileAt, width * 2, packedAt, depth, width);
      const x = xAt + kt * deep * 4;
      if (exactProducts(read[kt]!, noticed(u16))) engine.functions.productF32(cAt, width * 4, x, xPitch * 4, packedAt, depth, rows, width / 8);
      else chain(f32, { c: cAt / 4, width, x: x / 4, xPitch, w: packedAt / 4, depth, rows });
    }
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
