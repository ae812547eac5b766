import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importFolder } from '../../../frontend/huggingface/import.ts';
import { decodeElements } from '../../../frontend/weights/elements.ts';
import { openSafetensors } from '../../../frontend/weights/safetensors.ts';

type Entry = { readonly dtype: unknown; readonly shape: unknown; readonly data_offsets: unknown };

function container(header: Readonly<Record<string, Entry>> | string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function open(files: Readonly<Record<string, Uint8Array | string>>) {
  const diagnostics = new Diagnostics();
  const contents = new Map(Object.entries(files).map(([name, bytes]) => [name, typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes]));
  return { store: openSafetensors(memoryFiles(contents), diagnostics), messages: diagnostics.all.map(({ code, message }) => `${code} ${message}`) };
}

const f32 = (...values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const two = container({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] }, b: { dtype: 'F32', shape: [1, 1], data_offsets: [8, 12] } }, f32(1, -2, 3));

describe('elements', () => {
  it.each([
    ['f32', [0, 0, 0x80, 0x3f], [1]],
    ['bf16', [0x80, 0x3f, 0x80, 0xff, 0xc0, 0x7f], [1, -Infinity, NaN]],
    ['f16', [0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0xfc, 1, 0x7c], [1, 2 ** -24, 65504, -Infinity, NaN]],
    ['e4m3', [0x38, 0x7e, 0x01, 0xff, 0x80], [1, 448, 2 ** -9, NaN, -0]],
    ['e5m2', [0x3c, 0x7b, 0x01, 0x7c], [1, 57344, 2 ** -16, Infinity]],
    ['i64', [254, 255, 255, 255, 255, 255, 255, 255], [-2]],
    ['u16', [1, 2], [513]],
    ['bool', [0, 1], [0, 1]],
  ] as const)('%s', (dtype, bytes, values) => {
    expect([...decodeElements(dtype, Uint8Array.from(bytes))]).toEqual(values);
  });
});

describe('safetensors', () => {
  it('reads parts of tensors', () => {
    const { store, messages } = open({ 'model.safetensors': two });
    expect(messages).toEqual([]);
    expect(store?.names()).toEqual(['a', 'b']);
    expect(store?.describe('b')).toMatchObject({ dtype: 'f32', shape: [1, 1] });
    expect(store?.describe('c')).toBeUndefined();
    expect([...(store?.read('a', 1, 1) ?? [])]).toEqual([-2]);
  });

  it('is silent without weights', () => expect(open({})).toEqual({ store: undefined, messages: [] }));

  const other = container({ c: { dtype: 'F32', shape: [], data_offsets: [0, 4] } }, f32(7));
  const index = (map: unknown): string => JSON.stringify({ metadata: {}, weight_map: map });
  it('reads shards', () => {
    const { store, messages } = open({ 'model.safetensors.index.json': index({ a: 'x-1.safetensors', b: 'x-1.safetensors', c: 'x-2.safetensors' }), 'x-1.safetensors': two, 'x-2.safetensors': other });
    expect(messages).toEqual([]);
    expect([...(store?.read('c', 0, 1) ?? [])]).toEqual([7]);
  });

  const entry = (change: Partial<Entry>): Uint8Array => container({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8], ...change } }, f32(1, 2));
  it.each([
    ['short', { 'model.safetensors': Uint8Array.of(1, 2) }, '2 bytes'],
    ['endless header', { 'model.safetensors': Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255) }, 'longer than'],
    ['header beyond the end', { 'model.safetensors': Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 123) }, 'beyond'],
    ['no JSON', { 'model.safetensors': container('{', f32()) }, 'not JSON'],
    ['a list', { 'model.safetensors': container('[]', f32()) }, 'not a JSON object'],
    ['unknown dtype', { 'model.safetensors': entry({ dtype: 'F4' }) }, '"F4"'],
    ['negative shape', { 'model.safetensors': entry({ shape: [-2] }) }, '[-2]'],
    ['wrong size', { 'model.safetensors': entry({ shape: [3] }) }, 'takes 12 bytes'],
    ['reversed', { 'model.safetensors': entry({ data_offsets: [8, 0] }) }, 'takes 8 bytes'],
    ['hole', { 'model.safetensors': container({ a: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } }, f32(1, 2)) }, 'bytes belong to no tensor'],
    ['overlap', { 'model.safetensors': container({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] }, b: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } }, f32(1, 2)) }, 'overlap'],
    ['cut', { 'model.safetensors': two.subarray(0, two.length - 1) }, 'the file at'],
    ['bytes after', { 'model.safetensors': Uint8Array.from([...two, 0]) }, 'the file at'],
    ['shard outside', { 'model.safetensors.index.json': index({ a: '../x' }) }, 'not the name of a file'],
    ['shard missing', { 'model.safetensors.index.json': index({ a: 'x' }) }, 'no such file'],
    ['tensor in another shard', { 'model.safetensors.index.json': index({ a: 'x', c: 'x' }), x: two }, '`c` is not in `x`'],
    ['no map', { 'model.safetensors.index.json': '{}' }, 'weight_map'],
  ])('refuses: %s', (_, files, text) => {
    const { store, messages } = open(files as Readonly<Record<string, Uint8Array | string>>);
    expect(store).toBeUndefined();
    expect(messages).toEqual([expect.stringMatching(/^E2006 /)]);
    expect(messages[0]).toContain(text);
  });

  it('ends in a store or a diagnostic, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(two.length - 1), fc.nat(255)), { maxLength: 4 }), fc.nat(two.length), (changes, length) => {
        const bytes = two.slice(0, two.length - (length % 7 === 0 ? length : 0));
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        const { store, messages } = open({ 'model.safetensors': bytes });
        expect(messages.length).toBe(store === undefined ? 1 : 0);
      }),
      { numRuns: 500, seed: 1 },
    );
  });
});

describe('the account of tensors', () => {
  const folder = new URL('../huggingface/cases/llama/', import.meta.url);
  const original = readFileSync(new URL('model.safetensors', folder));
  const headerLength = Number(original.readBigUint64LE(0));
  const header = JSON.parse(original.subarray(8, 8 + headerLength).toString()) as Record<string, Entry>;

  function withHeader(change: (header: Record<string, Entry>) => void, configChange: object = {}) {
    const changed = structuredClone(header);
    change(changed);
    const bytes = container(changed, original.subarray(8 + headerLength));
    const config = { ...(JSON.parse(readFileSync(new URL('config.json', folder), 'utf8')) as object), ...configChange };
    const diagnostics = new Diagnostics();
    const result = importFolder(memoryFiles(new Map([['config.json', new TextEncoder().encode(JSON.stringify(config))], ['model.safetensors', bytes]])), diagnostics);
    return { result, told: diagnostics.all.map(({ code, message }) => `${code} ${message}`) };
  }
  const rename = (from: string, to: string) => (of: Record<string, Entry>): void => {
    of[to] = of[from] as Entry;
    delete of[from];
  };

  it('finds nothing in a whole checkpoint', () => expect(withHeader(() => {}).told).toEqual([]));

  it('names a missing tensor and the one nobody takes', () => {
    const { result, told } = withHeader(rename('model.norm.weight', 'model.norm.gain'));
    expect(result).toBeUndefined();
    expect(told).toEqual(['E2005 `model.norm.weight` is missing; the config asks for [24]', expect.stringContaining('W2008 `model.norm.gain` is not used')]);
  });

  it('tells a fault of every layer once', () => {
    const { told } = withHeader(() => {}, { intermediate_size: 20 });
    expect(told).toContainEqual('E2005 `model.layers.0.mlp.up_proj.weight` (and 1 more of model.layers.*.mlp.up_proj.weight) has shape [40, 24]; the config asks for [20, 24]');
    expect(told).toHaveLength(3);
  });

  it('knows buffers that older writers stored', () => {
    const { result, told } = withHeader((of) => {
      of['model.layers.0.self_attn.rotary_emb.inv_freq'] = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
    });
    expect(result).toBeDefined();
    expect(told).toEqual(['W2008 `model.layers.0.self_attn.rotary_emb.inv_freq` is not used (angles are computed from the config)']);
  });

  it('finds the names of a body saved by itself', () => {
    const { result } = withHeader((of) => {
      for (const name of Object.keys(of)) if (name.startsWith('model.')) rename(name, name.slice(6))(of);
    });
    expect(result?.tensors.has('layers.1.self_attn.q_proj.weight')).toBe(true);
  });

  it('refuses weights quantised by others', () => {
    const { result, told } = withHeader(() => {}, { quantization_config: { quant_method: 'gptq' } });
    expect(result).toBeUndefined();
    expect(told.at(-1)).toMatch(/^E2006 .*gptq/);
  });
});
