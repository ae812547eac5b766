import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { type Files, memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { folderFiles } from '../../frontend/onnx/corpus.ts';
import { asRows } from './as-rows.ts';
import { expectSame } from './compare.ts';

const corpus = '../shared/corpus/onnx/torch/hf';
const builders = '../shared/corpus/onnx/genai-builder';
const quantised = '../shared/corpus/onnx/quant';
const exports = existsSync(corpus) ? readdirSync(corpus) : [];

/** Families whose every layer the row language has. What they have in the corpus must be recognised, whatever the exporter and its opset. */
const families = ['albert', 'bart_encoder', 'bert', 'bert_cls', 'bert_mlm', 'distilbert', 'gemma', 'gpt2', 'gpt_neox', 'gptj', 'llama', 'opt', 'phi3', 'falcon', 'mixtral', 'qwen2_moe', 'qwen3_moe', 'qwen3', 'gemma2', 'gemma3', 'cohere', 'bloom'];

/** Not read: shapes that do not broadcast, in ONNX Runtime neither. */
const unread = new Set(['cohere-ts-sdpa-op17-plain']);

/** Models of ONNX Runtime's builder, with its own attention and, but for two, weights of 4 bits. */
const built = ['gemma-int4-cpu', 'granite-fp32-cpu', 'granite-int4-cpu', 'llama-fp32-cpu', 'llama-int4-cpu', 'phi-fp32-cpu', 'phi-int4-cpu', 'qwen2-int4-cpu'];

const steps = [[[5, 7, 10, 3, 4], [11, 9, 2, 6, 8]], [[4, 5], [7, 6]]];

function expectRaised(files: Files, file: string): void {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(files, file, [], diagnostics);
  if (imported === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
  const rows = asRows(imported.module, imported.store, diagnostics);
  // What PyTorch writes against the rules of ONNX is told, and no more.
  expect(diagnostics.all.flatMap(({ code, message }) => (code === 'W1006' ? [] : [message]))).toEqual([]);
  expectSame(imported.module, rows, imported.store, steps);
}

describe.skipIf(!existsSync(builders))('models of the builder', () => {
  test.each(built)('%s', (name) => expectRaised(folderFiles(`${builders}/${name}`), 'model.onnx'));
});

/** Weights of 4 bits, from each exporter, as products of their own and as conversions before a product. */
const fourBits = ['llama_dyn_nbits4_asym32', 'llama_dyn_nbits4_qdq', 'llama_nbits4_qdq', 'llama_nbits4_sym'];

describe.skipIf(!existsSync(quantised))('quantised weights', () => {
  test.each(fourBits)('%s', (name) => expectRaised(folderFiles(`${quantised}/${name}`), 'model.onnx'));
});

describe.skipIf(exports.length === 0)('exports of the corpus', () => {
  const known = exports.filter((name) => families.includes(name.split('-')[0] as string) && !unread.has(name));
  test.each(known.length === 0 ? ['none'] : known)('%s', (name) => {
    const folder = `${corpus}/${name}`;
    const file = readdirSync(folder).find((each) => each.endsWith('.onnx')) as string;
    expectRaised(memoryFiles(new Map([[file, new Uint8Array(readFileSync(`${folder}/${file}`))]])), file);
  });
});
