import { describe, expect, it } from 'vitest';
import { encodeE4m3 } from '../../isa-spec/numerics.ts';
import { amaxOfRow, quantiseRow } from '../../isa-spec/numerics-rows.ts';

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);
const f32 = (pattern: number): number => {
  bits[0] = pattern;
  return single[0] as number;
};

describe('rows', () => {
  it('quantise as the scalar function does, around every boundary and far from them', () => {
    const patterns = Array.from({ length: 256 * 40 }, (_, i) => ((Math.floor(i / 40) << 19) + [0, 1, 2, 0x3ffff, 0x40000, 0x40001, 0x7fffe, 0x7ffff][i % 8]! + 0x3a000000) >>> 0);
    const values = Float64Array.from([...patterns.map(f32), ...patterns.map((p) => -f32(p)), 0, -0, NaN, Infinity, -Infinity, 448, 463.99, 464, 465, 1e30, 2 ** -9, 2 ** -10, 1.5 * 2 ** -10, 2 ** -40, 3.3e-39]);
    for (const scale of [1, 0.5, Math.fround(0.037), Math.fround(1e-30)]) {
      const codes = new Uint8Array(values.length);
      quantiseRow(values, scale, codes);
      values.forEach((value, i) => expect(codes[i], `${value} / ${scale}`).toBe(encodeE4m3(Math.fround(Math.fround(value) / scale))));
    }
  });

  it('have the largest magnitude of their FP32 values', () => {
    expect(amaxOfRow(Float64Array.from([-3, 2.00000001, -0]))).toBe(3);
    expect(amaxOfRow(Float64Array.from([0.1, -0.1]))).toBe(Math.fround(0.1));
  });
});
