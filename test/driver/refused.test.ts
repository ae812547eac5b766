import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { example, folder, type Ran, sohuc, stackTrace } from './command.ts';

/** Refused with exit code 1 and codes, and nothing written. */
async function refused(model: string, at: string, ...more: readonly string[]): Promise<Ran> {
  const before = readdirSync(at, { recursive: true });
  const ran = await sohuc(model, '--out', join(at, 'out'), ...more);
  expect(ran.stderr).toMatch(/^(warning\[W\d{4}\][^]*)?error\[E\d{4}\]: [^]*\n\d+ errors?; `docs\/errors\/` explains each code\n$/);
  expect(ran.stderr).not.toMatch(stackTrace);
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 1, stdout: '' });
  expect(readdirSync(at, { recursive: true })).toEqual(before);
  return ran;
}

describe('networks that are no transformers: every cause by name', () => {
  it.each([
    ['cnn.onnx', ['node `/0/Conv`', 'node `/3/MaxPool`', '`/6/GlobalAveragePool`', 'the network has no attention']],
    ['lstm.onnx', ['`LSTM` node `/lstm/LSTM`']],
    ['mamba.json', ['`mamba`', 'state space', 'config.json: model_type']],
    ['resnet.json', ['`resnet`', 'convolution', 'config.json: model_type']],
  ] as const)('%s', async (file, causes) => {
    const { stderr } = await refused(example(`refused/${file}`), folder());
    expect(stderr).toContain('error[E3002]');
    for (const cause of causes) expect(stderr).toContain(cause);
  });

  it.each(['mamba', 'resnet'])('%s, as a folder', async (name) => {
    const at = folder();
    copyFileSync(example(`refused/${name}.json`), join(at, 'config.json'));
    expect((await refused(at, at)).stderr).toContain('error[E3002]');
  });

  it('an LSTM, as a config', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify({ model_type: 'lstm', architectures: ['LSTMModel'], hidden_size: 64, num_layers: 2 }));
    expect((await refused(at, at)).stderr).toMatch(/error\[E(2002|3002)\]: .*`lstm`/);
  });
});

describe('configs that cannot be read, or say what cannot be', () => {
  const llama = JSON.parse(readFileSync(example('llama/hf/config.json'), 'utf8')) as Readonly<Record<string, unknown>>;
  it.each<[string, string | Uint8Array, RegExp]>([
    ['nothing', '', /E2001/],
    ['half', readFileSync(example('llama/hf/config.json'), 'utf8').slice(0, 200), /E2001/],
    ['a list', '[]', /E2001/],
    ['no text', Uint8Array.of(0xff, 0xfe, 0, 1, 2), /E2001/],
    ['a page', '<!doctype html><title>not found</title>', /E2001/],
    ['deep', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, /E200[12]/],
    ['no type', '{"hidden_size": 64}', /E2002/],
    ['an unknown type', '{"model_type": "lamma"}', /E2002.*`lamma`[^]*llama/],
    ['a type that is a property of every object', '{"model_type": "__proto__"}', /E2002/],
    ['a size that is a text', JSON.stringify({ ...llama, hidden_size: 'large' }), /E2003.*\n.*hidden_size/],
    ['no heads', JSON.stringify({ ...llama, num_attention_heads: 0 }), /E2003[^]*num_attention_heads/],
    ['sizes beyond reason', JSON.stringify({ ...llama, hidden_size: 1e15, num_hidden_layers: 1e9 }), /E2003/],
    ['wider rows than instructions say', JSON.stringify({ ...llama, hidden_size: 2 ** 17 }), /E4003.*`columns` of `vqnt`/],
  ])('%s', async (_, text, cause) => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), text);
    expect((await refused(at, at)).stderr).toMatch(cause);
  });

  it('several problems at once, each with its field', async () => {
    const at = folder();
    writeFileSync(join(at, 'config.json'), JSON.stringify({ ...llama, hidden_act: 'swish-glu', rms_norm_eps: 'small', num_key_value_heads: 3 }));
    const { stderr } = await refused(at, at);
    for (const field of ['hidden_act', 'rms_norm_eps', 'num_key_value_heads']) expect(stderr).toContain(`config.json: ${field}`);
  });

  it('a folder without a config', async () => {
    const at = folder();
    expect((await refused(at, at)).stderr).toMatch(/E2001.*config\.json/);
  });
});

describe('weights that cannot be read', () => {
  const whole = readFileSync(example('llama/hf/model.safetensors'));
  const header = Number(whole.readBigUInt64LE(0));
  const renamed = (change: (text: string) => string): Uint8Array => {
    const text = change(whole.subarray(8, 8 + header).toString('utf8'));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    return Buffer.concat([size, Buffer.from(text), whole.subarray(8 + header)]);
  };
  it.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(0), /E2006.*model\.safetensors/],
    ['cut in its header', whole.subarray(0, 100), /E2006/],
    ['cut in its data', whole.subarray(0, whole.length - 1000), /E2006/],
    ['with a header of 2^60 bytes', Buffer.from(whole).fill(0x10, 7, 8), /E2006/],
    ['with a header that is no JSON', Buffer.from(whole).fill(0x7b, 8, 20), /E2006/],
    ['a pointer of git-lfs', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'), /E2006/],
    ['with a tensor of another shape', renamed((text) => text.replace('"shape":[128,64]', '"shape":[64,128]')), /E2005/],
    ['with a tensor missing', renamed((text) => text.replace('model.norm.weight', 'model.mron.weight')), /E2005.*`model\.norm\.weight`/],
    ['with offsets that overlap', renamed((text) => text.replace(/"data_offsets":\[\d+,/, '"data_offsets":[1,')), /E2006/],
  ])('%s', async (_, bytes, cause) => {
    const at = folder();
    copyFileSync(example('llama/hf/config.json'), join(at, 'config.json'));
    writeFileSync(join(at, 'model.safetensors'), bytes);
    expect((await refused(at, at)).stderr).toMatch(cause);
  });

  it('an index that names a file outside the folder', async () => {
    const at = folder();
    const inner = join(at, 'model');
    mkdirSync(inner);
    copyFileSync(example('llama/hf/config.json'), join(inner, 'config.json'));
    writeFileSync(join(at, 'secret.safetensors'), whole);
    writeFileSync(join(inner, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { 'model.norm.weight': '../secret.safetensors' } }));
    expect((await refused(inner, inner)).stderr).toMatch(/E200[56]/);
  });
});

describe('ONNX files cut short', () => {
  it.each([0, 1, 100, 5_000, 20_000])('after %d bytes', async (length) => {
    const at = folder();
    writeFileSync(join(at, 'm.onnx'), readFileSync(example('gpt2/decoder.dynamo.onnx')).subarray(0, length));
    expect((await refused(join(at, 'm.onnx'), at)).stderr).toMatch(/error\[E100[13]\]/);
  });
});
