import { describe, expect, it } from 'vitest';
import { e4m3Values, decodeBf16 } from '../../isa-spec/numerics.ts';
import { edges, fromSingleBits, singleBits, words } from './bits.ts';
import { add, bf16, chainedDot, decode, divide, e4m3, exact, exactDot, multiply, product, single, squareRoot, subtract, sum, values } from './oracle.ts';

/**
 * Operations of doubles, rounded to FP32, are the correctly rounded operations of FP32: a double has more than twice the bits
 * (Figueroa 1995), and the specification leans on it everywhere. Here against rationals.
 */
const operations = {
  add: [(a: number, b: number) => a + b, add],
  subtract: [(a: number, b: number) => a - b, subtract],
  multiply: [(a: number, b: number) => a * b, multiply],
  divide: [(a: number, b: number) => a / b, divide],
} as const;

describe('FP32 by way of doubles', () => {
  const check = (name: keyof typeof operations, a: number, b: number): void => {
    const [double, oracle] = operations[name];
    const got = singleBits(Math.fround(double(fromSingleBits(a), fromSingleBits(b))));
    if (got !== oracle(a, b)) expect.fail(`${name}(${a.toString(16)}, ${b.toString(16)}) is ${got.toString(16)}, not ${oracle(a, b).toString(16)}`);
  };

  it.each(Object.keys(operations) as (keyof typeof operations)[])('%s: every pair of edges', (name) => {
    for (const a of edges) for (const b of edges) check(name, a, b);
  });

  it.each(Object.keys(operations) as (keyof typeof operations)[])('%s: random pairs, near in size, and with subnormal results', (name) => {
    const next = words(31);
    for (let i = 0; i < 8000; i++) {
      const a = next();
      check(name, a, next());
      check(name, a, ((a & 0xff800000) >>> 0) + (next() & 0x7fffff));
      check(name, (next() & 0x80ffffff) >>> 0, (next() & 0x80ffffff) >>> 0);
      check(name, (next() & 0xffffff) + 0x1f800000, name === 'divide' ? (next() & 0xffffff) + 0x5e800000 : (next() & 0xffffff) + 0x1f800000);
    }
  });

  it('square root: edges, random values, squares and their neighbours', () => {
    const next = words(33);
    const inputs = [...edges, ...Array.from({ length: 3000 }, next)];
    for (let i = 0; i < 1000; i++) {
      const square = singleBits(Math.fround((next() >>> 20) ** 2));
      inputs.push(square, square + 1, Math.max(0, square - 1), next() & 0x7fffff);
    }
    for (const a of inputs) if (singleBits(Math.fround(Math.sqrt(fromSingleBits(a)))) !== squareRoot(a)) expect.fail(a.toString(16));
  });
});

describe('products', () => {
  it('all 65,536 of E4M3 are exact in FP32', () => {
    const every = values(e4m3, Array.from({ length: 256 }, (_, code) => code));
    for (let a = 0; a < 256; a++) for (let b = 0; b < 256; b++) {
      const p = e4m3Values[a]! * e4m3Values[b]!;
      const want = product(every[a]!, every[b]!);
      if (singleBits(p) !== single(want) || (p === p && Math.fround(p) !== p)) expect.fail(`${a} ${b}`);
    }
  });

  it('sums of E4M3 products are exact in double up to 2^17 of the largest and the least', () => {
    let double = 0;
    const [largest, least] = [448 * 448, 2 ** -18];
    for (let i = 0; i < 2 ** 16; i++) double += largest;
    for (let i = 0; i < 2 ** 16; i++) double += least;
    expect(BigInt(double * 2 ** 18)).toBe(65536n * (BigInt(largest) * 262144n + 1n));
  });

  it('BF16 products added to FP32 in double and rounded: one rounding, however far apart the terms', () => {
    const next = words(35);
    for (let i = 0; i < 30_000; i++) {
      const [a, b] = [next() & 0xffff, next() & 0xffff];
      const exactProduct = product(decode(bf16, BigInt(a)), decode(bf16, BigInt(b)));
      const double = decodeBf16(a) * decodeBf16(b);
      // An accumulator within 2^+-60 of the product, or anything.
      const near = (Math.max(0, Math.min(254, ((singleBits(double) >>> 23) & 0xff) + (next() % 121) - 60)) << 23) | (next() & 0x7fffff);
      for (const acc of [near >>> 0, (near | 0x80000000) >>> 0, next()]) {
        const got = singleBits(Math.fround(fromSingleBits(acc) + double));
        if (got !== single(sum(exact(acc), exactProduct))) expect.fail(`${acc.toString(16)} + ${a.toString(16)} * ${b.toString(16)}`);
      }
    }
  });
});

describe('the oracle', () => {
  it('agrees with itself: one product is that product, a chain of exact sums is the exact sum', () => {
    expect(single(exactDot(values(e4m3, [0x7e]), values(e4m3, [0x01])))).toBe(singleBits(448 / 512));
    expect(chainedDot(values(bf16, [0x3f80, 0x4000]), values(bf16, [0x3f80, 0x4000]))).toBe(singleBits(5));
  });
});
