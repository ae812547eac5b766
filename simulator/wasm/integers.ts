import { type Code, define, f64, i16x8, i32, i8x16, type Local, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';
import { panelBytes } from './product.ts';
import { at as tables, eighths, smallCodes, units } from './tables.ts';

/**
 * E4M3 codes become 16-bit integers: weights as panels of pairs of k, activations row by row. Of values below their unit, which are taken
 * for 0, a list is made: (row << 16) + column of each.
 */

const bits = (local: Local, body: Code): Code => loopWhile(local.get, [...body, ...local.set(i32.and(local.get, i32.sub(local.get, i32.const(1))))]);

/** Of E4M3 exponent fields from 7 (values of 1 and more) to 14: -2^(e - 7), as bytes; 15 has its mantissa doubled instead. */
const powers = Array.from({ length: 16 }, (_, e) => (e < 7 ? 0 : 0x100 - (1 << Math.min(e - 7, 7))));
const small = smallCodes(Math.log2(eighths));

/**
 * `packI16(from, pitch, to, depth, columns, list) -> end`: E4M3 rows as pairs of k in eighths, and the list of those below 1. `depth`
 * even, `columns` a multiple of 16. At `noticed`, by lane: the largest code without sign.
 */
const packI16 = define('packI16', 6, ([from, pitch, to, depth, columns, list], local) => {
  const [n, k, row, out, mask, outPitch] = locals(6, () => local('i32'));
  const [a, b, codes, magnitude, exponent, positive, factor, power] = locals(8, () => local('v128'));
  const most = local('v128');
  const notice = (of: Local, r: number): Code => [
    ...magnitude.set(v128.and(of.get, i8x16.const(0x7f))),
    ...most.set(i8x16.maxU(most.get, magnitude.get)),
    ...mask.set(i8x16.bitmask(i8x16.gtS(i8x16.add(magnitude.get, i8x16.const(127 - small)), i8x16.const(127 - small)))),
    ...bits(mask, [
      ...i32.store(list.get, i32.add(i32.or(i32.shl(i32.add(k.get, i32.const(r)), i32.const(16)), n.get), i32.ctz(mask.get))),
      ...list.step(4),
    ]),
  ];
  const decode = (interleaved: Code, address: Code): Code => [
    ...codes.set(interleaved),
    ...positive.set(i8x16.gtS(codes.get, i8x16.const(0xff))),
    ...magnitude.set(v128.and(codes.get, i8x16.const(0x7f))),
    ...exponent.set(i8x16.shrU(magnitude.get, i32.const(3))),
    ...power.set(i8x16.swizzle(v128.const(powers), exponent.get)),
    ...factor.set(v128.or(v128.and(magnitude.get, i8x16.const(7)), i8x16.const(8))),
    ...factor.set(i8x16.add(factor.get, v128.and(factor.get, i8x16.eq(exponent.get, i8x16.const(15))))),
    ...factor.set(i8x16.sub(v128.xor(factor.get, positive.get), positive.get)),
    ...v128.store(address, i16x8.extmulLowS(factor.get, power.get)),
    ...v128.store(address, i16x8.extmulHighS(factor.get, power.get), 16),
  ];
  const low = Array.from({ length: 16 }, (_, i) => (i >> 1) + 16 * (i & 1));
  return [
    ...most.set(i8x16.const(0)),
    ...outPitch.set(i32.mul(depth.get, i32.const(panelBytes / 2))),
    ...loopUp(n, i32.const(0), columns.get, 16, [
      ...row.set(i32.add(from.get, n.get)),
      ...out.set(i32.add(to.get, i32.mul(i32.shrU(n.get, i32.const(3)), outPitch.get))),
      ...loopUp(k, i32.const(0), depth.get, 2, [
        ...a.set(v128.load(row.get)),
        ...b.set(v128.load(i32.add(row.get, pitch.get))),
        ...notice(a, 0),
        ...notice(b, 1),
        ...decode(v128.shuffle(a.get, b.get, low), out.get),
        ...decode(v128.shuffle(a.get, b.get, low.map((lane) => lane + 8)), i32.add(out.get, outPitch.get)),
        ...row.step(i32.shl(pitch.get, i32.const(1))),
        ...out.step(panelBytes),
      ]),
    ]),
    ...v128.store(i32.const(tables.noticed), most.get),
    ...list.get,
  ];
}, true);

/**
 * `readI16(codes, count, to, scale, doubles, doublesPitch, list, tag) -> end`: a row of E4M3 codes, in the finest unit in which no
 * product with eighths can exceed a 32-bit sum; its scale as a product's fold needs it; as doubles, `doublesPitch` apart; and the list of
 * those that are not whole, `tag` added. `count` a multiple of 16. At `noticed`, by lane: the largest code without sign, of this and before.
 */
const readI16 = define('readI16', 8, ([codes, count, to, scale, doubles, doublesPitch, list, tag], local) => {
  const [k, code, magnitude, sum, all, unit, whole, mask] = locals(8, () => local('i32'));
  const magnitudes = local('v128');
  const codeAt = (offset: Code): Code => i32.add(codes.get, offset);
  return [
    ...sum.set(i32.const(0)), ...all.set(i32.const(0)),
    ...loopUp(k, i32.const(0), count.get, 1, [
      ...magnitude.set(i32.load(i32.shl(i32.and(i32.load8u(codeAt(k.get)), i32.const(0x7f)), i32.const(2)), tables.magnitudes)),
      ...sum.set(i32.add(sum.get, magnitude.get)),
      ...all.set(i32.or(all.get, magnitude.get)),
    ]),
    // Magnitudes count 2^-9. Of units 2^-u, integers stay below 2^15 and their sum below 2^19; times weights below 2^12 that is 2^31.
    ...unit.set(i32.minS(i32.sub(i32.clz(all.get), i32.const(32 - 15 - units.finest)), i32.sub(i32.clz(sum.get), i32.const(32 - 19 - units.finest)))),
    ...unit.set(i32.sub(i32.minS(unit.get, i32.const(units.finest)), i32.const(units.coarsest))),
    ...f64.store(scale.get, f64.load(i32.shl(unit.get, i32.const(3)), tables.scales)),
    ...whole.set(i32.shl(unit.get, i32.const(9))),
    ...loopUp(k, i32.const(0), count.get, 1, [
      ...code.set(i32.load8u(codeAt(k.get))),
      ...i32.store16(i32.add(to.get, i32.shl(k.get, i32.const(1))), i32.load16u(i32.add(whole.get, i32.shl(code.get, i32.const(1))), tables.wholes)),
      ...f64.store(doubles.get, f64.load(i32.shl(code.get, i32.const(3)), tables.doubles)),
      ...doubles.step(doublesPitch.get),
    ]),
    ...loopUp(k, i32.const(0), count.get, 16, [
      ...magnitudes.set(v128.and(v128.load(codeAt(k.get)), i8x16.const(0x7f))),
      ...v128.store(i32.const(tables.noticed), i8x16.maxU(v128.load(i32.const(tables.noticed)), magnitudes.get)),
      ...mask.set(i8x16.bitmask(i8x16.ltU(i8x16.sub(magnitudes.get, i8x16.const(1)), v128.load8Splat(unit.get, tables.smallCodes)))),
      ...bits(mask, [...i32.store(list.get, i32.add(i32.add(tag.get, k.get), i32.ctz(mask.get))), ...list.step(4)]),
    ]),
    ...list.get,
  ];
}, true);

export const integerPacks = [packI16, readI16] as const;
