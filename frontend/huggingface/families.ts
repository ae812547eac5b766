import type { RopeTraits } from './rope.ts';
import type { Wiring } from './spec.ts';

/** A trait a config may set: the field, and the value its class has without it (transformers, configuration_<family>.py). */
export type Field<T> = { readonly key: string; readonly otherwise: T };
export type Flag = boolean | Field<boolean>;

/** Fields that give the sizes. `otherwise` of the feed-forward width is a multiple of the hidden size. */
export type Sizes = {
  readonly hidden: string;
  readonly layers: string;
  readonly heads: string;
  readonly kvHeads?: string;
  readonly headDim?: string;
  readonly intermediate: { readonly key: string; readonly times?: number };
  readonly vocab: string;
  readonly positions: string;
  readonly types?: string;
};

/** Where a checkpoint keeps the weights; `{}` stands for the layer, linears and norms go without `.weight` and `.bias`. */
export type Names = {
  /** What the class with a head puts before the names of the body. */
  readonly prefix: string;
  readonly embed: string;
  readonly positions?: string;
  readonly types?: string;
  readonly embedNorm?: string;
  readonly layer: string;
  readonly attentionNorm: string;
  readonly mlpNorm?: string;
  /** Apart, or in one tensor: rows of q, then k, then v; or q, k, v of each head in turn. */
  readonly qkv:
    | { readonly kind: 'apart'; readonly q: string; readonly k: string; readonly v: string }
    | { readonly kind: 'rows' | 'heads'; readonly name: string };
  readonly out: string;
  /** Gate and up apart, or one above the other in one tensor; without a gate, up alone. */
  readonly up: { readonly kind: 'apart'; readonly gate: string; readonly up: string } | { readonly kind: 'rows'; readonly name: string } | { readonly kind: 'plain'; readonly name: string };
  readonly down: string;
  readonly finalNorm?: string;
  readonly head?: string;
  /** Linears are stored [k, n]. */
  readonly transposed?: boolean;
  /** Part of the body's class that does not reach its rows: a linear of hidden x hidden. */
  readonly pooler?: string;
};

export type Family = {
  readonly modelTypes: readonly string[];
  /** Class whose result is rows of the hidden size, and the one with a head over the vocabulary. */
  readonly body: string;
  readonly causal?: string;
  readonly sizes: Sizes;
  readonly norm: 'rms' | 'layer';
  readonly gain?: false;
  readonly offset?: Flag;
  readonly epsilon: Field<number>;
  readonly wiring: Wiring | { readonly key: string; readonly otherwise: boolean; readonly yes: Wiring; readonly no: Wiring };
  readonly position: { readonly kind: 'rope'; readonly rope: RopeTraits } | { readonly kind: 'learned'; readonly offset: number };
  readonly mask: 'causal' | 'full';
  readonly window: WindowTraits;
  readonly bias: { readonly qkv: Flag; readonly out: Flag; readonly mlp: Flag; readonly head: Flag };
  readonly activation: Field<string>;
  readonly gated: boolean;
  readonly factor?: { readonly embedding?: string; readonly score?: string; readonly residual?: string; readonly logits?: { readonly key: string; readonly divides: boolean } };
  readonly tied: Field<boolean>;
  readonly names: Names;
  /** Fields of this family that change nothing, with the reason. */
  readonly inert?: Readonly<Record<string, string>>;
  /** Fields of this family that are compiled for one value alone: that value (also the default), and what another would change. */
  readonly fixed?: Readonly<Record<string, { readonly is: string | number | boolean | null; readonly else: string }>>;
};

/** How a family says that attention sees a window. `switch`: only if that field is true, and only from layer `from` on. */
export type WindowTraits =
  | { readonly kind: 'none' }
  | { readonly kind: 'always'; readonly key: string; readonly otherwise: number }
  | { readonly kind: 'switched'; readonly key: string; readonly otherwise: number; readonly switch: string; readonly from: string; readonly fromOtherwise: number };

const field = <T>(key: string, otherwise: T): Field<T> => ({ key, otherwise });

const sizes: Sizes = {
  hidden: 'hidden_size',
  layers: 'num_hidden_layers',
  heads: 'num_attention_heads',
  kvHeads: 'num_key_value_heads',
  headDim: 'head_dim',
  intermediate: { key: 'intermediate_size' },
  vocab: 'vocab_size',
  positions: 'max_position_embeddings',
};

const halves: RopeTraits = { theta: 'rope_theta', base: 10000, interleaved: false, partial: { key: 'partial_rotary_factor', otherwise: 1 } };

const llamaNames: Names = {
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

const noBias = { qkv: false, out: false, mlp: false, head: false } as const;
const allBias = { qkv: true, out: true, mlp: true, head: false } as const;
const tensorSlicing = 'how the published code splits its linears; the sums are the same';

const llama: Family = {
  modelTypes: ['llama'],
  body: 'LlamaModel',
  causal: 'LlamaForCausalLM',
  sizes,
  norm: 'rms',
  epsilon: field('rms_norm_eps', 1e-6),
  wiring: 'pre',
  position: { kind: 'rope', rope: halves },
  mask: 'causal',
  window: { kind: 'none' },
  bias: { qkv: field('attention_bias', false), out: field('attention_bias', false), mlp: field('mlp_bias', false), head: false },
  activation: field('hidden_act', 'silu'),
  gated: true,
  tied: field('tie_word_embeddings', false),
  names: llamaNames,
  inert: { pretraining_tp: tensorSlicing, is_llama_config: 'a mark of a training tool', rope_interleaved: 'says how another format stored the weights; this one is in halves' },
};

const bert: Family = {
  modelTypes: ['bert'],
  body: 'BertModel',
  sizes: {
    hidden: 'hidden_size',
    layers: 'num_hidden_layers',
    heads: 'num_attention_heads',
    intermediate: { key: 'intermediate_size' },
    vocab: 'vocab_size',
    positions: 'max_position_embeddings',
    types: 'type_vocab_size',
  },
  norm: 'layer',
  epsilon: field('layer_norm_eps', 1e-12),
  wiring: 'post',
  position: { kind: 'learned', offset: 0 },
  mask: 'full',
  window: { kind: 'none' },
  bias: allBias,
  activation: field('hidden_act', 'gelu'),
  gated: false,
  tied: field('tie_word_embeddings', true),
  names: {
    prefix: 'bert.',
    embed: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    types: 'embeddings.token_type_embeddings',
    embedNorm: 'embeddings.LayerNorm',
    layer: 'encoder.layer.{}.',
    attentionNorm: 'attention.output.LayerNorm',
    mlpNorm: 'output.LayerNorm',
    qkv: { kind: 'apart', q: 'attention.self.query', k: 'attention.self.key', v: 'attention.self.value' },
    out: 'attention.output.dense',
    up: { kind: 'plain', name: 'intermediate.dense' },
    down: 'output.dense',
    pooler: 'pooler.dense',
  },
  fixed: {
    position_embedding_type: { is: 'absolute', else: 'attention scores would depend on distances' },
    is_decoder: { is: false, else: 'attention would be causal' },
  },
};

/** One row a family; `build.ts` makes all of them. To add one, see docs/add-a-family.md. */
export const families: readonly Family[] = [
  llama,
  {
    ...llama,
    modelTypes: ['mistral'],
    body: 'MistralModel',
    causal: 'MistralForCausalLM',
    bias: noBias,
    window: { kind: 'always', key: 'sliding_window', otherwise: 4096 },
    inert: {},
  },
  {
    ...llama,
    modelTypes: ['qwen2'],
    body: 'Qwen2Model',
    causal: 'Qwen2ForCausalLM',
    bias: { qkv: true, out: false, mlp: false, head: false },
    window: { kind: 'switched', key: 'sliding_window', otherwise: 4096, switch: 'use_sliding_window', from: 'max_window_layers', fromOtherwise: 28 },
    inert: {},
  },
  {
    modelTypes: ['gpt2'],
    body: 'GPT2Model',
    causal: 'GPT2LMHeadModel',
    sizes: { hidden: 'n_embd', layers: 'n_layer', heads: 'n_head', intermediate: { key: 'n_inner', times: 4 }, vocab: 'vocab_size', positions: 'n_positions' },
    norm: 'layer',
    epsilon: field('layer_norm_epsilon', 1e-5),
    wiring: 'pre',
    position: { kind: 'learned', offset: 0 },
    mask: 'causal',
    window: { kind: 'none' },
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
      n_ctx: 'an older name of n_positions that no code reads',
      n_special: 'no code reads it',
      predict_special_tokens: 'no code reads it',
      reorder_and_upcast_attn: 'the precision of scores in FP16 runs; scores here are FP32',
    },
    fixed: {
      scale_attn_weights: { is: true, else: 'attention scores would not be scaled' },
      scale_attn_by_inverse_layer_idx: { is: false, else: 'each layer would scale its scores differently' },
    },
  },
  bert,
];
