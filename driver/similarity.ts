/** How alike two results are: cosine, signal to quantisation noise in dB, and the largest difference. */
export type Similarity = { readonly cosine: number; readonly sqnr: number; readonly largest: number; readonly scale: number };

/** Of `actual` against `wanted`. Equal results have cosine 1 and infinite SQNR. `scale`: the largest magnitude wanted. */
export function similarity(actual: ArrayLike<number>, wanted: ArrayLike<number>): Similarity {
  let [dot, squares, wantedSquares, noise, largest, scale] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < wanted.length; i++) {
    const [a, w] = [actual[i] ?? Number.NaN, wanted[i] as number];
    dot += a * w;
    squares += a * a;
    wantedSquares += w * w;
    noise += (a - w) ** 2;
    largest = Math.max(largest, Number.isNaN(a) ? Infinity : Math.abs(a - w));
    scale = Math.max(scale, Math.abs(w));
  }
  const cosine = squares === 0 && wantedSquares === 0 ? 1 : dot / Math.sqrt(squares * wantedSquares);
  return { cosine, sqnr: noise === 0 ? Infinity : 10 * Math.log10(wantedSquares / noise), largest, scale };
}

/** What single precision leaves of a result computed in another order: 1e-4 of the largest magnitude. */
export const float32Tolerance = 1e-4;
export const withinFloat32 = ({ largest, scale }: Similarity): boolean => largest <= float32Tolerance * Math.max(scale, 1e-3);
