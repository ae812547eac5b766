import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { difference } from './tensors.ts';
import { type Given, type One, agree, floatsOf, given, imported, noise, ours, stored, theirs, tried, wholeNoise } from './witness.ts';

const contrib = (op: string, inputs: One['inputs'], attributes: NonNullable<One['attributes']> = {}, outputs = 1): One => ({ op, domain: 'com.microsoft', inputs, attributes, outputs });
const whole = (shape: readonly number[], values: readonly number[]): Given => given('i32', shape, values);
const number = (value: number): Given => stored('i32', [1], [value]);
const none = undefined;
const same = (one: One, other: One): void => ours(one).forEach((each, i) => expect(difference(each, ours(other)[i] as Tensor), `output ${i}`).toBeLessThan(1e-12));

describe('Attention: queries, keys and values from one product', () => {
  const [x, w, b, past] = [floatsOf([2, 3, 6], 1), floatsOf([6, 24], 2), floatsOf([24], 3), floatsOf([2, 2, 2, 2, 4], 4)];
  const attention = (more: One['inputs'], attributes: NonNullable<One['attributes']> = {}, outputs = 1): One => contrib('Attention', [x, w, b, ...more], { num_heads: 2, ...attributes }, outputs);
  const filter = { mask_filter_value: { float: -5 } };

  it.each<readonly [string, One]>([
    ['alone', attention([])],
    ['with its keys and values handed on', attention([], {}, 2)],
    ['each row up to its own', attention([], { unidirectional: 1, mask_filter_value: { float: -1 } })],
    ['lengths', attention([whole([2], [2, 3])], filter)],
    ['ends and starts', attention([whole([4], [3, 2, 1, 0])], filter)],
    ['lengths and more', attention([whole([8], [3, 2, 0, 3, 5, 0, 3, 5])], filter)],
    ['a mask of keys', attention([whole([2, 3], [1, 1, 0, 0, 1, 1])], filter)],
    ['a mask of keys, each row up to its own', attention([whole([2, 3], [1, 1, 0, 0, 1, 1])], { unidirectional: 1 })],
    ['a mask of rows and keys', attention([whole([2, 3, 3], [1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0])], filter)],
    ['a past', attention([none, past], {}, 2)],
    ['a past, a mask, each row up to its own', attention([whole([2, 5], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1]), past], { unidirectional: 1 }, 2)],
    ['a bias on the scores', attention([none, none, floatsOf([1, 2, 3, 3], 5)])],
    ['a bias, a mask, a scale', attention([whole([2, 3], [1, 1, 0, 0, 1, 1]), none, floatsOf([2, 1, 3, 3], 5)], { unidirectional: 1, scale: { float: 0.3 }, ...filter })],
    ['values of another size', contrib('Attention', [x, floatsOf([6, 20], 2), floatsOf([20], 3)], { num_heads: 2, qkv_hidden_sizes: [8, 8, 4] })],
    ['codes', contrib('QAttention', [given('u8', [2, 3, 4], wholeNoise([2, 3, 4], 0, 256)), stored('i8', [4, 24], wholeNoise([4, 24], -64, 64)), b, stored('f32', [], [0.02]), stored('f32', [], [0.01]), whole([2], [2, 3]), stored('u8', [], [120]), stored('i8', [], [3])], { num_heads: 2 })],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one));

  it('needs no bias', () => same(contrib('Attention', [x, w], { num_heads: 2 }), contrib('Attention', [x, w, given('f32', [24], Array(24).fill(0))], { num_heads: 2 })));

  it('takes the rows of a square mask that come after the past', () => {
    const most = whole([1, 1, 6, 6], Array.from({ length: 36 }, (_, i) => (i % 6 <= Math.floor(i / 6) ? 1 : 0)));
    same(attention([most, past], { mask_filter_value: { float: -1e9 } }), attention([none, past], { unidirectional: 1 }));
  });

  it('turns queries and keys by their places if asked to', () => {
    const [angle, one] = [1, attention([none, past], { do_rotary: 1, unidirectional: 1, rotary_embedding_dim: 2 }, 2)];
    const [plain, turned] = [attention([none, past], { unidirectional: 1 }, 2), one].map((each) => (ours(each)[1] as Tensor).data) as [Float64Array, Float64Array];
    // Keys of the first sequence's first head: two cached rows, then places 2, 3, 4; of a row the first two features are a pair.
    expect([...turned.subarray(0, 8)]).toEqual([...plain.subarray(0, 8)]);
    const [re, im] = [plain[8] as number, plain[9] as number];
    expect(turned[8]).toBeCloseTo(re * Math.cos(2 * angle) - im * Math.sin(2 * angle), 12);
    expect(turned[9]).toBeCloseTo(re * Math.sin(2 * angle) + im * Math.cos(2 * angle), 12);
    expect([...turned.subarray(10, 12)]).toEqual([...plain.subarray(10, 12)]);
  });

  it('says that a mask of no known form is none', () => {
    expect(tried(attention([whole([5], [1, 1, 1, 1, 1])])).told).toEqual([expect.stringContaining('E1003 `com.microsoft::Attention` node `Attention_y0`: a mask of [5] says nothing about 2 sequences')]);
  });
});

describe('MultiHeadAttention: queries, keys and values apart', () => {
  const [q, k, v] = [1, 2, 3].map((seed) => floatsOf([2, seed === 1 ? 3 : 4, 8], seed)) as [Given, Given, Given];
  const [k3, v3, b, pastKey, pastValue] = [floatsOf([2, 3, 8], 4), floatsOf([2, 3, 8], 5), floatsOf([24], 6), floatsOf([2, 2, 2, 4], 7), floatsOf([2, 2, 2, 4], 8)];
  const heads = (inputs: One['inputs'], attributes: NonNullable<One['attributes']> = {}, outputs = 1): One => contrib('MultiHeadAttention', inputs, { num_heads: 2, ...attributes }, outputs);

  it.each<readonly [string, One]>([
    ['alone', heads([q, k, v], {}, 3)],
    ['with a bias', heads([q, k, v, b])],
    ['values of another size', heads([q, k, floatsOf([2, 4, 4], 3)])],
    ['lengths', heads([q, k, v, none, whole([2], [2, 4])])],
    ['lengths and more', heads([q, k, v, none, whole([8], [2, 4, 0, 2, 6, 0, 3, 6])])],
    ['a mask of keys', heads([q, k, v, none, whole([2, 4], [1, 0, 1, 1, 1, 1, 1, 0])])],
    ['a mask of rows and keys', heads([q, k, v, none, whole([2, 3, 4], [...Array(24).keys()].map((i) => (i % 3 === 0 ? 0 : 1)))])],
    ['a bias on the scores', heads([q, k, v, none, none, floatsOf([1, 1, 3, 4], 4)])],
    ['keys and values that have heads', heads([q, floatsOf([2, 2, 4, 4], 2), floatsOf([2, 2, 4, 4], 3), b])],
    ['a past', heads([q, k3, v3, b, whole([2, 5], [1, 1, 1, 1, 0, 0, 1, 1, 1, 1]), floatsOf([2, 2, 3, 5], 9), pastKey, pastValue], {}, 3)],
    ['its scores', heads([q, k3, v3, b, none, none, pastKey, pastValue], { unidirectional: 1 }, 4)],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one));

  /** [batch, rows, heads, parts, 4] from parts [batch, rows, heads * 4]. */
  const packed = (...parts: readonly Given[]): Given => {
    const rows = (parts[0] as Given).shape[1] as number;
    const values = Array.from({ length: 2 * rows * 2 * parts.length * 4 }, (_, i) => {
      const [d, part, head, row] = [i % 4, Math.floor(i / 4) % parts.length, Math.floor(i / (4 * parts.length)) % 2, Math.floor(i / (8 * parts.length))];
      return (parts[part] as Given).values[row * 8 + head * 4 + d] as number;
    });
    return given('f32', [2, rows, 2, parts.length, 4], values);
  };

  it('packed forms mean what parts of their own do', () => {
    same(heads([packed(q, k3, v3), none, none, b]), heads([q, k3, v3, b]));
    same(heads([q, packed(k, v), none, b]), heads([q, k, v, b]));
  });

  const [step, room] = [[1, 2, 3].map((seed) => floatsOf([4, 1, 8], seed)), [5, 6].map((seed) => floatsOf([4, 2, 6, 4], seed))] as [Given[], Given[]];
  const beams = whole([2, 2, 6], [0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1]);
  const masked = (more: One['inputs'], outputs = 3): One => contrib('DecoderMaskedMultiHeadAttention', [...step, ...more], { num_heads: 2, past_present_share_buffer: 1 }, outputs);

  it.each<readonly [string, One]>([
    ['a cache with room', masked([none, none, ...room, number(3), none, none, b])],
    ['beams', masked([none, none, ...room, number(3), number(2), beams, b])],
    ['beams and a mask', masked([whole([4, 4], [1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1]), none, ...room, number(3), number(2), beams, b])],
    ['beams and a bias on the scores', masked([none, floatsOf([1, 2, 1, 4], 9), ...room, number(3), number(2), beams])],
    ['beams in the other operator', heads([...step, none, none, none, ...room, number(3), beams], {}, 3)],
  ])('ONNX Runtime agrees on the output: %s', async (_, one) => {
    // It takes the past to be in the present already, so what it hands on is not to be compared.
    expect(difference(ours(one)[0] as Tensor, (await theirs(one))[0] as Tensor)).toBeLessThan(1e-5);
  });

  it('writes the new row after those that count', () => {
    const [, keys] = ours(masked([none, none, ...room, number(3)])) as [Tensor, Tensor];
    const past = room[0] as Given;
    expect(keys.shape).toEqual([4, 2, 6, 4]);
    expect([...keys.data.subarray(0, 12)]).toEqual(past.values.slice(0, 12));
    expect([...keys.data.subarray(12, 16)]).toEqual((step[1] as Given).values.slice(0, 4));
  });

  it.each<readonly [string, One]>([
    ['another sequence', contrib('DecoderMaskedMultiHeadAttention', [step[0], floatsOf([4, 2, 5, 4], 7), floatsOf([4, 2, 5, 4], 8), none, none, none, none, none, none, none, b], { num_heads: 2 })],
    ['another sequence, masked', contrib('DecoderMaskedMultiHeadAttention', [step[0], floatsOf([4, 2, 5, 4], 7), floatsOf([4, 2, 5, 4], 8), whole([4, 5], [...Array(20).keys()].map((i) => (i % 3 === 0 ? 0 : 1)))], { num_heads: 2 })],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one));
});

describe('packed attentions: sequences one after the other', () => {
  // Sequences of 2 and 3 tokens.
  const [x, w, b] = [floatsOf([5, 6], 1), floatsOf([6, 24], 2), floatsOf([24], 3)];
  const [offsets, ends] = [whole([2, 3], [0, 1, 3, 4, 5, 2]), whole([3], [0, 2, 5])];
  const rows = (tensor: Given, from: number, to: number): Given => given('f32', [1, to - from, 6], tensor.values.slice(from * 6, to * 6));

  it('attend to tokens of their own sequence alone', () => {
    const all = ours(contrib('PackedAttention', [x, w, b, offsets, ends], { num_heads: 2 }))[0] as Tensor;
    const apart = [[0, 2], [2, 5]].flatMap(([from, to]) => [...(ours(contrib('Attention', [rows(x, from as number, to as number), w, b], { num_heads: 2 }))[0] as Tensor).data]);
    expect(all.shape).toEqual([5, 8]);
    all.data.forEach((each, i) => expect(each).toBeCloseTo(apart[i] as number, 12));
  });

  it('take queries, keys and values apart or packed, with a bias', () => {
    const [q, k, v] = [1, 2, 3].map((seed) => floatsOf([5, 8], seed)) as [Given, Given, Given];
    const together = given('f32', [5, 2, 3, 4], Array.from({ length: 120 }, (_, i) => ([q, k, v][Math.floor(i / 4) % 3] as Given).values[Math.floor(i / 24) * 8 + (Math.floor(i / 12) % 2) * 4 + (i % 4)] as number));
    same(contrib('PackedMultiHeadAttention', [together, none, none, b, offsets, ends], { num_heads: 2 }), contrib('PackedMultiHeadAttention', [q, k, v, b, offsets, ends], { num_heads: 2 }));
  });
});

describe('GroupQueryAttention: sequences of their own lengths', () => {
  const tables = [11, 12].map((seed) => stored('f32', [16, 8], noise([16, 8], seed)));
  type More = { readonly packed?: boolean; readonly rotary?: boolean; readonly positions?: Given; readonly bias?: Given; readonly sink?: Given; readonly attributes?: NonNullable<One['attributes']>; readonly outputs?: number };
  /** Of `rows` new rows each, after a cache with room for `past` (none: -1), so that there are lengths[i] in all. */
  const grouped = (rows: number, past: number, lengths: readonly number[], more: More = {}): One => {
    const batch = lengths.length;
    const part = (heads: number, seed: number): Given => floatsOf([batch, rows, heads * 16], seed);
    const parts = more.packed === true ? [part(8, 1), none, none] : [part(4, 1), part(2, 2), part(2, 3)];
    const caches = past < 0 ? [none, none] : [4, 5].map((seed) => floatsOf([batch, 2, past, 16], seed));
    const rotary = more.rotary === true;
    const inputs = [...parts, ...caches, whole([batch], lengths.map((length) => length - 1)), stored('i32', [], [Math.max(...lengths)]), ...(rotary ? tables : [none, none]), more.positions, more.bias, more.sink];
    return contrib('GroupQueryAttention', inputs, { num_heads: 4, kv_num_heads: 2, ...(rotary ? { do_rotary: 1 } : {}), ...more.attributes }, more.outputs ?? 3);
  };

  it.each<readonly [string, One]>([
    ['a prompt', grouped(5, -1, [5, 5])],
    ['an empty past', grouped(5, 0, [5, 5])],
    ['packed, turned', grouped(5, -1, [5, 5], { packed: true, rotary: true })],
    ['turned as pairs', grouped(5, -1, [5, 5], { rotary: true, attributes: { rotary_interleaved: 1 } })],
    ['at positions that are given', grouped(5, -1, [5, 5], { rotary: true, positions: given('i64', [2, 5], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]) })],
    ['a step', grouped(1, 4, [5, 5], { rotary: true })],
    ['rows in the middle of a prompt', grouped(3, 4, [7], { rotary: true })],
    ['a window', grouped(5, -1, [5, 5], { attributes: { local_window_size: 2 } })],
    ['a cap', grouped(5, -1, [5, 5], { attributes: { softcap: { float: 0.5 }, scale: { float: 0.7 } } })],
    ['a smooth softmax', grouped(5, -1, [5, 5], { attributes: { smooth_softmax: 1 } })],
    ['sinks', grouped(5, -1, [5, 5], { sink: stored('f32', [4], noise([4], 13)) })],
    ['a bias and a cap', grouped(5, -1, [5, 5], { bias: floatsOf([2, 1, 5, 5], 14), attributes: { softcap: { float: 0.5 } } })],
    ['both ways', grouped(5, -1, [5, 3], { attributes: { causal: 0 } })],
    ['its scores', grouped(5, -1, [5, 5], { bias: floatsOf([1, 4, 5, 5], 14), attributes: { qk_output: 1 }, outputs: 4 })],
    ['its weights', grouped(5, -1, [5, 5], { attributes: { qk_output: 2 }, outputs: 4 })],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one));

  /** Rows of axis 2 (of axis 1, for the output) that belong to a sequence. */
  const real = (tensor: Tensor, lengths: readonly number[], axis: number): readonly number[] => {
    const inner = tensor.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    const perBatch = tensor.data.length / (tensor.shape[0] as number);
    return [...tensor.data].filter((_, i) => Math.floor(i / inner) % (tensor.shape[axis] as number) < (lengths[Math.floor(i / perBatch)] as number));
  };

  it.each<readonly [string, number, number, readonly number[], More]>([
    ['a prompt', 5, -1, [5, 3], { rotary: true }],
    ['a prompt into a cache with room', 5, 8, [5, 3], { rotary: true }],
    ['a step', 1, 4, [5, 3], { rotary: true }],
    ['a step, the cache with room', 1, 8, [5, 3], { rotary: true }],
    ['a step in a window', 1, 6, [7, 5], { attributes: { local_window_size: 3 } }],
    ['a step with a bias', 1, 8, [5, 3], { bias: floatsOf([2, 4, 1, 5], 14) }],
    ['a step at positions that are given', 1, 4, [5, 3], { rotary: true, positions: given('i64', [2, 1], [7, 9]) }],
  ])('ONNX Runtime agrees on the rows there are: %s', async (_, rows, past, lengths, more) => {
    const one = grouped(rows, past, lengths, more);
    const [mine, wanted] = [ours(one), await theirs(one)];
    const counts = [lengths.map((length) => Math.min(rows, length)), lengths, lengths];
    mine.forEach((each, i) => {
      const [axis, count] = [i === 0 ? 1 : 2, counts[i] as readonly number[]];
      expect(each.shape).toEqual(wanted[i]?.shape);
      real(each, count, axis).forEach((x, at) => expect(x).toBeCloseTo(real(wanted[i] as Tensor, count, axis)[at] as number, 5));
    });
  });

  it.each<readonly [string, number, number, number, readonly number[]]>([
    ['as long as the window', 1, 4, 5, [1, 2, 3, 4]],
    ['with room, full', 1, 6, 7, [3, 4, 5, 6]],
    ['with room again', 1, 6, 9, [0, 1, 2, 3, 4, 5]],
    ['several rows at once', 3, 6, 12, [3, 4, 5, 6, 7, 8]],
    ['a prompt longer than it', 10, 8, 10, [5, 6, 7, 8, 9]],
    ['a prompt', 6, 8, 6, [0, 1, 2, 3, 4, 5]],
  ])('a cache of a window of 4 forgets as ONNX Runtime does: %s', async (_, rows, past, total, kept) => {
    const one = grouped(rows, past, [total], { attributes: { local_window_size: 4, sliding_window_cache: 1 } });
    const [mine, wanted] = [ours(one) as [Tensor, Tensor, Tensor], (await theirs(one)) as [Tensor, Tensor, Tensor]];
    expect(difference(mine[0], wanted[0])).toBeLessThan(1e-5);
    expect(real(mine[1], [kept.length], 2)).toEqual(real(wanted[1], [kept.length], 2));
    expect(real(mine[2], [kept.length], 2)).toEqual(real(wanted[2], [kept.length], 2));
    const all = [...(one.inputs[3] as Given).values.slice(0, (total - rows) * 16), ...Array.from({ length: rows }, (_row, i) => (one.inputs[1] as Given).values.slice(i * 32, i * 32 + 16)).flat()];
    if (total - rows <= past) expect([...mine[1].data.subarray(0, kept.length * 16)]).toEqual(kept.flatMap((row) => all.slice(row * 16, row * 16 + 16)));
  });

  it('knows that a cache grows where nothing else is said', () => {
    const dims = { ids: ['batch', 'sequence'], past: ['batch', 2, 'past', 16] } as const;
    const part = (width: number): Given => floatsOf([2, 3, width], 1, [...dims.ids, width]);
    const caches = [4, 5].map((seed) => floatsOf([2, 2, 4, 16], seed, dims.past));
    const one = contrib('GroupQueryAttention', [part(64), part(32), part(32), ...caches, given('i32', [2], [6, 6], ['batch']), whole([], [7])], { num_heads: 4, kv_num_heads: 2 }, 3);
    const { module } = imported(one);
    expect(module.types[module.body.yields[1] as never]?.shape).toEqual(['batch', 2, 'past + sequence', 16]);
  });

  it('refuses what no definition tells', () => {
    const quantised = contrib('GroupQueryAttention', [...grouped(1, 4, [5]).inputs], { num_heads: 4, kv_num_heads: 2, k_quant_type: 'PER_TENSOR' }, 3);
    expect(tried(quantised).told[0]).toContain('E3001');
  });
});
