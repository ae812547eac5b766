import { expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { allOps } from '../../../ir/graph/module.ts';
import { floats, model, node, opset, value } from '../../frontend/onnx/write.ts';
import { asRows } from './as-rows.ts';

/** The rotation raised of tables of `positions` cosines and sines of the given frequencies. */
function rotation(positions: number, frequencies: readonly number[], amplitude = 1, at = (position: number): number => position): unknown {
  const [pairs, width] = [frequencies.length, 2 * frequencies.length];
  const table = (name: string, of: (angle: number) => number): Uint8Array => floats(name, [positions, pairs], Array.from({ length: positions * pairs }, (_, i) => amplitude * of(Math.fround(at(Math.floor(i / pairs)) * (frequencies[i % pairs] as number)))));
  const bytes = model({
    nodes: [node('Gather', ['table', 'ids'], ['x']), node('RotaryEmbedding', ['x', 'positions', 'cos', 'sin'], ['y'], { num_heads: 1 }, [[7, 'com.microsoft']])],
    initializers: [floats('table', [5, width], Array.from({ length: 5 * width }, (_, i) => Math.sin(i))), table('cos', Math.cos), table('sin', Math.sin)],
    inputs: [value('ids', 7, ['batch', 'sequence']), value('positions', 7, ['batch', 'sequence'])],
    outputs: [value('y', 1, ['batch', 'sequence', width])],
  }, 17, [[8, opset(1, 'com.microsoft')]]);
  const diagnostics = new Diagnostics();
  const imported = importOnnx(memoryFiles(new Map([['m.onnx', bytes]])), 'm.onnx', [], diagnostics);
  const rows = imported && asRows(imported.module, imported.store, diagnostics);
  if (rows === undefined || diagnostics.hasErrors) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
  return [...allOps(rows.body)].find(({ kind }) => kind === 'rope')?.attrs;
}

const powers = (base: number): readonly number[] => Array.from({ length: 8 }, (_, i) => Math.fround(1 / Math.fround(base ** (i / 8))));

test.each([[10_000, 31], [10_000, 200], [500_000, 64], [1_000_000, 1000]])('tables of powers of %i, %i rows long, say the powers in FP32', (base, positions) => {
  expect(rotation(positions, powers(base))).toEqual({ headDim: 16, frequencies: powers(base), amplitude: 1, interleaved: false, positions });
});

test('frequencies of no series, and another amplitude, stay what the table says', () => {
  const frequencies = powers(10_000).map((each, i) => (i > 4 ? each / 8 : each));
  const found = rotation(200, frequencies, 1.25) as { readonly frequencies: readonly number[]; readonly amplitude: number };
  expect(found.amplitude).toBeCloseTo(1.25, 6);
  found.frequencies.forEach((each, i) => expect(Math.abs(each - (frequencies[i] as number))).toBeLessThan(4e-9 + 1e-7 * each));
});

test('a table that leaves its powers behind is refused', () => {
  expect(() => rotation(64, powers(10_000), 1, (position) => (position === 63 ? 7 : position))).toThrow(/angles are not positions times frequencies/);
});
