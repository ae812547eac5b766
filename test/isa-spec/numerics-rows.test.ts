import { describe, expect, it } from 'vitest';
import { encodeBf16, encodeE4m3 } from '../../isa-spec/numerics.ts';
import { amaxOfRows, bf16Rows, type Grid, quantiseRows } from '../../isa-spec/numerics-rows.ts';

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
const f32 = (pattern: number): number => {
  bits[0] = pattern;
  return single[0] as number;
};

/** Where a matrix of so many rows and columns may lie, from element 5 on: row after row, column after column, with others between. */
const layouts = (rows: number, columns: number): readonly Grid<undefined>[] =>
  [[columns, 1], [1, rows], [2 * columns + 3, 2], [3, 3 * rows + 1]].map(([row, column]) => ({ data: undefined, at: 5, row: row as number, column: column as number }));
const room = ({ at, row, column }: Grid<unknown>, rows: number, columns: number): number => at + (rows - 1) * row + (columns - 1) * column + 1;
const placeOf = ({ at, row, column }: Grid<unknown>, r: number, c: number): number => at + r * row + c * column;

/** A matrix laid out. */
function laid<Data extends Float32Array | Float64Array>(layout: Grid<undefined>, make: (length: number) => Data, [values, rows, columns]: readonly [ArrayLike<number>, number, number]): Grid<Data> {
  const data = make(room(layout, rows, columns));
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) data[placeOf(layout, r, c)] = values[r * columns + c] as number;
  return { ...layout, data };
}

const patterns = Array.from({ length: 256 * 40 }, (_, i) => ((Math.floor(i / 40) << 19) + [0, 1, 2, 0x3ffff, 0x40000, 0x40001, 0x7fffe, 0x7ffff][i % 8]! + 0x3a000000) >>> 0);
const values = Float64Array.from([...patterns.map(f32), ...patterns.map((p) => -f32(p)), 0, -0, NaN, f32(0xffc00000), Infinity, -Infinity, 448, 463.99, 464, 465, 1e30, 2 ** -9, 2 ** -10, 1.5 * 2 ** -10, 2 ** -40, 3.3e-39]);

describe('rows', () => {
  it('quantise as the scalar function does, around every boundary and far from them', () => {
    const scales = Float32Array.of(1, 0.5, 0.037, 1e-30);
    const [rows, columns] = [scales.length, values.length];
    const all = Float64Array.from({ length: rows * columns }, (_, i) => values[i % columns] as number);
    const wanted = all.map((value, i) => encodeE4m3(Math.fround(Math.fround(value) / (scales[Math.floor(i / columns)] as number))));
    const [byRow, byColumn] = layouts(rows, columns) as readonly [Grid<undefined>, Grid<undefined>];
    for (const grid of [laid(byRow, (n) => new Float64Array(n), [all, rows, columns]), laid(byColumn, (n) => new Float32Array(n), [all, rows, columns])]) {
      const to = { data: new Uint8Array(rows * columns), at: 0, row: columns, column: 1 };
      quantiseRows(grid, scales, to, rows, columns);
      expect(to.data.findIndex((code, i) => code !== wanted[i])).toBe(-1);
    }
  });

  it('are converted from and to wherever they lie, and touch nothing else', () => {
    const [rows, columns] = [3, 5];
    const small = Float32Array.from({ length: 15 }, (_, i) => (i - 7) * 1.37);
    const scales = Float32Array.of(1, 0.25, 2);
    for (const from of layouts(rows, columns)) for (const to of layouts(rows, columns)) {
      const grid = laid(from, (n) => new Float32Array(n).fill(1e9), [small, rows, columns]);
      const codes = { ...to, data: new Uint8Array(room(to, rows, columns)).fill(0xee) };
      const halves = { ...to, data: new Uint16Array(room(to, rows, columns)).fill(0xeeee) };
      quantiseRows(grid, scales, codes, rows, columns);
      bf16Rows(grid, halves, rows, columns);
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
        expect(codes.data[placeOf(to, r, c)]).toBe(encodeE4m3(Math.fround((small[r * columns + c] as number) / (scales[r] as number))));
        expect(halves.data[placeOf(to, r, c)]).toBe(encodeBf16(small[r * columns + c] as number));
      }
      expect(codes.data.filter((code) => code === 0xee)).toHaveLength(codes.data.length - 15);
      expect(halves.data.filter((code) => code === 0xeeee)).toHaveLength(halves.data.length - 15);
    }
  });

  it('have the largest magnitude of their FP32 values', () => {
    const rows = Float64Array.from([-3, 2.00000001, -0, 0.1, -0.1, 0]);
    for (const layout of layouts(2, 3)) expect([...amaxOfRows(laid(layout, (n) => new Float64Array(n).fill(99), [rows, 2, 3]), 2, 3)]).toEqual([3, Math.fround(0.1)]);
  });
});
