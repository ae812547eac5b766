import { type Code, define, f64x2, i32, i8x16, type Local, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';
import { formats, tinyDoubles, tinyScale } from './pack.ts';

/** Products of a single row of doubles: E4M3 codes are used once, so they are decoded as they are multiplied. None may be NaN. Sums are exact, in any order. */

const { load } = formats.f64;

/** Adds the products of eight codes, undone of their scale, and four pairs of doubles to four pairs of sums. */
const addEight = (sums: readonly Local[], codes: Local, factor: (pair: number) => Code): Code =>
  tinyDoubles(codes.get).flatMap((pair, i) => sums[i]!.set(f64x2.add(sums[i]!.get, f64x2.mul(pair, factor(i)))));

/** Of what makes up for the scale of `tinyDoubles`, what a factor below 2^9 bears, and the rest. */
const [most, rest] = [tinyScale / 2 ** 16, 2 ** 16];

/**
 * `dotRow(sums, x, w, pitch, count, depth, work)`: the dot products of x and `count` rows of codes, `pitch` bytes apart; `depth` a multiple of 8.
 * At `work`, room for another x.
 */
const dotRow = define('dotRow', 7, ([sums, x, w, pitch, count, depth, work], local) => {
  const [n, k] = locals(2, () => local('i32'));
  const four = locals(4, () => local('v128'));
  const codes = local('v128');
  const [a, b, c, d] = four;
  const element = (list: Local): Code => i32.add(list.get, i32.shl(k.get, i32.const(3)));
  return [
    ...loopUp(k, i32.const(0), depth.get, 2, v128.store(element(work), f64x2.mul(v128.load(element(x)), f64x2.const(most)))),
    ...loopUp(n, i32.const(0), count.get, 1, [
      ...four.flatMap((sum) => sum.set(f64x2.const(0))),
      ...loopUp(k, i32.const(0), depth.get, 8, [
        ...codes.set(load(i32.add(w.get, k.get))),
        ...addEight(four, codes, (pair) => v128.load(element(work), 16 * pair)),
      ]),
      ...a.set(f64x2.add(f64x2.add(a.get, b.get), f64x2.add(c.get, d.get))),
      ...v128.store64Low(sums.get, f64x2.mul(f64x2.add(a.get, v128.shuffle(a.get, a.get, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])), f64x2.const(rest))),
      ...sums.step(8), ...w.step(pitch.get),
    ]),
  ];
});

/** `mixRows(sums, x, w, pitch, count, width)`: the sum of `count` rows of codes, each times its x, at most 1; `width` a multiple of 8. */
const mixRows = define('mixRows', 6, ([sums, x, w, pitch, count, width], local) => {
  const [n, k, row, factorAt] = locals(4, () => local('i32'));
  const four = locals(4, () => local('v128'));
  const [codes, factor] = locals(2, () => local('v128'));
  return loopUp(n, i32.const(0), width.get, 8, [
    ...four.flatMap((sum) => sum.set(f64x2.const(0))),
    ...row.set(i32.add(w.get, n.get)),
    ...factorAt.set(x.get),
    ...loopUp(k, i32.const(0), count.get, 1, [
      ...codes.set(load(row.get)),
      ...factor.set(f64x2.mul(v128.load64Splat(factorAt.get), f64x2.const(tinyScale))),
      ...addEight(four, codes, () => factor.get),
      ...row.step(pitch.get), ...factorAt.step(8),
    ]),
    ...four.flatMap((sum, pair) => v128.store(sums.get, sum.get, 16 * pair)),
    ...sums.step(64),
  ]);
});

/** `hasNan(from, count) -> 0 if not`: of E4M3 codes, a multiple of 64. */
const hasNan = define('hasNan', 2, ([from, count], local) => {
  const end = local('i32');
  const most = locals(4, () => local('v128'));
  const [a, b, c, d] = most;
  return [
    ...most.flatMap((one) => one.set(i8x16.const(0))),
    ...end.set(i32.add(from.get, count.get)),
    ...loopWhile(i32.ltS(from.get, end.get), [
      ...most.flatMap((one, i) => one.set(i8x16.maxU(one.get, v128.and(v128.load(from.get, 16 * i), i8x16.const(0x7f))))),
      ...from.step(64),
    ]),
    ...i8x16.bitmask(i8x16.eq(i8x16.maxU(i8x16.maxU(a.get, b.get), i8x16.maxU(c.get, d.get)), i8x16.const(0x7f))),
  ];
}, true);

export const rowProducts = [dotRow, mixRows, hasNan] as const;
