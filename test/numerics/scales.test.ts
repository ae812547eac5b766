import { describe, expect, it } from 'vitest';
import { decodeUe8m0, encodeE5m2 } from '../../isa-spec/numerics-formats.ts';
import { mxScaleOf, quantiseBlocks, quantiseElement, quantiseMx, quantiseTiles, scaleOf, scaleOfElements } from '../../isa-spec/numerics-scales.ts';
import { encodeE4m3 } from '../../isa-spec/numerics.ts';
import { edges, fromSingleBits, singleBits, words } from './bits.ts';
import { divide } from './oracle.ts';
import * as oracle from './oracle-scales.ts';

const formats = ['e4m3', 'e5m2'] as const;
const codesOf = { e4m3: encodeE4m3, e5m2: (x: number) => encodeE5m2(x, 'saturate') } as const;
const singles = (count: number, make: () => number): number[] => Array.from({ length: count }, () => make() >>> 0);
const finite = (codes: readonly number[]): number[] => codes.filter((code) => Number.isFinite(fromSingleBits(code)));
const scaleIn = (x: readonly number[], format: oracle.Target, pow2: boolean): number => singleBits(scaleOfElements(x.map(fromSingleBits), 0, x.length, { format, pow2 }));

describe('scales of rows', () => {
  it.each(formats)('%s: every edge alone, as found and brought up to a power of two', (format) => {
    for (const code of edges) for (const pow2 of [false, true]) {
      if (scaleIn([code], format, pow2) !== oracle.scaleOf([code], format, pow2)) expect.fail(`${code.toString(16)} ${pow2}`);
    }
  });

  it('brought up are powers of two that UE8M0 has, and nothing but rounding saturates', () => {
    const next = words(57);
    for (let i = 0; i < 500; i++) {
      const x = finite(singles(4, next)).map(fromSingleBits);
      for (const format of formats) {
        const scale = scaleOfElements(x, 0, x.length, { format, pow2: true });
        expect(decodeUe8m0(Math.log2(scale) + 127)).toBe(scale);
        const most = Math.max(...x.map(Math.abs)) / scale;
        expect(most).toBeLessThan((format === 'e4m3' ? 448 : 57344) * (1 + 2 ** -23));
      }
    }
  });

  it('the scale of nothing is 1, and so is one that FP32 cannot hold', () => {
    expect([0, 448, 1, 2 ** -149, Infinity, 448 * 2 ** -150].map((amax) => scaleOf(amax))).toEqual([1, 1, Math.fround(1 / 448), 1, Infinity, 1]);
    expect(scaleOf(448 * 2 ** -149 * 0.6)).toBe(2 ** -149);
    expect(scaleOf(NaN)).toBeNaN();
    expect([0, 57344, 57344 * 2 ** -150].map((amax) => scaleOf(amax, 'e5m2'))).toEqual([1, 1, 1]);
  });

  it('elements of a row whose scale FP32 cannot hold are 0; where it is coarse, the largest saturate; none is NaN', () => {
    const tiny = [2 ** -149, -(2 ** -145), 2 ** -142];
    expect(tiny.map((x) => quantiseElement(x, scaleOf(2 ** -142), 'e4m3'))).toEqual([0, -0, 0]);
    const amax = 448 * 1.4 * 2 ** -149;
    expect([amax, -amax, 2 ** -149].map((x) => quantiseElement(Math.fround(x), scaleOf(Math.fround(amax)), 'e4m3'))).toEqual([448, -448, 1]);
  });
});

describe('blocks of 128', () => {
  it.each(formats)('%s: as the row rule does each', (format) => {
    const next = words(49);
    for (const pow2 of [false, true]) {
      const x = singles(300, () => 0x3f000000 + (next() & 0x83ffffff));
      const { values, scales } = quantiseBlocks(x.map(fromSingleBits), { format, pow2 });
      const want = oracle.quantiseBlocks(x, format, pow2);
      expect([...scales].map(singleBits)).toEqual(want.scales);
      expect([...values].map(codesOf[format])).toEqual(want.codes);
    }
  });

  it('tiles of 128 x 128 of a matrix', () => {
    const next = words(51);
    const [rows, columns] = [130, 200];
    const x = singles(rows * columns, () => 0x3f000000 + (next() & 0x83ffffff));
    const { values, scales } = quantiseTiles(x.map(fromSingleBits), columns);
    expect(scales.length).toBe(4);
    for (const [row, column] of [[0, 0], [0, 128], [128, 0], [129, 199]] as const) {
      const tile = x.filter((_, i) => Math.floor(i / columns / 128) === Math.floor(row / 128) && Math.floor((i % columns) / 128) === Math.floor(column / 128));
      const scale = scales[2 * Math.floor(row / 128) + Math.floor(column / 128)]!;
      expect(singleBits(scale)).toBe(oracle.scaleOf(tile, 'e4m3'));
      expect(encodeE4m3(values[row * columns + column]!)).toBe(encodeE4m3(fromSingleBits(divide(x[row * columns + column]!, singleBits(scale)))));
    }
  });
});

describe('MX blocks', () => {
  it('scale by the power of two below amax over that of the format', () => {
    const codes = (format: oracle.Target): number[] => [0, 448, 256, 255.99, 1, 2 ** -149, 3.4e38, Infinity, NaN].map((amax) => mxScaleOf(amax, format));
    expect(codes('e4m3')).toEqual([127, 127, 127, 126, 119, 0, 246, 255, 255]);
    expect(codes('e5m2')).toEqual([127, 120, 120, 119, 112, 0, 239, 255, 255]);
  });

  it.each(formats)('%s: every edge, and random blocks, the last of them short', (format) => {
    const next = words(55);
    for (const x of [edges, singles(100, () => 0x30000000 + (next() & 0x8fffffff)), finite(singles(70, next)), finite(singles(33, () => next() & 0x80ffffff))]) {
      const { values, codes } = quantiseMx(x.map(fromSingleBits), format);
      const want = oracle.quantiseMx(x, format);
      expect([...codes]).toEqual(want.scales);
      expect([...values].map(codesOf[format])).toEqual(want.codes);
    }
  });
});
