import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { asRows } from './as-rows.ts';
import { expectSame } from './compare.ts';

const corpus = '../shared/corpus/onnx/torch/hf';
const exports = existsSync(corpus) ? readdirSync(corpus) : [];

/** Families whose every layer the row language has. What they have in the corpus must be recognised, whatever the exporter and its opset. */
const families = ['albert', 'bart_encoder', 'bert', 'bert_cls', 'bert_mlm', 'distilbert', 'gemma', 'gpt2', 'gpt_neox', 'gptj', 'llama', 'opt', 'phi3', 'falcon'];

/** Not read: an operator of opset 9 that picks by value (NonZero). */
const unread = new Set(['gpt2-ts-eager-op9-plain']);

describe.skipIf(exports.length === 0)('exports of the corpus', () => {
  const known = exports.filter((name) => families.includes(name.split('-')[0] as string) && !unread.has(name));
  test.each(known.length === 0 ? ['none'] : known)('%s', (name) => {
    const folder = `${corpus}/${name}`;
    const file = readdirSync(folder).find((each) => each.endsWith('.onnx')) as string;
    const diagnostics = new Diagnostics();
    const imported = importOnnx(memoryFiles(new Map([[file, new Uint8Array(readFileSync(`${folder}/${file}`))]])), file, [], diagnostics);
    if (imported === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
    const rows = asRows(imported.module, imported.store, diagnostics);
    expect(diagnostics.all.map(({ message }) => message)).toEqual([]);
    expectSame(imported.module, rows, imported.store, [[[5, 7, 10, 3, 4], [11, 9, 2, 6, 8]], [[4, 5], [7, 6]]]);
  });
});
