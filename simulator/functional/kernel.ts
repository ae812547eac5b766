/**
 * The inner loops of a matrix product, in blocks that fit registers: rows of activations against a panel of four columns of weights.
 * `w`: panels, in each k ascending, in each k four columns. `x`: three rows interleaved, k ascending; or one row. One block is one call,
 * so that engines compile it whole instead of replacing its loop while it runs; indices are made 32-bit integers, because numbers
 * that were computed from an instruction's word may be held as doubles, and would be converted at every element.
 */
export const panelColumns = 4;
export const tripleRows = 3;

/** The panel that starts at `at` of `w`, `depth` k deep; rows of sums are `pitch` apart. */
type Panel = { readonly w: Float64Array; readonly at: number; readonly depth: number; readonly pitch: number };

/** Adds x w to the sums of four columns from `c[at]`, of one row or three. Activations start at `x[from]`. */
type AddBlock = (c: Float64Array, at: number, x: Float64Array, from: number, panel: Panel) => void;

/** For products whose sums are exact in double, so that they may be added in any order. */
const exactTriple: AddBlock = (c, at, x, from, { w, at: panelAt, depth, pitch }) => {
  const at1 = at + pitch;
  const at2 = at1 + pitch;
  let c00 = 0;
  let c01 = 0;
  let c02 = 0;
  let c03 = 0;
  let c10 = 0;
  let c11 = 0;
  let c12 = 0;
  let c13 = 0;
  let c20 = 0;
  let c21 = 0;
  let c22 = 0;
  let c23 = 0;
  for (let q = from | 0, p = panelAt | 0, end = (from + tripleRows * depth) | 0; q < end; q += tripleRows, p += panelColumns) {
    const a = x[q]!;
    const b = x[q + 1]!;
    const d = x[q + 2]!;
    const w0 = w[p]!;
    const w1 = w[p + 1]!;
    const w2 = w[p + 2]!;
    const w3 = w[p + 3]!;
    c00 += a * w0;
    c01 += a * w1;
    c02 += a * w2;
    c03 += a * w3;
    c10 += b * w0;
    c11 += b * w1;
    c12 += b * w2;
    c13 += b * w3;
    c20 += d * w0;
    c21 += d * w1;
    c22 += d * w2;
    c23 += d * w3;
  }
  c[at] = c[at]! + c00;
  c[at + 1] = c[at + 1]! + c01;
  c[at + 2] = c[at + 2]! + c02;
  c[at + 3] = c[at + 3]! + c03;
  c[at1] = c[at1]! + c10;
  c[at1 + 1] = c[at1 + 1]! + c11;
  c[at1 + 2] = c[at1 + 2]! + c12;
  c[at1 + 3] = c[at1 + 3]! + c13;
  c[at2] = c[at2]! + c20;
  c[at2 + 1] = c[at2 + 1]! + c21;
  c[at2 + 2] = c[at2 + 2]! + c22;
  c[at2 + 3] = c[at2 + 3]! + c23;
};

/** As `exactTriple`, one row. */
const exactRow: AddBlock = (c, at, x, from, { w, at: panelAt, depth }) => {
  let c0 = 0;
  let c1 = 0;
  let c2 = 0;
  let c3 = 0;
  for (let q = from | 0, p = panelAt | 0, end = (from + depth) | 0; q < end; q++, p += panelColumns) {
    const a = x[q]!;
    c0 += a * w[p]!;
    c1 += a * w[p + 1]!;
    c2 += a * w[p + 2]!;
    c3 += a * w[p + 3]!;
  }
  c[at] = c[at]! + c0;
  c[at + 1] = c[at + 1]! + c1;
  c[at + 2] = c[at + 2]! + c2;
  c[at + 3] = c[at + 3]! + c3;
};

/** c <- fround(c + x w), k ascending, rounded to FP32 after every product: the order of BF16 products. */
const chainedTriple: AddBlock = (c, at, x, from, { w, at: panelAt, depth, pitch }) => {
  const at1 = at + pitch;
  const at2 = at1 + pitch;
  let c00 = c[at]!;
  let c01 = c[at + 1]!;
  let c02 = c[at + 2]!;
  let c03 = c[at + 3]!;
  let c10 = c[at1]!;
  let c11 = c[at1 + 1]!;
  let c12 = c[at1 + 2]!;
  let c13 = c[at1 + 3]!;
  let c20 = c[at2]!;
  let c21 = c[at2 + 1]!;
  let c22 = c[at2 + 2]!;
  let c23 = c[at2 + 3]!;
  for (let q = from | 0, p = panelAt | 0, end = (from + tripleRows * depth) | 0; q < end; q += tripleRows, p += panelColumns) {
    const a = x[q]!;
    const b = x[q + 1]!;
    const d = x[q + 2]!;
    const w0 = w[p]!;
    const w1 = w[p + 1]!;
    const w2 = w[p + 2]!;
    const w3 = w[p + 3]!;
    c00 = Math.fround(c00 + a * w0);
    c01 = Math.fround(c01 + a * w1);
    c02 = Math.fround(c02 + a * w2);
    c03 = Math.fround(c03 + a * w3);
    c10 = Math.fround(c10 + b * w0);
    c11 = Math.fround(c11 + b * w1);
    c12 = Math.fround(c12 + b * w2);
    c13 = Math.fround(c13 + b * w3);
    c20 = Math.fround(c20 + d * w0);
    c21 = Math.fround(c21 + d * w1);
    c22 = Math.fround(c22 + d * w2);
    c23 = Math.fround(c23 + d * w3);
  }
  c[at] = c00;
  c[at + 1] = c01;
  c[at + 2] = c02;
  c[at + 3] = c03;
  c[at1] = c10;
  c[at1 + 1] = c11;
  c[at1 + 2] = c12;
  c[at1 + 3] = c13;
  c[at2] = c20;
  c[at2 + 1] = c21;
  c[at2 + 2] = c22;
  c[at2 + 3] = c23;
};

/** As `chainedTriple`, one row. */
const chainedRow: AddBlock = (c, at, x, from, { w, at: panelAt, depth }) => {
  let c0 = c[at]!;
  let c1 = c[at + 1]!;
  let c2 = c[at + 2]!;
  let c3 = c[at + 3]!;
  for (let q = from | 0, p = panelAt | 0, end = (from + depth) | 0; q < end; q++, p += panelColumns) {
    const a = x[q]!;
    c0 = Math.fround(c0 + a * w[p]!);
    c1 = Math.fround(c1 + a * w[p + 1]!);
    c2 = Math.fround(c2 + a * w[p + 2]!);
    c3 = Math.fround(c3 + a * w[p + 3]!);
  }
  c[at] = c0;
  c[at + 1] = c1;
  c[at + 2] = c2;
  c[at + 3] = c3;
};

/** Puts row `k` of a tile, `width` columns, into panels `depth` deep. */
export const putPanelRow = (w: Float64Array, row: Float64Array, k: number, width: number, depth: number): void => {
  const stride = (depth * panelColumns) | 0;
  for (let n = 0, p = (k * panelColumns) | 0; n < width; n += panelColumns, p += stride) {
    w[p] = row[n]!;
    w[p + 1] = row[n + 1]!;
    w[p + 2] = row[n + 2]!;
    w[p + 3] = row[n + 3]!;
  }
};

/** Puts one row of activations at place `r` of a triple that starts at `x[from]`. */
export const putTripleRow = (x: Float64Array, row: Float64Array, from: number, r: number): void => {
  for (let k = 0, at = (from + r) | 0; k < row.length; k++, at += tripleRows) x[at] = row[k]!;
};

/** How a profile's products are summed. */
export const kernels: { readonly [P in 'exact' | 'chained']: { readonly triple: AddBlock; readonly row: AddBlock } } = {
  exact: { triple: exactTriple, row: exactRow },
  chained: { triple: chainedTriple, row: chainedRow },
};
