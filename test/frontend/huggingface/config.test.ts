import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { families } from '../../../frontend/huggingface/families.ts';
import { importFolder } from '../../../frontend/huggingface/import.ts';
import { inertFields } from '../../../frontend/huggingface/inert.ts';
import { allOps } from '../../../ir/graph/module.ts';
import { printGraph } from '../../../ir/graph/print.ts';

const llama70b = {
  architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', hidden_size: 8192, intermediate_size: 28672, max_position_embeddings: 8192, num_attention_heads: 64,
  num_hidden_layers: 80, num_key_value_heads: 8, rms_norm_eps: 1e-5, rope_theta: 500000, tie_word_embeddings: false, vocab_size: 128256, torch_dtype: 'bfloat16', use_cache: true,
};
const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192, rope_type: 'llama3' };
const tinyQwen = {
  architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', hidden_size: 16, intermediate_size: 24, max_position_embeddings: 32, num_attention_heads: 4, num_hidden_layers: 2, num_key_value_heads: 2, tie_word_embeddings: true, vocab_size: 40,
};

function read(config: unknown): { readonly result: ReturnType<typeof importFolder>; readonly found: readonly string[]; readonly diagnostics: Diagnostics } {
  const diagnostics = new Diagnostics();
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  const result = importFolder(memoryFiles(new Map([['config.json', new TextEncoder().encode(text)]])), diagnostics);
  return { result, diagnostics, found: diagnostics.all.map(({ code, origin }) => `${code} ${origin.kind === 'config' ? origin.path : origin.kind}`) };
}

describe('sizes', () => {
  // Published counts: the model cards and papers, and the sums of the checkpoints' tensors.
  it.each([
    ['Llama 3 70B', llama70b, 70_553_706_496],
    ['Llama 3.1 405B', { ...llama70b, hidden_size: 16384, intermediate_size: 53248, num_attention_heads: 128, num_hidden_layers: 126, max_position_embeddings: 131072, rope_scaling: llama3 }, 405_853_388_800],
    ['Qwen2 0.5B', { ...tinyQwen, hidden_size: 896, intermediate_size: 4864, num_attention_heads: 14, num_hidden_layers: 24, max_position_embeddings: 32768, vocab_size: 151936, use_sliding_window: false, sliding_window: 32768 }, 494_032_768],
    ['GPT-2', { architectures: ['GPT2LMHeadModel'], model_type: 'gpt2', n_embd: 768, n_head: 12, n_layer: 12, n_positions: 1024, n_ctx: 1024, vocab_size: 50257 }, 124_439_808],
    ['BERT base', { architectures: ['BertModel'], model_type: 'bert', hidden_size: 768, intermediate_size: 3072, max_position_embeddings: 512, num_attention_heads: 12, num_hidden_layers: 12, type_vocab_size: 2, vocab_size: 30522 }, 109_482_240],
  ])('%s', (_, config, parameters) => {
    const { result, diagnostics } = read(config);
    expect(diagnostics.hasErrors).toBe(false);
    expect(result?.module.source.parameters).toBe(parameters);
  });

  it('does not grow the graph with depth', () => {
    const ops = (layers: number): number => [...allOps(read({ ...llama70b, num_hidden_layers: layers }).result?.module.body ?? { params: [], ops: [], yields: [] })].length;
    expect(ops(80)).toBe(ops(2));
  });
});

describe('the account of fields', () => {
  it('tells every problem of a config in one run', () => {
    const { result, found } = read({ ...llama70b, hidden_size: -1, hiden_act: 'silu', num_key_value_heads: 7, rope_scaling: { type: 'yarn', factor: 4 }, mystery: 1, is_encoder_decoder: true, rms_norm_eps: '1e-5' });
    expect(result).toBeUndefined();
    expect(found.toSorted()).toEqual(['E2003 hidden_size', 'E2003 is_encoder_decoder', 'E2003 num_key_value_heads', 'E2003 rms_norm_eps', 'E2003 rope_scaling.type', 'E2004 hiden_act', 'E2004 mystery']);
  });

  it('names the nearest field', () => {
    const { diagnostics } = read({ ...llama70b, num_atention_heads: 64 });
    expect(diagnostics.all[0]).toMatchObject({ code: 'E2004', help: expect.stringContaining('`num_attention_heads`') });
  });

  it('says the path, the value and the rule', () => {
    const { diagnostics } = read({ ...llama70b, rope_parameters: { rope_type: 'llama3', rope_theta: 5e5, factor: 0, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } });
    expect(diagnostics.all.map(({ message }) => message)).toEqual(['`rope_parameters.factor` is 0, but it has to be a finite number above 0']);
  });

  it.each(Object.keys(tinyQwen).filter((key) => !['architectures', 'num_key_value_heads', 'tie_word_embeddings'].includes(key)))('does not guess `%s`', (key) => {
    const { result, found } = read(Object.fromEntries(Object.entries(tinyQwen).filter(([name]) => name !== key)));
    expect(result).toBeUndefined();
    expect(found).toContain(key === 'model_type' ? 'E2002 model_type' : `E2003 ${key}`);
  });

  it.each(Object.keys(inertFields))('any value of `%s` gives the same network', (key) => {
    const module = (config: object): string => {
      const { result } = read(config);
      return result === undefined ? 'refused' : printGraph(result.module);
    };
    expect(module({ ...tinyQwen, [key]: 3 })).toBe(module(tinyQwen));
  });

  it('has fields read one way alone', () => {
    for (const { modelTypes, inert = {}, fixed = {} } of families) {
      expect(Object.keys(inert).filter((key) => Object.hasOwn(fixed, key)), modelTypes.join()).toEqual([]);
    }
    const types = families.flatMap(({ modelTypes }) => modelTypes);
    expect(new Set(types).size).toBe(types.length);
  });
});

describe('values', () => {
  it('reads both spellings of rotary settings alike', () => {
    const older = read({ ...llama70b, rope_scaling: llama3 }).result?.module;
    const { rope_theta: theta, ...rest } = llama70b;
    const newer = read({ ...rest, rope_parameters: { ...llama3, rope_theta: theta } }).result?.module;
    const frequencies = (module: typeof older): unknown => [...allOps(module?.body ?? { params: [], ops: [], yields: [] })].flatMap((op) => (op.kind === 'rope' ? [op.attrs] : []));
    expect(frequencies(older)).toEqual(frequencies(newer));
    expect(frequencies(older)).toHaveLength(2);
  });

  it.each([
    ['one window for all', { ...tinyQwen, use_sliding_window: true, sliding_window: 8, max_window_layers: 0 }, 8],
    ['windows switched off', { ...tinyQwen, use_sliding_window: false, sliding_window: 8 }, 0],
    ['windows from a layer that is not there', { ...tinyQwen, use_sliding_window: true, sliding_window: 8, max_window_layers: 2 }, 0],
    ['a window over everything', { ...tinyQwen, use_sliding_window: true, sliding_window: 32, max_window_layers: 0 }, 0],
    ['named layers', { ...tinyQwen, use_sliding_window: true, sliding_window: 8, layer_types: ['sliding_attention', 'sliding_attention'] }, 8],
  ])('%s', (_, config, window) => {
    const attention = [...allOps(read(config).result?.module.body ?? { params: [], ops: [], yields: [] })].find((op) => op.kind === 'attention');
    expect(attention?.attrs).toMatchObject({ window });
  });

  it('makes one body of layers that repeat, and lays out the rest', () => {
    const { result } = read({
      architectures: ['Gemma3ForCausalLM'], model_type: 'gemma3_text', hidden_size: 1152, intermediate_size: 6912, max_position_embeddings: 32768, num_attention_heads: 4, num_hidden_layers: 26,
      num_key_value_heads: 1, head_dim: 256, vocab_size: 262144, sliding_window: 512, sliding_window_pattern: 6, rope_theta: 1000000, rope_local_base_freq: 10000,
    });
    const attentions = [...allOps(result?.module.body ?? { params: [], ops: [], yields: [] })].flatMap((op) => (op.kind === 'attention' ? [op.attrs.window] : []));
    expect(attentions).toEqual([512, 512, 512, 512, 512, 0, 512, 512]);
    expect(result?.module.caches.map(({ layers }) => layers)).toEqual([4, 4, 4, 4, 4, 4, 1, 1]);
    // The sum of the published checkpoint's tensors.
    expect(result?.module.source.parameters).toBe(999_885_952);
  });

  it('windows from some layer on', () => {
    const { result } = read({ ...tinyQwen, use_sliding_window: true, sliding_window: 8, max_window_layers: 1 });
    expect([...allOps(result?.module.body ?? { params: [], ops: [], yields: [] })].flatMap((op) => (op.kind === 'attention' ? [op.attrs.window] : []))).toEqual([0, 8]);
  });

  it.each([
    [{ layer_types: ['full_attention', 'chunked_attention'] }, 'E2003 layer_types[1]'],
    [{ layer_types: ['full_attention'] }, 'E2003 layer_types'],
    [{ layer_types: ['full_attention', 'linear_attention'] }, 'E2007 layer_types[1]'],
    [{ architectures: ['Qwen2ForSequenceClassification'] }, 'E2003 architectures[0]'],
    [{ hidden_act: 'xielu' }, 'E2003 hidden_act'],
    [{ num_attention_heads: 3 }, 'E2003 num_attention_heads'],
    [{ pruned_heads: { 1: [0] } }, 'E2003 pruned_heads'],
    [{ num_hidden_layers: 1e9 }, 'E2003 num_hidden_layers'],
  ])('refuses %j', (change, fault) => {
    const { result, found } = read({ ...tinyQwen, ...change });
    expect(result).toBeUndefined();
    expect(found).toContain(fault);
  });

  it.each(['', '{', '[]', 'null', '"llama"', '{"model_type": 3}', '{"__proto__": {"model_type": "llama"}}', '['.repeat(100_000)])('refuses text %#', (text) => {
    const { result, diagnostics } = read(text);
    expect(result).toBeUndefined();
    expect(diagnostics.hasErrors).toBe(true);
  });

  it('reads what Python writes beyond JSON, and says so', () => {
    const text = JSON.stringify(tinyQwen).replace('{', '{"initializer_range": Infinity, "_name_or_path": "NaN \\" Infinity", ');
    const { result, found } = read(text);
    expect(result).toBeDefined();
    expect(found).toEqual(['W2008 file']);
    expect(read(JSON.stringify(tinyQwen).replace('{', '{"rms_norm_eps": NaN, ')).found).toEqual(['W2008 file', 'E2003 rms_norm_eps']);
    expect(read(JSON.stringify(tinyQwen).replace('{', '{"rope_theta": Infinity, ')).found).toEqual(['W2008 file', 'E2003 rope_theta']);
  });
});

describe('any config', () => {
  const keys = [...Object.keys(tinyQwen), 'rope_scaling', 'rope_parameters', 'layer_types', 'text_config', 'head_dim', 'pruned_heads', 'hybrid_override_pattern', 'attn_layer_indices', 'dtype', 'quantization_config', '__proto__', 'constructor'];
  const types = families.flatMap(({ modelTypes }) => modelTypes);
  it('is read or refused with a reason', () => {
    const change = fc.tuple(fc.constantFrom(...keys), fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.integer({ min: -2, max: 70000 }), fc.constant(llama3)));
    fc.assert(
      fc.property(fc.constantFrom(...types, 'jamba', 'zamba2', ''), fc.array(change, { maxLength: 4 }), (type, changes) => {
        const fields = { ...tinyQwen, model_type: type, ...Object.fromEntries(changes) };
        const { result, diagnostics } = read(fields);
        expect(diagnostics.hasErrors).toBe(result === undefined);
      }),
      { numRuns: 2000, seed: 3 },
    );
  });
});

describe('refusals', () => {
  it.each([
    [{ model_type: 'resnet', depths: [3, 4, 6, 3] }, 'E3002 model_type', 'convolutions'],
    [{ model_type: 'mamba', num_hidden_layers: 24 }, 'E3002 model_type', 'state space'],
    [{ _class_name: 'UNet2DConditionModel' }, 'E3002 _class_name', 'convolutions'],
    [{ model_type: 'jamba', num_hidden_layers: 32, attn_layer_period: 8, attn_layer_offset: 4 }, 'E2007 attn_layer_period', 'layer 0'],
    [{ model_type: 'qwen3_next', num_hidden_layers: 48, full_attention_interval: 4 }, 'E2007 full_attention_interval', '36 of 48'],
    [{ model_type: 'nemotron_h', num_hidden_layers: 4, hybrid_override_pattern: '*-M*' }, 'E2007 hybrid_override_pattern[2]', 'layer 2'],
    [{ model_type: 'qwen3_5', text_config: { model_type: 'qwen3_5_text', num_hidden_layers: 2, layer_types: ['full_attention', 'linear_attention'] } }, 'E2007 text_config.layer_types[1]', 'layer 1'],
    [{ model_type: 'kimi_linear', linear_attn_config: { kda_layers: [1, 2, 3] } }, 'E2007 linear_attn_config.kda_layers[0]', 'layer 0'],
    [{ model_type: 'phimoe', num_local_experts: 16 }, 'E2002 model_type', 'mixture of experts'],
    [{ model_type: 'lama' }, 'E2002 model_type', '`llama`'],
  ])('%j', (config, fault, text) => {
    const { result, found, diagnostics } = read(config);
    expect(result).toBeUndefined();
    expect(found).toContain(fault);
    expect(JSON.stringify(diagnostics.all)).toContain(text);
  });
});

describe('the graph', () => {
  it('of a small Qwen2', () => {
    expect(printGraph(read(tinyQwen).result?.module ?? expect.fail())).toMatchSnapshot();
  });

  it('accounts for every module of the source', () => {
    const nodes = read(tinyQwen).result?.module.source.nodes ?? [];
    expect(nodes).toContainEqual({ name: 'model.layers.1.self_attn.q_proj', op: 'Linear', disposition: 'hardware' });
    expect(nodes).toContainEqual({ name: 'attention_mask', op: 'input', disposition: 'host' });
    expect(nodes).toHaveLength(3 + 2 + 2 * 10 + 2);
  });
});
