import { describe, expect, it } from 'vitest';
import { encodeBf16, encodeE4m3 } from '../../../isa-spec/numerics.ts';
import type { Kernels } from '../../../simulator/functional/machine-state.ts';
import { AttentionUnit, type Heads } from '../attention-unit.ts';
import { numbers } from '../functional/harness.ts';
import { sweep } from '../../sweep.ts';

type Case = Omit<Heads, 'format'> & { readonly mask: 'full' | 'causal'; readonly window: number; readonly splitBlocks?: number; readonly softCap?: number };
type Format = 'e4m3' | 'bf16';
type Draw = (next: () => number) => number;

/** Codes of queries, keys and values. */
const draws: Readonly<Record<Format, Readonly<Record<string, Draw>>>> = {
  e4m3: {
    usual: (next) => encodeE4m3(3 * next()),
    'any code but NaN': (next) => (next() < 0 ? 0x80 : 0) | Math.floor(Math.abs(next()) * 0x7f),
    'NaN among them': (next) => (next() > 0.998 ? 0x7f : encodeE4m3(3 * next())),
  },
  bf16: {
    usual: (next) => encodeBf16(3 * next()),
    'any code, infinities and NaN too': (next) => Math.floor(Math.abs(next()) * 65536),
    'NaN and infinities among them': (next) => (next() > 0.998 ? (next() > 0 ? 0x7fc0 : 0x7f80) : encodeBf16(3 * next())),
    'products FP32 does not hold': (next) => (next() < 0 ? 0x8000 : 0) | ((next() > 0 ? 190 : 62) << 7) | Math.floor(Math.abs(next()) * 128),
  },
};

/** A decode row after 150 keys, a prompt of 9 after 130, a prompt of 40. */
const sequences = [{ rows: 1, past: 150 }, { rows: 9, past: 130 }, { rows: 40, past: 0 }];

const outputs = (format: Format, draw: Draw, { mask, window, splitBlocks, softCap, ...heads }: Case, kernels: Kernels): Uint32Array => {
  const next = numbers(5);
  const unit = new AttentionUnit({ format, ...heads }, sequences, () => draw(next), kernels);
  unit.load();
  unit.attend({ mask, window, ...(splitBlocks === undefined ? {} : { splitBlocks }), ...(softCap === undefined ? {} : { softCap }) });
  return unit.finish();
};

const cases: readonly Case[] = [
  { heads: 4, kvHeads: 2, headDim: 16, valueDim: 16, latent: false, mask: 'causal', window: 0 },
  { heads: 2, kvHeads: 2, headDim: 24, valueDim: 24, latent: false, mask: 'causal', window: 20 },
  { heads: 3, kvHeads: 1, headDim: 8, valueDim: 8, latent: false, mask: 'full', window: 0 },
  { heads: 2, kvHeads: 2, headDim: 8, valueDim: 8, latent: false, mask: 'causal', window: 0, softCap: 30 },
  { heads: 2, kvHeads: 1, headDim: 6, valueDim: 6, latent: false, mask: 'causal', window: 0 },
  { heads: 4, kvHeads: 2, headDim: 24, valueDim: 16, latent: false, mask: 'causal', window: 0, splitBlocks: 1 },
  { heads: 2, kvHeads: 2, headDim: 8, valueDim: 16, latent: false, mask: 'full', window: 0 },
  { heads: 4, kvHeads: 1, headDim: 24, valueDim: 16, latent: true, mask: 'causal', window: 0 },
  { heads: 4, kvHeads: 2, headDim: 24, valueDim: 8, latent: true, mask: 'causal', window: 30, splitBlocks: 1 },
];

describe.each(['e4m3', 'bf16'] as const)('SIMD attention over %s keys has the bits of the plain loops', (format) => {
  it.each(Object.entries(draws[format]))('%s', (_, draw) => {
    for (const one of sweep(cases, 4)) {
      const plain = outputs(format, draw, one, 'plain');
      expect(outputs(format, draw, one, 'simd'), JSON.stringify(one)).toEqual(plain);
    }
  });
});
