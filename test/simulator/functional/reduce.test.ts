import { describe, expect, test } from 'vitest';
import { encodeBf16, exp2f, toBf16 } from '../../../isa-spec/numerics.ts';
import { philox } from '../../../isa-spec/numerics-philox.ts';
import { all, at, Image, ins, numbers, runOnImage, token } from './harness.ts';

const { fround } = Math;
const next = numbers(17);
const rowOf = (count: number, scale = 4): number[] => Array.from({ length: count }, () => toBf16(scale * next()));

describe('vred', () => {
  const n = 53;
  const x = [rowOf(n), rowOf(n, 300), rowOf(n).map((value, i) => toBf16(value * 8 ** (i % 11)))];
  const image = new Image();
  x.forEach((row, r) => image.codes16(14 * r, row.map(encodeBf16)));
  /** Element j of lane l is element l + 16 j; then lanes 8, 4, 2, 1 apart. */
  const tree = (values: readonly number[], join: (a: number, b: number) => number, start: number): number => {
    let lanes = Array.from({ length: 16 }, (_, lane) => values.filter((__, i) => i % 16 === lane).reduce(join, start));
    while (lanes.length > 1) lanes = lanes.slice(0, lanes.length / 2).map((lane, i) => join(lane, lanes[i + lanes.length / 2]!));
    return lanes[0]!;
  };
  const sum = (values: readonly number[]): number => tree(values, (a, b) => fround(a + b), 0);
  const wanted = {
    sum,
    max: (values: readonly number[]) => Math.max(...values),
    min: (values: readonly number[]) => Math.min(...values),
    amax: (values: readonly number[]) => Math.max(...values.map(Math.abs)),
    meanSquare: (values: readonly number[]) => fround(sum(values.map((v) => fround(v * v))) / n),
  };
  const run = (on: Image, reduce: keyof typeof wanted, columns: number, rows = all(3)): Image =>
    runOnImage(on, ['vec'], { vec: [ins('vred', { reduce, xFormat: 'bf16', x: at(0), xPitch: 14, out: 200, columns, rows }, [], [token(10)])] }).image;

  test.each(Object.keys(wanted) as (keyof typeof wanted)[])('%s', (reduce) => {
    expect(run(image, reduce, n).readF32(200, 3)).toEqual(x.map((row) => wanted[reduce](row)));
  });

  test('the sum is that of the tree, not of the row from left to right', () => {
    const odd = x.some((row) => sum(row) !== row.reduce((total, value) => fround(total + value), 0));
    expect(odd).toBe(true);
  });

  test('NaN comes through; zeros are ordered', () => {
    const on = new Image();
    on.codes16(0, [1, NaN, 2, -3].map(encodeBf16));
    on.codes16(14, [0, -0].map(encodeBf16));
    for (const reduce of ['sum', 'max', 'min', 'amax', 'meanSquare'] as const) expect(run(on, reduce, 4, all(1)).readF32(200, 1)).toEqual([NaN]);
    on.codes16(0, [-0, 0, -0].map(encodeBf16));
    expect(Object.is(run(on, 'max', 3, all(1)).readF32(200, 1)[0], 0)).toBe(true);
    expect(Object.is(run(on, 'min', 3, all(1)).readF32(200, 1)[0], -0)).toBe(true);
  });
});

describe('sample', () => {
  const logits = [[0.5, 2, -1, 2, NaN, 1], [3, -4, 1, 2.5, 2.75, 0]];
  const image = new Image();
  logits.forEach((row, r) => image.f32(8 * r, row));
  const ids = (after: Image, count: number): number[] => Array.from(new Int32Array(after.bytes.slice(200 * 8, 200 * 8 + 4 * count).buffer));
  const run = (on: Image, mode: 'greedy' | 'draw'): number[] =>
    ids(runOnImage(on, ['vec'], { vec: [ins('sample', { mode, xFormat: 'f32', x: at(0), xPitch: 8, params: at(mode === 'draw' ? 100 : 0), out: 200, columns: 6, rows: all(2) }, [], [token(10)])] }).image, 2);

  test('greedy: the lowest of the largest, NaN below all', () => {
    expect(run(image, 'greedy')).toEqual([1, 0]);
  });

  test('draw: candidates in order, cumulative FP32 sums, Philox by position', () => {
    const [temperature, topK, topP] = [0.75, 4, 0.9375];
    for (let position = 0; position < 24; position++) {
      const seeds = [[7, 9], [123456789, 0xfffffff0]] as const;
      seeds.forEach((seed, r) => {
        const line = 100 + 4 * r;
        image.f32(line, [temperature, 0, topP]);
        image.i32(line + 1, [0, 0]);
        const words = new Uint32Array([topK]);
        image.codes8(line, [...new Uint8Array(new Float32Array([temperature]).buffer), ...new Uint8Array(words.buffer), ...new Uint8Array(new Float32Array([topP]).buffer), ...new Uint8Array(Uint32Array.from([...seed, position, 0, 0]).buffer)]);
      });
      const factor = fround(Math.LOG2E / temperature);
      const wanted = logits.map((row, r) => {
        const order = row.map((value, id) => ({ id, value: Number.isNaN(value) ? -Infinity : value })).toSorted((a, b) => (a.value === b.value ? a.id - b.id : b.value - a.value)).slice(0, topK);
        let c = 0;
        const sums = order.map(({ value }) => (c = fround(c + exp2f(fround(fround(value - order[0]!.value) * factor)))));
        const kept = sums.find((s) => s >= fround(topP * c))!;
        const u = (philox([position, 0, 0, 0], [...seeds[r]!])[0] >>> 8) / 2 ** 24;
        return order[sums.findIndex((s) => s > fround(u * kept))]!.id;
      });
      expect(run(image, 'draw')).toEqual(wanted);
    }
  });

  test('parameters that mean nothing are a fault', () => {
    const bad = new Image();
    bad.f32(0, logits[0]!);
    bad.f32(8, logits[1]!);
    bad.codes8(100, Array(64).fill(0));
    expect(() => run(bad, 'draw')).toThrow('table: top-p 0 is not in (0, 1]');
  });
});
