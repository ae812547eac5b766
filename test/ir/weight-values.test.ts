import { describe, expect, it } from 'vitest';
import { randomStore } from '../../ir/random-store.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import type { TensorStore, Weight, WeightExpr } from '../../ir/weights.ts';

/** Two matrices of 0, 1, 2, ... */
const store: TensorStore = {
  describe: (name) => (name === 'a' ? { dtype: 'f32', shape: [2, 3] } : name === 'b' ? { dtype: 'f32', shape: [4, 3] } : undefined),
  read: (name, start, count) => Float64Array.from({ length: count }, (_, i) => (name === 'a' ? 0 : 100) + start + i),
  names: () => ['a', 'b'],
};
const a: WeightExpr = { kind: 'tensor', name: 'a' };
const b: WeightExpr = { kind: 'tensor', name: 'b' };
const weight = (shape: readonly number[], expr: WeightExpr, dtype: Weight['dtype'] = 'f32'): Weight => ({ name: 'w', dtype, shape, instances: [expr] });
const rows = (of: Weight, start: number, count: number, rank = 0, tp = 1): number[] => [...new WeightValues(store, tp).rowsOf(of, { instance: 0, rank }, start, count)];

describe('weight values', () => {
  it('evaluates every kind of expression, any rows of it', () => {
    expect(rows(weight([2, 3], a), 1, 1)).toEqual([3, 4, 5]);
    expect(rows(weight([3, 2], { kind: 'transpose', of: a }), 1, 2)).toEqual([1, 4, 2, 5]);
    expect(rows(weight([3, 2], { kind: 'reshape', of: a, shape: [3, 2] }), 1, 1)).toEqual([2, 3]);
    expect(rows(weight([2, 2], { kind: 'slice', of: a, axis: 1, start: 1, end: 3 }), 0, 2)).toEqual([1, 2, 4, 5]);
    expect(rows(weight([6, 3], { kind: 'concat', axis: 0, of: [a, b] }), 1, 2)).toEqual([3, 4, 5, 100, 101, 102]);
    expect(rows(weight([2, 6], { kind: 'concat', axis: 1, of: [a, { kind: 'slice', of: b, axis: 0, start: 2, end: 4 }] }), 1, 1)).toEqual([3, 4, 5, 109, 110, 111]);
    expect(rows(weight([2, 3], { kind: 'scale', of: a, by: 0.5 }), 1, 1)).toEqual([1.5, 2, 2.5]);
    expect(rows(weight([2, 2], { kind: 'values', shape: [2, 2], values: [7] }), 1, 1)).toEqual([7, 7]);
    expect(rows(weight([2, 2], { kind: 'values', shape: [2, 2], values: [1, 2, 3, 4] }), 1, 1)).toEqual([3, 4]);
    const turned: WeightExpr = { kind: 'transpose', of: { kind: 'reshape', of: b, shape: [2, 6] } };
    expect(rows(weight([2, 3], { kind: 'transpose', of: { kind: 'slice', of: turned, axis: 0, start: 2, end: 5 } }), 1, 1)).toEqual([108, 109, 110]);
    expect(rows(weight([2, 2], { kind: 'rope', frequencies: [1], positions: 2, amplitude: 2 }), 0, 2)).toEqual([2, 0, 2 * Math.fround(Math.cos(1)), 2 * Math.fround(Math.sin(1))]);
  });

  it('takes bytes apart from their low end, and gives the numbers their scales', () => {
    const packed: WeightExpr = { kind: 'values', shape: [2, 2], values: [0x21, 0x43, 0x65, 0x87] };
    const codes: WeightExpr = { kind: 'unpack', of: packed, bits: 4 };
    expect(rows(weight([2, 4], codes), 0, 2)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(rows(weight([2, 8], { kind: 'unpack', of: packed, bits: 2 }), 1, 1)).toEqual([1, 1, 2, 1, 3, 1, 0, 2]);
    const cut = (start: number, end: number): WeightExpr => ({ kind: 'slice', of: codes, axis: 1, start, end });
    expect(rows(weight([2, 2], cut(1, 3)), 0, 2)).toEqual([2, 3, 6, 7]);
    const scale: WeightExpr = { kind: 'values', shape: [2, 2], values: [1, 10, 100, 1000] };
    const zeroPoint: WeightExpr = { kind: 'values', shape: [2, 2], values: [0, 1, 2, 3] };
    const blocks = (of: WeightExpr, zero?: WeightExpr): WeightExpr => ({ kind: 'dequantise', of, scale, zeroPoint: zero, block: [1, 2] });
    expect(rows(weight([2, 4], blocks(codes)), 0, 2)).toEqual([1, 2, 30, 40, 500, 600, 7000, 8000]);
    expect(rows(weight([2, 3], blocks(cut(1, 4), zeroPoint)), 1, 1)).toEqual([400, 500, 5000]);
    const columns: WeightExpr = { kind: 'transpose', of: { kind: 'slice', of: blocks(codes, zeroPoint), axis: 1, start: 1, end: 4 } };
    expect(rows(weight([3, 2], columns), 1, 2)).toEqual([20, 4000, 30, 5000]);
    expect(() => rows(weight([2, 3], { kind: 'dequantise', of: a, scale, zeroPoint: undefined, block: [1, 1] }), 0, 1)).toThrow('[2, 3] in blocks of [1, 1] has no scales of [2, 2]');
  });

  it('gives each chip its share: part floor(rank * parts / tp)', () => {
    const half = (axis: number): WeightExpr => ({ kind: 'shard', of: b, axis, parts: 2 });
    expect([0, 1, 2, 3].map((rank) => rows(weight([2, 3], half(0)), 0, 1, rank, 4)[0])).toEqual([100, 100, 106, 106]);
    const columns: WeightExpr = { kind: 'shard', of: b, axis: 1, parts: 3 };
    expect([0, 1, 2].map((rank) => rows(weight([4, 1], columns), 1, 2, rank, 3))).toEqual([[103, 106], [104, 107], [105, 108]]);
  });

  it('stores e4m3 rows by their scale, and names the scales `<w>.scale`', () => {
    const values = new WeightValues(store, 1);
    const part = { instance: 0, rank: 0 };
    const w = weight([2, 3], a, 'e4m3');
    const { codes, scales } = values.quantisedRows(w, part, 0, 2);
    expect([...scales]).toEqual([Math.fround(2 / 448), Math.fround(5 / 448)]);
    expect([...codes]).toEqual([0, 0x76, 0x7e, 0x78, 0x7b, 0x7e]);
    expect([...values.storedRows(w, part, 1, 1)]).toEqual([256, 352, 448]);
    expect([...values.storedRows({ ...w, name: 'w.scale', dtype: 'f32', shape: [2] }, part, 0, 2)]).toEqual([...scales]);
    expect(values.quantisedRows(weight([1, 2], { kind: 'values', shape: [1, 2], values: [0] }, 'e4m3'), part, 0, 1).scales[0]).toBe(1);
  });

  it('refuses a source of another shape, or a missing tensor', () => {
    expect(() => rows(weight([3, 3], a), 0, 1)).toThrow('weight `w` is [3, 3], but its source is [2, 3]');
    expect(() => rows(weight([2], { kind: 'tensor', name: 'none' }), 0, 1)).toThrow('the source has no tensor `none`');
  });
});

describe('random store', () => {
  const made = randomStore(new Map([['x', { dtype: 'bf16', shape: [100, 100] }], ['norm.weight', { dtype: 'f32', shape: [64] }]] as const), 7);
  it('reads the same element however it is read, with mean 0 and deviation 0.02', () => {
    const all = Float64Array.from(made.read('x', 0, 10000));
    expect([...made.read('x', 4321, 3)]).toEqual([...all.subarray(4321, 4324)]);
    const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
    const deviation = Math.sqrt(all.reduce((sum, value) => sum + value * value, 0) / all.length);
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(Math.abs(deviation - 0.02)).toBeLessThan(0.001);
    expect(Math.abs(made.read('norm.weight', 5, 1)[0]! - 1)).toBeLessThan(0.1);
  });
});
