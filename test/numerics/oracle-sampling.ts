/** Philox and sampling as their sources write them (see oracle.ts). */
import { exp2Value } from './oracle-functions.ts';
import { fromDouble, singleOf } from './oracle-ops.ts';
import { add, compare, decode, encode, exact, f64, multiply, quotient, rational, type Single, single, subtract } from './oracle.ts';

const word = (n: bigint): bigint => n & 0xffffffffn;

/** Ten rounds on 64-bit products. */
export const naivePhilox = (counter: readonly number[], key: readonly number[]): number[] => {
  let c = counter.map(BigInt);
  let k = key.map(BigInt);
  for (let round = 0; round < 10; round++) {
    if (round > 0) k = [word(k[0]! + 0x9e3779b9n), word(k[1]! + 0xbb67ae85n)];
    const [left, right] = [0xd2511f53n * c[0]!, 0xcd9e8d57n * c[2]!];
    c = [(right >> 32n) ^ c[1]! ^ k[0]!, word(right), (left >> 32n) ^ c[3]! ^ k[1]!, word(left)];
  }
  return c.map(Number);
};

export type Draw = { readonly temperature: number; readonly topK: number; readonly topP: number; readonly seed: readonly [number, number] };

/** The token drawn from finite FP32 logits, given as codes; the temperature is not 0. */
export const naiveSample = (logits: readonly Single[], { temperature, topK, topP, seed }: Draw, position: number): number => {
  const order = logits.map((_, id) => id).sort((a, b) => compare(exact(logits[b]!), exact(logits[a]!)) || a - b).slice(0, topK === 0 ? logits.length : topK);
  const factor = single(decode(f64, encode(f64, quotient(fromDouble(1.4426950408889634), fromDouble(temperature)))));
  const weights = order.map((id) => single(exp2Value(exact(multiply(subtract(logits[id]!, logits[order[0]!]!), factor)))));
  let total = 0;
  const sums = weights.map((weight) => (total = add(total, weight)));
  const enough = exact(multiply(singleOf(topP), total));
  const kept = sums.find((c) => compare(exact(c), enough) >= 0)!;
  const u = single(rational(BigInt(naivePhilox([position, 0, 0, 0], seed)[0]! >>> 8), 1n << 24n));
  const drawn = exact(multiply(u, kept));
  return order[sums.findIndex((c) => compare(exact(c), drawn) > 0)]!;
};
