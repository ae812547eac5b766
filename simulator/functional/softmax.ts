import { activate, exp2f, toBf16 } from '../../isa-spec/numerics.ts';

/** The online softmax of rows and heads: maximum, sum, and unfinished output of `width` elements each. */
export type Sums = { readonly width: number; readonly m: Float64Array; readonly l: Float64Array; readonly o: Float64Array };

export const clearedSums = (places: number, width: number): Sums => ({ width, m: new Float64Array(places).fill(-Infinity), l: new Float64Array(places), o: new Float64Array(places * width) });

/** How a dot product becomes a score. `factor`: scale x log2 e, in FP32; `softCap`: the bound of scores, if they have one. */
export type Scoring = { readonly scale: number; readonly factor: number; readonly softCap: number | undefined };

const leastWeight = 2 ** -18;
const log2e = Math.fround(1.4426950408889634);

/** A dot product as a score within the bound, base 2. */
export const capped = (dot: number, scale: number, softCap: number): number =>
  Math.fround(Math.fround(softCap * activate('tanh', Math.fround(Math.fround(Math.fround(dot) * scale) / softCap))) * log2e);

/** Dot products `z` become weights; the sums at `at` take them in. Returns what the output is scaled by before theirs is added. */
export const soften = ({ m, l }: Sums, at: number, { scale, factor, softCap }: Scoring, z: Float64Array): number => {
  let most = m[at]!;
  for (let j = 0; j < z.length; j++) {
    z[j] = softCap === undefined ? Math.fround(Math.fround(z[j]!) * factor) : capped(z[j]!, scale, softCap);
    most = Math.max(most, z[j]!);
  }
  const alpha = share(m[at]!, most);
  let sum = 0;
  for (let j = 0; j < z.length; j++) {
    const p = toBf16(exp2f(Math.fround(z[j]! - most)));
    z[j] = p < leastWeight ? 0 : p;
    sum += z[j]!;
  }
  m[at] = most;
  l[at] = Math.fround(Math.fround(l[at]! * alpha) + Math.fround(sum));
  return alpha;
};

/** What sums are scaled by when the maximum goes from `m` to `most`. */
export const share = (m: number, most: number): number => (m === -Infinity ? 0 : exp2f(Math.fround(m - most)));

/** The output of place `at`, scaled, and the products of a block's weights and values. */
export const carry = ({ o, width }: Sums, at: number, alpha: number, products: Float64Array | Float32Array): void => {
  const first = at * width;
  for (let d = 0; d < width; d++) o[first + d] = Math.fround(Math.fround(o[first + d]! * alpha) + Math.fround(products[d]!));
};

/** Adds the sums of another part of the keys, of as many places. */
export const addPart = (sums: Sums, part: Sums): void => {
  const { width, m, l, o } = sums;
  for (let at = 0; at < m.length; at++) {
    if (part.l[at] === 0) continue;
    const first = at * width;
    if (l[at] === 0) {
      m[at] = part.m[at]!;
      l[at] = part.l[at]!;
      o.set(part.o.subarray(first, first + width), first);
      continue;
    }
    const most = Math.max(m[at]!, part.m[at]!);
    const [a, b] = [share(m[at]!, most), share(part.m[at]!, most)];
    m[at] = most;
    l[at] = Math.fround(Math.fround(l[at]! * a) + Math.fround(part.l[at]! * b));
    for (let d = first; d < first + width; d++) o[d] = Math.fround(Math.fround(o[d]! * a) + Math.fround(part.o[d]! * b));
  }
};

/** What O is multiplied by, and l, once a key of this logit and of value 0 has been seen; -Infinity: there is none. */
export const withSink = (m: number, l: number, logit: number): readonly [number, number] => {
  if (logit === -Infinity) return [1, l];
  const z = Math.fround(logit * log2e);
  const most = Math.max(m, z);
  const alpha = share(m, most);
  return [alpha, Math.fround(Math.fround(l * alpha) + exp2f(Math.fround(z - most)))];
};
