import { describe, expect, it } from 'vitest';
import { type Given, type One, agree, floatsOf, imported, noise, ours, stored, tried, wholeNoise } from './witness.ts';

const [tokens, width, inner, experts] = [5, 32, 32, 4];
const contrib = (op: string, inputs: One['inputs'], attributes: NonNullable<One['attributes']>): One => ({ op, domain: 'com.microsoft', inputs, attributes });
const numbers = (shape: readonly number[], seed: number): Given => stored('f32', shape, noise(shape, seed));
const bytes = (shape: readonly number[], seed: number): Given => stored('u8', shape, wholeNoise(shape, 0, 256, seed));
const [x, router] = [floatsOf([tokens, width], 1), floatsOf([tokens, experts], 9)];
const none = undefined;

const [up, upBias, down, downBias] = [numbers([experts, inner, width], 2), numbers([experts, inner], 5), numbers([experts, width, inner], 3), numbers([experts, width], 6)];
const [both, bothBias] = [numbers([experts, 2 * inner, width], 2), numbers([experts, 2 * inner], 5)];
const gated = { k: 2, activation_type: 'swiglu', swiglu_fusion: 1, activation_alpha: { float: 1.702 }, activation_beta: { float: 1 }, swiglu_limit: { float: 0.7 } };

/** Codes, scales and biases of both layers, `pack` codes a byte, `blocks` scales a row (0: one, without an axis). */
function quantised(pack: number, blocks: number, zeros: readonly (Given | undefined)[] = []): One['inputs'] {
  const scales = (rows: number, seed: number): Given => numbers(blocks === 0 ? [experts, rows] : [experts, rows, blocks], seed);
  return [x, router, bytes([experts, 2 * inner, width / pack], 2), scales(2 * inner, 5), bothBias, bytes([experts, width, inner / pack], 3), scales(width, 7), downBias, none, none, none, ...zeros];
}

describe('mixtures of experts', () => {
  it.each<readonly [string, One]>([
    ['one expert', contrib('MoE', [x, router, up, none, down], { k: 1 })],
    ['two, with biases', contrib('MoE', [x, router, up, upBias, down, downBias], { k: 2, activation_type: 'gelu' })],
    ['two whose shares sum to one', contrib('MoE', [x, router, up, none, down], { k: 2, activation_type: 'silu', normalize_routing_weights: 1 })],
    ['gated, of a batch', contrib('MoE', [floatsOf([1, tokens, width], 1), router, both, bothBias, down, downBias], gated)],
    ['4 bits, a scale for each output', contrib('QMoE', quantised(2, 0), { ...gated, normalize_routing_weights: 1 })],
    ['4 bits in blocks', contrib('QMoE', quantised(2, 2), { ...gated, normalize_routing_weights: 1, block_size: 16 })],
    ['4 bits in blocks, zero points', contrib('QMoE', quantised(2, 2, [bytes([experts, 2 * inner, 1], 4), bytes([experts, width, 1], 8)]), { ...gated, normalize_routing_weights: 1, block_size: 16 })],
    ['4 bits, a zero point for each output', contrib('QMoE', quantised(2, 0, [bytes([experts, inner], 4), bytes([experts, width / 2], 8)]), { ...gated, normalize_routing_weights: 1 })],
    ['8 bits', contrib('QMoE', quantised(1, 0), { ...gated, normalize_routing_weights: 1, expert_weight_bits: 8 })],
    ['shares given apart from the scores', contrib('QMoE', [...quantised(2, 0), none, none, none, stored('f32', [tokens, experts], noise([tokens, experts], 11).map(Math.abs))], { ...gated, normalize_routing_weights: 1 })],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one, 1e-3));

  it('the two halves of a gate may take turns, follow each other, or be apart', () => {
    const values = noise([experts, 2 * inner, width], 2);
    const row = (expert: number, output: number): readonly number[] => values.slice((expert * 2 * inner + output) * width, (expert * 2 * inner + output + 1) * width);
    const rows = (order: (i: number) => number, count: number): Given => stored('f32', [experts, count, width], Array.from({ length: experts * count }, (_, i) => row(Math.floor(i / count), order(i % count))).flat());
    const half = (from: number): Given => rows((i) => 2 * i + from, inner);
    const results = [
      contrib('MoE', [x, router, stored('f32', [experts, 2 * inner, width], values), none, down], gated),
      contrib('MoE', [x, router, rows((i) => (i < inner ? 2 * i : 2 * (i - inner) + 1), 2 * inner), none, down], { ...gated, swiglu_fusion: 2 }),
      contrib('MoE', [x, router, half(0), none, down, none, half(1)], { ...gated, swiglu_fusion: 0 }),
    ].map((one) => [...(ours(one)[0]?.data ?? [])]);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('weights of experts are read lazily', () => {
    const { module } = imported(contrib('QMoE', quantised(2, 2), { ...gated, block_size: 16 }));
    const block = [1, 1, 16];
    expect(module.weights.filter(({ shape }) => shape.length === 3)).toMatchObject([
      { shape: [experts, 2 * inner, width], instances: [{ kind: 'dequantise', block }] },
      { shape: [experts, width, inner], instances: [{ kind: 'dequantise', block }] },
    ]);
  });

  it('says what it does not read', () => {
    expect(tried(contrib('QMoE', quantised(2, 0), { ...gated, quant_type: 'nvfp4' })).told[0]).toContain('weights of type `nvfp4` are not read');
    expect(tried(contrib('MoE', [x, router, up, none, down], { use_sparse_mixer: 1 })).told[0]).toContain('the sparse mixer is not computed');
  });
});
