import { type Family, field, type Names, type Sizes } from './family.ts';
import type { RopeTraits } from './rope.ts';

export const sizes: Sizes = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  intermediate: { key: 'intermediate_size' },
  vocab: 'vocab_size',
  positions: 'max_position_embeddings',
};

export const halves: RopeTraits = { theta: 'rope_theta', base: 10000, interleaved: false, partial: { key: 'partial_rotary_factor', otherwise: 1 } };
export const pairs: RopeTraits = { ...halves, interleaved: true };

export const llamaNames: Names = {
  prefix: 'model.',
  embed: 'embed_tokens',
  layer: 'layers.{}.',
  attentionNorm: 'input_layernorm',
  mlpNorm: 'post_attention_layernorm',
  qkv: { kind: 'apart', q: 'self_attn.q_proj', k: 'self_attn.k_proj', v: 'self_attn.v_proj' },
  out: 'self_attn.o_proj',
  up: { kind: 'apart', gate: 'mlp.gate_proj', up: 'mlp.up_proj' },
  down: 'mlp.down_proj',
  finalNorm: 'norm',
  head: 'lm_head',
};

export const noBias = { qkv: false, out: false, mlp: false, head: false } as const;
export const allBias = { qkv: true, out: true, mlp: true, head: false } as const;
export const noWindow = { kind: 'none' } as const;
export const perHead = { when: true, of: 'heads', gain: 'shared', q: 'self_attn.q_norm', k: 'self_attn.k_norm' } as const;
export const tensorSlicing = 'how the published code splits its linears; the sums are the same';

/** Fields found in published configs that the class never reads. */
export const unread = (...keys: readonly string[]): Readonly<Record<string, string>> => Object.fromEntries(keys.map((key) => [key, 'no code reads it']));

export const llama: Family = {
  modelTypes: ['llama'],
  body: 'LlamaModel',
  causal: 'LlamaForCausalLM',
  sizes,
  norm: 'rms',
  epsilon: field('rms_norm_eps', 1e-6),
  wiring: 'pre',
  position: { kind: 'rope', rope: halves },
  mask: 'causal',
  window: noWindow,
  bias: { qkv: field('attention_bias', false), out: field('attention_bias', false), mlp: field('mlp_bias', false), head: false },
  activation: field('hidden_act', 'silu'),
  gated: true,
  tied: field('tie_word_embeddings', false),
  names: llamaNames,
  inert: { pretraining_tp: tensorSlicing, is_llama_config: 'a mark of a training tool', rope_interleaved: 'says how another format stored the weights; this one is in halves' },
};
