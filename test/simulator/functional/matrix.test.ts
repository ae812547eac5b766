import { describe, expect, test } from 'vitest';
import type { StrideSet } from '../../../isa-spec/instructions.ts';
import { activate, decodeBf16, decodeE4m3, encodeBf16, encodeE4m3, toBf16 } from '../../../isa-spec/numerics.ts';
import { SimulationFault } from '../../../simulator/fault.ts';
import { all, at, type Code, faultOf, Image, ins, numbers, runOnImage, sync, token } from './harness.ts';

const { fround } = Math;
const linear = (strides: readonly [number, number, number, number]): StrideSet => ({ strides, ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } });

/** Weights [k, n] as 8x8 tiles, k-tiles outermost. Codes a byte each, a tile row a line. */
const tiles = (codes: readonly (readonly number[])[], kTiles: number, nTiles: number): number[] => {
  const out: number[] = [];
  for (let kt = 0; kt < kTiles; kt++) for (let nt = 0; nt < nTiles; nt++) for (let k = 0; k < 8; k++) for (let n = 0; n < 8; n++) out.push(codes[kt * 8 + k]?.[nt * 8 + n] ?? 0);
  return out;
};

/** The exact sum of products of E4M3 codes, rounded once to FP32. Values are multiples of 2^-9. */
const exactDot = (a: readonly number[], b: readonly number[]): number => {
  const sum = a.reduce((total, x, i) => total + BigInt(decodeE4m3(x) * 512) * BigInt(decodeE4m3(b[i]!) * 512), 0n);
  return fround(Number(sum) / 2 ** 18);
};

const matrix = <T>(rows: number, columns: number, make: () => T): T[][] => Array.from({ length: rows }, () => Array.from({ length: columns }, make));
const code8 = (next: () => number): number => (Math.floor((next() + 1) * 128) & 0xff) % 0x7f | (next() < 0 ? 0x80 : 0);

const wld = (addr: number, kTiles: number, nTiles: number, split = 0, ss = 0) => ins('wld', { format: 'e4m3', src: at(addr, ss), kTiles, nTiles, split });
const plainEpi = { format: 'f32', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 0, acc: at(0), params: at(0), residualAt: at(0), rowScale: 0 } as const;

describe('e4m3 products', () => {
  const next = numbers(5);
  const [M, K, N] = [7, 21, 14];
  const a = matrix(M, K, () => code8(next));
  const w = matrix(K, N, () => code8(next));
  const image = new Image();
  a.forEach((row, r) => image.codes8(3 * r, row));
  image.codes8(100, tiles(w, 3, 2));
  const dot = (r: number, n: number): number => exactDot(a[r]!, w.map((row) => row[n]!));

  test('are exact, the one rounding being to FP32', () => {
    const code: Code = {
      wld: [wld(100, 3, 2)],
      mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 3, acc: at(5), kTiles: 3, kLast: 5, nTiles: 2, rows: all(M) }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, acc: at(5), out: at(500), pitch: 7, nTiles: 2, nLast: 6, rows: all(M) }, [token(9)], [token(10)])],
    };
    const { image: after } = runOnImage(image, ['wld', 'mxu'], code);
    for (let r = 0; r < M; r++) expect(after.readF32(500 + 7 * r, N)).toEqual(Array.from({ length: N }, (_, n) => dot(r, n)));
  });

  test('in chunks of k in a loop, split over groups of arrays, two row windows', () => {
    const mm = ins('mm', { format: 'e4m3', accumulate: 'first', split: 1, a: at(0, 1), pitch: 3, acc: at(0, 2), kTiles: 1, kLast: 8, nTiles: 2, rows: { max: 4, reg: 1, level: 1 } });
    const padded = new Image();
    padded.bytes.set(image.bytes);
    a.forEach((row, r) => padded.codes8(3 * r, [...row, 0, 0, 0]));
    const code: Code = {
      wld: [ins('loop', { level: 1, count: 2, body: 2 }), ins('loop', { level: 3, count: 3, body: 1 }), wld(100, 1, 2, 1, 1)],
      mxu: [ins('sreg', { reg: 1, count: 'tokens' }), ins('loop', { level: 1, count: 2, body: 3 }), ins('loop', { level: 3, count: 3, body: 1 }), mm, sync([], [token(9)])],
      epi: [
        ins('sreg', { reg: 1, count: 'tokens' }), ins('loop', { level: 1, count: 2, body: 1 }),
        ins('epi', { ...plainEpi, split: 1, acc: at(0, 1), out: at(500, 2), pitch: 7, nTiles: 2, nLast: 6, rows: { max: 4, reg: 1, level: 1 } }, [token(9)], [token(8)]),
      ],
      ctl: [sync([token(8, 2)], [token(10)])],
    };
    const strideSets = {
      wld: [linear([0, 0, 0, 16])],
      mxu: [linear([0, 12, 0, 1]), linear([0, 2, 0, 0])],
      epi: [linear([0, 2, 0, 0]), linear([0, 28, 0, 0])],
    };
    const { image: after } = runOnImage(padded, ['wld', 'mxu'], code, { counts: { tokens: 6, sequences: 0, samples: 0, memory: 0 } }, { strideSets });
    for (let r = 0; r < 6; r++) expect(after.readF32(500 + 7 * r, N)).toEqual(Array.from({ length: N }, (_, n) => dot(r, n)));
    expect(after.read8(500 + 7 * 6, 8)).toEqual(Array(8).fill(0xff));
  });

  test('with scales, bias, activation and residual, in this order', () => {
    const scaled = new Image();
    scaled.bytes.set(image.bytes);
    const [rowScales, columnScales, biases, residual] = [matrix(1, M, next)[0]!.map(fround), matrix(1, 16, next)[0]!.map(fround), matrix(1, 16, next)[0]!.map(fround), matrix(M, N, () => toBf16(next()))];
    scaled.f32(300, rowScales);
    scaled.f32(310, columnScales);
    scaled.f32(318, biases);
    residual.forEach((row, r) => scaled.codes16(400 + 4 * r, row.map(encodeBf16)));
    const code: Code = {
      wld: [wld(100, 3, 2)],
      mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 3, acc: at(0), kTiles: 3, kLast: 5, nTiles: 2, rows: all(M) }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, format: 'bf16', activation: 'gelu', scale: true, bias: true, residual: true, rowScale: 300, params: at(310), residualAt: at(400), out: at(500), pitch: 4, nTiles: 2, nLast: 6, rows: all(M) }, [token(9)], [token(10)])],
    };
    const { image: after } = runOnImage(scaled, ['wld', 'mxu'], code);
    for (let r = 0; r < M; r++) {
      const wanted = Array.from({ length: N }, (_, n) => {
        const y = fround(fround(fround(dot(r, n) * rowScales[r]!) * columnScales[n]!) + biases[n]!);
        return encodeBf16(fround(activate('gelu', y) + residual[r]![n]!));
      });
      expect(after.read16(500 + 4 * r, N)).toEqual(wanted);
    }
  });

  test('gated: the left tiles gate the right', () => {
    const code: Code = {
      wld: [wld(100, 3, 2)],
      mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 3, acc: at(0), kTiles: 3, kLast: 5, nTiles: 2, rows: all(M) }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, gated: true, activation: 'silu', out: at(500), pitch: 4, nTiles: 2, nLast: 6, rows: all(M) }, [token(9)], [token(10)])],
    };
    const { image: after } = runOnImage(image, ['wld', 'mxu'], code);
    for (let r = 0; r < M; r++) expect(after.readF32(500 + 4 * r, 6)).toEqual(Array.from({ length: 6 }, (_, n) => fround(activate('silu', dot(r, n)) * dot(r, n + 8))));
  });

  test('undefined weights give NaN even where activations are 0', () => {
    const zeros = new Image();
    zeros.codes8(0, Array(8).fill(0));
    const code: Code = {
      wld: [wld(100, 1, 1)],
      mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 1, acc: at(0), kTiles: 1, kLast: 8, nTiles: 1, rows: all(1) }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, out: at(500), pitch: 4, nTiles: 1, nLast: 8, rows: all(1) }, [token(9)], [token(10)])],
    };
    expect(runOnImage(zeros, ['wld', 'mxu'], code).image.readF32(500, 8).every(Number.isNaN)).toBe(true);
  });

  test('by arrays that share k: the same bits', () => {
    const product = { kTiles: 3, nTiles: 2, split: 0, kSplit: 1 } as const;
    const code: Code = {
      wld: [ins('wld', { ...product, format: 'e4m3', src: at(100) })],
      mxu: [ins('mm', { ...product, format: 'e4m3', accumulate: 'no', a: at(0), pitch: 3, acc: at(0), kLast: 5, rows: all(M) }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, out: at(500), pitch: 7, nTiles: 2, nLast: 6, rows: all(M) }, [token(9)], [token(10)])],
    };
    const { image: after } = runOnImage(image, ['wld', 'mxu'], code);
    for (let r = 0; r < M; r++) expect(after.readF32(500 + 7 * r, N)).toEqual(Array.from({ length: N }, (_, n) => dot(r, n)));
  });

  test('weights that are not those pushed are a fault', () => {
    const code: Code = { wld: [wld(100, 3, 2)], mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 3, acc: at(0), kTiles: 2, kLast: 5, nTiles: 2, rows: all(M) })] };
    expect(() => runOnImage(image, ['wld', 'mxu'], code)).toThrow(SimulationFault);
    const mm = (kSplit: number) => ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 3, acc: at(0), kTiles: 3, kLast: 5, nTiles: 2, rows: all(M), kSplit });
    expect(faultOf(() => runOnImage(image, ['wld', 'mxu'], { wld: [wld(100, 3, 2)], mxu: [mm(1)] })).message).toContain('multiplies e4m3 3 x 2 tiles split 0 and 1 along k, pushed were e4m3 3 x 2 tiles split 0');
  });
});

test('scales of blocks, by arrays that share k: the same bits', () => {
  const next = numbers(7);
  // Three blocks, of 16 k-tiles, 16 and one.
  const [M, kTiles] = [3, 33];
  const image = new Image();
  for (let r = 0; r < M; r++) image.codes8(kTiles * r, Array.from({ length: 8 * kTiles }, () => code8(next)));
  image.codes8(100, Array.from({ length: 64 * kTiles }, () => code8(next)));
  for (let block = 0; block < 3; block++) image.f32(400 + block, [fround(next())]);
  for (let r = 0; r < M; r++) image.f32(410 + 2 * r, [next(), next(), next()].map(fround));
  const sums = (kSplit: number): number[][] => {
    const product = { format: 'e4m3', scaling: 'block', kTiles, nTiles: 1, split: 0, kSplit } as const;
    const code: Code = {
      wld: [ins('wld', { ...product, src: at(100), scales: at(400) })],
      mxu: [ins('mm', { ...product, accumulate: 'no', a: at(0), pitch: kTiles, acc: at(0), kLast: 3, rows: all(M), scales: at(410), scalePitch: 2 }, [], [token(9)])],
      epi: [ins('epi', { ...plainEpi, out: at(500), pitch: 4, nTiles: 1, nLast: 8, rows: all(M) }, [token(9)], [token(10)])],
    };
    const { image: after } = runOnImage(image, ['wld', 'mxu'], code);
    return Array.from({ length: M }, (_, r) => after.readF32(500 + 4 * r, 8));
  };
  expect(sums(0).flat().every((sum) => Number.isFinite(sum) && sum !== 0)).toBe(true);
  for (const kSplit of [1, 2]) expect(sums(kSplit)).toEqual(sums(0));
});

test('bf16 products are a chain of FP32 sums, k ascending, over tiles and accumulations', () => {
  const next = numbers(9);
  const [M, K, N] = [3, 19, 5];
  const a = matrix(M, K, () => encodeBf16(next() * 2 ** Math.floor(next() * 12)));
  const w = matrix(K, N, () => encodeBf16(next() * 2 ** Math.floor(next() * 12)));
  const image = new Image();
  a.forEach((row, r) => image.codes16(6 * r, [...row, ...Array(5).fill(0)]));
  for (let kt = 0; kt < 3; kt++) for (let k = 0; k < 8; k++) image.codes16(100 + 2 * (8 * kt + k), Array.from({ length: 8 }, (_, n) => w[8 * kt + k]?.[n] ?? 0));
  const common = { format: 'bf16', split: 0, pitch: 6, acc: at(0), nTiles: 1, rows: all(M) } as const;
  const code: Code = {
    wld: [ins('wld', { format: 'bf16', src: at(100), kTiles: 2, nTiles: 1, split: 0 }), ins('wld', { format: 'bf16', src: at(132), kTiles: 1, nTiles: 1, split: 0 })],
    mxu: [ins('mm', { ...common, accumulate: 'no', a: at(0), kTiles: 2, kLast: 8 }), ins('mm', { ...common, accumulate: 'yes', a: at(4), kTiles: 1, kLast: 3 }, [], [token(9)])],
    epi: [ins('epi', { ...plainEpi, out: at(500), pitch: 3, nTiles: 1, nLast: N, rows: all(M) }, [token(9)], [token(10)])],
  };
  const { image: after } = runOnImage(image, ['wld', 'mxu'], code);
  for (let r = 0; r < M; r++) {
    const wanted = Array.from({ length: N }, (_, n) => a[r]!.reduce((sum, x, k) => fround(sum + decodeBf16(x) * decodeBf16(w[k]![n]!)), 0));
    expect(after.readF32(500 + 3 * r, N)).toEqual(wanted);
  }
});

test('a zero sum is +0', () => {
  const image = new Image();
  image.codes8(0, [encodeE4m3(1), encodeE4m3(-1), ...Array(6).fill(0)]);
  image.codes8(100, [...Array(16).fill(encodeE4m3(-2)), ...Array(48).fill(0x80)]);
  const code: Code = {
    wld: [wld(100, 1, 1)],
    mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 1, acc: at(0), kTiles: 1, kLast: 8, nTiles: 1, rows: all(1) }, [], [token(9)])],
    epi: [ins('epi', { ...plainEpi, out: at(500), pitch: 4, nTiles: 1, nLast: 8, rows: all(1) }, [token(9)], [token(10)])],
  };
  expect(runOnImage(image, ['wld', 'mxu'], code).image.readF32(500, 8)).toEqual(Array(8).fill(0));
});
