import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { difference } from './tensors.ts';
import { type Given, type One, agree, floatsOf, given, imported, noise, ours, stored, tried, wholeNoise } from './witness.ts';

const contrib = (op: string, inputs: One['inputs'], attributes: NonNullable<One['attributes']> = {}, outputs = 1): One => ({ op, domain: 'com.microsoft', inputs, attributes, outputs });
const f = floatsOf;
const whole = (shape: readonly number[], values: readonly number[]): Given => given('i32', shape, values);
const none = undefined;
const data = (one: One, output = 0): readonly number[] => [...(ours(one)[output]?.data ?? [])];
const close = (one: One, wanted: readonly number[]): void => data(one).forEach((x, i) => expect(x).toBeCloseTo(wanted[i] as number, 12));
const x = f([2, 3, 8]);

describe('ONNX Runtime agrees', () => {
  const epsilon = { epsilon: { float: 1e-5 } };
  const [ids, words, places, gains] = [whole([2, 3], [1, 2, 3, 4, 0, 1]), f([5, 8]), f([6, 8], 2), [f([8], 4), f([8], 5)]];
  it.each<readonly [string, One]>([
    ['Gelu', contrib('Gelu', [x])],
    ['FastGelu', contrib('FastGelu', [x, f([8], 2)])],
    ['BiasGelu', contrib('BiasGelu', [x, f([8], 2)])],
    ['QuickGelu', contrib('QuickGelu', [x], { alpha: { float: 1.5 } })],
    ['FusedMatMul', contrib('FusedMatMul', [f([2, 4, 3]), f([2, 5, 4], 2)], { transA: 1, transB: 1, alpha: { float: 0.3 } })],
    ['FusedMatMul, the batch within', contrib('FusedMatMul', [f([3, 2, 4]), f([2, 4, 5], 2)], { transBatchA: 1 })],
    ['FusedMatMul, the batch within, transposed', contrib('FusedMatMul', [f([4, 2, 3]), f([2, 4, 5], 2)], { transBatchA: 1, transA: 1 })],
    ['FusedMatMul, the right batch within', contrib('FusedMatMul', [f([2, 3, 4]), f([4, 2, 5], 2)], { transBatchB: 1 })],
    ['FusedGemm', contrib('FusedGemm', [f([3, 4]), f([4, 5], 2), f([5], 3)], { activation: 'LeakyRelu', activation_alpha: { float: 0.2 }, alpha: { float: 2 }, beta: { float: 0.5 } })],
    ['FusedGemm transposed', contrib('FusedGemm', [f([3, 4]), f([5, 4], 2)], { transB: 1, activation: 'Tanh' })],
    ['FusedConv', contrib('FusedConv', [f([1, 2, 5, 5]), f([3, 2, 3, 3], 2), f([3], 3)], { activation: 'Relu', kernel_shape: [3, 3] })],
    ['SkipLayerNormalization', contrib('SkipLayerNormalization', [x, f([2, 3, 8], 2), f([8], 3), f([8], 4), f([8], 5)], epsilon, 4)],
    ['SkipLayerNormalization, the skip alike for each', contrib('SkipLayerNormalization', [x, f([3, 8], 2), f([8], 3)], epsilon)],
    ['SkipSimplifiedLayerNormalization', contrib('SkipSimplifiedLayerNormalization', [x, f([2, 3, 8], 2), f([8], 3), f([8], 5)], epsilon)],
    ['EmbedLayerNormalization', contrib('EmbedLayerNormalization', [ids, whole([2, 3], [0, 1, 0, 1, 1, 0]), words, places, f([2, 8], 3), ...gains, whole([2, 3], [1, 1, 0, 1, 0, 1])], epsilon, 3)],
    ['EmbedLayerNormalization of positions', contrib('EmbedLayerNormalization', [ids, none, words, places, none, ...gains, none, whole([2, 3], [3, 4, 5, 0, 1, 2])], epsilon, 2)],
    ['RotaryEmbedding', contrib('RotaryEmbedding', [f([2, 3, 4, 8]), given('i64', [2, 4], [0, 1, 2, 3, 2, 3, 4, 5]), f([9, 4], 2), f([9, 4], 3)])],
    ['RotaryEmbedding from a place on', contrib('RotaryEmbedding', [f([2, 3, 16]), given('i64', [1], [2]), f([9, 4], 2), f([9, 4], 3)])],
    ['RotaryEmbedding of heads from a place on', contrib('RotaryEmbedding', [f([2, 3, 4, 8]), given('i64', [1], [3]), f([9, 4], 2), f([9, 4], 3)])],
    ['RotaryEmbedding of pairs', contrib('RotaryEmbedding', [f([2, 3, 16]), given('i64', [2, 3], [0, 1, 2, 3, 4, 5]), f([9, 4], 2), f([9, 4], 3)], { interleaved: 1 })],
    ['RotaryEmbedding of a part', contrib('RotaryEmbedding', [f([2, 3, 16]), given('i64', [2, 3], [0, 1, 2, 3, 4, 5]), f([9, 2], 2), f([9, 2], 3)], { num_heads: 2, rotary_embedding_dim: 4 })],
  ])('%s', async (_, one) => agree(one));

  const bytes = (shape: readonly number[]): Given => stored('u8', shape, wholeNoise(shape, 0, 256));
  const numbers = (shape: readonly number[], seed = 1): Given => stored('f32', shape, noise(shape, seed));
  const nbits = (bits: number, [k, block]: readonly [number, number], zero?: 'packed' | 'numbers'): One => {
    const blocks = Math.ceil(k / block);
    const zeros = zero === undefined ? none : zero === 'packed' ? bytes([5 * Math.ceil((blocks * bits) / 8)]) : stored('f32', [5, blocks], noise([5, blocks], 3).map((each) => 8 * each + 8));
    return contrib('MatMulNBits', [f([2, 3, k]), bytes([5, blocks, (block * bits) / 8]), numbers([5 * blocks]), zeros, none, f([5], 7)], { N: 5, K: k, bits, block_size: block });
  };
  it.each<readonly [string, One]>([
    ['MatMulNBits of 4 bits', nbits(4, [64, 32])],
    ['MatMulNBits of 4 bits, the last block not full', nbits(4, [40, 16])],
    ['MatMulNBits of 4 bits, zero points packed', nbits(4, [40, 16], 'packed')],
    ['MatMulNBits of 4 bits, zero points as numbers', nbits(4, [64, 32], 'numbers')],
    ['MatMulNBits of 8 bits', nbits(8, [40, 16])],
    ['MatMulNBits of 8 bits, zero points', nbits(8, [64, 32], 'packed')],
    ['GatherBlockQuantized of 2 bits', contrib('GatherBlockQuantized', [bytes([6, 8]), given('i64', [2, 2], [1, 5, 0, -1]), numbers([6, 2])], { block_size: 16, bits: 2, quantize_axis: 1, gather_axis: 0 })],
    ['GatherBlockQuantized of 8 bits', contrib('GatherBlockQuantized', [bytes([6, 32]), given('i64', [2], [1, 5]), numbers([6, 2]), bytes([6, 2])], { block_size: 16, bits: 8, quantize_axis: 1, gather_axis: 0 })],
    ['GatherBlockQuantized of signed codes', contrib('GatherBlockQuantized', [stored('i4', [6, 32], wholeNoise([6, 16], 0, 256)), given('i64', [2], [1, 5]), numbers([6, 2]), stored('i4', [6, 2], wholeNoise([6], 0, 256))], { block_size: 16, quantize_axis: 1, gather_axis: 0 })],
    ['GatherBlockQuantized along another axis', contrib('GatherBlockQuantized', [stored('u4', [32, 6], wholeNoise([96], 0, 256)), given('i64', [2], [1, 5]), numbers([2, 6])], { block_size: 16, quantize_axis: 0, gather_axis: 1 })],
  ])('%s', async (_, one) => agree(one));

  it('MatMulNBits reads its matrix lazily, from what is stored', () => {
    const one = contrib('MatMulNBits', [f([2, 64]), bytes([64, 2, 16]), numbers([128])], { N: 64, K: 64, bits: 4, block_size: 32 });
    const { module } = imported(one);
    expect(module.body.ops.map((op) => op.kind)).toEqual(['weight', 'ptranspose', 'pmatmul']);
    expect(module.weights).toMatchObject([{ name: 'x1', dtype: 'f32', shape: [64, 64], instances: [{ kind: 'dequantise', of: { kind: 'unpack', bits: 4, of: { kind: 'reshape', of: { kind: 'tensor', name: 'x1' }, shape: [64, 32] } }, block: [1, 32] }] }]);
  });

  it('packed weights that are computed are refused', () => {
    expect(tried(contrib('MatMulNBits', [f([2, 64]), given('u8', [5, 2, 16], Array(160).fill(0)), numbers([10])], { N: 5, K: 64, block_size: 32 })).told[0]).toContain('E3001');
  });
});

describe('operators ONNX Runtime has no kernel for here', () => {
  const gelu = (each: number): number => (data(contrib('Gelu', [given('f32', [1], [each])]))[0] as number);

  it('BiasAdd, BiasSplitGelu and GemmFastGelu', () => {
    const [a, b, c] = [f([1, 2, 4], 1), f([4], 2), f([1, 2, 4], 3)];
    const sum = a.values.map((each, i) => each + (b.values[i % 4] as number));
    close(contrib('BiasAdd', [a, b, c]), sum.map((each, i) => each + (c.values[i] as number)));
    close(contrib('BiasSplitGelu', [a, b]), [0, 1, 4, 5].map((i) => (sum[i] as number) * gelu(sum[i + 2] as number)));
    const fused = contrib('GemmFastGelu', [f([3, 4], 1), f([4, 2], 2), f([2], 3)]);
    const product = ours({ op: 'MatMul', inputs: [f([3, 4], 1), f([4, 2], 2)] })[0] as Tensor;
    close(fused, data(contrib('FastGelu', [given('f32', [3, 2], [...product.data]), f([2], 3)])));
  });

  it('BiasSoftmax is a softmax over all axes from one on', () => {
    const [scores, bias] = [f([2, 3, 4], 1), f([3, 4], 2)];
    const one = contrib('BiasSoftmax', [scores, bias], { axis: 1, is_inner_broadcast: 0 });
    expect(data(one).slice(0, 12).reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    expect(Math.log((data(one)[1] as number) / (data(one)[0] as number))).toBeCloseTo((scores.values[1] as number) + (bias.values[1] as number) - (scores.values[0] as number) - (bias.values[0] as number), 12);
  });

  it('GroupNorm is the same with its channels first or last', () => {
    const last = f([2, 2, 3, 4], 1);
    const at = (n: number, h: number, w: number, c: number): number => last.values[((n * 2 + h) * 3 + w) * 4 + c] as number;
    const first = given('f32', [2, 4, 2, 3], Array.from({ length: 48 }, (_, i) => at(Math.floor(i / 24), Math.floor(i / 3) % 2, i % 3, Math.floor(i / 6) % 4)));
    const norm = (image: Given, channels_last: number): Tensor => ours(contrib('GroupNorm', [image, f([4], 2), f([4], 3)], { groups: 2, activation: 1, channels_last }))[0] as Tensor;
    const turned = ours({ op: 'Transpose', inputs: [given('f32', [2, 2, 3, 4], [...norm(last, 1).data])], attributes: { perm: [0, 3, 1, 2] } })[0] as Tensor;
    expect(difference(norm(first, 0), turned)).toBeLessThan(1e-12);
    const plain = ours({ op: 'GroupNormalization', inputs: [first, f([4], 2), f([4], 3)], attributes: { num_groups: 2 } })[0] as Tensor;
    norm(first, 0).data.forEach((each, i) => expect(each).toBeCloseTo((plain.data[i] as number) / (1 + Math.exp(-(plain.data[i] as number))), 10));
  });

  it('SkipGroupNorm adds what is skipped, and hands on the sum', () => {
    const [image, skip, bias] = [f([2, 2, 2, 4], 1), f([2, 4], 2), f([4], 3)];
    const sum = image.values.map((each, i) => each + (skip.values[Math.floor(i / 16) * 4 + (i % 4)] as number) + (bias.values[i % 4] as number));
    const one = contrib('SkipGroupNorm', [image, f([4], 4), f([4], 5), skip, bias], { groups: 2, activation: 0 }, 2);
    data(one, 1).forEach((each, i) => expect(each).toBeCloseTo(sum[i] as number, 12));
    close(one, data(contrib('GroupNorm', [given('f32', [2, 2, 2, 4], sum), f([4], 4), f([4], 5)], { groups: 2, activation: 0 })));
  });

  it.each([[0, 32, 128], [1, 32, 128], [1, 8, 20]])('RelativePositionBias has the buckets of T5 (both ways: %i, %i up to %i)', (both, buckets, most) => {
    const table = given('f32', [buckets, 2], Array.from({ length: 2 * buckets }, (_, i) => i));
    const [rows, keys] = [5, 160];
    const one = contrib('RelativePositionBias', [table, stored('i64', [1], [rows]), stored('i64', [1], [keys])], { max_distance: most, is_bidirectional: both });
    const bucketOf = (apart: number): number => {
      const own = both === 1 ? buckets / 2 : buckets;
      const distance = both === 1 ? Math.abs(apart) : Math.max(-apart, 0);
      const near = own / 2;
      const far = near + Math.floor((Math.fround(Math.log(distance / near)) / Math.fround(Math.log(most / near))) * (own - near) + 1e-6);
      return (both === 1 && apart > 0 ? own : 0) + (distance < near ? distance : Math.min(far, own - 1));
    };
    const [result] = ours(one) as [Tensor];
    expect(result.shape).toEqual([1, 2, rows, keys]);
    result.data.forEach((each, i) => expect([i, each]).toEqual([i, 2 * bucketOf((i % keys) - (Math.floor(i / keys) % rows)) + Math.floor(i / (rows * keys))]));
  });

  it('GatedRelativePositionBias gates each head and row', () => {
    const sigmoid = (each: number): number => 1 / (1 + Math.exp(-each));
    // One head of two features, one row: gates (q w + b) of four are two sums of two.
    const inputs = [given('f32', [1, 1, 2], [1, 2]), given('f32', [2], [0.5, -1]), given('f32', [1, 1, 1, 1], [3]), given('f32', [2, 4], [1, 0, 0, 1, 0, 1, 1, 0]), given('f32', [4], [0.1, 0.2, 0.3, 0.4]), given('f32', [1, 1, 1, 1], [2])];
    const [update, reset] = [sigmoid(1.5 + 0.1 + 1 + 0.2), sigmoid(1 + 0.3 + 1.5 + 0.4)];
    expect(data(contrib('GatedRelativePositionBias', inputs, { num_heads: 1 }))[0]).toBeCloseTo((update * (reset * 2 - 1) + 2) * 3, 6);
  });
});

describe('what is refused, and why', () => {
  it.each([
    ['BeamSearch', 'choosing tokens is what the host does between steps'],
    ['QOrderedAttention', 'its tensors lie in an order of another machine'],
    ['RemovePadding', 'how many rows there are depends on data'],
    ['PagedAttention', 'caches in pages'],
  ])('%s', (op, why) => expect(tried(contrib(op, [x])).told).toEqual([expect.stringContaining(why)]));

  it('an operator nobody knows', () => expect(tried(contrib('Frobnicate', [x])).told).toEqual([expect.stringContaining('E1005')]));
});
