import { type Code, define, f64x2, i32, i32x4, locals, loopUp, loopWhile, v128 } from '../../wasm/assembler.ts';
import { panelBytes, upper } from './product.ts';
import { at as tables, eighths } from './tables.ts';

/** Products of the values that the integer kernel takes for 0, from their lists, in doubles. */

/** Bytes of a panel of pairs at one pair of k, as doubles. */
const wideBytes = 2 * panelBytes;
const codeValue = (address: Code): Code => i32.shl(i32.load8u(address), i32.const(3));

/**
 * `addColumns(c, cPitch, x, xPitch, tile, pitch, list, end, rows)`: for each (k, n) listed, x[k, 0..rows] times that weight of a tile of E4M3 codes
 * to c[n, 0..rows]: columns of sums. x and c are f64; `rows` a multiple of 4.
 */
const addColumns = define('addColumns', 9, ([c, cPitch, x, xPitch, tile, pitch, list, end, rows], local) => {
  const [k, n, from, to, stop] = locals(5, () => local('i32'));
  const weight = local('v128');
  return loopWhile(i32.ltS(list.get, end.get), [
    ...k.set(i32.load16u(list.get, 2)),
    ...n.set(i32.load16u(list.get)),
    ...weight.set(v128.load64Splat(codeValue(i32.add(tile.get, i32.add(i32.mul(k.get, pitch.get), n.get))), tables.doubles)),
    ...from.set(i32.add(x.get, i32.mul(k.get, xPitch.get))),
    ...to.set(i32.add(c.get, i32.mul(n.get, cPitch.get))),
    ...stop.set(i32.add(from.get, i32.shl(rows.get, i32.const(3)))),
    ...loopWhile(i32.ltS(from.get, stop.get), [
      ...[0, 16].flatMap((offset) => v128.store(to.get, f64x2.add(v128.load(to.get, offset), f64x2.mul(v128.load(from.get, offset), weight.get)), offset)),
      ...from.step(32), ...to.step(32),
    ]),
    ...list.step(4),
  ]);
});

/**
 * `addTransposed(c, cPitch, columns, pitch, rows, count)`: adds `count` columns of `rows` sums to rows of sums; all f64. `rows` even, `count` a
 * multiple of 8: what a line of a cache holds.
 */
const addTransposed = define('addTransposed', 6, ([c, cPitch, columns, pitch, rows, count], local) => {
  const [r, n, to] = locals(3, () => local('i32'));
  const from = Array.from({ length: 8 }, () => local('i32'));
  const [even, odd] = locals(2, () => local('v128'));
  const add = (row: Code, offset: number, lanes: readonly number[]): Code => v128.store(row, f64x2.add(v128.load(row, offset), v128.shuffle(even.get, odd.get, lanes)), offset);
  return loopUp(n, i32.const(0), count.get, 8, [
    ...from.flatMap((column, i) => column.set(i === 0 ? columns.get : i32.add(from[i - 1]!.get, pitch.get))),
    ...to.set(i32.add(c.get, i32.shl(n.get, i32.const(3)))),
    ...loopUp(r, i32.const(0), rows.get, 2, [
      ...[0, 2, 4, 6].flatMap((i) => [
        ...even.set(v128.load(from[i]!.get)), ...odd.set(v128.load(from[i + 1]!.get)),
        ...add(to.get, 8 * i, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]),
        ...add(i32.add(to.get, cPitch.get), 8 * i, [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]),
      ]),
      ...from.flatMap((column) => column.step(16)),
      ...to.step(i32.shl(cPitch.get, i32.const(1))),
    ]),
    ...columns.step(i32.shl(pitch.get, i32.const(3))),
  ]);
});

/**
 * `addRows(c, cPitch, w, wPitch, x, xPitch, list, end, panels)`: for each (r, k) listed, that activation of rows of E4M3 codes times row k of
 * packed eighths to row r of c, which is f64.
 */
const addRows = define('addRows', 9, ([c, cPitch, w, wPitch, x, xPitch, list, end, panels], local) => {
  const [r, k, from, to, stop, shift] = locals(6, () => local('i32'));
  const [factor, values] = locals(2, () => local('v128'));
  const half = (h: number): Code => [
    ...values.set(i32x4.shrS(i32x4.shl(v128.load(from.get, 16 * h), shift.get), i32.const(16))),
    ...[values.get, upper(values.get)].flatMap((pair, high) => {
      const offset = 32 * h + 16 * high;
      return v128.store(to.get, f64x2.add(v128.load(to.get, offset), f64x2.mul(f64x2.convertLowS(pair), factor.get)), offset);
    }),
  ];
  return loopWhile(i32.ltS(list.get, end.get), [
    ...r.set(i32.load16u(list.get, 2)),
    ...k.set(i32.load16u(list.get)),
    ...factor.set(f64x2.mul(v128.load64Splat(codeValue(i32.add(x.get, i32.add(i32.mul(r.get, xPitch.get), k.get))), tables.doubles), f64x2.const(1 / eighths))),
    ...shift.set(i32.shl(i32.sub(i32.const(1), i32.and(k.get, i32.const(1))), i32.const(4))),
    ...from.set(i32.add(w.get, i32.mul(i32.shrU(k.get, i32.const(1)), i32.const(panelBytes)))),
    ...to.set(i32.add(c.get, i32.mul(r.get, cPitch.get))),
    ...stop.set(i32.add(to.get, i32.mul(panels.get, i32.const(wideBytes)))),
    ...loopWhile(i32.ltS(to.get, stop.get), [...half(0), ...half(1), ...from.step(wPitch.get), ...to.step(wideBytes)]),
    ...list.step(4),
  ]);
});

export const smallProducts = [addColumns, addTransposed, addRows] as const;
