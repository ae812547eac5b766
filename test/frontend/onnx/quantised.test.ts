import { describe, expect, it } from 'vitest';
import { type One, agree, floatsOf, given, imported, noise, ours, stored, theirs, tried, wholeNoise } from './witness.ts';

const data = (one: One, output = 0): readonly number[] => [...(ours(one)[output]?.data ?? [])];
const kinds = (one: One): readonly string[] => imported(one).module.body.ops.map((op) => op.kind);

/** A number as an input that is stored. */
const number = (value: number): ReturnType<typeof stored> => stored('f32', [], [value]);

describe('QuantizeLinear', () => {
  it('rounds halves to even, moves by the zero point, stops at the ends', () => {
    const x = given('f32', [8], [0, 1, 3, 5, -1, 999, -999, NaN]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(2), stored('u8', [], [10])] })).toEqual([10, 10, 12, 12, 10, 255, 0, 0]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(2), stored('i8', [], [0])] })).toEqual([0, 0, 2, 2, 0, 127, -128, -128]);
  });

  it('makes bytes without a zero point, or what it is told', () => {
    const x = given('f32', [2], [-3, 20]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(1)] })).toEqual([0, 20]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(1)], attributes: { output_dtype: 22 } })).toEqual([-3, 7]);
  });

  it('has a scale for each index of an axis, or each block of one', () => {
    const x = given('f32', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, stored('f32', [2], [1, 2]), stored('u8', [2], [0, 1])], attributes: { axis: 0 } })).toEqual([1, 2, 3, 4, 3, 4, 5, 5]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, stored('f32', [2, 2], [1, 2, 4, 8])], attributes: { axis: 1, block_size: 2 } })).toEqual([1, 2, 2, 2, 1, 2, 1, 1]);
  });

  it('rounds to 8-bit floats', () => {
    const x = given('f32', [4], [17, -0.3, 1000, 2 ** -10]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(1), stored('e4m3', [], [0])] })).toEqual([16, -0.3125, 448, 0]);
    expect(data({ op: 'QuantizeLinear', inputs: [x, number(1), stored('e5m2', [], [0])] })).toEqual([16, -0.3125, 1024, 2 ** -10]);
    expect(tried({ op: 'QuantizeLinear', inputs: [x, number(1), stored('e4m3', [], [0])], attributes: { saturate: 0 } }).told[0]).toContain('E3001');
  });
});

describe('DequantizeLinear', () => {
  it('of activations is arithmetic', () => {
    const one: One = { op: 'DequantizeLinear', inputs: [given('u8', [2, 2], [1, 2, 3, 255]), number(0.5), stored('u8', [], [1])] };
    expect(data(one)).toEqual([0, 0.5, 1, 127]);
    expect(kinds(one)).toEqual(['pcast', 'pconst', 'pbinary', 'pconst', 'pbinary']);
  });

  it('of stored codes is a weight made of them, read as they are asked for', () => {
    const codes = wholeNoise([64, 32], -128, 128);
    const one: One = { op: 'DequantizeLinear', inputs: [stored('i8', [64, 32], codes), stored('f32', [32], noise([32])), stored('i8', [32], wholeNoise([32], -3, 3))] };
    const { module } = imported(one);
    expect(module.body.ops.map((op) => op.kind)).toEqual(['weight']);
    expect(module.weights).toMatchObject([{ name: 'x0', dtype: 'f32', shape: [64, 32], instances: [{ kind: 'dequantise', of: { kind: 'tensor', name: 'x0' }, block: [64, 1], scale: { shape: [1, 32] } }] }]);
    // 2048 codes and their 32 scales.
    expect(module.source.parameters).toBe(2080);
    const [scale, zero] = [noise([32]), wholeNoise([32], -3, 3)];
    expect(data(one)).toEqual(codes.map((code, i) => (code - (zero[i % 32] as number)) * (scale[i % 32] as number)));
  });

  it('of few stored codes is known', () => {
    expect(kinds({ op: 'DequantizeLinear', inputs: [stored('u8', [3], [1, 2, 3]), number(0.5)] })).toEqual(['pconst']);
  });

  it('of 4-bit codes in blocks: two a byte, the lower first', () => {
    const [bytes, scales] = [wholeNoise([64, 16], 0, 256), noise([2, 32])];
    const one: One = { op: 'DequantizeLinear', inputs: [stored('i4', [64, 32], bytes), stored('f32', [2, 32], scales)], attributes: { axis: 0, block_size: 32 } };
    const nibble = (i: number): number => ((bytes[i >> 1] as number) >> (4 * (i & 1))) & 15;
    const signed = (code: number): number => (code > 7 ? code - 16 : code);
    expect(data(one)).toEqual(Array.from({ length: 2048 }, (_, i) => signed(nibble(i)) * (scales[(i >> 10) * 32 + (i % 32)] as number)));
    expect(kinds(one)).toEqual(['weight']);
  });

  it.each<readonly [string, One]>([
    ['bytes', { op: 'DequantizeLinear', inputs: [given('u8', [3, 4], wholeNoise([3, 4], 0, 256)), stored('f32', [4], noise([4])), stored('u8', [4], [1, 2, 3, 128])] }],
    ['16 bits, of the other domain', { op: 'DequantizeLinear', domain: 'com.microsoft', inputs: [given('i16', [3, 4], wholeNoise([3, 4], -32768, 32768)), number(0.25), stored('i16', [], [7])] }],
    ['blocks that do not fill the axis', { op: 'DequantizeLinear', inputs: [given('u8', [5, 3], wholeNoise([5, 3], 0, 256)), stored('f32', [3, 3], noise([3, 3])), stored('u8', [3, 3], wholeNoise([3, 3], 0, 256))], attributes: { axis: 0, block_size: 2 } }],
    ['a stored matrix of 4 bits, with zero points', { op: 'DequantizeLinear', inputs: [stored('u4', [96, 32], wholeNoise([96, 16], 0, 256)), stored('f32', [3, 32], noise([3, 32])), stored('u4', [3, 32], wholeNoise([3, 16], 0, 256))], attributes: { axis: 0, block_size: 32 } }],
    ['a stored matrix of 8-bit floats', { op: 'DequantizeLinear', version: 19, inputs: [stored('e4m3', [64, 32], wholeNoise([64, 32], 0, 0x7f)), number(0.5), stored('e4m3', [], [0])] }],
    ['16 bits to codes', { op: 'QuantizeLinear', domain: 'com.microsoft', inputs: [floatsOf([2, 5]), number(0.0001), stored('u16', [], [1000])] }],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one));
});

/** Codes that differ by one where a quotient in single precision lies on the other side of a half. */
const within = async (one: One, step: number): Promise<void> => {
  const [mine, wanted] = [ours(one), await theirs(one)];
  mine.forEach((each, i) => expect(Math.max(...each.data.map((x, at) => Math.abs(x - (wanted[i]?.data[at] as number))))).toBeLessThanOrEqual(step));
};
const bytes = (shape: readonly number[], seed: number): ReturnType<typeof given> => given('u8', shape, wholeNoise(shape, 0, 256, seed));
const scale = number;
const zero = (value: number, kind: 'u8' | 'i8' = 'u8'): ReturnType<typeof stored> => stored(kind, [], [value]);
/** Of seven bits: ONNX Runtime adds two products in sixteen where the processor has no instruction for four, and those of eight saturate. */
const weight = (shape: readonly number[], seed: number): ReturnType<typeof given> => stored('i8', shape, wholeNoise(shape, -64, 64, seed));

describe('products of codes', () => {
  it('MatMulInteger takes zero points of rows and columns away', () => {
    const [x, w] = [given('u8', [2, 2], [1, 2, 3, 4]), given('i8', [2, 2], [1, -1, 2, 0])];
    expect(data({ op: 'MatMulInteger', inputs: [x, w] })).toEqual([5, -1, 11, -3]);
    expect(data({ op: 'MatMulInteger', inputs: [x, w, stored('u8', [2], [1, 3]), stored('i8', [2], [1, -1])] })).toEqual([1, 1, 1, 1]);
  });

  it('MatMulInteger of a stored matrix reads it lazily', () => {
    const one: One = { op: 'MatMulInteger', inputs: [bytes([2, 64], 1), weight([64, 32], 2), stored('u8', [], [128]), stored('i8', [32], wholeNoise([32], -9, 9))] };
    expect(kinds(one)).toEqual(['pcast', 'pconst', 'pbinary', 'weight', 'pmatmul']);
  });

  it('DynamicQuantizeLinear spans what there is, and 0', () => {
    const spans = (values: readonly number[]): readonly (readonly number[])[] => ours({ op: 'DynamicQuantizeLinear', inputs: [given('f32', [3], values)], outputs: 3 }).map((each) => [...each.data]);
    expect(spans([-1, 0, 254])).toEqual([[0, 1, 255], [1], [1]]);
    expect(spans([255, 51, 102])).toEqual([[255, 51, 102], [1], [0]]);
    // Its function body's scale, as its formula's, is 0/255 here. ONNX Runtime's is 1: zeros are zeros either way.
    expect(spans([0, 0, 0])).toEqual([[0, 0, 0], [0], [0]]);
  });

  it('QLinearReduceMean is the mean of the numbers', () => {
    const x = given('u8', [2, 2], [5, 7, 9, 15]);
    expect(data({ op: 'QLinearReduceMean', domain: 'com.microsoft', inputs: [x, scale(0.5), zero(5), scale(0.25), zero(1)], attributes: { axes: [1], keepdims: 0 } })).toEqual([3, 15]);
  });

  it.each<readonly [string, One]>([
    ['MatMulInteger', { op: 'MatMulInteger', inputs: [bytes([2, 3, 4], 1), weight([4, 5], 2), stored('u8', [], [7]), stored('i8', [5], [1, 2, 3, -4, 5])] }],
    ['MatMulIntegerToFloat', { op: 'MatMulIntegerToFloat', domain: 'com.microsoft', inputs: [bytes([2, 3, 4], 1), weight([4, 5], 2), scale(0.1), stored('f32', [5], noise([5])), zero(9), stored('i8', [5], [1, 2, 3, -4, 5]), stored('f32', [5], noise([5], 3))] }],
    ['DynamicQuantizeMatMul', { op: 'DynamicQuantizeMatMul', domain: 'com.microsoft', inputs: [floatsOf([2, 3, 8]), weight([8, 5], 2), stored('f32', [5], noise([5])), stored('i8', [5], [1, 2, 3, -4, 5]), stored('f32', [5], noise([5], 3))] }],
    ['DynamicQuantizeMatMul of zeros', { op: 'DynamicQuantizeMatMul', domain: 'com.microsoft', inputs: [given('f32', [2, 8], Array.from({ length: 16 }, () => 0)), weight([8, 5], 2), stored('f32', [5], noise([5])), undefined, stored('f32', [5], noise([5], 3))] }],
    ['QGemm to numbers', { op: 'QGemm', domain: 'com.microsoft', inputs: [bytes([4, 3], 1), scale(0.02), zero(5), weight([5, 4], 2), stored('f32', [5], noise([5])), stored('i8', [5], [0, 0, 0, 0, 0]), stored('i32', [5], wholeNoise([5], -99, 99))], attributes: { transA: 1, transB: 1, alpha: { float: 0.5 } } }],
  ])('ONNX Runtime agrees: %s', async (_, one) => agree(one, 1e-4));

  it.each<readonly [string, One]>([
    ['QLinearMatMul', { op: 'QLinearMatMul', inputs: [bytes([2, 3, 4], 1), scale(0.02), zero(120), weight([4, 5], 2), stored('f32', [5], noise([5]).map(Math.abs)), stored('i8', [5], [0, 0, 0, 0, 0]), scale(0.5), zero(100)] }],
    ['QGemm', { op: 'QGemm', domain: 'com.microsoft', inputs: [bytes([3, 4], 1), scale(0.02), zero(5), weight([4, 5], 2), scale(0.1), zero(0, 'i8'), undefined, scale(0.5), zero(100)] }],
    ['QLinearAdd', { op: 'QLinearAdd', domain: 'com.microsoft', inputs: [bytes([3, 4], 1), scale(0.02), zero(5), bytes([4], 2), scale(0.03), zero(9), scale(0.05), zero(7)] }],
    ['QLinearMul', { op: 'QLinearMul', domain: 'com.microsoft', inputs: [bytes([3, 4], 1), scale(0.02), zero(5), bytes([4], 2), scale(0.03), zero(9), scale(0.1), zero(7)] }],
    ['QLinearSigmoid', { op: 'QLinearSigmoid', domain: 'com.microsoft', inputs: [bytes([3, 4], 1), scale(0.02), zero(128), scale(0.004), zero(0)] }],
    ['QLinearLeakyRelu', { op: 'QLinearLeakyRelu', domain: 'com.microsoft', inputs: [bytes([3, 4], 1), scale(0.02), zero(128), scale(0.02), zero(50)], attributes: { alpha: { float: 0.1 } } }],
    ['QLinearSoftmax', { op: 'QLinearSoftmax', domain: 'com.microsoft', inputs: [bytes([2, 3, 4], 1), scale(0.02), zero(128), scale(1 / 256), zero(0)], attributes: { axis: -1, opset: 13 } }],
    ['QLinearConcat', { op: 'QLinearConcat', domain: 'com.microsoft', inputs: [scale(0.05), zero(7), bytes([2, 3], 1), scale(0.02), zero(5), bytes([2, 2], 2), scale(0.05), zero(7)], attributes: { axis: 1 } }],
    ['QLinearWhere', { op: 'QLinearWhere', domain: 'com.microsoft', inputs: [given('bool', [4], [1, 0, 0, 1]), bytes([3, 4], 1), scale(0.02), zero(5), bytes([4], 2), scale(0.03), zero(9), scale(0.05), zero(7)] }],
    ['DynamicQuantizeLinear', { op: 'DynamicQuantizeLinear', inputs: [floatsOf([4, 9])], outputs: 3 }],
  ])('ONNX Runtime agrees to a code: %s', async (_, one) => within(one, 1));
});
