import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBf16, e4m3Values, encodeBf16, encodeE4m3 } from '../../../isa-spec/numerics.ts';
import { simdEngine } from '../../../simulator/wasm/engine.ts';
import { multiplyBf16 } from '../../../simulator/wasm/bf16.ts';
import { multiplyE4m3 } from '../../../simulator/wasm/e4m3.ts';
import type { Job } from '../../../simulator/wasm/job.ts';
import { isCheck } from '../../sweep.ts';

type Format = 'e4m3' | 'bf16';
/** Codes of a kind that something could be wrong with. */
type Draw = (random: (below: number) => number) => number;

const gauss = (random: (below: number) => number): number => Math.sqrt(-2 * Math.log((random(1e6) + 1) / 1e6)) * Math.cos((2 * Math.PI * random(1e6)) / 1e6);
const draws: Readonly<Record<Format, Readonly<Record<string, Draw>>>> = {
  e4m3: {
    'quantised normals': (random) => encodeE4m3(gauss(random) * 130),
    'any finite code': (random) => (random(2) << 7) | random(0x7f),
    'any code, NaN too': (random) => random(256),
    'largest magnitudes': (random) => (random(2) << 7) | 0x7e,
    'largest, one sign': () => 0x7e,
    subnormals: (random) => (random(2) << 7) | random(8),
    'largest and least, which cancel': (random) => (random(2) << 7) | [0x7e, 0x7e, 0x7e, 1, 0x38][random(5)]!,
    zeros: (random) => random(2) << 7,
  },
  bf16: {
    normals: (random) => encodeBf16(gauss(random)),
    'any finite code': (random) => (random(2) << 15) | random(0x7f80),
    'any code, infinities and NaN too': (random) => random(65536),
    'products at the edge of FP32': (random) => (random(2) << 15) | ((random(2) === 0 ? 190 : 191) << 7) | random(128),
    'products below FP32': (random) => (random(2) << 15) | ((57 + random(6)) << 7) | random(128),
    subnormals: (random) => (random(2) << 15) | random(128),
    'large and small, which cancel': (random) => (random(2) << 15) | ([140, 120, 100][random(3)]! << 7) | random(128),
    'signed zeros and ones': (random) => (random(2) << 15) | (random(2) * 0x3f80),
  },
};

/** The rules as written: exact sums in double, or a chain of FP32 sums, k ascending. */
const expected = (format: Format, { x, xAt, tiles, pitch, size, kTiles, kLast, nTiles, rows }: Job, before: number): readonly Float64Array[] => {
  const value = (code: number): number => (format === 'e4m3' ? e4m3Values[code]! : decodeBf16(code));
  return Array.from({ length: nTiles }, (_, nt) =>
    Float64Array.from({ length: rows * size }, (_, i) => {
      const [r, n] = [Math.floor(i / size), i % size];
      let sum = before;
      for (let k = 0; k < (kTiles - 1) * size + kLast; k++) {
        const weight = tiles[((Math.floor(k / size) * nTiles + nt) * size + (k % size)) * pitch + n]!;
        const product = value(x[xAt(r) + k]!) * value(weight);
        sum = format === 'e4m3' ? sum + product : Math.fround(sum + product);
      }
      return sum + 0;
    }));
};

const check = (format: Format, [xDraw, wDraw]: readonly [Draw, Draw], shape: { readonly size: number; readonly kTiles: number; readonly kLast: number; readonly nTiles: number; readonly rows: number; readonly padding: number }, seed: number): void => {
  const engine = simdEngine();
  if (engine === undefined) throw new Error('no WebAssembly SIMD');
  let state = seed | 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return Math.floor(((state >>> 8) / 2 ** 24) * below);
  };
  const { size, kTiles, nTiles, rows, padding } = shape;
  const pitch = size + padding;
  const xPitch = kTiles * size + 3;
  const codes = (count: number, draw: Draw): Uint8Array | Uint16Array => {
    const drawn = Array.from({ length: count }, () => draw(random));
    return format === 'e4m3' ? Uint8Array.from(drawn) : Uint16Array.from(drawn);
  };
  const before = random(2) * 0.75;
  const half = Math.ceil(rows / 2);
  const sums = Array.from({ length: nTiles }, () => new Float64Array(rows * size).fill(before));
  const lower = (nt: number): Float64Array => sums[nt]!;
  const job: Job = {
    ...shape, pitch, x: codes(rows * xPitch, xDraw), xAt: (r) => r * xPitch, tiles: codes(kTiles * nTiles * size * pitch, wDraw),
    places: [{ row: 0, rows: half, at: 0, sums: lower }, { row: half, rows: rows - half, at: half * size, sums: lower }],
  };
  (format === 'e4m3' ? multiplyE4m3 : multiplyBf16)(engine, job);
  expect(sums.map((one) => one.map((sum) => sum + 0))).toEqual(expected(format, job, before));
};

describe.each(['e4m3', 'bf16'] as const)('SIMD products of %s have the bits of the rule', (format) => {
  const kinds = Object.entries(draws[format]);
  const pairs = kinds.flatMap(([x, xDraw]) => kinds.map(([w, wDraw]) => [x, w, xDraw, wDraw] as const));

  it.each(pairs)('%s by %s', (_x, _w, xDraw, wDraw) => {
    check(format, [xDraw, wDraw], { size: 16, kTiles: 2, kLast: 11, nTiles: 2, rows: 6, padding: 0 }, 7);
    check(format, [xDraw, wDraw], { size: 136, kTiles: 1, kLast: 133, nTiles: 1, rows: 5, padding: 8 }, 8);
  });

  it.each(kinds.filter((_, i) => i % 2 === 0))('%s, of more rows than are taken at a time, and deeper tiles', (_, draw) => {
    check(format, [draw, draw], { size: 264, kTiles: 1, kLast: 261, nTiles: 1, rows: 131, padding: 0 }, 9);
  });

  it('of any shape', () => {
    const sizes = fc.constantFrom(4, 8, 12, 16, 32, 64);
    const kind = fc.constantFrom(...kinds.map(([, draw]) => draw));
    fc.assert(
      fc.property(fc.record({ size: sizes, kTiles: fc.integer({ min: 1, max: 4 }), last: fc.nat(63), nTiles: fc.integer({ min: 1, max: 3 }), rows: fc.integer({ min: 1, max: 9 }), padding: fc.constantFrom(0, 4, 16) }), fc.tuple(kind, kind), fc.nat(), (shape, pair, seed) => {
        check(format, pair, { ...shape, kLast: (shape.last % shape.size) + 1 }, seed);
      }),
      { numRuns: isCheck ? 30 : 150 },
    );
  });
});
