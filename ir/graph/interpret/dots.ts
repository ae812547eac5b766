/** A block of row-major rows, `k` elements each; row r of a product goes to `out[r * pitch + column ...]`. */
export type Dots = (x: Float64Array, w: Float64Array, k: number, out: { readonly data: Float64Array; readonly pitch: number; readonly column: number }) => void;

/**
 * out[i, column + j] = dot(x[i], w[j]) in double, in no particular order: what real numbers mean, and exact for e4m3
 * (products are multiples of 2^-18 below 2^18; a double holds 2^17 of them and more). A zero sum is +0.
 */
export const plainDots: Dots = (x, w, k, { data, pitch, column }) => {
  const rows = x.length / k;
  const columns = w.length / k;
  let i = 0;
  for (; i + 4 <= rows; i += 4) {
    let j = 0;
    for (; j + 4 <= columns; j += 4) {
      block4x4(x, i * k, w, j * k, k);
      for (let r = 0; r < 4; r++) {
        const at = (i + r) * pitch + column + j;
        for (let c = 0; c < 4; c++) data[at + c] = sums[r * 4 + c]!;
      }
    }
    for (; j < columns; j++) for (let r = 0; r < 4; r++) data[(i + r) * pitch + column + j] = dot(x, (i + r) * k, w, j * k, k);
  }
  for (; i < rows; i++) for (let j = 0; j < columns; j++) data[i * pitch + column + j] = dot(x, i * k, w, j * k, k);
};

/** out[i, column + j] = the FP32 sum of exact products, each addition rounded, k ascending from +0: the rule for bf16. */
export const chainedDots: Dots = (x, w, k, { data, pitch, column }) => {
  const rows = x.length / k;
  const columns = w.length / k;
  for (let i = 0; i < rows; i++) {
    const a = i * k;
    let j = 0;
    for (; j + 8 <= columns; j += 8) {
      const b = j * k;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
      for (let e = 0; e < k; e++) {
        const v = x[a + e]!;
        s0 = Math.fround(s0 + v * w[b + e]!);
        s1 = Math.fround(s1 + v * w[b + k + e]!);
        s2 = Math.fround(s2 + v * w[b + 2 * k + e]!);
        s3 = Math.fround(s3 + v * w[b + 3 * k + e]!);
        s4 = Math.fround(s4 + v * w[b + 4 * k + e]!);
        s5 = Math.fround(s5 + v * w[b + 5 * k + e]!);
        s6 = Math.fround(s6 + v * w[b + 6 * k + e]!);
        s7 = Math.fround(s7 + v * w[b + 7 * k + e]!);
      }
      const at = i * pitch + column + j;
      data[at] = s0; data[at + 1] = s1; data[at + 2] = s2; data[at + 3] = s3;
      data[at + 4] = s4; data[at + 5] = s5; data[at + 6] = s6; data[at + 7] = s7;
    }
    for (; j < columns; j++) {
      let sum = 0;
      for (let e = 0, b = j * k; e < k; e++) sum = Math.fround(sum + x[a + e]! * w[b + e]!);
      data[i * pitch + column + j] = sum;
    }
  }
};

/** Results of the last `block4x4`. */
const sums = new Float64Array(16);

/** Four rows of x times four of w: sixteen sums in registers. */
function block4x4(x: Float64Array, a: number, w: Float64Array, b: number, k: number): void {
  let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
  let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
  for (let e = 0; e < k; e++) {
    const w0 = w[b + e]!, w1 = w[b + k + e]!, w2 = w[b + 2 * k + e]!, w3 = w[b + 3 * k + e]!;
    const x0 = x[a + e]!, x1 = x[a + k + e]!, x2 = x[a + 2 * k + e]!, x3 = x[a + 3 * k + e]!;
    s00 += x0 * w0; s01 += x0 * w1; s02 += x0 * w2; s03 += x0 * w3;
    s10 += x1 * w0; s11 += x1 * w1; s12 += x1 * w2; s13 += x1 * w3;
    s20 += x2 * w0; s21 += x2 * w1; s22 += x2 * w2; s23 += x2 * w3;
    s30 += x3 * w0; s31 += x3 * w1; s32 += x3 * w2; s33 += x3 * w3;
  }
  sums[0] = s00; sums[1] = s01; sums[2] = s02; sums[3] = s03; sums[4] = s10; sums[5] = s11; sums[6] = s12; sums[7] = s13;
  sums[8] = s20; sums[9] = s21; sums[10] = s22; sums[11] = s23; sums[12] = s30; sums[13] = s31; sums[14] = s32; sums[15] = s33;
}

function dot(x: Float64Array, a: number, w: Float64Array, b: number, k: number): number {
  let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  let e = 0;
  for (; e + 4 <= k; e += 4) {
    s0 += x[a + e]! * w[b + e]!;
    s1 += x[a + e + 1]! * w[b + e + 1]!;
    s2 += x[a + e + 2]! * w[b + e + 2]!;
    s3 += x[a + e + 3]! * w[b + e + 3]!;
  }
  for (; e < k; e++) s0 += x[a + e]! * w[b + e]!;
  return s0 + s1 + (s2 + s3);
}
