import { describe, expect, test } from 'vitest';
import { binsOf } from '../../../isa-spec/bins.ts';
import { encodeBf16, toBf16 } from '../../../isa-spec/numerics.ts';
import { all, at, Image, ins, numbers, runOnImage, token } from './harness.ts';

const { fround } = Math;
const ints = (from: Image, line: number, count: number): number[] => Array.from(new Int32Array(from.bytes.slice(8 * line, 8 * line + 4 * count).buffer));

describe('bin', () => {
  /** Five rows with two of three experts each: 4 pairs of expert 0, 1 of 1, 5 of 2. */
  const [experts, k, rows, size] = [3, 2, 5, 2];
  const byExpert = [[0, 2, 4, 9], [6], [1, 3, 5, 7, 8]];
  const image = new Image();
  image.i32(0, byExpert.flat());
  image.i32(20, [0, 4, 5, 10]);
  const fields = { indices: 0, offsets: 20, sources: 40, targets: 60, owners: 80, experts, k, size, rows: all(rows) } as const;
  const bins = binsOf({ max: rows, k, experts, size });

  test('each expert\'s pairs, bin by bin, in places of their own', () => {
    const { image: after } = runOnImage(image, ['vec'], { vec: [ins('bin', fields, [], [token(10)])] });
    expect(bins).toBe(6);
    expect(ints(after, 60, bins * size)).toEqual([0, 2, 4, 9, 6, -1, 1, 3, 5, 7, 8, -1]);
    expect(ints(after, 40, bins * size)).toEqual([0, 1, 2, 4, 3, -1, 0, 1, 2, 3, 4, -1]);
    expect(ints(after, 80, bins)).toEqual([0, 0, 1, 2, 2, 2]);
  });

  test('no rows: no place is anybody\'s', () => {
    const { image: after } = runOnImage(image, ['vec'], { vec: [ins('sreg', { reg: 1, count: 'tokens' }), ins('bin', { ...fields, rows: { max: rows, reg: 1, level: 0 } }, [], [token(10)])] });
    for (const [line, count] of [[40, bins * size], [60, bins * size], [80, bins]] as const) expect(ints(after, line, count)).toEqual(Array(count).fill(-1));
  });

  test('lists that are no route\'s are a fault', () => {
    const broken = new Image();
    broken.i32(0, byExpert.flat());
    broken.i32(20, [0, 6, 5, 10]);
    expect(() => runOnImage(broken, ['vec'], { vec: [ins('bin', fields, [], [token(10)])] })).toThrow('offsets do not ascend from 0 to 10');
    broken.i32(20, [0, 4, 5, 10]);
    broken.i32(0, [0, 2, 4, 10]);
    expect(() => runOnImage(broken, ['vec'], { vec: [ins('bin', fields, [], [token(10)])] })).toThrow('index 3 is 10, which is no pair of 0 to 9');
  });

  test('bins suffice for every choice there can be, and are no more than are needed by one', () => {
    const choices = (row: number, of: number): readonly (readonly number[])[] => {
      const subsets = Array.from({ length: 1 << of }, (_, bits) => Array.from({ length: of }, (__, e) => e).filter((e) => bits & (1 << e))).filter((chosen) => chosen.length === 2);
      return row === 1 ? subsets.map((chosen) => chosen) : choices(row - 1, of).flatMap((before) => subsets.map((chosen) => [...before, ...chosen]));
    };
    for (const of of [2, 3, 4]) {
      for (const max of [1, 2, 3, 4]) {
        for (const places of [1, 2, 3, 4, 7]) {
          const needed = choices(max, of).map((chosen) => Array.from({ length: of }, (_, e) => Math.ceil(chosen.filter((each) => each === e).length / places)).reduce((a, b) => a + b, 0));
          expect({ of, max, places, bins: binsOf({ max, k: 2, experts: of, size: places }) >= Math.max(...needed) }).toEqual({ of, max, places, bins: true });
        }
      }
    }
    expect(binsOf({ max: 1, k: 8, experts: 128, size: 1 })).toBe(8);
    expect(binsOf({ max: 64, k: 2, experts: 8, size: 64 })).toBe(8);
  });
});

test('mix: rows times weights, in ascending k, one rounding', () => {
  const next = numbers(31);
  const [columns, k, rows] = [7, 3, 4];
  const x = Array.from({ length: rows * k }, () => Array.from({ length: columns }, () => toBf16(next())));
  const weights = Array.from({ length: rows * k }, () => fround(next()));
  const image = new Image();
  x.forEach((row, r) => image.codes16(2 * r, row.map(encodeBf16)));
  image.f32(70, weights);
  const { image: after } = runOnImage(image, ['vec'], {
    vec: [ins('mix', { xFormat: 'bf16', format: 'bf16', x: at(0), xPitch: 2, weights: at(70), out: at(100), outPitch: 4, columns, k, rows: all(rows) }, [], [token(10)])],
  });
  for (let r = 0; r < rows; r++) {
    const wanted = Array.from({ length: columns }, (_, c) => [0, 1, 2].reduce((sum, i) => fround(sum + fround(weights[r * k + i]! * x[r * k + i]![c]!)), 0));
    expect(after.read16(100 + 4 * r, columns)).toEqual(wanted.map(encodeBf16));
  }
});
