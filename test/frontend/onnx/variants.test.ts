import { join } from 'node:path';
import { describe, it } from 'vitest';
import { expectInvariant } from './invariant.ts';

describe('what computes the same is the same', () => {
  const examples = new URL('../../../examples/', import.meta.url).pathname;
  it.each(['bert/encoder.dynamo.onnx', 'gpt2/decoder-past.torchscript.onnx', 'llama/decoder-past.dynamo.onnx', 'qwen2/decoder.torchscript.onnx'])('%s', (name) => expectInvariant(join(examples, name), 12));
});
