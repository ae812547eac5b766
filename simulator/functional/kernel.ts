/**
 * The inner loops of a matrix product: one weight tile `w` of `depth` rows (k) of `width` columns, row pitch `width`, against rows of
 * activations. `depth` is a multiple of 4, the rest being zero. Sums and activations have rows `pitch` apart. `finite`: all weights
 * are, so that groups of four zero activations add nothing.
 */
export type Tile = { readonly w: Float64Array; readonly depth: number; readonly width: number; readonly pitch: number; readonly finite: boolean };

const allZero = (x: Float64Array, at: number): boolean => x[at] === 0 && x[at + 1] === 0 && x[at + 2] === 0 && x[at + 3] === 0;

/** c[c0..] += x[x0..] w, and the same of the next row: for products whose sums are exact in double, in any order. */
export const addExactPair = (c: Float64Array, c0: number, x: Float64Array, x0: number, { w, depth, width, pitch, finite }: Tile): void => {
  const c1 = c0 + pitch;
  const x1 = x0 + pitch;
  for (let k = 0; k < depth; k += 4) {
    if (finite && allZero(x, x0 + k) && allZero(x, x1 + k)) continue;
    const a0 = x[x0 + k]!;
    const a1 = x[x0 + k + 1]!;
    const a2 = x[x0 + k + 2]!;
    const a3 = x[x0 + k + 3]!;
    const b0 = x[x1 + k]!;
    const b1 = x[x1 + k + 1]!;
    const b2 = x[x1 + k + 2]!;
    const b3 = x[x1 + k + 3]!;
    const p = k * width;
    const q = p + width;
    const r = q + width;
    const s = r + width;
    for (let n = 0; n < width; n++) {
      const w0 = w[p + n]!;
      const w1 = w[q + n]!;
      const w2 = w[r + n]!;
      const w3 = w[s + n]!;
      c[c0 + n] = c[c0 + n]! + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3;
      c[c1 + n] = c[c1 + n]! + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3;
    }
  }
};

/** c[c0..] += x[x0..] w, one row; otherwise as `addExactPair`. */
export const addExact = (c: Float64Array, c0: number, x: Float64Array, x0: number, { w, depth, width, finite }: Tile): void => {
  for (let k = 0; k < depth; k += 4) {
    if (finite && allZero(x, x0 + k)) continue;
    const a0 = x[x0 + k]!;
    const a1 = x[x0 + k + 1]!;
    const a2 = x[x0 + k + 2]!;
    const a3 = x[x0 + k + 3]!;
    const p = k * width;
    const q = p + width;
    const r = q + width;
    const s = r + width;
    for (let n = 0; n < width; n++) c[c0 + n] = c[c0 + n]! + a0 * w[p + n]! + a1 * w[q + n]! + a2 * w[r + n]! + a3 * w[s + n]!;
  }
};

/** c[c0..] = fround(c + x w), k ascending, rounded to FP32 after every product: the order of BF16 products. */
export const addChained = (c: Float64Array, c0: number, x: Float64Array, x0: number, { w, depth, width, finite }: Tile): void => {
  for (let k = 0; k < depth; k += 4) {
    if (finite && allZero(x, x0 + k)) continue;
    const a0 = x[x0 + k]!;
    const a1 = x[x0 + k + 1]!;
    const a2 = x[x0 + k + 2]!;
    const a3 = x[x0 + k + 3]!;
    const p = k * width;
    const q = p + width;
    const r = q + width;
    const s = r + width;
    for (let n = 0; n < width; n++) {
      const first = Math.fround(Math.fround(c[c0 + n]! + a0 * w[p + n]!) + a1 * w[q + n]!);
      c[c0 + n] = Math.fround(Math.fround(first + a2 * w[r + n]!) + a3 * w[s + n]!);
    }
  }
};
