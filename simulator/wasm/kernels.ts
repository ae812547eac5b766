import { type Code, define, type Definition, f32x4, f64, f64x2, i16x8, i32, i32x4, i8x16, type Local, locals, loopUp, loopWhile, v128 } from './assembler.ts';

/**
 * The inner loops in WebAssembly SIMD. Columns of weights lie across the lanes of two vectors, a panel; k is the loop. A column's sums
 * are therefore added in the order of k, each product rounded as the scalar rule has it.
 */

/** Where decoded E4M3 values (256 doubles) are in the memory, and where `packI16` and `packF32` leave what they noticed. */
export const tableAt = 0;
export const noticedAt = 2048;
/** First byte of the memory that nothing above uses. */
export const firstFree = 4096;

/** Bytes of a panel at one step of k. */
const panelBytes = 32;
const rowsAtATime = 4;

type Arithmetic = {
  /** One x in every lane. */
  readonly splat: (address: Code, offset?: number) => Code;
  readonly mul: (x: Code, y: Code) => Code;
  readonly add: (x: Code, y: Code) => Code;
  /** Bytes of x a step of k takes. */
  readonly step: number;
};

/** FP32: c <- c + x w, each rounded. f64: exact sums. i16: pairs of k, sums in 32-bit integers. */
const arithmetics = {
  f32: { splat: v128.load32Splat, mul: f32x4.mul, add: f32x4.add, step: 4 },
  f64: { splat: v128.load64Splat, mul: f64x2.mul, add: f64x2.add, step: 8 },
  i16: { splat: v128.load32Splat, mul: i32x4.dot, add: i32x4.add, step: 4 },
} as const satisfies Record<string, Arithmetic>;

/** A value of the integer kernel counts eighths, a product sixty-fourths. */
export const eighths = 8;
const wideSums = [0, 1].flatMap((half) => [{ half, high: false }, { half, high: true }]);

/**
 * `product*(c, cPitch, x, xPitch, w, steps, rows, panels)`: adds x w to `c`. Pitches in bytes; panels follow each other. c is f32 for
 * f32, else f64. One step of k a turn: V8 loads all that a turn uses before it multiplies, and two steps with the sums exceed 16 registers.
 */
const product = (name: string, kind: keyof typeof arithmetics): Definition =>
  define(name, 8, ([c, cPitch, x, xPitch, w, steps, rows, panels], local) => {
    const { splat, mul, add, step }: Arithmetic = arithmetics[kind];
    const [panel, row, cAt, xRow, at, end] = locals(6, () => local('i32'));
    const xAt = Array.from({ length: rowsAtATime }, () => local('i32'));
    const sums = Array.from({ length: rowsAtATime }, () => [local('v128'), local('v128')] as const);
    const weights = [local('v128'), local('v128')] as const;
    const factor = local('v128');
    const cBytes = kind === 'i16' ? 2 * panelBytes : panelBytes;
    const rowOfC = (r: number): Code => (r === 0 ? cAt.get : i32.add(cAt.get, i32.mul(cPitch.get, i32.const(r))));

    const open = (r: number): Code =>
      kind === 'i16' ? sums[r]!.flatMap((sum) => sum.set(i16x8.const(0))) : sums[r]!.flatMap((sum, half) => sum.set(v128.load(rowOfC(r), 16 * half)));
    const close = (r: number): Code => {
      if (kind !== 'i16') return sums[r]!.flatMap((sum, half) => v128.store(rowOfC(r), sum.get, 16 * half));
      return wideSums.flatMap(({ half, high }) => {
        const sum = sums[r]![half]!.get;
        const offset = 32 * half + (high ? 16 : 0);
        const part = high ? v128.shuffle(sum, sum, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]) : sum;
        return v128.store(rowOfC(r), f64x2.add(v128.load(rowOfC(r), offset), f64x2.mul(f64x2.convertLowS(part), f64x2.const(1 / eighths ** 2))), offset);
      });
    };
    const block = (count: number): Code => {
      const each = Array.from({ length: count }, (_, r) => r);
      return [
        ...each.flatMap(open),
        ...each.flatMap((r) => xAt[r]!.set(r === 0 ? xRow.get : i32.add(xAt[r - 1]!.get, xPitch.get))),
        ...loopUp(at, panel.get, end.get, panelBytes, [
          ...weights.flatMap((weight, half) => weight.set(v128.load(at.get, 16 * half))),
          ...each.flatMap((r) => [
            ...factor.set(splat(xAt[r]!.get)),
            ...sums[r]!.flatMap((sum, half) => sum.set(add(sum.get, mul(weights[half]!.get, factor.get)))),
            ...xAt[r]!.step(step),
          ]),
        ]),
        ...each.flatMap(close),
        ...cAt.step(i32.mul(cPitch.get, i32.const(count))),
        ...xRow.step(i32.mul(xPitch.get, i32.const(count))),
        ...row.step(count),
      ];
    };
    return [
      ...panel.set(w.get),
      ...loopWhile(panels.get, [
        ...end.set(i32.add(panel.get, i32.mul(steps.get, i32.const(panelBytes)))),
        ...cAt.set(c.get), ...xRow.set(x.get), ...row.set(i32.const(0)),
        ...loopWhile(i32.ltS(row.get, i32.sub(rows.get, i32.const(rowsAtATime - 1))), block(rowsAtATime)),
        ...loopWhile(i32.ltS(row.get, rows.get), block(1)),
        ...panel.set(end.get), ...c.step(cBytes), ...panels.step(-1),
      ]),
    ];
  });

/** E4M3 exponent fields from 7 (values of 1 and more) to 14: 2^(e - 7); 15 has its mantissa doubled instead. */
const powers = Array.from({ length: 16 }, (_, e) => (e < 7 ? 0 : e === 15 ? 0x80 : 1 << (e - 7)));
/** Codes 1 to 55 are the values below 1, which eighths do not hold. */
const smallCodes = 55;

/**
 * `packI16(from, pitch, to, depth, columns, list) -> count`: E4M3 rows as pairs of k in eighths, values below 1 as 0. `depth` even, `columns` a
 * multiple of 16. At `list`: the offsets from `from` of the elements that are below 1 and not 0. At `noticedAt`: bytes not 0 where NaN was seen.
 */
const packI16 = define('packI16', 6, ([from, pitch, to, depth, columns, list], local) => {
  const [n, k, row, out, mask, first] = locals(6, () => local('i32'));
  const [a, b, codes, magnitude, exponent, sign, factor, power] = locals(8, () => local('v128'));
  const nan = local('v128');
  const zero = i16x8.const(0);
  const outPitch = local('i32');
  const notice = (row16: Local, rowAt: Code): Code => [
    ...magnitude.set(v128.and(row16.get, i8x16.const(0x7f))),
    ...nan.set(v128.or(nan.get, i8x16.eq(magnitude.get, i8x16.const(0x7f)))),
    ...mask.set(i8x16.bitmask(i8x16.ltU(i8x16.sub(magnitude.get, i8x16.const(1)), i8x16.const(smallCodes)))),
    ...loopWhile(mask.get, [
      ...i32.store(list.get, i32.sub(i32.add(rowAt, i32.ctz(mask.get)), from.get)),
      ...list.step(4),
      ...mask.set(i32.and(mask.get, i32.sub(mask.get, i32.const(1)))),
    ]),
  ];
  const signed = (value: Code, signs: Code): Code => i16x8.sub(v128.xor(value, signs), signs);
  const decode = (interleaved: Code, offset: Code): Code => [
    ...codes.set(interleaved),
    ...sign.set(i8x16.ltS(codes.get, zero)),
    ...magnitude.set(v128.and(codes.get, i8x16.const(0x7f))),
    ...exponent.set(i8x16.shrU(magnitude.get, i32.const(3))),
    ...power.set(i8x16.swizzle(v128.const(powers), exponent.get)),
    ...factor.set(v128.or(v128.and(magnitude.get, i8x16.const(7)), i8x16.const(8))),
    ...factor.set(i8x16.add(factor.get, v128.and(factor.get, i8x16.eq(exponent.get, i8x16.const(15))))),
    ...v128.store(offset, signed(i16x8.extmulLowU(factor.get, power.get), i16x8.extendLowS(sign.get))),
    ...v128.store(offset, signed(i16x8.extmulHighU(factor.get, power.get), i16x8.extendHighS(sign.get)), 16),
  ];
  const low = Array.from({ length: 16 }, (_, i) => (i >> 1) + 16 * (i & 1));
  return [
    ...first.set(list.get),
    ...nan.set(zero),
    ...outPitch.set(i32.mul(depth.get, i32.const(panelBytes / 2))),
    ...loopUp(n, i32.const(0), columns.get, 16, [
      ...row.set(i32.add(from.get, n.get)),
      ...out.set(i32.add(to.get, i32.mul(i32.shrU(n.get, i32.const(3)), outPitch.get))),
      ...loopUp(k, i32.const(0), depth.get, 2, [
        ...a.set(v128.load(row.get)),
        ...b.set(v128.load(i32.add(row.get, pitch.get))),
        ...notice(a, row.get),
        ...notice(b, i32.add(row.get, pitch.get)),
        ...decode(v128.shuffle(a.get, b.get, low), out.get),
        ...decode(v128.shuffle(a.get, b.get, low.map((lane) => lane + 8)), i32.add(out.get, outPitch.get)),
        ...row.step(i32.shl(pitch.get, i32.const(1))),
        ...out.step(panelBytes),
      ]),
    ]),
    ...v128.store(i32.const(noticedAt), nan.get),
    ...i32.shrU(i32.sub(list.get, first.get), i32.const(2)),
  ];
}, true);

/**
 * `packF32(from, pitch, to, depth, columns)`: BF16 rows as panels of f32; `columns` a multiple of 8. At `noticedAt`, by lane: the largest
 * magnitude, and the least but 0, less one (0xFFFF: none).
 */
const packF32 = define('packF32', 5, ([from, pitch, to, depth, columns], local) => {
  const [n, k, row, out, outPitch] = locals(5, () => local('i32'));
  const [codes, magnitude, most, least] = locals(4, () => local('v128'));
  return [
    ...most.set(i16x8.const(0)),
    ...least.set(i16x8.const(0xffff)),
    ...outPitch.set(i32.mul(depth.get, i32.const(panelBytes))),
    ...loopUp(n, i32.const(0), columns.get, 8, [
      ...row.set(i32.add(from.get, i32.shl(n.get, i32.const(1)))),
      ...out.set(i32.add(to.get, i32.mul(i32.shrU(n.get, i32.const(3)), outPitch.get))),
      ...loopUp(k, i32.const(0), depth.get, 1, [
        ...codes.set(v128.load(row.get)),
        ...magnitude.set(v128.and(codes.get, i16x8.const(0x7fff))),
        ...most.set(i16x8.maxU(most.get, magnitude.get)),
        ...least.set(i16x8.minU(least.get, i16x8.sub(magnitude.get, i16x8.const(1)))),
        ...v128.store(out.get, i32x4.shl(i32x4.extendLowU(codes.get), i32.const(16))),
        ...v128.store(out.get, i32x4.shl(i32x4.extendHighU(codes.get), i32.const(16)), 16),
        ...row.step(pitch.get),
        ...out.step(panelBytes),
      ]),
    ]),
    ...v128.store(i32.const(noticedAt), most.get),
    ...v128.store(i32.const(noticedAt), least.get, 16),
  ];
});

const decodeOne = {
  f32: { lanes: 8, move: (from: Code, to: Code): Code => i32.store(to, i32.shl(i32.load16u(from), i32.const(16))) },
  f64: { lanes: 4, move: (from: Code, to: Code): Code => f64.store(to, f64.load(i32.shl(i32.load8u(from), i32.const(3)), tableAt)) },
} as const;

/**
 * `gather*(from, kStride, nStride, to, depth, columns, deep)`: elements of any strides (bytes) as panels, `deep` steps of k from one panel
 * to the next: BF16 as f32, E4M3 as f64.
 */
const gather = (name: string, kind: keyof typeof decodeOne): Definition =>
  define(name, 7, ([from, kStride, nStride, to, depth, columns, deep], local) => {
    const { lanes, move } = decodeOne[kind];
    const [n, at, out, end, panel] = locals(5, () => local('i32'));
    const width = panelBytes / lanes;
    return loopUp(n, i32.const(0), columns.get, 1, [
      ...panel.set(i32.add(to.get, i32.mul(i32.mul(i32.shrU(n.get, i32.const(Math.log2(lanes))), deep.get), i32.const(panelBytes)))),
      ...out.set(i32.add(panel.get, i32.mul(i32.and(n.get, i32.const(lanes - 1)), i32.const(width)))),
      ...end.set(i32.add(out.get, i32.mul(depth.get, i32.const(panelBytes)))),
      ...at.set(i32.add(from.get, i32.mul(n.get, nStride.get))),
      ...loopWhile(i32.ltS(out.get, end.get), [...move(at.get, out.get), ...at.step(kStride.get), ...out.step(panelBytes)]),
    ]);
  });

/**
 * `addListed(c, cPitch, x, xPitch, tile, pitch, list, count, rows)`: for each listed offset of a tile of E4M3 codes, (k, n), adds x[r, k] times
 * that weight to c[r, n]. x are codes, c is f64.
 */
const addListed = define('addListed', 9, ([c, cPitch, x, xPitch, tile, pitch, list, count, rows], local) => {
  const value = (at: Code): Code => f64.load(i32.shl(i32.load8u(at), i32.const(3)), tableAt);
  const [offset, cAt, xAt, end] = locals(4, () => local('i32'));
  const weight = local('f64');
  return [
    ...end.set(i32.add(list.get, i32.shl(count.get, i32.const(2)))),
    ...loopWhile(i32.ltS(list.get, end.get), [
      ...offset.set(i32.load(list.get)),
      ...weight.set(value(i32.add(tile.get, offset.get))),
      ...cAt.set(i32.add(c.get, i32.shl(i32.remU(offset.get, pitch.get), i32.const(3)))),
      ...xAt.set(i32.add(x.get, i32.divU(offset.get, pitch.get))),
      ...count.set(rows.get),
      ...loopWhile(count.get, [
        ...f64.store(cAt.get, f64.add(f64.load(cAt.get), f64.mul(value(xAt.get), weight.get))),
        ...cAt.step(cPitch.get), ...xAt.step(xPitch.get), ...count.step(-1),
      ]),
      ...list.step(4),
    ]),
  ];
});

/** `addRow(c, w, wPitch, x, odd, panels)`: adds x (an E4M3 code's address) times one k of packed eighths (the second of its pair, if `odd`) to a row of f64. */
const addRow = define('addRow', 6, ([c, w, wPitch, x, odd, panels], local) => {
  const factor = local('v128');
  const values = local('v128');
  const shift = local('i32');
  const half = (h: number): Code => [
    ...values.set(i32x4.shrS(i32x4.shl(v128.load(w.get, 16 * h), shift.get), i32.const(16))),
    ...[0, 1].flatMap((high) => {
      const part = high === 1 ? v128.shuffle(values.get, values.get, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]) : values.get;
      const offset = 32 * h + 16 * high;
      return v128.store(c.get, f64x2.add(v128.load(c.get, offset), f64x2.mul(f64x2.convertLowS(part), factor.get)), offset);
    }),
  ];
  return [
    ...factor.set(f64x2.mul(v128.load64Splat(i32.shl(i32.load8u(x.get), i32.const(3)), tableAt), f64x2.const(1 / eighths))),
    ...shift.set(i32.shl(i32.sub(i32.const(1), odd.get), i32.const(4))),
    ...loopWhile(panels.get, [...half(0), ...half(1), ...w.step(wPitch.get), ...c.step(2 * panelBytes), ...panels.step(-1)]),
  ];
});

export const definitions: readonly Definition[] = [
  product('productF32', 'f32'), product('productF64', 'f64'), product('productI16', 'i16'),
  packI16, packF32, gather('gatherF32', 'f32'), gather('gatherF64', 'f64'), addListed, addRow,
];
