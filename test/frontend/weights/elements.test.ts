import { describe, expect, it } from 'vitest';
import { elementBits, readElements } from '../../../frontend/weights/elements.ts';
import { casts, isWide } from '../../../ir/graph/interpret/casts.ts';
import { type DType, dtypes, isFloat } from '../../../ir/types.ts';

const codes = (dtype: DType, bytes: readonly number[]): readonly number[] => [...readElements(dtype, 0, (bytes.length * 8) / elementBits[dtype], (offset, length) => Uint8Array.from(bytes.slice(offset, offset + length)))];

describe('elements', () => {
  it('of less than a byte come from its low end', () => {
    expect(codes('u4', [0x21, 0xf3])).toEqual([1, 2, 3, 15]);
    expect(codes('i4', [0x21, 0xf8])).toEqual([1, 2, -8, -1]);
    expect(codes('u2', [0b11_10_01_00])).toEqual([0, 1, 2, 3]);
    expect(codes('i2', [0b11_10_01_00])).toEqual([0, 1, -2, -1]);
    expect(codes('e2m1', [0x10, 0x32, 0x54, 0x76, 0xf9])).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -6]);
  });

  it('are read from the middle of a byte', () => {
    const asked: (readonly [number, number])[] = [];
    const read = (offset: number, length: number): Uint8Array => {
      asked.push([offset, length]);
      return Uint8Array.of(0x10, 0x32, 0x54, 0x76).subarray(offset, offset + length);
    };
    expect([...readElements('u4', 3, 4, read)]).toEqual([3, 4, 5, 6]);
    expect(asked).toEqual([[1, 3]]);
  });

  it('of FP32 are read wherever they lie, in a buffer of others too', () => {
    for (const from of [0, 1, 2, 4, 7]) {
      const within = Buffer.alloc(64, 0xff).subarray(from);
      within.set(new Uint8Array(Float32Array.of(1.5, -2).buffer));
      expect([...readElements('f32', 0, 2, (offset, length) => within.subarray(offset, offset + length))]).toEqual([1.5, -2]);
      expect([...readElements('f32', 1, 1, (offset, length) => within.subarray(offset, offset + length))]).toEqual([-2]);
    }
  });

  it('of 8-bit floats have the values their formats say', () => {
    expect(codes('e4m3', [0x7e, 0x01, 0x80])).toEqual([448, 2 ** -9, -0]);
    expect(codes('e4m3fnuz', [0x7f, 0x01, 0x80])).toEqual([240, 2 ** -10, NaN]);
    expect(codes('e5m2', [0x7b, 0x7c, 0x7d])).toEqual([57344, Infinity, NaN]);
    expect(codes('e5m2fnuz', [0x7f, 0x80])).toEqual([57344, NaN]);
    expect(codes('e8m0', [0, 127, 254, 255])).toEqual([2 ** -127, 1, 2 ** 127, NaN]);
  });

  it.each(dtypes.filter((dtype) => isFloat(dtype) && !isWide(dtype)))('%s: every value rounds to itself, and halves to the even of two', (dtype) => {
    const all = codes(dtype, elementBits[dtype] === 4 ? Array.from({ length: 8 }, (_, i) => i * 0x22 + 0x10) : Array.from({ length: 256 }, (_, i) => i));
    const finite = [...new Set(all.filter(Number.isFinite))].toSorted((a, b) => a - b);
    const round = casts[dtype];
    expect(finite.map(round)).toEqual(finite);
    finite.slice(1).forEach((above, i) => {
      const below = finite[i] as number;
      const middle = (below + above) / 2;
      expect([below, above]).toContain(round(middle));
      expect(round(middle + (above - below) / 1024)).toBe(above);
      expect(round(middle - (above - below) / 1024)).toBe(below);
    });
    // Codes count values, so of two neighbours the even one has the even code.
    const [first, second, third] = finite.filter((x) => x >= 0) as [number, number, number];
    expect([round((first + second) / 2), round((second + third) / 2)]).toEqual([first, third]);
    expect([round(1e9), round(-Infinity), round(NaN)]).toEqual([finite.at(-1), finite[0], NaN]);
  });

  it('of integers keep their low bits', () => {
    expect([-9, 8.9, 17].map(casts.i4)).toEqual([7, -8, 1]);
    expect([-9, 8.9, 17].map(casts.u4)).toEqual([7, 8, 1]);
    expect([-129, 128, 255].map(casts.i8)).toEqual([127, -128, -1]);
  });

  it('of integers are no floats', () => {
    expect(dtypes.filter((dtype) => !isFloat(dtype))).toEqual(['i64', 'i32', 'i16', 'i8', 'i4', 'i2', 'u64', 'u32', 'u16', 'u8', 'u4', 'u2', 'bool']);
  });
});
