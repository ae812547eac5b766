import { type Code, define, type Definition, f32x4, f64x2, i16x8, i32, i32x4, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';

/**
 * The inner loop of a product. Columns of weights lie across the lanes of two vectors, a panel; k is the loop. A column's sums are
 * therefore added in the order of k, each product rounded as the scalar rule has it.
 */

/** Bytes of a panel at one step of k. */
export const panelBytes = 32;

type Arithmetic = {
  /** One x in every lane. */
  readonly splat: (address: Code, offset?: number) => Code;
  readonly mul: (x: Code, y: Code) => Code;
  readonly add: (x: Code, y: Code) => Code;
};

/** FP32: c <- c + x w, each rounded. f64: exact sums. i16: pairs of k, sums in 32-bit integers, which `scales` turn into doubles. */
const arithmetics = {
  f32: { splat: v128.load32Splat, mul: f32x4.mul, add: f32x4.add },
  f64: { splat: v128.load64Splat, mul: f64x2.mul, add: f64x2.add },
  i16: { splat: v128.load32Splat, mul: i32x4.dot, add: i32x4.add },
} as const satisfies Record<string, Arithmetic>;

/** Rows of a block, whose sums lie in registers, highest first. Their sums, a panel and its activations must fit 15. */
const heights = [4, 2, 1] as const;

/** The upper two of four 32-bit lanes, as the lower. */
export const upper = (x: Code): Code => v128.shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);

/**
 * `product*(c, cPitch, x, xPitch, xStep, w, wPitch, steps, rows, panels, scales)`: adds x w to `c`. x from row to row `xPitch`, from k to k
 * `xStep`, w from panel to panel `wPitch` bytes. c is f32 for f32, else f64; `scales`, of i16, one f64 a row. One step of k a turn: V8 loads all that
 * a turn uses before it multiplies, and two steps with the sums exceed 16 registers.
 */
const product = <const Name extends string>(name: Name, kind: keyof typeof arithmetics): Definition<Name> =>
  define(name, 11, ([c, cPitch, x, xPitch, xStep, w, wPitch, steps, rows, panels, scales], local) => {
    const { splat, mul, add }: Arithmetic = arithmetics[kind];
    const [row, cAt, xRow, at, end] = locals(5, () => local('i32'));
    const xAt = Array.from({ length: heights[0] }, () => local('i32'));
    const sums = Array.from({ length: heights[0] }, () => [local('v128'), local('v128')] as const);
    const weights = [local('v128'), local('v128')] as const;
    const factor = local('v128');
    const cBytes = kind === 'i16' ? 2 * panelBytes : panelBytes;
    const rowOfC = (r: number): Code => (r === 0 ? cAt.get : i32.add(cAt.get, i32.mul(cPitch.get, i32.const(r))));

    const open = (r: number): Code =>
      kind === 'i16' ? sums[r]!.flatMap((sum) => sum.set(i16x8.const(0))) : sums[r]!.flatMap((sum, half) => sum.set(v128.load(rowOfC(r), 16 * half)));
    const close = (r: number): Code => {
      if (kind !== 'i16') return sums[r]!.flatMap((sum, half) => v128.store(rowOfC(r), sum.get, 16 * half));
      return [
        ...factor.set(v128.load64Splat(i32.add(scales.get, i32.shl(row.get, i32.const(3))), 8 * r)),
        ...sums[r]!.flatMap((sum, half) => [sum.get, upper(sum.get)].flatMap((pair, high) => {
          const offset = 32 * half + 16 * high;
          return v128.store(rowOfC(r), f64x2.add(v128.load(rowOfC(r), offset), f64x2.mul(f64x2.convertLowS(pair), factor.get)), offset);
        })),
      ];
    };
    const block = (height: number): Code => {
      const each = Array.from({ length: height }, (_, r) => r);
      return loopWhile(i32.ltS(row.get, i32.sub(rows.get, i32.const(height - 1))), [
        ...each.flatMap(open),
        ...each.flatMap((r) => xAt[r]!.set(r === 0 ? xRow.get : i32.add(xAt[r - 1]!.get, xPitch.get))),
        ...loopUp(at, w.get, end.get, panelBytes, [
          ...weights.flatMap((weight, half) => weight.set(v128.load(at.get, 16 * half))),
          ...each.flatMap((r) => [
            ...factor.set(splat(xAt[r]!.get)),
            ...sums[r]!.flatMap((sum, half) => sum.set(add(sum.get, mul(weights[half]!.get, factor.get)))),
            ...xAt[r]!.step(xStep.get),
          ]),
        ]),
        ...each.flatMap(close),
        ...cAt.step(i32.mul(cPitch.get, i32.const(height))),
        ...xRow.step(i32.mul(xPitch.get, i32.const(height))),
        ...row.step(height),
      ]);
    };
    return loopWhile(panels.get, [
      ...end.set(i32.add(w.get, i32.mul(steps.get, i32.const(panelBytes)))),
      ...cAt.set(c.get), ...xRow.set(x.get), ...row.set(i32.const(0)),
      ...heights.flatMap(block),
      ...w.step(wPitch.get), ...c.step(cBytes), ...panels.step(-1),
    ]);
  });

export const products = [product('productF32', 'f32'), product('productF64', 'f64'), product('productI16', 'i16')] as const;
