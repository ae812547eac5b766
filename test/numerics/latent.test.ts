import { describe, expect, it } from 'vitest';
import { AttentionUnit, type Heads } from '../simulator/attention-unit.ts';
import { words } from './bits.ts';
import { attend, factorOf } from './oracle-ops.ts';

const scale = Math.fround(0.2);

/** Every row and head of a unit's step by the oracle, causal. */
const wanted = (unit: AttentionUnit, { format, heads, kvHeads, headDim, valueDim }: Heads, splitBlocks: number): Uint32Array => {
  const headOf = (row: readonly number[], head: number, width: number): readonly number[] => row.slice(head * width, (head + 1) * width);
  const results: number[] = [];
  let first = 0;
  for (const { rows, past, k, v } of unit.sequences) {
    for (let i = 0; i < rows; i++) {
      for (let head = 0; head < heads; head++) {
        const keyHead = Math.floor(head / (heads / kvHeads));
        const of = { format, q: headOf(unit.q[first + i]!, head, headDim), k: k.map((row) => headOf(row, keyHead, headDim)), v: v.map((row) => headOf(row, keyHead, valueDim)) };
        results.push(...attend({ ...of, factor: factorOf(scale), low: 0, high: past + i + 1 }, splitBlocks === 0 ? undefined : 128 * splitBlocks));
      }
    }
    first += rows;
  }
  return Uint32Array.from(results);
};

describe.each(['e4m3', 'e5m2', 'bf16'] as const)('multi-head latent attention at its usual size, %s', (format) => {
  const heads: Heads = { format, heads: 2, kvHeads: 1, headDim: 576, valueDim: 512, latent: true };
  const sequences = [{ rows: 1, past: 130 }, { rows: 2, past: 3 }];
  it.each([['plain', 0], ['simd', 0], ['plain', 1], ['simd', 1]] as const)('%s loops, parts of %d blocks', (kernels, splitBlocks) => {
    const next = words(211);
    // Magnitudes from 2^-5 to 2: sums of 576 products that do not all drown in the largest.
    const codes = { e4m3: () => (next() & 0x80) | (0x10 + (next() % 0x28)), e5m2: () => (next() & 0x80) | (0x28 + (next() % 0x18)), bf16: () => ((next() & 0x8000) | ((122 + (next() % 5)) << 7) | (next() & 0x7f)) >>> 0 };
    const draw = codes[format];
    const unit = new AttentionUnit(heads, sequences, draw, kernels);
    unit.load();
    unit.attend(splitBlocks === 0 ? {} : { splitBlocks });
    expect(unit.finish()).toEqual(wanted(unit, heads, splitBlocks));
  });
});

it('keys of 192 elements and values of 128, two key heads', () => {
  const heads: Heads = { format: 'e4m3', heads: 4, kvHeads: 2, headDim: 192, valueDim: 128, latent: false };
  const next = words(223);
  const unit = new AttentionUnit(heads, [{ rows: 1, past: 128 }], () => (next() & 0x80) | (0x18 + (next() % 0x28)), 'simd');
  unit.load();
  unit.attend({ splitBlocks: 1 });
  expect(unit.finish()).toEqual(wanted(unit, heads, 1));
});

it('the widest keys, exactly: products of the largest magnitudes cancel, and small ones decide', () => {
  const heads: Heads = { format: 'e4m3', heads: 1, kvHeads: 1, headDim: 1024, valueDim: 16, latent: false };
  const next = words(227);
  let drawn = 0;
  const draw = (): number => {
    const [row, element] = [Math.floor(drawn / 1024), drawn++ % 1024];
    if (row > 6) return (next() & 0x80) | (0x20 + (next() % 0x20));
    if (element < 512) return row === 0 || element % 2 === 0 ? 0x7e : 0xfe;
    return row === 0 ? 0x38 : (next() & 0x80) | (0x10 + (next() % 0x10));
  };
  const unit = new AttentionUnit(heads, [{ rows: 1, past: 5 }], draw, 'simd');
  unit.load();
  unit.attend();
  expect(unit.finish()).toEqual(wanted(unit, heads, 0));
});
