import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { noise } from './witness.ts';
import { floats, int64s, model, node, value } from './write.ts';

/** Rows of x [n, 3] where m [n] is not 0, a function of each, and their places as indices of a tensor like x. */
const chosen = [
  node('NonZero', ['m'], ['p']),
  node('Squeeze', ['p', 'zero'], ['i']),
  node('Gather', ['x', 'i'], ['r']),
  node('MatMul', ['r', 'w'], ['f']),
  node('Sigmoid', ['f'], ['g']),
  node('Shape', ['g'], ['s']),
  node('Unsqueeze', ['i', 'one'], ['j']),
  node('Expand', ['j', 's'], ['e']),
  node('Shape', ['x'], ['all']),
  node('ConstantOfShape', ['all'], ['o']),
];

const bytesOf = (nodes: readonly Uint8Array[]): Uint8Array =>
  model({
    nodes: [...chosen, ...nodes],
    initializers: [floats('w', [3, 3], noise([3, 3], 4)), int64s('zero', [1], [0]), int64s('one', [1], [1]), int64s('ones', [3], [1, 1, 1]), floats('five', [5, 3], noise([5, 3], 5))],
    inputs: [value('x', 1, ['n', 3]), value('m', 9, ['n'])],
    outputs: [value('y', 1, ['?', 3])],
  }, 18);

function tried(nodes: readonly Uint8Array[]): { readonly imported: ReturnType<typeof importOnnx>; readonly told: readonly string[] } {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(memoryFiles(new Map([['m.onnx', bytesOf(nodes)]])), 'm.onnx', [], diagnostics);
  if (imported !== undefined) verifyGraph(imported.module, diagnostics);
  return { imported, told: diagnostics.all.map(({ code, message }) => `${code} ${message}`) };
}

/** What is computed of x and m here and by ONNX Runtime. */
async function both(nodes: readonly Uint8Array[], x: readonly number[], m: readonly number[]): Promise<readonly [ours: readonly number[], theirs: readonly number[]]> {
  const { imported } = tried(nodes);
  if (imported === undefined) throw new Error('refused');
  const inputs = new Map([['x', { shape: [m.length, 3], data: Float64Array.from(x) }], ['m', { shape: [m.length], data: Float64Array.from(m) }]]);
  const ours = interpretTensors(imported.module, inputs, new WeightValues(imported.store, 1)).get('y')?.data ?? [];
  const session = await ort.InferenceSession.create(bytesOf(nodes), { logSeverityLevel: 4 });
  const theirs = await session.run({ x: new ort.Tensor('float32', Float32Array.from(x), [m.length, 3]), m: new ort.Tensor('bool', Uint8Array.from(m), [m.length]) });
  return [[...ours], Array.from((theirs['y'] as ort.Tensor).data as Float32Array)];
}

const masks = [[1, 0, 1, 1, 0], [0, 0, 0], [1, 1], [0, 1]];

describe('rows of which the data says how many there are', () => {
  it.each([
    ['written to their places among zeros', [node('ScatterElements', ['o', 'e', 'g'], ['y'])]],
    ['written over what is there', [node('ScatterElements', ['x', 'e', 'g'], ['y'])]],
    ['added to what is there', [node('ScatterElements', ['x', 'e', 'g'], ['y'], { reduction: 'add' })]],
    ['added by indices of whole rows', [node('Transpose', ['p'], ['t'], { perm: [1, 0] }), node('ScatterND', ['x', 't', 'g'], ['y'], { reduction: 'add' })]],
    ['of which a column is taken, and a share', [node('Softmax', ['g'], ['h'], { axis: -1 }), node('Mul', ['h', 'g'], ['k']), node('ScatterElements', ['o', 'e', 'k'], ['y'])]],
  ])('%s', async (_, nodes) => {
    expect(tried(nodes).told).toEqual([]);
    for (const mask of masks) {
      const [ours, theirs] = await both(nodes, noise([mask.length, 3], 2), mask);
      expect(ours.map((each) => each.toFixed(5))).toEqual(theirs.map((each) => each.toFixed(5)));
    }
  });

  it('taken to be three are three, and nothing where there are more', async () => {
    const nodes = [node('Split', ['r', 'ones'], ['a', 'b', 'c'], { axis: 0 }), node('Sub', ['c', 'b'], ['d']), node('Div', ['d', 'a'], ['y'])];
    expect(tried(nodes).told).toEqual(['W1006 `Split` node `Split_a`: it is of what is not zero, and takes for granted that there are 3, as there were when the model was exported: where there are more it means nothing']);
    const [ours, theirs] = await both(nodes, noise([5, 3], 2), [0, 1, 1, 0, 1]);
    expect(ours.map((each) => each.toFixed(4))).toEqual(theirs.map((each) => each.toFixed(4)));
    await expect(both(nodes, noise([4, 3], 2), [1, 1, 1, 1])).rejects.toThrow('index 4 of an axis of 4');
  });

  const rowsApart = (told: string): string => `E3001 ${told}: how many rows there are depends on data, and they are not worked on each by itself`;
  it.each([
    ['as they are', [node('Identity', ['g'], ['y'])], '`Sigmoid` node `Sigmoid_g`'],
    ['added up', [node('ReduceSum', ['g', 'zero'], ['y'], { keepdims: 1 })], '`ReduceSum` node `ReduceSum_y`'],
    ['shared out among each other', [node('Softmax', ['g'], ['h'], { axis: 0 }), node('ScatterElements', ['o', 'e', 'h'], ['y'])], '`Softmax` node `Softmax_h`'],
    ['multiplied with each other', [node('Transpose', ['g'], ['t'], { perm: [1, 0] }), node('MatMul', ['t', 'g'], ['y'])], '`MatMul` node `MatMul_y`'],
    ['taken by number', [node('Gather', ['g', 'one'], ['y'])], '`Gather` node `Gather_y`'],
    ['counted', [node('Cast', ['s'], ['c'], { to: 1 }), node('Gather', ['c', 'zero'], ['d']), node('Add', ['x', 'd'], ['y'])], '`Add` node `Add_y`'],
    ['added up as they come', [node('CumSum', ['g', 'zero'], ['c']), node('ScatterElements', ['o', 'e', 'c'], ['y'])], '`CumSum` node `CumSum_c`'],
    ['added to as many others as there were once', [node('Add', ['g', 'five'], ['y'])], '`Add` node `Add_y`'],
    ['added to all rows, as if all were chosen', [node('Add', ['g', 'x'], ['y'])], '`NonZero` node `NonZero_p`'],
    ['flattened', [node('Flatten', ['g'], ['t'], { axis: 0 }), node('ReduceMax', ['t', 'one'], ['y'])], '`Flatten` node `Flatten_t`'],
  ])('are refused %s', (_, nodes, at) => expect(tried(nodes).told).toEqual([rowsApart(at)]));

  it('are not chosen among', () => {
    expect(tried([node('NonZero', ['g'], ['q']), node('Gather', ['g', 'q'], ['y'])]).told).toEqual(['E3001 `NonZero` node `NonZero_q`: it chooses among what was chosen by data']);
  });

  it('are not compared with others', () => {
    expect(tried([node('ScatterElements', ['x', 'e', 'g'], ['y'], { reduction: 'max' })]).told).toEqual(['E3001 `ScatterElements` node `ScatterElements_y`: rows whose number depends on data are combined by `max`']);
  });
});
