import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { type AttributeValue, graph, model, node, tensor, value } from './write.ts';

/** An operand: its elements, and how the model declares it. Data has a type and sizes that may be named; what is known is stored. */
type Operand = { readonly shape: readonly number[]; readonly values: readonly number[]; readonly code: number; readonly dims: readonly (number | string)[] | undefined };

const data = (shape: readonly number[], values: readonly number[], dims: readonly (number | string)[] = shape): Operand => ({ shape, values, code: 1, dims });
const whole = (shape: readonly number[], values: readonly number[], dims: readonly (number | string)[] = shape): Operand => ({ shape, values, code: 7, dims });
const truths = (shape: readonly number[], values: readonly number[]): Operand => ({ shape, values, code: 9, dims: shape });
const known = (shape: readonly number[], values: readonly number[]): Operand => ({ shape, values, code: 7, dims: undefined });
const numbers = (shape: readonly number[], values: readonly number[]): Operand => ({ shape, values, code: 1, dims: undefined });
const absent: Operand = { shape: [], values: [], code: 0, dims: undefined };

const stored = (name: string, { code, shape, values }: Operand): Uint8Array =>
  tensor(name, code, shape, code === 1 ? [[9, new Uint8Array(Float32Array.from(values).buffer)]] : [[code === 7 ? 7 : 5, { packed: values }]]);

type Attributes = Readonly<Record<string, AttributeValue>>;
type Told = { readonly results: readonly Tensor[]; readonly told: readonly string[] };

/** What one node makes of operands, as its import means it. */
function evaluated(op: string, operands: readonly Operand[], attributes: Attributes, { version, domain }: { readonly version: number; readonly domain: string }, outputs = 1): Told {
  const names = operands.map((operand, i) => (operand === absent ? '' : `i${i}`));
  const given = operands.map((operand, i) => ({ ...operand, name: names[i] as string })).filter(({ name }) => name !== '');
  const results = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const bytes = model(
    {
      nodes: [node(op, names, results, attributes, domain === '' ? [] : [[7, domain]])],
      initializers: given.filter(({ dims }) => dims === undefined).map((each) => stored(each.name, each)),
      inputs: given.flatMap(({ name, code, dims }) => (dims === undefined ? [] : [value(name, code, dims)])),
      outputs: results.map((name) => value(name, 1, ['?'])),
    },
    version,
  );
  const diagnostics = new Diagnostics();
  const imported = importOnnx(memoryFiles(new Map([['m.onnx', bytes]])), 'm.onnx', [], diagnostics);
  const told = diagnostics.all.map(({ code, message }) => `${code} ${message}`);
  if (imported === undefined) return { results: [], told };
  verifyGraph(imported.module, diagnostics);
  expect(diagnostics.all.filter(({ code }) => code.startsWith('E'))).toEqual([]);
  const inputs = new Map(given.filter(({ dims }) => dims !== undefined).map(({ name, shape, values }) => [name, { shape, data: Float64Array.from(values) }]));
  return { results: [...interpretTensors(imported.module, inputs, new WeightValues(imported.store, 1)).values()], told };
}

type Case = readonly [what: string, op: string, operands: readonly Operand[], attributes: Attributes, shape: readonly number[], values: readonly number[], version?: number, domain?: string];

function computes(cases: readonly Case[]): void {
  it.each(cases.map((each) => [each[0], each] as const))('%s', (_, [, op, operands, attributes, shape, values, version = 22, domain = '']) => {
    const { results, told } = evaluated(op, operands, attributes, { version, domain });
    expect(told).toEqual([]);
    expect(results[0]?.shape).toEqual(shape);
    expect([...(results[0]?.data ?? [])].map((each) => Math.round(each * 1e6) / 1e6 + 0)).toEqual(values);
  });
}

const row = (length: number): readonly number[] => Array.from({ length }, (_, i) => i + 1);
const grid = data([1, 1, 3, 3], row(9), ['batch', 1, 3, 3]);

describe('windows', () => {
  computes([
    ['a convolution is a product with windows', 'Conv', [grid, numbers([1, 1, 2, 2], [1, 0, 0, 1]), numbers([1], [10])], {}, [1, 1, 2, 2], [16, 18, 22, 24]],
    ['strides and padding', 'Conv', [grid, numbers([1, 1, 2, 2], [1, 1, 1, 1])], { strides: [2, 2], pads: [1, 1, 0, 0] }, [1, 1, 2, 2], [1, 5, 11, 28]],
    ['dilation', 'Conv', [grid, numbers([1, 1, 2, 2], [1, 1, 1, 1])], { dilations: [2, 2] }, [1, 1, 1, 1], [20]],
    ['a patch embedding', 'Conv', [data([1, 1, 4, 4], row(16)), numbers([2, 1, 2, 2], [1, 1, 1, 1, 0, 0, 0, 1])], { strides: [2, 2] }, [1, 2, 2, 2], [14, 22, 46, 54, 6, 8, 14, 16]],
    ['channels by themselves', 'Conv', [data([1, 2, 3], row(6)), numbers([2, 1, 2], [1, 1, 1, -1])], { group: 2 }, [1, 2, 2], [3, 5, -1, -1]],
    ['causal, over rows of the run', 'Conv', [data([1, 1, 3], row(3), ['batch', 1, 'rows']), numbers([1, 1, 2], [10, 1])], { pads: [1, 0] }, [1, 1, 3], [1, 12, 23]],
    ['every second row of the run', 'Conv', [data([1, 1, 5], row(5), ['batch', 1, 'rows']), numbers([1, 1, 3], [1, 1, 1])], { strides: [2] }, [1, 1, 2], [6, 12]],
    ['the same size, the odd padding after', 'Conv', [data([1, 1, 3], row(3)), numbers([1, 1, 2], [10, 1])], { auto_pad: 'SAME_UPPER' }, [1, 1, 3], [12, 23, 30]],
    ['the largest', 'MaxPool', [grid], { kernel_shape: [2, 2] }, [1, 1, 2, 2], [5, 6, 8, 9]],
    ['the largest, rounded up', 'MaxPool', [grid], { kernel_shape: [2, 2], strides: [2, 2], ceil_mode: 1 }, [1, 1, 2, 2], [5, 6, 8, 9]],
    ['the mean, padding not counted', 'AveragePool', [data([1, 1, 3], row(3))], { kernel_shape: [2], pads: [1, 0] }, [1, 1, 3], [1, 1.5, 2.5]],
    ['the mean, padding counted', 'AveragePool', [data([1, 1, 3], row(3))], { kernel_shape: [2], pads: [1, 0], count_include_pad: 1 }, [1, 1, 3], [0.5, 1.5, 2.5]],
    ['the length', 'LpPool', [data([1, 1, 4], [3, 4, 6, 8])], { kernel_shape: [2], strides: [2] }, [1, 1, 2], [5, 10]],
    ['over a whole image', 'GlobalAveragePool', [grid], {}, [1, 1, 1, 1], [5]],
    ['neighbouring channels', 'LRN', [data([1, 3, 1], [1, 2, 2])], { size: 3, alpha: { float: 3 }, beta: { float: 1 } }, [1, 3, 1], [1 / 6, 0.2, 2 / 9].map((each) => Math.round(each * 1e6) / 1e6)],
    ['whole numbers less their zero points', 'ConvInteger', [{ ...data([1, 1, 3], [2, 3, 4]), code: 2 }, { ...known([1, 1, 2], [3, 2]), code: 2 }, { ...known([], [1]), code: 2 }, { ...known([1], [1]), code: 2 }], {}, [1, 1, 2], [4, 7]],
  ]);
});

describe('padding and resampling', () => {
  const line = data([4], row(4), ['n']);
  computes([
    ['a value', 'Pad', [line, known([2], [1, 2]), numbers([], [9])], {}, [7], [9, 1, 2, 3, 4, 9, 9]],
    ['fewer', 'Pad', [line, known([2], [-1, 1])], {}, [4], [2, 3, 4, 0]],
    ['the edge', 'Pad', [line, known([2], [1, 2])], { mode: 'edge' }, [7], [1, 1, 2, 3, 4, 4, 4]],
    ['a mirror', 'Pad', [line, known([2], [2, 2])], { mode: 'reflect' }, [8], [3, 2, 1, 2, 3, 4, 3, 2]],
    ['round again', 'Pad', [line, known([2], [1, 2])], { mode: 'wrap' }, [7], [4, 1, 2, 3, 4, 1, 2]],
    ['some axes', 'Pad', [data([1, 2], [1, 2]), known([2], [0, 1]), absent, known([1], [-1])], {}, [1, 3], [1, 2, 0]],
    ['nearest, of an axis of the run', 'Resize', [data([2], [1, 2], ['n']), absent, numbers([1], [2])], { coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }, [4], [1, 1, 2, 2]],
    ['nearest, to a size', 'Resize', [data([4], row(4)), absent, absent, known([1], [2])], {}, [2], [1, 3]],
    ['between two', 'Resize', [data([2], [1, 2]), absent, numbers([1], [2])], { mode: 'linear' }, [4], [1, 1.25, 1.75, 2]],
    ['between two, corners on corners', 'Resize', [data([2], [1, 2]), absent, absent, known([1], [3])], { mode: 'linear', coordinate_transformation_mode: 'align_corners' }, [3], [1, 1.5, 2]],
    ['along a cubic', 'Resize', [data([4], row(4)), absent, numbers([1], [0.5])], { mode: 'cubic' }, [2], [1.40625, 3.59375]],
    ['smoothed before it gets coarse', 'Resize', [data([4], row(4)), absent, numbers([1], [0.5])], { mode: 'linear', antialias: 1 }, [2], [1.625, 3.375]],
    ['an old Upsample', 'Upsample', [data([1, 2], [1, 2]), numbers([2], [1, 2])], {}, [1, 4], [1, 1, 2, 2], 9],
    ['depth to space', 'DepthToSpace', [data([1, 4, 1, 1], row(4))], { blocksize: 2 }, [1, 1, 2, 2], [1, 2, 3, 4]],
    ['space to depth', 'SpaceToDepth', [data([1, 1, 2, 2], row(4))], { blocksize: 2 }, [1, 4, 1, 1], [1, 2, 3, 4]],
  ]);
});

describe('ranking and accumulating', () => {
  const scores = data([2, 3], [1, 5, 3, 4, 4, 2], ['n', 3]);
  computes([
    ['the largest ones', 'TopK', [scores, known([1], [2])], {}, [2, 2], [5, 3, 4, 4]],
    ['the smallest', 'TopK', [scores, known([1], [1])], { largest: 0, axis: 0 }, [1, 3], [1, 4, 2]],
    ['k as an attribute', 'TopK', [scores], { k: 1 }, [2, 1], [5, 4], 9],
    ['the first of the largest', 'ArgMax', [scores], { axis: -1, keepdims: 0 }, [2], [1, 0]],
    ['the last of the largest', 'ArgMax', [scores], { axis: 1, select_last_index: 1 }, [2, 1], [1, 1]],
    ['the first of the smallest', 'ArgMin', [scores], { axis: 0 }, [1, 3], [0, 1, 1]],
    ['one at the first largest', 'Hardmax', [scores], {}, [2, 3], [0, 1, 0, 1, 0, 0]],
    ['sums from the end', 'CumSum', [scores, known([], [1])], { reverse: 1 }, [2, 3], [9, 8, 3, 10, 6, 2]],
    ['sums of those before', 'CumSum', [scores, known([], [1])], { exclusive: 1 }, [2, 3], [0, 1, 6, 0, 4, 8]],
    ['products', 'CumProd', [scores, known([], [1])], {}, [2, 3], [1, 5, 15, 4, 16, 32], 26],
    ['products of those after', 'CumProd', [scores, known([], [1])], { exclusive: 1, reverse: 1 }, [2, 3], [15, 3, 1, 8, 2, 1], 26],
    ['the logarithm of a sum of powers', 'ReduceLogSumExp', [data([1, 2], [1000, 1000]), known([1], [1])], {}, [1, 1], [1000.693147]],
  ]);

  it('says where the ranked were', () => {
    const { results } = evaluated('TopK', [scores, known([1], [2])], {}, { version: 22, domain: '' }, 2);
    expect([...(results[1]?.data ?? [])]).toEqual([1, 2, 0, 1]);
  });
});

describe('picking and writing by index', () => {
  const table = data([2, 3], row(6), ['n', 3]);
  computes([
    ['an index an element', 'GatherElements', [table, whole([2, 2], [2, 0, -1, 1])], { axis: 1 }, [2, 2], [3, 1, 6, 5]],
    ['an index for the first columns', 'GatherElements', [table, whole([1, 2], [1, 0])], {}, [1, 2], [4, 2]],
    ['a place in each table of a batch', 'GatherND', [data([2, 2, 2], row(8)), whole([2, 1], [1, 0])], { batch_dims: 1 }, [2, 2], [3, 4, 5, 6]],
    ['places of two indices in each', 'GatherND', [data([2, 2, 2], row(8)), whole([2, 2, 2], [0, 1, 1, 0, 1, 1, 0, 0])], { batch_dims: 1 }, [2, 2], [2, 3, 8, 5]],
    ['kept where a constant says so', 'Compress', [table, { ...known([3], [1, 0, 1]), code: 9 }], { axis: 1 }, [2, 2], [1, 3, 4, 6]],
    ['written an element each', 'ScatterElements', [table, whole([2, 1], [1, -1]), data([2, 1], [50, 60])], { axis: 1 }, [2, 3], [1, 50, 3, 4, 5, 60]],
    ['added', 'ScatterElements', [table, whole([2, 2], [0, 0, 2, 1]), data([2, 2], [1, 1, 1, 1])], { axis: 1, reduction: 'add' }, [2, 3], [3, 2, 3, 4, 6, 7]],
    ['written by rows', 'ScatterND', [table, whole([1, 1], [1]), data([1, 3], [7, 8, 9])], {}, [2, 3], [1, 2, 3, 7, 8, 9]],
    ['the larger, by two indices', 'ScatterND', [table, whole([2, 2], [0, 2, 1, 0]), data([2], [9, 0])], { reduction: 'max' }, [2, 3], [1, 2, 9, 4, 5, 6], 18],
    ['new rows of a cache', 'TensorScatter', [data([2, 4, 1], row(8)), data([2, 2, 1], [50, 60, 70, 80]), whole([2], [0, 2])], {}, [2, 4, 1], [50, 60, 3, 4, 5, 6, 70, 80], 24],
    ['new rows of a ring', 'TensorScatter', [data([1, 3, 1], row(3)), data([1, 2, 1], [50, 60]), whole([1], [2])], { mode: 'circular' }, [1, 3, 1], [60, 2, 50], 24],
  ]);
});

describe('norms over images', () => {
  const image = data([1, 2, 2], [1, 3, 2, 6], ['batch', 2, 2]);
  computes([
    ['by stored statistics', 'BatchNormalization', [image, numbers([2], [1, 2]), numbers([2], [0, 1]), numbers([2], [1, 2]), numbers([2], [4, 1])], { epsilon: { float: 0 } }, [1, 2, 2], [0, 1, 1, 9]],
    ['each channel', 'InstanceNormalization', [image, numbers([2], [1, 2]), numbers([2], [0, 1])], { epsilon: { float: 0 } }, [1, 2, 2], [-1, 1, -1, 3]],
    ['groups of channels, scaled by channel', 'GroupNormalization', [data([1, 2, 2], [1, 1, 3, 3]), numbers([2], [1, 2]), numbers([2], [0, 0])], { num_groups: 1, epsilon: { float: 0 } }, [1, 2, 2], [-1, -1, 2, 2]],
    ['groups of channels, scaled by group', 'GroupNormalization', [data([1, 2, 2], [1, 1, 3, 3]), numbers([1], [2]), numbers([1], [5])], { num_groups: 1, epsilon: { float: 0 } }, [1, 2, 2], [3, 3, 7, 7], 18],
    ['mean and variance', 'MeanVarianceNormalization', [data([2, 1, 1, 1], [1, 3])], {}, [2, 1, 1, 1], [-1, 1]],
  ]);
});

describe('functions of an element', () => {
  const x = data([4], [-2, -0.5, 0.5, 2]);
  const rounded = (values: readonly number[]): readonly number[] => values.map((each) => Math.round(each * 1e6) / 1e6 + 0);
  computes([
    ['celu', 'Celu', [x], { alpha: { float: 2 } }, [4], rounded([2 * (Math.exp(-1) - 1), 2 * (Math.exp(-0.25) - 1), 0.5, 2])],
    ['shrink', 'Shrink', [x], { lambd: { float: 1 }, bias: { float: 0.5 } }, [4], [-1.5, 0, 0, 1.5]],
    ['infinite', 'IsInf', [data([3], [-Infinity, 1, Infinity])], { detect_negative: 0 }, [3], [0, 0, 1]],
    ['tangent', 'Tan', [data([1], [1])], {}, [1], rounded([Math.tan(1)])],
    ['the remainder of a sum above infinity', 'Mod', [data([2], [-1, 5]), data([2], [Infinity, -3])], {}, [2], [Infinity, -1]],
  ]);
});

describe('sums over products', () => {
  computes([
    ['a diagonal', 'Einsum', [data([2, 2], row(4), ['n', 'n'])], { equation: 'ii->i' }, [2], [1, 4]],
    ['a trace of each', 'Einsum', [data([2, 2, 2], row(8))], { equation: '...ii' }, [2], [5, 13]],
    ['axes that are not named', 'Einsum', [data([2, 1, 2], row(4)), data([2, 2], [1, 0, 0, 1])], { equation: '...ij,jk->...ik' }, [2, 1, 2], [1, 2, 3, 4]],
    ['three operands', 'Einsum', [data([2], [1, 2]), data([2, 2], row(4)), data([2], [1, 10])], { equation: 'i,ij,j->' }, [], [107]],
    ['an axis of one that broadcasts', 'Einsum', [data([1, 2], [1, 2]), data([2, 2], row(4))], { equation: '...i,...i->...' }, [2], [5, 11]],
  ]);
});

describe('attention of operator set 24 on', () => {
  // Two keys of one dim; rows of zeros weigh those they see evenly.
  const q = data([2, 1, 1, 1], [0, 0], ['batch', 1, 1, 1]);
  const [k, v] = [data([2, 1, 3, 1], [1, 1, 1, 1, 1, 1]), data([2, 1, 3, 1], [1, 3, 5, 2, 4, 6])];
  computes([
    ['keys of a length of their own', 'Attention', [q, k, v, absent, absent, absent, whole([2], [1, 2])], {}, [2, 1, 1, 1], [1, 3], 24],
    ['causal, the rows being the last', 'Attention', [data([1, 1, 2, 1], [0, 0]), data([1, 1, 3, 1], [1, 1, 1]), data([1, 1, 3, 1], [1, 3, 5]), absent, absent, absent, whole([1], [3])], { is_causal: 1 }, [1, 1, 2, 1], [2, 3], 24],
    ['a mask of fewer keys', 'Attention', [q, k, v, truths([1, 2], [1, 1])], {}, [2, 1, 1, 1], [2, 3], 24],
    ['a window to the left', 'Attention', [data([1, 1, 3, 1], [0, 0, 0]), data([1, 1, 3, 1], [1, 1, 1]), data([1, 1, 3, 1], [1, 3, 5])], { is_causal: 1, left_window_size: 1 }, [1, 1, 3, 1], [1, 2, 4], 25],
    ['graphs of the model between its products', 'FlexAttention', [q, k, v], { prob_mod: { graph: graph({ nodes: [node('Neg', ['p'], ['r'])], inputs: [value('p', 1, [2, 1, 1, 3])], outputs: [value('r', 1, [2, 1, 1, 3])] }) } }, [2, 1, 1, 1], [-3, -4], 24, 'ai.onnx.preview'],
  ]);

  it('angles of one sequence for several: read, and told', () => {
    const { results, told } = evaluated('RotaryEmbedding', [data([2, 1, 1, 2], [1, 0, 0, 1], ['batch', 1, 1, 2]), numbers([1, 1, 1], [0]), numbers([1, 1, 1], [1])], {}, { version: 23, domain: '' });
    expect([...(results[0]?.data ?? [])].map((each) => each + 0)).toEqual([0, 1, -1, 0]);
    expect(told).toEqual(['W1006 `RotaryEmbedding` node `RotaryEmbedding_y0`: its angles are of 1 sequence, and it turns batch: they are read as the same for each']);
  });
});

describe('what exporters forget', () => {
  it('a cast: the operands are the numbers they are, and it is told', () => {
    const { results, told } = evaluated('Add', [{ ...data([1], [1]), code: 10 }, data([1], [2])], {}, { version: 22, domain: '' });
    expect([...(results[0]?.data ?? [])]).toEqual([3]);
    expect(told).toEqual(['W1006 `Add` node `Add_y0`: its operands are of f16 and f32: they are read as the numbers they are']);
  });
});

describe('what is refused, and how', () => {
  const x = data([1, 1, 4], row(4), ['batch', 1, 'n']);
  const cases: readonly (readonly [string, readonly Operand[], Attributes, string])[] = [
    ['Compress', [x, truths([4], [1, 0, 1, 1])], {}, 'E3001 `Compress` node `Compress_y0`: input 1 says a shape or a place, and depends on data'],
    ['NonZero', [x], {}, 'E3001 `NonZero` node `NonZero_y0`: how many rows there are depends on data, and they are not worked on each by itself'],
    ['Conv', [x, numbers([2, 3, 1], [1, 1, 1, 1, 1, 1])], {}, 'E1003 `Conv` node `Conv_y0`: 1 groups of 3 channels are not 1'],
    ['TopK', [data([2], [1, 2]), known([1], [3])], {}, 'E1003 `TopK` node `TopK_y0`: an axis of 2 has no 3 elements'],
    ['ScatterElements', [data([2], [1, 2]), whole([1, 1], [0]), data([1, 1], [5])], {}, 'E1003 `ScatterElements` node `ScatterElements_y0`: updates of [1, 1] at [1, 1] do not go into [2]'],
    ['Resize', [x, absent, absent, known([3], [1, 1, 3])], { mode: 'linear' }, 'E3001 `Resize` node `Resize_y0`: an axis of batch is resized to 1, by a factor that cannot be told before the run'],
    ['BatchNormalization', [x, numbers([1], [1]), numbers([1], [1]), numbers([1], [1]), numbers([1], [1])], { training_mode: 1 }, 'E3001 `BatchNormalization` node `BatchNormalization_y0`: the statistics of a batch are computed in training'],
    ['Einsum', [data([2], [1, 2])], { equation: 'ij->i' }, 'E1003 `Einsum` node `Einsum_y0`: the sum `ij->i` is not one over tensors of rank 1'],
    ['Cast', [x], { to: 17, saturate: 0 }, 'E3001 `Cast` node `Cast_y0`: casts that make what is too large infinite are not computed'],
    ['GRU', [x], {}, 'E3002 `GRU` node `GRU_y0`: recurrent layers work token after token, which this machine has no way to do'],
    ['Multinomial', [x], {}, 'E3002 `Multinomial` node `Multinomial_y0`: random numbers are not made in a program, which is the same in every run'],
  ];
  it.each(cases)('%s', (op, operands, attributes, why) => {
    expect(evaluated(op, operands, attributes, { version: 22, domain: '' }).told).toEqual([why]);
  });
});
