import { ln2 } from '../../isa-spec/numerics.ts';
import { type Code, define, type Definition, f32x4, f64x2, i32, i32x4, i64x2, type Local, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';
import { upper } from './product.ts';
import { at as tables } from './tables.ts';

/** The online softmax of attention: scores of a block of keys become weights, and what was summed before is scaled. */

/** Weights below this are 0. */
const leastWeight = 2 ** -18;
/** 2^x of less is 0 as a weight; from here on it is a normal double. */
const leastPower = -64;
/** 1.5 * 2^52: added to an integer, the low bits of the sum are the integer. */
const integerBits = 6755399441055744;
/** Of e^y, by powers of y. */
const terms = [1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720] as const;

/** Four at a time: how scores are read and weights stored. Scores are rounded to FP32. */
const formats = {
  f32: { bytes: 4, load: (address: Code): Code => v128.load(address), store: (address: Code, x: Local): Code => v128.store(address, x.get) },
  f64: {
    bytes: 8,
    load: (address: Code): Code => joined(f32x4.demoteZero(v128.load(address)), f32x4.demoteZero(v128.load(address, 16))),
    store: (address: Code, x: Local): Code => [...v128.store(address, f64x2.promoteLow(x.get)), ...v128.store(address, f64x2.promoteLow(upper(x.get)), 16)],
  },
} as const;

/** The lower halves of x and y. */
const joined = (x: Code, y: Code): Code => v128.shuffle(x, y, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);

/** Two doubles 2^x, of -64 <= x <= 0 or NaN, in the steps of `exp2` of the specification. */
const exp2 = (x: Code, [n, y, integer]: readonly [Local, Local, Local]): Code => {
  const root = (lane: number): Code => i32.shl(i32.and(i32x4.lane(integer.get, lane), i32.const(31)), i32.const(3));
  return [
    ...y.set(x),
    ...n.set(f64x2.floor(f64x2.add(f64x2.mul(y.get, f64x2.const(32)), f64x2.const(0.5)))),
    ...integer.set(f64x2.add(n.get, f64x2.const(integerBits))),
    ...y.set(f64x2.mul(f64x2.sub(y.get, f64x2.mul(n.get, f64x2.const(1 / 32))), f64x2.const(ln2))),
    ...f64x2.mul(
      f64x2.mul(
        v128.load64High(root(2), v128.load64Zero(root(0), tables.roots), tables.roots),
        terms.map(f64x2.const).reduceRight((sum, term) => f64x2.add(term, f64x2.mul(y.get, sum))),
      ),
      i64x2.shl(i32x4.add(i32x4.shrS(integer.get, i32.const(5)), i32x4.const(1023)), i32.const(52)),
    ),
  ];
};

/**
 * `soften*(scores, weights, pitch, keys, spans, most, sums, rows, factor)`: rows of `keys` scores, a multiple of 4, `pitch` bytes apart. Row r
 * sees its scores in [spans[2r], spans[2r + 1]), one at least; most[r], FP32, the largest score times the factor before, becomes that of these
 * too; weights of the others are 0, or NaN where all are; sums[r], f64, is the sum of the weights. The scores are lost. `factor` is the address of an FP32.
 */
const soften = <const Name extends string>(name: Name, kind: keyof typeof formats): Definition<Name> =>
  define(name, 9, ([scores, weights, pitch, keys, spans, most, sums, rows, factor], local) => {
    const { bytes, load, store } = formats[kind];
    const j = local('i32');
    const [lanes, from, to, scale, largest, sum, seen, x, p] = locals(9, () => local('v128'));
    const bits = local('v128');
    const work = locals(3, () => local('v128'));
    const swapped = (v: Code, by: number): Code => v128.shuffle(v, v, Array.from({ length: 16 }, (_, i) => (i + by) % 16));
    const eachFour = (body: Code): Code => loopUp(j, i32.const(0), keys.get, 4, body);
    const place = (list: Local, elementBytes: number): Code => i32.add(list.get, i32.mul(j.get, i32.const(elementBytes)));
    return [
      ...scale.set(v128.load32Splat(factor.get)),
      ...loopWhile(rows.get, [
        ...from.set(v128.load32Splat(spans.get)),
        ...to.set(v128.load32Splat(spans.get, 4)),
        ...largest.set(v128.load32Splat(most.get)),
        ...lanes.set(v128.const([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0])),
        ...eachFour([
          ...seen.set(v128.andNot(i32x4.gtS(to.get, lanes.get), i32x4.gtS(from.get, lanes.get))),
          ...x.set(v128.select(f32x4.mul(load(place(scores, bytes)), scale.get), f32x4.const(-Infinity), seen.get)),
          ...v128.store(place(scores, 4), x.get),
          ...largest.set(f32x4.max(largest.get, x.get)),
          ...lanes.set(i32x4.add(lanes.get, i32x4.const(4))),
        ]),
        ...largest.set(f32x4.max(largest.get, swapped(largest.get, 8))),
        ...largest.set(f32x4.max(largest.get, swapped(largest.get, 4))),
        ...i32.store(most.get, i32x4.lane(largest.get, 0)),
        ...sum.set(f64x2.const(0)),
        ...eachFour([
          ...x.set(f32x4.pmax(f32x4.sub(v128.load(place(scores, 4)), largest.get), f32x4.const(leastPower))),
          ...p.set(joined(f32x4.demoteZero(exp2(f64x2.promoteLow(x.get), work)), f32x4.demoteZero(exp2(f64x2.promoteLow(upper(x.get)), work)))),
          ...bits.set(v128.and(i32x4.add(p.get, i32x4.add(i32x4.const(0x7fff), v128.and(i32x4.shrU(p.get, i32.const(16)), i32x4.const(1)))), i32x4.const(0xffff0000))),
          ...bits.set(v128.andNot(bits.get, f32x4.lt(bits.get, f32x4.const(leastWeight)))),
          ...p.set(v128.select(bits.get, p.get, f32x4.eq(p.get, p.get))),
          ...store(place(weights, bytes), p),
          ...sum.set(f64x2.add(sum.get, f64x2.add(f64x2.promoteLow(p.get), f64x2.promoteLow(upper(p.get))))),
        ]),
        ...v128.store64Low(sums.get, f64x2.add(sum.get, swapped(sum.get, 8))),
        ...scores.step(pitch.get), ...weights.step(pitch.get), ...spans.step(8), ...most.step(4), ...sums.step(8), ...rows.step(-1),
      ]),
    ];
  });

/**
 * `carry*(o, added, width, scales, rows)`: o <- fround(fround(o scale) + fround(added)). o is f64 that holds FP32, `scales` one FP32 a row;
 * `width` a multiple of 4.
 */
const carry = <const Name extends string>(name: Name, kind: keyof typeof formats): Definition<Name> =>
  define(name, 5, ([o, added, width, scales, rows], local) => {
    const { bytes, load } = formats[kind];
    const d = local('i32');
    const [scale, x] = locals(2, () => local('v128'));
    return loopWhile(rows.get, [
      ...scale.set(v128.load32Splat(scales.get)),
      ...loopUp(d, i32.const(0), width.get, 4, [
        ...x.set(f32x4.add(f32x4.mul(formats.f64.load(o.get), scale.get), load(added.get))),
        ...formats.f64.store(o.get, x),
        ...o.step(32), ...added.step(4 * bytes),
      ]),
      ...scales.step(4), ...rows.step(-1),
    ]);
  });

/** `narrow(from, to, count)`: doubles as singles; `count` a multiple of 4. */
const narrow = define('narrow', 3, ([from, to, count], local) => {
  const end = local('i32');
  return [
    ...end.set(i32.add(to.get, i32.shl(count.get, i32.const(2)))),
    ...loopWhile(i32.ltS(to.get, end.get), [...v128.store(to.get, formats.f64.load(from.get)), ...from.step(32), ...to.step(16)]),
  ];
});

export const softmaxes = [narrow, soften('softenF32', 'f32'), soften('softenF64', 'f64'), carry('carryF32', 'f32'), carry('carryF64', 'f64')] as const;
