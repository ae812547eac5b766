import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { leastCosine, programOf } from '../../bench/corpus/programs.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { nodeFiles } from '../../driver/node-files.ts';
import { importOnnx } from '../../frontend/onnx/import.ts';
import { corpus } from '../frontend/onnx/corpus.ts';
import { sohuc } from './command.ts';

const exports = join(corpus, 'torch');

/** Exports that take activations: their programs, on the inputs stored beside them, against the outputs stored beside them. */
const programs = [
  'modules/SdpaCausal-ts-eager-op17-plain', 'modules/GqaExpand-dyn-eager-op18-plain', 'modules/RopeHalfInline-ts-eager-op17-plain', 'modules/Bmm3D-dyn-eager-op23-plain', 'modules/PadMask-ts-eager-op17-plain',
  'modules/glu_swiglu-dyn-eager-op18-plain', 'modules/ln_native-ts-eager-op17-plain', 'modules/act_gelu_erf-dyn-eager-op23-plain',
  'modules/PatchConv-ts-eager-op17-plain', 'modules/PatchUnfold-dyn-eager-op18-plain', 'hf/vit-dyn-sdpa-op18-plain', 'hf/clip_vision-ts-sdpa-op17-plain', 'hf/dinov2-dyn-sdpa-op23-plain',
  'modules/FusedKvCross-ts-eager-op17-plain', 'modules/NNDecLayer-dyn-eager-op18-plain', 'hf/bart_decoder-ts-sdpa-op17-plain', 'hf/whisper_decoder-dyn-sdpa-op23-plain', 'hf/clip_text-dyn-sdpa-op18-plain', 'modules/moe_softmax_topk-ts-eager-op17-plain',
];

describe.skipIf(!existsSync(exports))('exports that take activations', () => {
  test.each(programs)('%s', (name) => {
    const folder = join(exports, name);
    const files = nodeFiles(folder, true);
    const imported = importOnnx(files, 'model.onnx', [], new Diagnostics());
    if (imported === undefined) throw new Error('it was not read');
    const made = programOf({ ...imported, primitive: true }, join(folder, 'test_data_set_0'));
    files.close();
    expect(made).toHaveProperty('cosine');
    expect(made).toSatisfy(({ cosine }: { cosine: number }) => cosine >= leastCosine);
  });
  test.each([['modules/SdpaCausal-ts-eager-op17-plain', 'x', 0], ['hf/vit-dyn-sdpa-op18-plain', 'pixel_values', 0], ['hf/whisper_decoder-dyn-sdpa-op18-plain', 'encoder_hidden_states', 1]])('`run %s` makes activations up, or takes those of a file, and compares to the bit and with ONNX Runtime', async (name, input, place) => {
    const folder = join(exports, name);
    for (const flags of [[], ['--input', `${input}=${join(folder, 'test_data_set_0', `input_${place}.pb`)}`]]) {
      const { code, stdout } = await sohuc('run', join(folder, 'model.onnx'), '--compare', '--json', ...flags);
      const [result] = (JSON.parse(stdout) as { comparison: { results: readonly { values: number; equalBits: number; graphToRuntime: { largest: number } }[] } }).comparison.results;
      expect(code).toBe(0);
      expect(result?.equalBits).toBe(result?.values);
      expect(result?.graphToRuntime.largest).toBeLessThan(1e-5);
    }
  });
  test('a decoder with its past and its memory\'s keys and values generates, to the bit, as ONNX Runtime would', async () => {
    const { code, stdout } = await sohuc('run', join(exports, 'hf/whisper-ts-eager-op17-decpast/model.onnx'), '--compare', '--json', '--generate', '3', '--precision', 'bf16');
    const [result] = (JSON.parse(stdout) as { comparison: { results: readonly { values: number; equalBits: number; graphToRuntime: { largest: number } }[] } }).comparison.results;
    expect(code).toBe(0);
    expect(result?.equalBits).toBe(result?.values);
    expect(result?.graphToRuntime.largest).toBeLessThan(1e-5);
  });
  test.each([[['--generate', '1'], '`--generate` is for models whose rows are token ids alone'], [['--input', 'y=z.npy'], 'the model takes `x`']])('%j is refused', async (flags, reason) => {
    const { code, stderr } = await sohuc('run', join(exports, 'modules/SdpaPlain-ts-eager-op17-plain/model.onnx'), ...flags);
    expect([code, stderr]).toEqual([2, expect.stringContaining(reason)]);
  });
});
