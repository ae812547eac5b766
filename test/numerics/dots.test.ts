import { describe, expect, it } from 'vitest';
import { dotBlocks, dotChained, dotExact, dotMx } from '../../isa-spec/numerics-dots.ts';
import { decodeE5m2 } from '../../isa-spec/numerics-formats.ts';
import { decodeBf16, decodeE4m3 } from '../../isa-spec/numerics.ts';
import { fromSingleBits, singleBits, words } from './bits.ts';
import { features } from './features.ts';
import { bf16, blockDot, chainedDot, e4m3, e5m2, exactDot, mxDot, single, values } from './oracle.ts';

const floats = (decode: (code: number) => number, codes: readonly number[]): number[] => codes.map(decode);
const [scaleBlock, mxBlock] = [128, 32];
const finite8 = (next: () => number): number => {
  const code = next() & 0xff;
  return (code & 0x7f) === 0x7f ? code - 1 : code;
};
const codes = (count: number, make: () => number): number[] => Array.from({ length: count }, make);
const hex = (code: number): string => code.toString(16).padStart(8, '0');

describe('features of a dot product', () => {
  it.each(features)('$format $name', ({ format, a, b, want }) => {
    if (format === 'e4m3') {
      expect(hex(single(exactDot(values(e4m3, a), values(e4m3, b))))).toBe(want);
      expect(hex(singleBits(dotExact(floats(decodeE4m3, a), floats(decodeE4m3, b))))).toBe(want);
    } else {
      expect(hex(chainedDot(values(bf16, a), values(bf16, b)))).toBe(want);
      expect(hex(singleBits(dotChained(floats(decodeBf16, a), floats(decodeBf16, b))))).toBe(want);
    }
  });
});

describe('profile X', () => {
  it('is the exact sum rounded once, in any order', () => {
    const next = words(41);
    for (const length of [1, 2, 31, 32, 255, 256, 1000, 4096]) {
      const [a, b] = [codes(length, () => finite8(next)), codes(length, () => finite8(next))];
      const want = single(exactDot(values(e4m3, a), values(e4m3, b)));
      const order = a.map((_, i) => i).sort((i, j) => ((i * 7919) % 4099) - ((j * 7919) % 4099));
      expect(singleBits(dotExact(floats(decodeE4m3, a), floats(decodeE4m3, b)))).toBe(want);
      expect(singleBits(dotExact(order.map((i) => decodeE4m3(a[i]!)), order.map((i) => decodeE4m3(b[i]!))))).toBe(want);
    }
  });

  it('a power of two of an operand is one of the result', () => {
    const next = words(43);
    const small = codes(100, () => (next() & 0x3f) + 0x08); // normal, at most 2^2: doubling stays exact
    const b = codes(100, () => finite8(next));
    const sum = dotExact(floats(decodeE4m3, small), floats(decodeE4m3, b));
    expect(dotExact(small.map((code) => 2 * decodeE4m3(code)), floats(decodeE4m3, b))).toBe(2 * sum);
  });
});

describe('profile F', () => {
  const formats = { bf16: [bf16, decodeBf16, 0xffff], e4m3: [e4m3, decodeE4m3, 0xff], e5m2: [e5m2, decodeE5m2, 0xff] } as const;
  const names = Object.keys(formats) as (keyof typeof formats)[];

  it.each(names.flatMap((a) => names.map((b) => [a, b] as const)))('%s by %s: FP32 sums of exact products, ascending; NaN and infinities included', (left, right) => {
    const next = words(45);
    const [[layoutA, decodeA, maskA], [layoutB, decodeB, maskB]] = [formats[left], formats[right]];
    for (let i = 0; i < 60; i++) {
      const length = 1 + (next() % 24);
      const [a, b] = [codes(length, () => next() & maskA), codes(length, () => next() & maskB)];
      expect(singleBits(dotChained(floats(decodeA, a), floats(decodeB, b)))).toBe(chainedDot(values(layoutA, a), values(layoutB, b)));
    }
  });
});

describe('profile block', () => {
  it('an exact sum a block, FP32 scales and sums, blocks ascending; the last block may be short', () => {
    const next = words(47);
    const scale = (): number => 0x3a000000 + (next() & 0x7ffffff);
    for (const length of [5, 128, 129, 384, 500]) {
      const [a, b] = [codes(length, () => finite8(next)), codes(length, () => finite8(next))];
      const blocks = Math.ceil(length / scaleBlock);
      const [sa, sb] = [codes(blocks, scale), codes(blocks, scale)];
      const got = dotBlocks(floats(decodeE4m3, a), floats(decodeE4m3, b), sa.map(fromSingleBits), sb.map(fromSingleBits));
      expect(singleBits(got)).toBe(blockDot(values(e4m3, a), values(e4m3, b), sa, sb, scaleBlock));
    }
  });
});

describe('profile MX', () => {
  it('an exact sum a block, times both powers of two, rounded once; blocks ascending', () => {
    const next = words(53);
    for (const spread of [8, 60, 250]) {
      for (const length of [7, 32, 33, 96, 130]) {
        const [a, b] = [codes(length, () => finite8(next)), codes(length, () => finite8(next))];
        const code = (): number => 127 - (spread >> 1) + (next() % spread);
        const blocks = Math.ceil(length / mxBlock);
        const [ca, cb] = [codes(blocks, code), codes(blocks, code)];
        expect(singleBits(dotMx(floats(decodeE4m3, a), floats(decodeE4m3, b), ca, cb))).toBe(mxDot(values(e4m3, a), values(e4m3, b), ca, cb));
      }
    }
  });

  it('every code as a scale: subnormal and infinite results where they belong, NaN for 0xFF', () => {
    const a = floats(decodeE4m3, [0x39, 0x01, 0x7e]);
    for (let code = 0; code < 256; code++) {
      for (const other of [0, 1, 64, 127, 200, 254, 255]) {
        expect(singleBits(dotMx(a, a, [code], [other]))).toBe(mxDot(values(e4m3, [0x39, 0x01, 0x7e]), values(e4m3, [0x39, 0x01, 0x7e]), [code], [other]));
      }
    }
  });
});
