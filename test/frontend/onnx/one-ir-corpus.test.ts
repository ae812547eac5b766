import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import { anonymous } from '../../../ir/graph/anonymous.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { roll } from '../../../passes/roll.ts';
import { asRows } from '../../passes/raise/as-rows.ts';
import { corpus, folderFiles, hasCorpus } from './corpus.ts';

/** The rows of an export, up to names; undefined if it is refused. */
function rowsOf(folder: string): string | undefined {
  const diagnostics = new Diagnostics();
  const imported = importOnnx(folderFiles(folder), 'model.onnx', [], diagnostics);
  const rows = imported === undefined ? undefined : asRows(imported.module, imported.store, diagnostics);
  return rows === undefined || diagnostics.hasErrors ? undefined : printGraph(anonymous(roll(rows)));
}

describe.skipIf(!hasCorpus)('one model is one IR, whoever exported it', () => {
  const folder = join(corpus, 'torch/hf');
  const models = new Map<string, string[]>();
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    // Opset 9 has no masks of truths; halves are other weights.
    const [, family, opset, form] = /^(\w+?)-(?:ts|dyn|dynraw)-\w+-op(\d+)-([\w-]+)$/.exec(name) ?? [];
    if (family === undefined || Number(opset) < 11 || /fp16|bf16/.test(name)) continue;
    models.set(`${family} ${form}`, [...(models.get(`${family} ${form}`) ?? []), name]);
  }
  it.each([...models].filter(([, names]) => names.length > 1))('%s', (_, names) => {
    expect(new Set(names.flatMap((name) => rowsOf(join(folder, name)) ?? [])).size).toBeLessThan(2);
  });
});

/** What an optimiser made, and the export it is made of. */
const optimised = {
  'optimum/llama-op14-merged': 'llama-ts-eager-op14-past',
  'optimum/qwen3-op14-merged': 'qwen3-dyn-eager-op24-past',
  'ort-optimised/ortcpp-bert_mlm-ts-sdpa-op17-plain': 'bert_mlm-ts-sdpa-op17-plain',
  'ort-optimised/ortcpp-llama-ts-sdpa-op17-plain': 'llama-ts-sdpa-op17-plain',
  'ort-optimised/ortpy-bert_mlm-ts-sdpa-op17-plain': 'bert_mlm-ts-sdpa-op17-plain',
  'ort-optimised/ortpy-gpt2-ts-eager-op14-past': 'gpt2-ts-eager-op14-past',
  'ort-optimised/ortpy-vit-ts-sdpa-op17-plain': 'vit-ts-sdpa-op17-plain',
  'ort-optimised/osf-bert_mlm-dyn-sdpa-op18-plain': 'bert_mlm-dyn-sdpa-op18-plain',
  'ort-optimised/osf-gpt2-dyn-sdpa-op18-plain': 'gpt2-dyn-sdpa-op18-plain',
} as const;

/** Why an optimised file is not the model it was made of, or cannot be compared with it. */
const otherwise: Readonly<Record<string, string>> = {
  'ort-optimised/ortcpp-t5_decoder-ts-sdpa-op17-plain': 'refused as the export is: a table of biases by distance',
  'ort-optimised/ortpy-whisper_encoder-ts-sdpa-op17-plain': 'refused as the export is: windows that overlap',
  'ort-optimised/ortpy-bart-dyn-sdpa-op18-plain': 'its export is not in the corpus; two position tables of two texts',
  'ort-optimised/ortpy-bart_encoder-dyn-sdpa-op18-plain': 'the optimiser made its attention causal: results differ',
  'ort-optimised/ortpy-rms_wrong_axis_neg-ts-eager-op17-plain': 'the optimiser took a norm over other axes for one over features: results differ',
  'ort-optimised/osf-llama-dyn-sdpa-op20-past': 'its table of angles is as long as the largest position: a size that depends on data',
  'ort-optimised/osf-phi-dyn-sdpa-op18-plain': 'ONNX Runtime cannot run it: it rotates heads without saying how many',
  'ort-optimised/osf-qwen3-dyn-sdpa-op18-plain': 'ONNX Runtime cannot run it: it refuses the inputs of its attention',
  'ort-optimised/osf-whisper_decoder-dyn-sdpa-op18-plain': 'it adds zeros to its keys, a bias the export has not',
};

/** What a model builder made, of whatever weights, and a torch export of the same model. */
const built = {
  'llama-fp32-cpu': 'llama-ts-eager-op14-past',
  'llama-int4-cpu': 'llama-ts-eager-op14-past',
  'llama-fp16-cuda': 'llama-ts-eager-op14-past',
  'llama-int4-webgpu': 'llama-ts-eager-op14-past',
  'qwen3-fp32-cpu': 'qwen3-dyn-eager-op24-past',
  'qwen3-int4-cpu': 'qwen3-dyn-eager-op24-past',
} as const;

describe.skipIf(!hasCorpus)('a decoder with a cache is one IR, exported or built', () => {
  // A builder writes angles down for as many positions as the model has, where an export computes them for any; and it may store halves.
  const plain = (rows: string | undefined): string | undefined => rows?.replaceAll(/positions \d+/g, 'positions').replaceAll('f16[', 'f32[');
  it.each(Object.entries(built))('%s', (made, of) => {
    const rows = plain(rowsOf(join(corpus, 'genai-builder', made)));
    expect(rows).toBeDefined();
    expect(rows).toBe(plain(rowsOf(join(corpus, 'torch/hf', of))));
  });
});

describe.skipIf(!hasCorpus)('an optimised model is the IR of its export', () => {
  it.each(Object.entries(optimised))('%s', (made, of) => {
    const rows = rowsOf(join(corpus, made));
    expect(rows).toBeDefined();
    expect(rows).toBe(rowsOf(join(corpus, 'torch/hf', of)));
  });
  it.each(Object.entries(otherwise))('%s is not: %s', (made) => {
    const of = made.replace(/^ort-optimised\/\w+-/, '');
    expect(rowsOf(join(corpus, made)) ?? 'refused').not.toBe(rowsOf(join(corpus, 'torch/hf', of)));
  });
  it('every file is told of', () => {
    const files = ['optimum', 'ort-optimised'].flatMap((group) => readdirSync(join(corpus, group), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [`${group}/${entry.name}`] : [])));
    expect([...Object.keys(optimised), ...Object.keys(otherwise)].toSorted()).toEqual(files.toSorted());
  });
});
