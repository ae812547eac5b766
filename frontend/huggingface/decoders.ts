import { type Family, field, type Sizes } from './family.ts';
import { gemma, gemma2, gemma3 } from './gemma.ts';
import { allBias, halves, llama, llamaNames, noBias, noWindow, pairs, perHead, sizes, tensorSlicing, unread } from './llama.ts';

/** Sizes in the spelling of GPT-2. */
const gptSizes: Sizes = { hidden: 'n_embd', layers: 'n_layer', heads: 'n_head', intermediate: { key: 'n_inner', times: 4 }, vocab: 'vocab_size', positions: 'n_positions' };

const qkNorm = { is: false, else: 'queries and keys of each head would be normalised' } as const;

export const mistral: Family = { ...llama, modelTypes: ['mistral'], body: 'MistralModel', causal: 'MistralForCausalLM', bias: noBias, window: { kind: 'always', key: 'sliding_window', otherwise: 4096 }, inert: {} };

export const qwen2: Family = {
  ...llama,
  modelTypes: ['qwen2'],
  body: 'Qwen2Model',
  causal: 'Qwen2ForCausalLM',
  bias: { qkv: true, out: false, mlp: false, head: false },
  window: { kind: 'switched', key: 'sliding_window', otherwise: 4096, switch: 'use_sliding_window', from: 'max_window_layers', fromOtherwise: 28 },
  inert: {},
};

export const qwen3: Family = {
  ...qwen2,
  modelTypes: ['qwen3'],
  body: 'Qwen3Model',
  causal: 'Qwen3ForCausalLM',
  bias: { qkv: field('attention_bias', false), out: field('attention_bias', false), mlp: false, head: false },
  qkNorm: perHead,
};

const gpt2: Family = {
  modelTypes: ['gpt2'],
  body: 'GPT2Model',
  causal: 'GPT2LMHeadModel',
  sizes: gptSizes,
  norm: 'layer',
  epsilon: field('layer_norm_epsilon', 1e-5),
  wiring: 'pre',
  position: { kind: 'learned', offset: 0, extra: 0 },
  mask: 'causal',
  window: noWindow,
  bias: allBias,
  activation: field('activation_function', 'gelu_new'),
  gated: false,
  tied: field('tie_word_embeddings', true),
  names: {
    prefix: 'transformer.',
    embed: 'wte',
    positions: 'wpe',
    layer: 'h.{}.',
    attentionNorm: 'ln_1',
    mlpNorm: 'ln_2',
    qkv: { kind: 'rows', name: 'attn.c_attn' },
    out: 'attn.c_proj',
    up: { kind: 'plain', name: 'mlp.c_fc' },
    down: 'mlp.c_proj',
    finalNorm: 'ln_f',
    head: 'lm_head',
    transposed: true,
  },
  inert: {
    ...unread('n_ctx', 'n_special', 'predict_special_tokens'),
    reorder_and_upcast_attn: 'the precision of scores in FP16 runs; scores here are FP32',
  },
  fixed: {
    scale_attn_weights: { is: true, else: 'attention scores would not be scaled' },
    scale_attn_by_inverse_layer_idx: { is: false, else: 'each layer would scale its scores differently' },
  },
};

const gptj: Family = {
  ...gpt2,
  modelTypes: ['gptj'],
  body: 'GPTJModel',
  causal: 'GPTJForCausalLM',
  wiring: 'parallel',
  position: { kind: 'rope', rope: { ...pairs, count: { key: 'rotary_dim', otherwise: 64 } } },
  bias: { qkv: false, out: false, mlp: true, head: true },
  tied: field('tie_word_embeddings', false),
  names: {
    prefix: 'transformer.',
    embed: 'wte',
    layer: 'h.{}.',
    attentionNorm: 'ln_1',
    qkv: { kind: 'apart', q: 'attn.q_proj', k: 'attn.k_proj', v: 'attn.v_proj' },
    out: 'attn.out_proj',
    up: { kind: 'plain', name: 'mlp.fc_in' },
    down: 'mlp.fc_out',
    finalNorm: 'ln_f',
    head: 'lm_head',
  },
  inert: unread('rotary', 'scale_attn_weights', 'n_ctx'),
  fixed: {},
};

const gptNeox: Family = {
  modelTypes: ['gpt_neox'],
  body: 'GPTNeoXModel',
  causal: 'GPTNeoXForCausalLM',
  sizes: { ...gptSizes, hidden: sizes.hidden, layers: sizes.layers, heads: sizes.heads, intermediate: sizes.intermediate, positions: sizes.positions },
  norm: 'layer',
  epsilon: field('layer_norm_eps', 1e-5),
  wiring: { key: 'use_parallel_residual', otherwise: true, yes: 'parallel2', no: 'pre' },
  position: { kind: 'rope', rope: { ...halves, theta: 'rotary_emb_base', partial: { key: 'rotary_pct', otherwise: 0.25 } } },
  mask: 'causal',
  window: noWindow,
  bias: { qkv: field('attention_bias', true), out: field('attention_bias', true), mlp: true, head: false },
  activation: field('hidden_act', 'gelu'),
  gated: false,
  tied: field('tie_word_embeddings', false),
  names: {
    prefix: 'gpt_neox.',
    embed: 'embed_in',
    layer: 'layers.{}.',
    attentionNorm: 'input_layernorm',
    mlpNorm: 'post_attention_layernorm',
    qkv: { kind: 'heads', name: 'attention.query_key_value' },
    out: 'attention.dense',
    up: { kind: 'plain', name: 'mlp.dense_h_to_4h' },
    down: 'mlp.dense_4h_to_h',
    finalNorm: 'final_layer_norm',
    head: 'embed_out',
  },
};

const bloom: Family = {
  ...gptNeox,
  modelTypes: ['bloom'],
  body: 'BloomModel',
  causal: 'BloomForCausalLM',
  sizes: { ...gptSizes, hidden: sizes.hidden, positions: 'seq_length' },
  epsilon: field('layer_norm_epsilon', 1e-5),
  wiring: 'pre',
  position: { kind: 'slopes', longest: 2048 },
  bias: allBias,
  activation: field('activation_function', 'gelu_pytorch_tanh'),
  tied: field('tie_word_embeddings', true),
  names: {
    ...gptNeox.names,
    prefix: 'transformer.',
    embed: 'word_embeddings',
    embedNorm: 'word_embeddings_layernorm',
    layer: 'h.{}.',
    qkv: { kind: 'heads', name: 'self_attention.query_key_value' },
    out: 'self_attention.dense',
    finalNorm: 'ln_f',
    head: 'lm_head',
  },
  inert: {
    pretraining_tp: tensorSlicing, slow_but_exact: 'how the published code splits its linears; the sums are the same', attention_softmax_in_fp32: 'the precision of FP16 runs; scores here are FP32',
    ...unread('bias_dropout_fusion', 'masked_softmax_fusion', 'offset_alibi', 'skip_bias_add', 'skip_bias_add_qkv'),
  },
  fixed: { apply_residual_connection_post_layernorm: { is: false, else: 'residuals would start after norms' } },
};

const phi: Family = {
  ...llama,
  modelTypes: ['phi'],
  body: 'PhiModel',
  causal: 'PhiForCausalLM',
  sizes: { ...gptNeox.sizes, kvHeads: 'num_key_value_heads' },
  norm: 'layer',
  epsilon: field('layer_norm_eps', 1e-5),
  wiring: 'parallel',
  position: { kind: 'rope', rope: { ...halves, partial: { key: 'partial_rotary_factor', otherwise: 0.5 } } },
  bias: { ...allBias, head: true },
  activation: field('hidden_act', 'gelu_new'),
  gated: false,
  names: { ...llamaNames, out: 'self_attn.dense', up: { kind: 'plain', name: 'mlp.fc1' }, down: 'mlp.fc2', finalNorm: 'final_layernorm' },
  qkNorm: { ...perHead, when: field('qk_layernorm', false), offset: true, q: 'self_attn.q_layernorm', k: 'self_attn.k_layernorm' },
  inert: {},
};

const opt: Family = {
  ...gpt2,
  modelTypes: ['opt'],
  body: 'OPTModel',
  causal: 'OPTForCausalLM',
  sizes: { ...gptNeox.sizes, intermediate: { key: 'ffn_dim' } },
  epsilon: 1e-5,
  position: { kind: 'learned', offset: 2, extra: 2 },
  activation: field('activation_function', 'relu'),
  names: {
    prefix: 'model.',
    embed: 'decoder.embed_tokens',
    positions: 'decoder.embed_positions',
    layer: 'decoder.layers.{}.',
    attentionNorm: 'self_attn_layer_norm',
    mlpNorm: 'final_layer_norm',
    qkv: { kind: 'apart', q: 'self_attn.q_proj', k: 'self_attn.k_proj', v: 'self_attn.v_proj' },
    out: 'self_attn.out_proj',
    up: { kind: 'plain', name: 'fc1' },
    down: 'fc2',
    finalNorm: 'decoder.final_layer_norm',
    head: 'lm_head',
  },
  inert: {},
  same: { word_embed_proj_dim: 'hidden_size' },
  fixed: {
    do_layer_norm_before: { is: true, else: 'norms would follow their branches, without a last one' },
    _remove_final_layer_norm: { is: false, else: 'there would be no last norm' },
    enable_bias: { is: true, else: 'linears would have no biases' },
    layer_norm_elementwise_affine: { is: true, else: 'norms would have no gains' },
  },
};

const starcoder2: Family = {
  ...llama,
  modelTypes: ['starcoder2'],
  body: 'Starcoder2Model',
  causal: 'Starcoder2ForCausalLM',
  sizes: phi.sizes,
  norm: 'layer',
  epsilon: field('norm_epsilon', 1e-5),
  window: { kind: 'always', key: 'sliding_window', otherwise: 0 },
  bias: { qkv: field('use_bias', true), out: field('use_bias', true), mlp: field('use_bias', true), head: false },
  activation: field('hidden_act', 'gelu_pytorch_tanh'),
  gated: false,
  tied: field('tie_word_embeddings', true),
  names: { ...llamaNames, up: { kind: 'plain', name: 'mlp.c_fc' }, down: 'mlp.c_proj' },
  inert: unread('activation_function', 'attention_softmax_in_fp32', 'layer_norm_epsilon', 'scale_attention_softmax_in_fp32', 'scale_attn_weights'),
  fixed: { norm_type: { is: 'layer_norm', else: 'norms would be of another kind' }, mlp_type: { is: 'default', else: 'the feed-forward would be of another kind' } },
};

const stablelm: Family = {
  ...llama,
  modelTypes: ['stablelm'],
  body: 'StableLmModel',
  causal: 'StableLmForCausalLM',
  sizes: phi.sizes,
  norm: 'layer',
  epsilon: field('layer_norm_eps', 1e-5),
  wiring: { key: 'use_parallel_residual', otherwise: false, yes: 'parallel', no: 'pre' },
  position: { kind: 'rope', rope: { ...halves, partial: { key: 'partial_rotary_factor', otherwise: 0.25 } } },
  bias: { ...noBias, qkv: field('use_qkv_bias', false) },
  inert: {},
  fixed: { qk_layernorm: qkNorm },
};

const phi3: Family = {
  ...llama,
  modelTypes: ['phi3'],
  body: 'Phi3Model',
  causal: 'Phi3ForCausalLM',
  sizes: phi.sizes,
  epsilon: field('rms_norm_eps', 1e-5),
  window: { kind: 'always', key: 'sliding_window', otherwise: 0 },
  bias: noBias,
  names: { ...llamaNames, qkv: { kind: 'rows', name: 'self_attn.qkv_proj' }, up: { kind: 'rows', name: 'mlp.gate_up_proj' } },
  inert: { original_max_position_embeddings: 'read by the `longrope` scaling alone', ...unread('attention_bias', 'mlp_bias', 'lm_head_bias', 'full_attn_mod', 'interpolate_factor') },
};

const olmo: Family = {
  ...llama,
  modelTypes: ['olmo'],
  body: 'OlmoModel',
  causal: 'OlmoForCausalLM',
  sizes: phi.sizes,
  norm: 'layer',
  gain: 'none',
  epsilon: 1e-5,
  bias: { ...llama.bias, mlp: false },
  inert: { pretraining_tp: tensorSlicing },
  fixed: { clip_qkv: { is: null, else: 'queries, keys and values would be clamped' } },
};

export const olmo2: Family = {
  ...llama,
  modelTypes: ['olmo2'],
  body: 'Olmo2Model',
  causal: 'Olmo2ForCausalLM',
  sizes: phi.sizes,
  epsilon: field('rms_norm_eps', 1e-5),
  wiring: 'branch',
  qkNorm: { ...perHead, of: 'row', gain: 'own' },
  bias: { ...llama.bias, mlp: false },
  names: { ...llamaNames, attentionNorm: 'post_attention_layernorm', mlpNorm: 'post_feedforward_layernorm' },
  inert: { pretraining_tp: tensorSlicing },
};

const cohere: Family = {
  ...llama,
  modelTypes: ['cohere'],
  body: 'CohereModel',
  causal: 'CohereForCausalLM',
  sizes: phi.sizes,
  norm: 'layer',
  offset: false,
  epsilon: field('layer_norm_eps', 1e-5),
  wiring: 'parallel',
  position: { kind: 'rope', rope: pairs },
  bias: { ...llama.bias, mlp: false },
  factor: { logits: { key: 'logit_scale', otherwise: 0.0625, divides: false } },
  tied: field('tie_word_embeddings', true),
  qkNorm: { ...perHead, when: field('use_qk_norm', false), gain: 'own' },
  inert: { pretraining_tp: tensorSlicing },
};

const granite: Family = {
  ...llama,
  modelTypes: ['granite'],
  body: 'GraniteModel',
  causal: 'GraniteForCausalLM',
  sizes: phi.sizes,
  factor: {
    embedding: field('embedding_multiplier', 1),
    score: field('attention_multiplier', 1),
    residual: field('residual_multiplier', 1),
    logits: { key: 'logits_scaling', otherwise: 1, divides: true },
  },
  inert: {},
};

const helium: Family = {
  ...llama,
  modelTypes: ['helium'],
  body: 'HeliumModel',
  causal: 'HeliumForCausalLM',
  epsilon: field('rms_norm_eps', 1e-8),
  position: { kind: 'rope', rope: { ...pairs, base: 100000 } },
  bias: { qkv: field('attention_bias', false), out: false, mlp: field('mlp_bias', false), head: false },
  inert: {},
};

const ernie: Family = {
  ...llama,
  modelTypes: ['ernie4_5'],
  body: 'Ernie4_5Model',
  causal: 'Ernie4_5ForCausalLM',
  epsilon: field('rms_norm_eps', 1e-5),
  position: { kind: 'rope', rope: { ...pairs, base: 500000 } },
  bias: { qkv: field('use_bias', false), out: field('use_bias', false), mlp: field('use_bias', false), head: false },
  tied: field('tie_word_embeddings', true),
  inert: {},
};

const seedOss: Family = {
  ...llama,
  modelTypes: ['seed_oss'],
  body: 'SeedOssModel',
  causal: 'SeedOssForCausalLM',
  bias: { qkv: field('attention_bias', true), out: field('attention_out_bias', false), mlp: field('mlp_bias', false), head: false },
  inert: { pretraining_tp: tensorSlicing },
};

/** Text decoders, a row each. Sources: transformers, models/<family>/{configuration,modeling}_<family>.py. */
export const decoders: readonly Family[] = [llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3, gpt2, gptj, gptNeox, bloom, phi, phi3, opt, starcoder2, stablelm, olmo, olmo2, cohere, granite, helium, ernie, seedOss];
