import { describe, expect, test } from 'vitest';
import { expanded, type Factor, joined, type Layout, merged, offsets, reshaped, strided, transposed } from '../../../passes/raise/axes.ts';

const batch: Factor = { axis: 'batch', size: 'b' };
const row: Factor = { axis: 'row', size: 's' };
const feature = (size: number, stride = 1): Factor => ({ axis: 'feature', size, stride });
const rows: Layout = { base: 0, axes: [[batch], [row], [feature(24)]] };

describe('views of rows', () => {
  test('a head split and its transpose', () => {
    const heads = transposed(reshaped(rows, ['b', 's', 4, 6]) as Layout, [0, 2, 1, 3]);
    expect(heads.axes).toEqual([[batch], [feature(4, 6)], [row], [feature(6)]]);
  });
  test('sequences and heads merged, as bmm wants them, and back', () => {
    const heads = transposed(reshaped(rows, ['b', 's', 4, 6]) as Layout, [0, 2, 1, 3]);
    const flat = reshaped(heads, ['4*b', 's', 6]) as Layout;
    expect(flat.axes).toEqual([[batch, feature(4, 6)], [row], [feature(6)]]);
    expect(reshaped(flat, ['b', 4, 's', 6])).toEqual(heads);
  });
  test('rows flattened for a Gemm', () => {
    expect(reshaped(rows, ['b*s', 24])?.axes).toEqual([[batch, row], [feature(24)]]);
  });
  test('KV heads repeated for their groups', () => {
    const kv = transposed(reshaped(rows, ['b', 's', 4, 6]) as Layout, [0, 2, 1, 3]);
    const five = reshaped(kv, ['b', 4, 1, 's', 6]) as Layout;
    const repeated = expanded(five, ['b', 4, 1, 's', 6], ['b', 4, 2, 's', 6]);
    expect(reshaped(repeated, ['b', 8, 's', 6])?.axes[1]).toEqual([feature(4, 6), { axis: 'repeat', size: 2 }]);
  });
  test('a third of packed queries, keys and values', () => {
    const packed = reshaped(rows, ['b', 's', 2, 3, 4]) as Layout;
    expect(strided(packed, 3, 1, 1, 1)).toEqual({ base: 4, axes: [[batch], [row], [feature(2, 12)], [], [feature(4)]] });
  });
  test('every other feature', () => {
    expect(strided(rows, 2, 1, 2, 12)).toEqual({ base: 1, axes: [[batch], [row], [feature(12, 2)]] });
  });
  test('a cut within the rows is none', () => {
    expect(reshaped(rows, ['b', 12, '2*s'])).toBeUndefined();
  });
  test('a tensor without sequences joins one with', () => {
    expect(joined(rows, { base: 0, axes: [[], [row], [feature(24)]] })).toEqual(rows);
    expect(joined(rows, { base: 0, axes: [[row], [batch], [feature(24)]] })).toBeUndefined();
  });
  test('neighbouring parts merge', () => {
    expect(merged([feature(4, 6), feature(6)])).toEqual([feature(24)]);
    expect(offsets([feature(2, 6), { axis: 'repeat', size: 2 }])).toEqual([0, 0, 6, 6]);
  });
});
