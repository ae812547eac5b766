import { describe, expect, test } from 'vitest';
import { activate, encodeBf16, exp2f, toBf16 } from '../../../isa-spec/numerics.ts';
import { all, at, Image, ins, numbers, runOnImage, token } from './harness.ts';

const { fround } = Math;
const next = numbers(29);
const [experts, k, rows] = [20, 3, 5];
/** Coarse, so that scores are often equal. */
const logits = Array.from({ length: rows }, () => Array.from({ length: experts }, () => Math.round(4 * next()) / 2));
const biases = Array.from({ length: experts }, (_, e) => (e % 5 === 0 ? 0.25 : 0));
const image = new Image();
logits.forEach((row, r) => image.f32(10 * r, row));
image.f32(60, biases);

const ints = (from: Image, line: number, count: number): number[] => Array.from(new Int32Array(from.bytes.slice(8 * line, 8 * line + 4 * count).buffer));

const softmax = (row: readonly number[]): number[] => {
  const most = Math.max(...row);
  const w = row.map((x) => exp2f(fround(fround(x - most) * fround(Math.LOG2E))));
  let lanes = Array.from({ length: 16 }, (_, lane) => w.filter((__, i) => i % 16 === lane).reduce((sum, value) => fround(sum + value), 0));
  while (lanes.length > 1) lanes = lanes.slice(0, lanes.length / 2).map((lane, i) => fround(lane + lanes[i + lanes.length / 2]!));
  return w.map((value) => fround(value / lanes[0]!));
};

describe('route', () => {
  test.each([
    ['softmax', false, false], ['softmax', true, false], ['sigmoid', true, true], ['sigmoid', false, true],
  ] as const)('%s, normalise %s, bias %s', (scores, normalise, bias) => {
    const { image: after } = runOnImage(image, ['vec'], {
      vec: [ins('route', { scores, normalise, bias, xFormat: 'f32', x: at(0), xPitch: 10, biases: bias ? 60 : 0, indices: 100, weights: 120, offsets: 140, experts, k, rows: all(rows) }, [], [token(10)])],
    });
    const pairs = logits.flatMap((row) => {
      const score = scores === 'softmax' ? softmax(row) : row.map((x) => activate('sigmoid', x));
      const best = score.map((s, e) => ({ e, s, by: bias ? fround(s + biases[e]!) : s })).toSorted((a, b) => b.by - a.by || a.e - b.e).slice(0, k);
      const total = normalise ? best.reduce((sum, { s }) => fround(sum + s), 0) : 1;
      return best.map(({ e, s }) => ({ e, weight: fround(s / total) }));
    });
    expect(after.readF32(120, rows * k)).toEqual(pairs.map(({ weight }) => weight));
    expect(ints(after, 140, experts + 1)).toEqual(Array.from({ length: experts + 1 }, (_, e) => pairs.filter((pair) => pair.e < e).length));
    expect(ints(after, 100, rows * k)).toEqual(Array.from({ length: experts }, (_, e) => pairs.flatMap((pair, p) => (pair.e === e ? [p] : []))).flat());
  });

  test('no rows: every expert is empty', () => {
    const none = { scores: 'softmax', normalise: false, bias: false, xFormat: 'f32', x: at(0), xPitch: 10, biases: 0, indices: 100, weights: 120, offsets: 140, experts, k, rows: { max: rows, reg: 1, level: 0 } } as const;
    const { image: after } = runOnImage(image, ['vec'], { vec: [ins('sreg', { reg: 1, count: 'tokens' }), ins('route', none, [], [token(10)])] });
    expect(ints(after, 140, experts + 1)).toEqual(Array(experts + 1).fill(0));
    expect(after.read8(100, 120)).toEqual(Array(120).fill(0xff));
  });
});

describe('perm', () => {
  const columns = 7;
  const order = [5, 0, 3, 1, 4, 2];
  const x = Array.from({ length: 6 }, () => Array.from({ length: columns }, () => toBf16(next())));
  const weights = Array.from({ length: 6 }, () => fround(next()));
  const on = new Image();
  x.forEach((row, r) => on.codes16(2 * r, row.map(encodeBf16)));
  on.i32(60, order);
  on.f32(70, weights);
  const run = (direction: 'permute' | 'unpermute' | 'combine', format: 'bf16' | 'f32'): Image =>
    runOnImage(on, ['vec'], {
      vec: [ins('perm', { direction, xFormat: 'bf16', format, x: at(0), xPitch: 2, out: at(100), outPitch: 4, indices: 60, weights: direction === 'combine' ? 70 : 0, columns, k: 2, rows: all(3) }, [], [token(10)])],
    }).image;

  test('permute: row j is that of pair index[j]', () => {
    const after = run('permute', 'bf16');
    order.forEach((pair, j) => expect(after.read16(100 + 4 * j, columns)).toEqual(x[Math.floor(pair / 2)]!.map(encodeBf16)));
  });
  test('unpermute takes it back', () => {
    const after = run('unpermute', 'f32');
    order.forEach((pair, j) => expect(after.readF32(100 + 4 * pair, columns)).toEqual(x[j]));
  });
  test('combine: weighted, in ascending k, one rounding', () => {
    const after = run('combine', 'bf16');
    for (let r = 0; r < 3; r++) {
      const wanted = Array.from({ length: columns }, (_, c) => {
        const [first, second] = [0, 1].map((i) => fround(weights[2 * r + i]! * x[order.indexOf(2 * r + i)]![c]!)) as [number, number];
        return encodeBf16(fround(first + second));
      });
      expect(after.read16(100 + 4 * r, columns)).toEqual(wanted);
    }
  });
  test('a list that is no permutation is a fault', () => {
    on.i32(60, [5, 0, 3, 1, 4, 4]);
    expect(() => run('permute', 'bf16')).toThrow('table: index 5 is 4');
    on.i32(60, order);
  });
});
