import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { corpus } from './corpus.ts';
import { expectInvariant } from './invariant.ts';

describe.skipIf(!existsSync(corpus))('exports of the corpus', () => {
  const folder = join(corpus, 'torch/hf');
  const families = /^(albert|bart_encoder|bert|bert_cls|distilbert|gemma|gpt2|gpt_neox|gptj|llama|opt|phi3|falcon)-/;
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => families.test(name) && !/-fp16|-bf16|op9/.test(name)) : [];
  const each = Number(process.env['SOHUC_VARIANTS'] ?? 4);
  it.each(names)('%s', (name) => expectInvariant(join(folder, name, 'model.onnx'), each));
});
