import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importModel } from '../../../frontend/onnx/import.ts';
import { type OnnxModel, readOnnx } from '../../../frontend/onnx/proto.ts';
import { anonymous } from '../../../ir/graph/anonymous.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { roll } from '../../../passes/roll.ts';
import { asRows } from '../../passes/raise/as-rows.ts';
import { corpus } from './corpus.ts';
import { variant } from './variants.ts';

const files = (file: string) => memoryFiles(new Map([['model.onnx', new Uint8Array(readFileSync(file))]]));

function read(file: string): OnnxModel {
  const diagnostics = new Diagnostics();
  const model = readOnnx(files(file), 'model.onnx', diagnostics);
  if (model === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
  return model;
}

/** The rows of a model, up to names. */
function rowsOf(file: string, model: OnnxModel): string {
  const diagnostics = new Diagnostics();
  const imported = importModel(model, files(file), [], diagnostics);
  const rows = imported === undefined ? undefined : asRows(imported.module, imported.store, diagnostics);
  if (rows === undefined || diagnostics.hasErrors) return diagnostics.all.map(({ message }) => message).join('; ');
  return printGraph(anonymous(roll(rows)));
}

const expectInvariant = (file: string, variants: number): void => {
  const model = read(file);
  const wanted = rowsOf(file, model);
  expect(wanted).toMatch(/attention\(/);
  for (let seed = 0; seed < variants; seed++) expect([seed, rowsOf(file, variant(model, seed))]).toEqual([seed, wanted]);
};

describe('what computes the same is the same', () => {
  const examples = new URL('../../../examples/', import.meta.url).pathname;
  it.each(['bert/encoder.dynamo.onnx', 'gpt2/decoder-past.torchscript.onnx', 'llama/decoder-past.dynamo.onnx', 'qwen2/decoder.torchscript.onnx'])('%s', (name) => expectInvariant(join(examples, name), 12));
});

describe.skipIf(!existsSync(corpus))('exports of the corpus', () => {
  const folder = join(corpus, 'torch/hf');
  const families = /^(albert|bart_encoder|bert|bert_cls|distilbert|gemma|gpt2|gpt_neox|gptj|llama|opt|phi3|falcon)-/;
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => families.test(name) && !/-fp16|-bf16|op9/.test(name)) : [];
  const each = Number(process.env['SOHUC_VARIANTS'] ?? 4);
  it.each(names)('%s', (name) => expectInvariant(join(folder, name, 'model.onnx'), each));
});
