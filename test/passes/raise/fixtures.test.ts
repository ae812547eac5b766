import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { asRows } from './as-rows.ts';
import { expectClose, expectSame, feed, stepOf } from './compare.ts';

const examples = new URL('../../../examples/', import.meta.url);

function importExample(file: string): { readonly module: GraphModule; readonly store: TensorStore } {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(memoryFiles(new Map([['model.onnx', new Uint8Array(readFileSync(new URL(file, examples)))]])), 'model.onnx', [], diagnostics);
  expect(diagnostics.all).toEqual([]);
  if (imported === undefined) throw new Error('not imported');
  return imported;
}

function raised(file: string): { readonly module: GraphModule; readonly rows: GraphModule; readonly store: TensorStore } {
  const { module, store } = importExample(file);
  const diagnostics = new Diagnostics();
  const rows = asRows(module, store, diagnostics);
  expect(diagnostics.all.map(({ message }) => message)).toEqual([]);
  return { module, rows, store };
}

const layer = {
  bert: ['linear', 'linear', 'linear', 'attention', 'linear', 'add', 'norm', 'linear', 'activate', 'linear', 'add', 'norm'],
  gpt2: ['norm', 'linear', 'linear', 'linear', 'attention', 'linear', 'add', 'norm', 'linear', 'activate', 'linear', 'add'],
  llama: ['norm', 'linear', 'rope', 'linear', 'rope', 'linear', 'attention', 'linear', 'add', 'norm', 'linear', 'activate', 'linear', 'multiply', 'linear', 'add'],
};
const decoder = (of: readonly string[]): readonly string[] => [...of, ...of, 'norm', 'linear'];
const gpt2 = ['embed', 'embed', 'add', ...decoder(layer.gpt2)];
const llama = ['embed', ...decoder(layer.llama)];
const expected: Readonly<Record<string, readonly string[]>> = {
  'bert/encoder': ['embed', 'embed', 'add', 'embed', 'add', 'norm', ...layer.bert, ...layer.bert],
  'gpt2/decoder': gpt2,
  'gpt2/decoder-past': gpt2,
  'llama/decoder': llama,
  'llama/decoder-past': llama,
  'qwen2/decoder': llama,
  'qwen2/decoder-past': llama,
};
const files = Object.keys(expected).flatMap((name) => ['torchscript', 'dynamo'].map((exporter) => `${name}.${exporter}.onnx`));

describe('every exporter’s spelling of a family is the same rows', () => {
  test.each(files)('%s', (file) => {
    const { rows } = raised(file);
    const [name] = file.split('.') as [string];
    const kinds = rows.body.ops.flatMap(({ kind }) => (kind === 'weight' ? [] : [kind]));
    expect(kinds.toSorted()).toEqual((expected[name] as readonly string[]).toSorted());
    expect(kinds.slice(-4)).toEqual((expected[name] as readonly string[]).slice(-4));
    expect(rows.body.ops.flatMap((op) => (op.kind === 'attention' ? [{ mask: op.attrs.mask, window: op.attrs.window, scale: op.attrs.scale, isCached: op.attrs.cache !== '' }] : []))).toEqual(
      [0, 1].map(() => ({ mask: name.startsWith('bert') ? 'full' : 'causal', window: 0, scale: 0.25, isCached: name.endsWith('past') })),
    );
    expect(rows.source.nodes.filter(({ disposition }) => disposition === 'refused')).toEqual([]);
    expect(rows.source.nodes.some(({ disposition }) => disposition === 'hardware')).toBe(true);
    expect(rows.source.interface.inputs.every(({ role }) => role !== 'other')).toBe(true);
  });
});

const ids = [[5, 17, 100, 3, 64], [127, 9, 2, 33, 8]];

describe('the rows compute what the source computes', () => {
  test.each(files)('%s', (file) => {
    const { module, rows, store } = raised(file);
    expectSame(module, rows, store, [ids, [[40, 41], [7, 6]], [[1], [2]]]);
  });

  test('padding of a source is nothing to ragged rows', () => {
    const { module, rows, store } = raised('bert/encoder.torchscript.onnx');
    const weights = new WeightValues(store, 1);
    const inputs = feed(module, rows, ids, new Map(), 0);
    inputs.set('attention_mask', { shape: [2, 5], data: Float64Array.from([1, 1, 1, 0, 0, 1, 1, 1, 1, 1]) });
    const [name] = rows.outputs.map((output) => output.name) as [string];
    const wanted = interpretTensors(module, inputs, weights).get(name)?.data as Float64Array;
    const ragged = [(ids[0] as number[]).slice(0, 3), ids[1] as number[]];
    const got = interpret(rows, stepOf(ragged, 0), { weights, arithmetic: 'real', state: new KvState() }).get(name);
    expectClose(got, { shape: [8, 64], data: Float64Array.from([...wanted.subarray(0, 3 * 64), ...wanted.subarray(5 * 64)]) });
  });
});

describe('other networks are refused', () => {
  test.each(['lstm', 'cnn'])('%s', (name) => {
    const diagnostics = new Diagnostics();
    const imported = importOnnx(memoryFiles(new Map([['model.onnx', new Uint8Array(readFileSync(new URL(`refused/${name}.onnx`, examples)))]])), 'model.onnx', [], diagnostics);
    if (imported !== undefined) asRows(imported.module, imported.store, diagnostics);
    expect(diagnostics.hasErrors).toBe(true);
  });
});
