import { type Code, define, type Definition, f64x2, i16x8, i32, i8x16, type Local, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';
import { panelBytes } from './product.ts';
import { at as tables } from './tables.ts';

/** Codes become the panels that products of f32 and f64 take. */

/** Lanes of so many bytes of the lower or upper halves of x and y, in turn. */
const interleave = (bytes: 1 | 2 | 4, half: 'low' | 'high') => {
  const lanes = Array.from({ length: 16 }, (_, i) => {
    const lane = Math.floor(i / bytes);
    return (lane >> 1) * bytes + (i % bytes) + (half === 'high' ? 8 : 0) + 16 * (lane & 1);
  });
  return (x: Code, y: Code): Code => v128.shuffle(x, y, lanes);
};
const halves = ['low', 'high'] as const;
const zero = i8x16.const(0);

/** Eight E4M3 codes, as doubles: too small by a factor, for their exponent is biased by 1023 and not by 7. NaN is as 480. */
export const tinyDoubles = (codes: Code): readonly Code[] => {
  const upperBits = v128.and(i16x8.shrS(codes, i32.const(7)), i16x8.const(0x80fe));
  return [0, 1, 2, 3].map((pair) => i8x16.swizzle(upperBits, v128.const(Array.from({ length: 16 }, (_, i) => ((i & 7) < 6 ? 0x80 : 2 * (2 * pair + (i >> 3)) + (i & 1))))));
};
export const tinyScale = 2 ** (1023 - 7);

/** BF16 as f32, E4M3, NaN not among them, as f64; the codes of either as the upper bits of 16. */
export const formats = {
  f32: {
    codeBytes: 2,
    /** Columns of a panel. */
    lanes: 8,
    load: v128.load,
    /** Stores four of eight codes. */
    put: (address: Code, codes: Local, half: 'low' | 'high', offset: number): Code => v128.store(address, interleave(2, half)(zero, codes.get), offset),
  },
  f64: {
    codeBytes: 1,
    lanes: 4,
    load: (address: Code): Code => interleave(1, 'low')(zero, v128.load64Zero(address)),
    put: (address: Code, codes: Local, half: 'low' | 'high', offset: number): Code =>
      tinyDoubles(codes.get).slice(half === 'low' ? 0 : 2, half === 'low' ? 2 : 4).flatMap((pair, i) => v128.store(address, f64x2.mul(pair, f64x2.const(tinyScale)), offset + 16 * i)),
  },
} as const;

/** At `noticed`, by lane, of these BF16 codes and of those before: the largest without sign, and the least but 0, less one. */
const noticing = (local: (type: 'v128') => Local) => {
  const unsigned = i16x8.const(0x7fff);
  const [most, least, magnitude] = locals(3, () => local('v128'));
  return {
    open: [...most.set(v128.load(i32.const(tables.noticed))), ...least.set(v128.load(i32.const(tables.noticed), 16))],
    see: (codes: Local): Code => [
      ...magnitude.set(v128.and(codes.get, unsigned)),
      ...most.set(i16x8.maxU(most.get, magnitude.get)),
      ...least.set(i16x8.minU(least.get, i16x8.sub(magnitude.get, i16x8.const(1)))),
    ],
    close: [...v128.store(i32.const(tables.noticed), most.get), ...v128.store(i32.const(tables.noticed), least.get, 16)],
  };
};
const noticingNothing = { open: [], see: (): Code => [], close: [] };
const noticingOf = (kind: keyof typeof formats, local: (type: 'v128') => Local) => (kind === 'f32' ? noticing(local) : noticingNothing);

/** `pack*(from, pitch, to, depth, columns)`: rows of k as panels of columns, a multiple of 8. */
const pack = <const Name extends string>(name: Name, kind: keyof typeof formats): Definition<Name> =>
  define(name, 5, ([from, pitch, to, depth, columns], local) => {
    const { codeBytes, lanes, load, put } = formats[kind];
    const [n, k, row, out, outPitch] = locals(5, () => local('i32'));
    const codes = local('v128');
    const { open, see, close } = noticingOf(kind, local);
    const wide = lanes === 8;
    return [
      ...open,
      ...outPitch.set(i32.mul(depth.get, i32.const(panelBytes))),
      ...out.set(to.get),
      ...loopUp(n, i32.const(0), columns.get, 8, [
        ...row.set(i32.add(from.get, i32.mul(n.get, i32.const(codeBytes)))),
        ...loopUp(k, i32.const(0), depth.get, 1, [
          ...codes.set(load(row.get)),
          ...see(codes),
          ...put(out.get, codes, 'low', 0),
          ...put(wide ? out.get : i32.add(out.get, outPitch.get), codes, 'high', wide ? 16 : 0),
          ...row.step(pitch.get),
          ...out.step(panelBytes),
        ]),
        ...(wide ? [] : out.step(outPitch.get)),
      ]),
      ...close,
    ];
  });

/** `transpose*(from, pitch, to, depth, columns)`: columns of k, `pitch` apart, as panels; `depth` a multiple of 8, `columns` of 4. */
const transpose = <const Name extends string>(name: Name, kind: keyof typeof formats): Definition<Name> =>
  define(name, 5, ([from, pitch, to, depth, columns], local) => {
    const { codeBytes, lanes, load, put } = formats[kind];
    const [n, column, out, end] = locals(4, () => local('i32'));
    const four = locals(4, () => local('v128'));
    const [a, b, c, d] = four;
    const codes = local('v128');
    const { open, see, close } = noticingOf(kind, local);
    return [
      ...open,
      ...loopUp(n, i32.const(0), columns.get, 4, [
        ...column.set(i32.add(from.get, i32.mul(n.get, pitch.get))),
        ...out.set(i32.add(to.get, i32.mul(i32.mul(i32.shrU(n.get, i32.const(Math.log2(lanes))), depth.get), i32.const(panelBytes)))),
        ...out.step(i32.mul(i32.and(n.get, i32.const(lanes - 1)), i32.const(panelBytes / lanes))),
        ...end.set(i32.add(column.get, i32.mul(depth.get, i32.const(codeBytes)))),
        ...loopWhile(i32.ltS(column.get, end.get), [
          ...four.flatMap((one, i) => [...one.set(load(i32.add(column.get, i32.mul(pitch.get, i32.const(i))))), ...see(one)]),
          ...halves.flatMap((eights, i) => halves.flatMap((fours, j) => [
            ...codes.set(interleave(4, fours)(interleave(2, eights)(a.get, b.get), interleave(2, eights)(c.get, d.get))),
            ...halves.flatMap((half, step) => put(out.get, codes, half, panelBytes * (4 * i + 2 * j + step))),
          ])),
          ...column.step(8 * codeBytes),
          ...out.step(8 * panelBytes),
        ]),
      ]),
      ...close,
    ];
  });

export const packs = [pack('packF32', 'f32'), pack('packF64', 'f64'), transpose('transposeF32', 'f32'), transpose('transposeF64', 'f64')] as const;
