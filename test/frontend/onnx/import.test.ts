import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { type Fixed, importOnnx } from '../../../frontend/onnx/import.ts';
import { type CustomLayer, defineLayer } from '../../../ir/graph/custom.ts';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import type { ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { type GraphParts, floats, graph, int64s, message, model, node, value } from './write.ts';

type Imported = { readonly module: GraphModule; readonly store: TensorStore; readonly entry: Fixed };

function tried(bytes: Uint8Array, layers: readonly CustomLayer[] = [], fixed?: Fixed): { readonly imported: Imported | undefined; readonly told: readonly string[] } {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(memoryFiles(new Map([['m.onnx', bytes]])), 'm.onnx', layers, diagnostics, fixed);
  return { imported, told: diagnostics.all.map(({ code, message: text }) => `${code} ${text}`) };
}

function imports(parts: GraphParts, version = 17): Imported {
  const { imported, told } = tried(model(parts, version));
  expect(told).toEqual([]);
  if (imported === undefined) throw new Error('not imported');
  const diagnostics = new Diagnostics();
  verifyGraph(imported.module, diagnostics);
  expect(diagnostics.all).toEqual([]);
  return imported;
}

const kinds = ({ module }: Imported): readonly string[] => module.body.ops.map((op) => op.kind);
const resultShape = ({ module }: Imported): readonly unknown[] => module.types[module.body.yields[0] as ValueId]?.shape ?? [];
const run = ({ module, store }: Imported, inputs: Readonly<Record<string, Tensor>>): Tensor => [...interpretTensors(module, new Map(Object.entries(inputs)), new WeightValues(store, 1)).values()][0] as Tensor;
const tensorOf = (shape: readonly number[], values: readonly number[]): Tensor => ({ shape, data: Float64Array.from(values) });

const x = value('x', 1, ['batch', 'sequence', 8]);
const y = value('y', 1, ['?', '?', '?']);

describe('shapes and sizes', () => {
  it('works the sizes of TorchScript out, and leaves one reshape', () => {
    const nodes = [
      node('Shape', ['x'], ['s']),
      node('Gather', ['s', 'zero'], ['b'], { axis: 0 }),
      node('Gather', ['s', 'one'], ['n'], { axis: 0 }),
      node('Unsqueeze', ['b', 'axis'], ['b1']),
      node('Unsqueeze', ['n', 'axis'], ['n1']),
      node('Concat', ['b1', 'n1', 'heads', 'rest'], ['target'], { axis: 0 }),
      node('Reshape', ['x', 'target'], ['y']),
    ];
    const initializers = [int64s('zero', [], [0]), int64s('one', [], [1]), int64s('axis', [1], [0]), int64s('heads', [1], [2]), int64s('rest', [1], [-1])];
    const imported = imports({ nodes, initializers, inputs: [x], outputs: [y] });
    expect(kinds(imported)).toEqual(['preshape']);
    expect(resultShape(imported)).toEqual(['batch', 'sequence', 2, 4]);
    expect(imported.module.source.nodes.map(({ disposition }) => disposition)).toEqual(['folded', 'folded', 'folded', 'folded', 'folded', 'folded', 'hardware']);
  });

  it('knows that a named size is not -1', () => {
    const nodes = [
      node('Shape', ['x'], ['s']),
      node('Equal', ['s', 'minus'], ['open']),
      node('Where', ['open', 'ones', 's'], ['target']),
      node('Expand', ['one', 'target'], ['y']),
    ];
    const initializers = [int64s('minus', [1], [-1]), int64s('ones', [3], [1, 1, 1]), floats('one', [1], [1])];
    const imported = imports({ nodes, initializers, inputs: [x], outputs: [y] });
    expect(kinds(imported)).toEqual(['pconst', 'pexpand']);
    expect(resultShape(imported)).toEqual(['batch', 'sequence', 8]);
  });

  it('finds that two names are one size', () => {
    const imported = imports({ nodes: [node('MatMul', ['x', 'w'], ['y'])], inputs: [value('x', 1, ['n', 'k']), value('w', 1, ['inner', 4])], outputs: [y] });
    expect(imported.module.types.map(({ shape }) => shape)).toEqual([['n', 'k'], ['k', 4], ['n', 4]]);
  });

  it('finds that two names are one size where sums with them are', () => {
    const nodes = [node('Concat', ['a', 'x'], ['ax'], { axis: 0 }), node('Concat', ['b', 'x'], ['bx'], { axis: 0 }), node('Add', ['ax', 'bx'], ['y'])];
    const imported = imports({ nodes, inputs: [value('x', 1, ['rows']), value('a', 1, ['past']), value('b', 1, ['cached'])], outputs: [y] });
    expect(imported.module.body.params.map((param) => imported.module.types[param]?.shape)).toEqual([['rows'], ['past'], ['past']]);
    expect(resultShape(imported)).toEqual(['past + rows']);
  });

  it('finds that a cut leaves all where what it is added to was not cut', () => {
    const nodes = [node('Slice', ['a', 'start', 'end'], ['last']), node('Concat', ['last', 'x'], ['lx'], { axis: 0 }), node('Concat', ['a', 'x'], ['ax'], { axis: 0 }), node('Add', ['lx', 'ax'], ['y'])];
    const imported = imports({ nodes, initializers: [int64s('start', [1], [-4095]), int64s('end', [1], [2 ** 31])], inputs: [value('x', 1, ['rows']), value('a', 1, ['past'])], outputs: [y] });
    expect(resultShape(imported)).toEqual(['past + rows']);
    expect([...run(imported, { x: tensorOf([1], [5]), a: tensorOf([2], [1, 2]) }).data]).toEqual([2, 4, 10]);
  });

  it('finds that a cut is as long as it says where what it is added to is', () => {
    const nodes = [node('Slice', ['a', 'start', 'end'], ['last']), node('Concat', ['last', 'x'], ['lx'], { axis: 0 }), node('Concat', ['two', 'x'], ['tx'], { axis: 0 }), node('Add', ['lx', 'tx'], ['y'])];
    const imported = imports({ nodes, initializers: [int64s('start', [1], [-2]), int64s('end', [1], [2 ** 31]), floats('two', [2], [0, 1])], inputs: [value('x', 1, ['rows']), value('a', 1, ['past'])], outputs: [y] });
    expect(resultShape(imported)).toEqual(['rows + 2']);
    expect([...run(imported, { x: tensorOf([1], [5]), a: tensorOf([3], [7, 8, 9]) }).data]).toEqual([8, 10, 10]);
  });

  it('counts a slice from the end, to the end, and backwards', () => {
    const bounds = (start: number, end: number, step: number): readonly Uint8Array[] => [int64s('start', [1], [start]), int64s('end', [1], [end]), int64s('axes', [1], [1]), int64s('steps', [1], [step])];
    const slice = (start: number, end: number, step = 1): Imported => imports({ nodes: [node('Slice', ['x', 'start', 'end', 'axes', 'steps'], ['y'])], initializers: bounds(start, end, step), inputs: [x], outputs: [y] });
    expect(resultShape(slice(1, 2 ** 31))).toEqual(['batch', 'sequence - 1', 8]);
    expect(resultShape(slice(-1, 2 ** 31))).toEqual(['batch', 1, 8]);
    expect(resultShape(slice(0, -1))).toEqual(['batch', 'sequence - 1', 8]);
    const last = slice(-3, 2 ** 31);
    expect(resultShape(last)).toEqual(['batch', 'min(sequence/3)', 8]);
    expect([...run(last, { x: tensorOf([1, 1, 8], [1, 2, 3, 4, 5, 6, 7, 8]) }).data]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const back = slice(-1, -(2 ** 40), -1);
    expect(resultShape(back)).toEqual(['batch', 'sequence', 8]);
    expect([...run(back, { x: tensorOf([1, 2, 8], Array.from({ length: 16 }, (_, i) => i)) }).data]).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('operators made of others', () => {
  it('normalises a layer', () => {
    const imported = imports({ nodes: [node('LayerNormalization', ['x', 'g', 'b'], ['y'], { axis: -1, epsilon: { float: 0 } })], initializers: [floats('g', [2], [1, 3]), floats('b', [2], [0, 1])], inputs: [value('x', 1, ['n', 2])], outputs: [y] });
    expect([...run(imported, { x: tensorOf([1, 2], [1, 3]) }).data]).toEqual([-1, 4]);
    expect(imported.module.body.ops.every(({ origin }) => origin.kind === 'onnx' && origin.op === 'LayerNormalization')).toBe(true);
  });

  it('multiplies by a transposed matrix', () => {
    const imported = imports({ nodes: [node('Gemm', ['x', 'w', 'c'], ['y'], { transB: 1 })], initializers: [floats('w', [1, 2], [2, 3]), floats('c', [1], [1])], inputs: [value('x', 1, ['n', 2])], outputs: [y] });
    expect([...run(imported, { x: tensorOf([1, 2], [5, 7]) }).data]).toEqual([32]);
  });

  it('sums products by their axes', () => {
    const inputs = [value('x', 1, ['b', 'q', 2, 3]), value('w', 1, ['b', 'k', 2, 3])];
    const imported = imports({ nodes: [node('Einsum', ['x', 'w'], ['y'], { equation: 'bqhd,bkhd->bhqk' })], inputs, outputs: [y] });
    expect(resultShape(imported)).toEqual(['b', 2, 'q', 'k']);
    expect([...run(imported, { x: tensorOf([1, 1, 2, 3], [1, 2, 3, 4, 5, 6]), w: tensorOf([1, 1, 2, 3], [1, 1, 1, 2, 2, 2]) }).data]).toEqual([6, 30]);
  });

  it('keeps a large tensor as a weight and a small one as a constant', () => {
    const initializers = [floats('w', [64, 32], Array.from({ length: 2048 }, (_, i) => i)), floats('b', [32], Array.from({ length: 32 }, () => 1))];
    const imported = imports({ nodes: [node('MatMul', ['x', 'w'], ['m']), node('Add', ['m', 'b'], ['y'])], initializers, inputs: [value('x', 1, ['n', 64])], outputs: [y] });
    expect(kinds(imported)).toEqual(['weight', 'pmatmul', 'pconst', 'pbinary']);
    expect(imported.store.describe('w')).toEqual({ dtype: 'f32', shape: [64, 32] });
    expect([...imported.store.read('w', 100, 3)]).toEqual([100, 101, 102]);
    expect(imported.module.source.parameters).toBe(2080);
  });
});

describe('functions and branches', () => {
  const called = node('f', ['x'], ['y'], { alpha: { float: 0.5 } }, [[7, 'local']]);
  /** f(x) = LeakyRelu(x; its alpha), 0.25 by default. */
  const f = message([
    [1, 'f'], [4, 'x'], [5, 'z'], [10, 'local'],
    [7, message([[1, 'x'], [2, 'z'], [4, 'LeakyRelu'], [5, message([[1, 'alpha'], [20, 1], [21, 'alpha']])]])],
    [9, message([[1, ''], [2, 17]])],
    [11, message([[1, 'alpha'], [2, { float: 0.25 }], [20, 1]])],
  ]);
  const io = { inputs: [value('x', 1, ['n'])], outputs: [y] };

  it('inlines a function with the attributes of its call, or its own', () => {
    const result = (call: Uint8Array): number => {
      const { imported, told } = tried(model({ nodes: [call], ...io }, 17, [[8, message([[1, 'local'], [2, 1]])], [25, f]]));
      expect(told).toEqual([]);
      return run(imported as Imported, { x: tensorOf([1], [-8]) }).data[0] as number;
    };
    expect([result(called), result(node('f', ['x'], ['y'], {}, [[7, 'local']]))]).toEqual([-4, -2]);
  });

  const branch = (opType: string): Uint8Array => graph({ nodes: [node(opType, ['x'], ['r'])], outputs: [value('r', 1, ['n'])] });
  const choice = node('If', ['c'], ['y'], { then_branch: { graph: branch('Neg') }, else_branch: { graph: branch('Abs') } });

  it('takes the branch whose condition is known', () => {
    const condition = node('Equal', ['s', 'five'], ['c']);
    const imported = imports({ nodes: [node('Size', ['x'], ['s']), condition, choice], initializers: [int64s('five', [], [5])], inputs: [value('x', 1, [4])], outputs: [y] });
    expect(imported.module.body.ops.map(({ attrs }) => attrs)).toEqual([{ fn: 'abs' }]);
  });

  const isAbove = [node('ReduceMax', ['x'], ['m'], { keepdims: 0 }), node('Greater', ['m', 'five'], ['c'])];
  const five = [floats('five', [], [5])];

  it('takes both branches, and chooses, where the condition is computed', () => {
    const imported = imports({ nodes: [...isAbove, choice], initializers: five, inputs: [value('x', 1, ['n'])], outputs: [y] });
    expect([...run(imported, { x: tensorOf([2], [-7, 6]) }).data]).toEqual([7, -6]);
    expect([...run(imported, { x: tensorOf([2], [-7, 4]) }).data]).toEqual([7, 4]);
  });

  it('has branches see what is around them, whether they say so or not', () => {
    const declaring = (input: string): Uint8Array => graph({ nodes: [node('Neg', [input], ['r'])], inputs: [value(input, 1, ['n'])], outputs: [value('r', 1, ['n'])] });
    const either = (input: string): Uint8Array => model({ nodes: [...isAbove, node('If', ['c'], ['y'], { then_branch: { graph: declaring(input) }, else_branch: { graph: branch('Abs') } })], initializers: five, inputs: [value('x', 1, ['n'])], outputs: [y] });
    expect([...run(tried(either('x')).imported as Imported, { x: tensorOf([1], [6]) }).data]).toEqual([-6]);
    expect(tried(either('z')).told).toEqual(['E1003 `If` node `If_y`: nothing gives input `z` of its graph']);
  });

  it('refuses branches of different shapes then', () => {
    const shorter = graph({ nodes: [node('ReduceMax', ['x'], ['r'], { keepdims: 0 })], outputs: [value('r', 1, [])] });
    const uneven = node('If', ['c'], ['y'], { then_branch: { graph: branch('Neg') }, else_branch: { graph: shorter } });
    expect(tried(model({ nodes: [...isAbove, uneven], initializers: five, inputs: [value('x', 1, ['n'])], outputs: [y] })).told).toEqual(['E3002 `If` node `If_y`: what is run may not depend on the data']);
  });
});

describe('models that are several in one', () => {
  const yields = (nodes: readonly Uint8Array[]): { readonly graph: Uint8Array } => ({ graph: graph({ nodes, outputs: [value('r', 1, ['n'])] }) });
  const [without, withPast] = [yields([node('Neg', ['x'], ['r'])]), yields([node('Concat', ['past', 'x'], ['r'], { axis: 0 })])];
  const inputs = [value('x', 1, ['rows']), value('past', 1, ['rows']), value('flag', 9, [1])];
  const merged = (branches: { readonly then_branch: { readonly graph: Uint8Array }; readonly else_branch: { readonly graph: Uint8Array } }): Uint8Array =>
    model({ nodes: [node('Squeeze', ['flag'], ['c']), node('If', ['c'], ['y'], branches)], inputs, outputs: [y] });

  it.each([[1, { then_branch: withPast, else_branch: without }], [0, { then_branch: without, else_branch: withPast }]] as const)('are the one that reads more inputs (%i)', (taken, branches) => {
    const { imported, told } = tried(merged(branches));
    expect(told).toEqual([`W1007 \`m.onnx\` is two models in one, told apart by input \`flag\`; the one for ${taken} is taken, which reads more inputs`]);
    const { module, entry } = imported as Imported;
    expect([...entry]).toEqual([['flag', [taken]]]);
    // Both are declared `rows`, as the other model has them.
    expect(module.body.params.map((param) => module.types[param]?.shape)).toEqual([['rows'], ['past_0']]);
    expect([...run(imported as Imported, { x: tensorOf([1], [1]), past: tensorOf([2], [2, 3]) }).data]).toEqual([2, 3, 1]);
  });

  it('are the one that is asked for, without what it does not read', () => {
    const { imported, told } = tried(merged({ then_branch: withPast, else_branch: without }), [], new Map([['flag', [0]]]));
    expect(told).toEqual([]);
    expect(imported?.module.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(imported?.module.source.interface.fixed).toEqual([{ name: 'flag', values: [0] }]);
    expect([...run(imported as Imported, { x: tensorOf([1], [1]) }).data]).toEqual([-1]);
  });

  it('know an input that is the same in every run, whatever it is', () => {
    const reshape = model({ nodes: [node('Reshape', ['x', 'shape'], ['y'])], inputs: [value('x', 1, ['n']), value('shape', 7, [2])], outputs: [y] });
    const { imported, told } = tried(reshape, [], new Map([['shape', [2, -1]]]));
    expect(told).toEqual(['E3001 `Reshape` node `Reshape_y`: [n] has no number of elements for [2, -1] that can be told before the run']);
    expect(imported).toBeUndefined();
    expect(resultShape(tried(reshape, [], new Map([['shape', [1, -1]]])).imported as Imported)).toEqual([1, 'n']);
    expect(tried(reshape, [], new Map([['shape', [1, 2, 3]]])).told).toEqual(['E1003 `input` node `shape`: 3 given elements are not its [2]']);
    expect(tried(reshape, [], new Map([['sahpe', [1, 2]]])).told).toEqual(['E1003 `m.onnx` has no input `sahpe` to fix; it has `x`, `shape`']);
  });
});

describe('lists of tensors', () => {
  const at = (place: number): readonly Uint8Array[] => [int64s('place', [], [place])];
  const x8 = value('x', 1, ['n', 8]);

  it('are taken apart again before the run', () => {
    const nodes = [node('SplitToSequence', ['x', 'sizes'], ['s'], { axis: 1 }), node('SequenceAt', ['s', 'place'], ['y'])];
    const imported = imports({ nodes, initializers: [int64s('sizes', [3], [1, 2, 5]), ...at(-2)], inputs: [x8], outputs: [y] });
    expect(kinds(imported)).toEqual(['pslice', 'pslice', 'pslice']);
    expect([...run(imported, { x: tensorOf([1, 8], [0, 1, 2, 3, 4, 5, 6, 7]) }).data]).toEqual([1, 2]);
  });

  it('are put together, changed and joined', () => {
    const nodes = [
      node('Neg', ['x'], ['m']),
      node('SequenceConstruct', ['x', 'm'], ['a']),
      node('SequenceInsert', ['a', 'm', 'place'], ['b']),
      node('SequenceErase', ['b'], ['c']),
      node('ConcatFromSequence', ['c'], ['y'], { axis: 0, new_axis: 1 }),
    ];
    const imported = imports({ nodes, initializers: at(0), inputs: [value('x', 1, [2])], outputs: [y] });
    expect(run(imported, { x: tensorOf([2], [1, 2]) })).toEqual(tensorOf([2, 2], [-1, -2, 1, 2]));
  });

  it('are not tensors, and have the places they have', () => {
    const list = node('SequenceConstruct', ['x'], ['s']);
    expect(tried(model({ nodes: [list, node('Neg', ['s'], ['y'])], inputs: [x8], outputs: [y] })).told).toEqual(['E1003 `Neg` node `Neg_y`: input 0 is a list of tensors']);
    expect(tried(model({ nodes: [list], inputs: [x8], outputs: [value('s', 1, ['?'])] })).told).toEqual(['E3001 `output` node `s`: it is a list of tensors']);
    expect(tried(model({ nodes: [list, node('SequenceAt', ['s', 'place'], ['y'])], initializers: at(1), inputs: [x8], outputs: [y] })).told).toEqual(['E1003 `SequenceAt` node `SequenceAt_y`: a list of 1 has no place 1']);
  });
});

describe('what is refused', () => {
  it('tells all nodes of an operator together', () => {
    const nodes = [node('Relu', ['x'], ['a0']), ...[0, 1, 2, 3].map((i) => node('GridSample', [`a${i}`, 'x'], [`a${i + 1}`])), node('LSTM', ['a4', 'x', 'x'], ['y'])];
    expect(tried(model({ nodes, inputs: [x], outputs: [y] })).told).toEqual([
      'E3002 4 `GridSample` nodes (`GridSample_a1`, `GridSample_a2`, `GridSample_a3` and 1 more): it makes or warps images, which no layer of a transformer does',
      'E3002 `LSTM` node `LSTM_y`: recurrent layers work token after token, which this machine has no way to do',
    ]);
  });

  it('tells a shape that depends on data, and a product that does not exist', () => {
    const nodes = [node('Reshape', ['x', 'shape'], ['r']), node('MatMul', ['x', 'w'], ['y'])];
    expect(tried(model({ nodes, initializers: [floats('w', [3, 1], [1, 2, 3])], inputs: [x, value('shape', 7, [2])], outputs: [y] })).told).toEqual([
      'E3001 `Reshape` node `Reshape_r`: input 1 says a shape or a place, and depends on data',
      'E1003 `MatMul` node `MatMul_y`: a product of [batch, sequence, 8] and [3, 1] does not exist',
    ]);
  });

  it('does not square sizes without end', () => {
    const squares = Array.from({ length: 60 }, (_, i) => node('Mul', [`s${i}`, `s${i}`], [`s${i + 1}`]));
    const nodes = [node('Shape', ['x'], ['s0']), ...squares, node('Expand', ['x', 's60'], ['y'])];
    expect(tried(model({ nodes, inputs: [x], outputs: [y] })).told).toEqual(['E1004 `Mul` node `Mul_s3`: a size is too complicated: batch*batch*batch*batch*batch*batch*batch*batch...']);
  });

  it('does not make a tensor of 2^40 elements', () => {
    const nodes = [node('Expand', ['one', 'shape'], ['big']), node('Add', ['x', 'big'], ['y'])];
    expect(tried(model({ nodes, initializers: [floats('one', [1], [1]), int64s('shape', [2], [2 ** 20, 2 ** 20])], inputs: [x], outputs: [y] })).told).toEqual(['E1004 `Expand` node `Expand_big`: a tensor of [1048576, 1048576] has more than 274877906944 elements']);
  });

  const triple = defineLayer({
    name: 'triple',
    docs: 'Three times x.',
    match: ({ domain, op, attrs }) => (domain === 'acme' && op === 'Times' ? { by: attrs['by'] as number } : undefined),
    infer: ([type]) => type as never,
    reference: ([operand], attrs) => (operand as Tensor).data.map((each) => each * (attrs['by'] as number)),
    lower: () => {
      throw new Error('not here');
    },
  });
  const times = model({ nodes: [node('Times', ['x'], ['y'], { by: 3 }, [[7, 'acme']])], inputs: [value('x', 1, ['n'])], outputs: [y] });

  it('names an operator of a domain nobody knows', () => {
    expect(tried(times).told).toEqual(['E1005 `acme::Times` node `Times_y`: the operator of domain `acme` is not known']);
  });

  it('takes it when it is a custom layer', () => {
    const { imported, told } = tried(times, [triple]);
    expect(told).toEqual([]);
    expect([...run(imported as Imported, { x: tensorOf([2], [1, 2]) }).data]).toEqual([3, 6]);
    expect(imported?.module.customLayers.map(({ name }) => name)).toEqual(['triple']);
  });
});
