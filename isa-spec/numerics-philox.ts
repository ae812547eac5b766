/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3; SC11): random words as a function of a counter
 * and a key, so that the numbers of one sequence do not depend on what else a step works on.
 */

export type Words2 = readonly [number, number];
export type Words4 = readonly [number, number, number, number];

const multipliers = [0xd2511f53, 0xcd9e8d57] as const;
/** Added to the key before each round but the first: the golden ratio and sqrt(3) - 1, as fractions of 2^32. */
const weyl = [0x9e3779b9, 0xbb67ae85] as const;
const rounds = 10;

/** [high, low] words of the product of two unsigned words: the high ones from products of halves, each below 2^32. */
const multiply = (a: number, b: number): Words2 => {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return [(aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0, Math.imul(a, b) >>> 0];
};

/** Four random words of a counter under a key; all are unsigned. */
export const philox = (counter: Words4, key: Words2): Words4 => {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < rounds; round++) {
    const [high0, low0] = multiply(multipliers[0], c0);
    const [high1, low1] = multiply(multipliers[1], c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + weyl[0]) >>> 0;
    k1 = (k1 + weyl[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
};

/** The number in [0, 1) that draws the token after `position` of a sequence with this seed: the high 24 bits of word 0, exact in FP32. */
export const uniformAt = (seed: Words2, position: number): number => (philox([position >>> 0, 0, 0, 0], seed)[0] >>> 8) / 16777216;
