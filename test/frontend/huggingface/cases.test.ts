import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importFolder, type Imported } from '../../../frontend/huggingface/import.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import type { Step } from '../../../ir/step.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';

const cases = new URL('cases/', import.meta.url);
const names = readdirSync(cases, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);

type Expected = { readonly sequences: readonly (readonly number[])[]; readonly rows: readonly (readonly number[])[] };

function load(name: string): { readonly read: Imported; readonly diagnostics: Diagnostics; readonly expected: Expected } {
  const file = (path: string): Buffer => readFileSync(new URL(`${name}/${path}`, cases));
  const diagnostics = new Diagnostics();
  const read = importFolder(memoryFiles(new Map(['config.json', 'model.safetensors'].map((path) => [path, file(path)]))), diagnostics);
  expect(diagnostics.all.filter(({ code }) => code.startsWith('E'))).toEqual([]);
  return { read: read as Imported, diagnostics, expected: JSON.parse(file('expected.json').toString()) as Expected };
}

/** Rows `from` to `to` of each sequence as one ragged step that wants all its rows. */
function stepOf(sequences: Expected['sequences'], from: number, to: number): Step {
  const parts = sequences.map((ids, id) => ({ id, rows: ids.slice(from, to), past: Math.min(from, ids.length) })).filter(({ rows }) => rows.length > 0);
  const ids = parts.flatMap(({ rows }) => rows);
  return {
    sequences: parts.map(({ id, rows, past }) => ({ id, rows: rows.length, past })),
    ids,
    positions: parts.flatMap(({ rows, past }) => rows.map((_, i) => past + i)),
    types: ids.map(() => 0),
    samples: ids.map((_, i) => i),
  };
}

const worst = (got: ArrayLike<number>, wanted: readonly number[]): number => wanted.reduce((most, x, i) => Math.max(most, Math.abs(x - (got[i] as number)) / (1 + Math.abs(x))), 0);

describe('what transformers computes', () => {
  it('has cases', () => expect(names.length).toBeGreaterThan(20));

  it.each(names)('%s', (name) => {
    const { read: { module, store }, diagnostics, expected } = load(name);
    verifyGraph(module, diagnostics);
    expect(diagnostics.all.filter(({ code }) => code !== 'W2008')).toEqual([]);
    const weights = new WeightValues(store as TensorStore, 1);
    const result = interpret(module, stepOf(expected.sequences, 0, Infinity), { weights, arithmetic: 'real', state: new KvState() });
    expect(worst(result.get(module.outputs[0]?.name as string)?.data as Float64Array, expected.rows.flat())).toBeLessThan(2e-5);
  });

  it.each(names.filter((name) => !/bert/.test(name)))('%s, in two steps', (name) => {
    const { read: { module, store }, expected } = load(name);
    const run = { weights: new WeightValues(store as TensorStore, 1), arithmetic: 'real', state: new KvState() } as const;
    const split = 2;
    const output = module.outputs[0]?.name as string;
    interpret(module, stepOf(expected.sequences, 0, split), run);
    const result = interpret(module, stepOf(expected.sequences, split, Infinity), run).get(output)?.data as Float64Array;
    let row = 0;
    const wanted = expected.sequences.flatMap((ids) => ids.flatMap((_, i) => (i >= split ? [expected.rows[row++] as readonly number[]] : (row++, []))));
    expect(worst(result, wanted.flat())).toBeLessThan(2e-5);
  });

  it.each(names)('%s takes every stored tensor', (name) => {
    const { read: { store, tensors, module } } = load(name);
    const stored = store?.names().toSorted() ?? [];
    expect([...tensors.keys()].toSorted()).toEqual(stored);
    const elements = stored.map((tensor) => (store?.describe(tensor)?.shape ?? []).reduce((product, dim) => product * dim, 1));
    expect(module.source.parameters).toBe(elements.reduce((sum, count) => sum + count, 0));
  });
});
