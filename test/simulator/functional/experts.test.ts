import { describe, expect, test } from 'vitest';
import { binsOf } from '../../../isa-spec/bins.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { encodeBf16, toBf16 } from '../../../isa-spec/numerics.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { all, at, emptyStep, hbmAt, Image, ins, numbers, programOf, runOnImage, stateOf, sync, token } from './harness.ts';

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

  test('the place of each pair', () => {
    const { image: after } = runOnImage(image, ['vec'], { vec: [ins('bin', { ...fields, inverse: true }, [], [token(10)])] });
    expect(ints(after, 60, rows * k)).toEqual([0, 6, 1, 7, 2, 8, 4, 9, 10, 3]);
  });

  test('chips of a group have bins for experts of their own alone, numbered from 0', () => {
    const own = new Image();
    own.i32(0, [1, 4, 7, 0, 6, 2, 3, 5]);
    own.i32(20, [0, 1, 3, 5, 8]);
    const shared = { ...fields, experts: 4, rows: all(4), group: 2, inverse: true } as const;
    const [first, second] = [
      { sources: [0, -1, 2, 3, -1, -1, -1, -1], places: [-1, 0, -1, -1, 2, -1, -1, 3], owners: [0, 1, -1, -1] },
      { sources: [0, 3, 1, 1, 2, -1, -1, -1], places: [0, -1, 2, 3, -1, 4, 1, -1], owners: [0, 1, 1, -1] },
    ];
    const code = {
      dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 0, dst: at(0), dstPitch: 0, lines: 100, rows: all(1) }, [], [token(1)])],
      vec: [sync([token(1)], []), ins('bin', shared, [], [token(2)])],
      dma1: [ins('dst', { src: at(0), srcPitch: 0, dst: hbmAt('io', 100), dstPitch: 0, lines: 100, rows: all(1) }, [token(2)])],
    };
    const state = stateOf(programOf([code, code, code, code], { machine: { ...tiny, chips: 4 } }));
    for (const { hbm } of state.chips) hbm.io!.write(0, own.bytes.subarray(0, 800));
    runStep(state, [encodeStepBlock(emptyStep)]);
    const lists = state.chips.map((_, chip) => {
      const after = new Image();
      after.bytes.set(readHbm(state, chip, 'io', 800, 800));
      return { sources: ints(after, 40, 8), places: ints(after, 60, 8), owners: ints(after, 80, 4) };
    });
    expect(binsOf({ max: 4, k: 2, experts: 4, size: 2, group: 2 })).toBe(4);
    expect(lists).toEqual([first, second, first, second]);
  });

  test('no rows: no place is anybody\'s', () => {
    for (const inverse of [false, true]) {
      const { image: after } = runOnImage(image, ['vec'], { vec: [ins('sreg', { reg: 1, count: 'tokens' }), ins('bin', { ...fields, inverse, rows: { max: rows, reg: 1, level: 0 } }, [], [token(10)])] });
      for (const [line, count] of [[40, bins * size], [60, inverse ? rows * k : bins * size], [80, bins]] as const) expect(ints(after, line, count)).toEqual(Array(count).fill(-1));
    }
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
          for (const group of of === 4 ? [1, 2, 4] : [1]) {
            const needed = choices(max, of).map((chosen) => Array.from({ length: of / group }, (_, e) => Math.ceil(chosen.filter((each) => each === e).length / places)).reduce((a, b) => a + b, 0));
            expect({ of, max, places, group, bins: binsOf({ max, k: 2, experts: of, size: places, group }) >= Math.max(...needed) }).toEqual({ of, max, places, group, bins: true });
          }
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
