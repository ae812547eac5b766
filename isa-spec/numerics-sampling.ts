import { uniformAt, type Words2 } from './numerics-philox.ts';
import { exp2f } from './numerics.ts';

/** How a sequence draws its tokens. */
export type Sampling = {
  /** What logits are divided by; 0: the largest is taken. */
  readonly temperature: number;
  /** Candidates, the likeliest first; 0: all. */
  readonly topK: number;
  /** Of the probability of those, at least this part, in (0, 1], by the fewest candidates. */
  readonly topP: number;
  /** Of this sequence: low word, high word. */
  readonly seed: Words2;
};

const { fround } = Math;

/** NaN is below everything. */
const ranked = (x: number): number => (x !== x ? -Infinity : x);

/** The id of the largest logit, the lowest such; NaN counts as -Infinity. */
export const greedy = (logits: ArrayLike<number>): number => {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (ranked(logits[id]!) > ranked(logits[best]!)) best = id;
  return best;
};

/** The first `count` ids by value descending, equal values by id ascending. */
const leading = (logits: ArrayLike<number>, count: number): Uint32Array => {
  const ids = Uint32Array.from({ length: logits.length }, (_, id) => id);
  return ids.sort((a, b) => Math.sign(ranked(logits[b]!) - ranked(logits[a]!)) || a - b).subarray(0, count);
};

/**
 * The token drawn from FP32 logits of one row, a pure function of them, the sampling and the position; every operation one FP32 rounding.
 *
 * Candidates are in order of value, equal ones by id; the first topK. f = FP32(log2 e / temperature);
 * w_i = exp2f(FP32(FP32(x_i - x_0) * f)); c_i = FP32(c_(i-1) + w_i) from +0, ascending. Kept are those up to the first c_n >= FP32(topP * c_last).
 * The token is the first with c_i > FP32(u * c_n), u = uniformAt(seed, position).
 * Where the largest logit is infinite or all are -Infinity, the largest is taken. Throws RangeError on a temperature, topK or topP out of range, or no logits.
 */
export const sample = (logits: ArrayLike<number>, { temperature, topK, topP, seed }: Sampling, position: number): number => {
  if (logits.length === 0) throw new RangeError('there are no logits to sample from');
  if (!(temperature >= 0 && temperature < Infinity)) throw new RangeError(`temperature ${temperature} is not a number from 0`);
  if (!(Number.isInteger(topK) && topK >= 0)) throw new RangeError(`top-k ${topK} is not a count`);
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`top-p ${topP} is not in (0, 1]`);
  const best = greedy(logits);
  const most = ranked(logits[best]!);
  const factor = fround(1.4426950408889634 / temperature);
  if (factor === Infinity || !Number.isFinite(most) || topK === 1) return best;

  const ids = leading(logits, topK === 0 ? logits.length : topK);
  const sums = new Float32Array(ids.length);
  let sum = 0;
  ids.forEach((id, i) => {
    sum = fround(sum + exp2f(fround(fround(ranked(logits[id]!) - most) * factor)));
    sums[i] = sum;
  });
  const enough = fround(fround(topP) * sum);
  const kept = sums[sums.findIndex((c) => c >= enough)]!;
  const drawn = fround(uniformAt(seed, position) * kept);
  return ids[sums.findIndex((c) => c > drawn)]!;
};
