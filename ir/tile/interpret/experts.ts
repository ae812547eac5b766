import { activate, exp2f, roundTo } from '../../../isa-spec/numerics.ts';
import type { TileAttrs } from '../ops.ts';
import type { View } from './memory.ts';
import { laneSum } from './rows.ts';

const { fround } = Math;
const log2e = fround(Math.LOG2E);

type Routed = { readonly x: View; readonly biases: View | undefined; readonly indices: View; readonly weights: View; readonly offsets: View };

/** The k best of each row's experts: best first, of equals the lower number, NaN last; then all pairs in the order of their experts. */
export function routeRows({ scores, normalise, experts, k }: TileAttrs['route'], { x, biases, indices, weights, offsets }: Routed, count: number): void {
  const pairsOf: number[][] = Array.from({ length: experts }, () => []);
  for (let r = 0; r < count; r++) {
    const score = scoresOf(scores, x.row(r));
    const left = new Set(score.keys());
    const rank = (e: number): number => (biases === undefined ? score[e]! : fround(score[e]! + biases.row(0)[e]!));
    const chosen = Array.from({ length: k }, () => {
      const best = [...left].reduce((a, b) => (Number.isNaN(rank(a)) ? (Number.isNaN(rank(b)) ? a : b) : rank(b) > rank(a) ? b : a));
      left.delete(best);
      return best;
    });
    let total = 0;
    for (const e of chosen) total = fround(total + score[e]!);
    chosen.forEach((e, i) => {
      weights.row(0)[r * k + i] = normalise && total !== 0 ? fround(score[e]! / total) : score[e]!;
      pairsOf[e]!.push(r * k + i);
    });
  }
  pairsOf.flat().forEach((pair, at) => (indices.row(0)[at] = pair));
  let begin = 0;
  offsets.row(0)[0] = 0;
  pairsOf.forEach((pairs, e) => (offsets.row(0)[e + 1] = begin += pairs.length));
}

function scoresOf(scores: TileAttrs['route']['scores'], logits: Float64Array): Float64Array {
  if (scores === 'sigmoid') return logits.map((z) => activate('sigmoid', z));
  const most = Math.max(...logits);
  const powers = logits.map((z) => exp2f(fround(fround(z - most) * log2e)));
  const sum = laneSum(powers);
  return powers.map((power) => fround(power / sum));
}

type Bins = { readonly indices: View; readonly offsets: View; readonly sources: View; readonly places: View; readonly owners: View };

/** Each expert's pairs to bins of their own; -1 where there is nothing. */
export function binPairs({ experts, k, size }: TileAttrs['bin'], { indices, offsets, sources, places, owners }: Bins, count: number): void {
  for (const list of [sources, places, owners]) list.row(0).fill(-1);
  if (count === 0) return;
  let bin = 0;
  for (let e = 0; e < experts; e++) {
    const [from, to] = [offsets.row(0)[e]!, offsets.row(0)[e + 1]!];
    for (let j = from; j < to; j++) {
      const place = bin * size + (j - from);
      const pair = indices.row(0)[j]!;
      sources.row(0)[place] = Math.floor(pair / k);
      places.row(0)[pair] = place;
      owners.row(0)[Math.floor(place / size)] = e;
    }
    bin += Math.ceil((to - from) / size);
  }
}

/** Row r of `out` <- rows r k to r k + k - 1 of x, each times its weight, added up in this order from +0. */
export function mixRows(k: number, x: View, weights: View, out: View, count: number): void {
  for (let r = 0; r < count; r++) {
    const to = out.row(r);
    for (let c = 0; c < to.length; c++) {
      let y = 0;
      for (let pair = r * k; pair < (r + 1) * k; pair++) y = fround(y + fround(weights.row(0)[pair]! * x.row(pair)[c]!));
      to[c] = roundTo(out.format, y);
    }
  }
}
