import { type Family, field } from './family.ts';
import { halves, llama, llamaNames, noBias, perHead, unread } from './llama.ts';

const gemmaBias = { ...noBias, qkv: field('attention_bias', false), out: field('attention_bias', false) } as const;
const oneSided = { is: null, else: 'rows would see those after them' } as const;

export const gemma: Family = {
  ...llama,
  modelTypes: ['gemma'],
  body: 'GemmaModel',
  causal: 'GemmaForCausalLM',
  gain: 'lessOne',
  bias: gemmaBias,
  activation: field('hidden_act', 'gelu_pytorch_tanh'),
  legacyActivation: { gelu: 'gelu_pytorch_tanh' },
  factor: { embedding: 'root' },
  tied: field('tie_word_embeddings', true),
  inert: {},
  fixed: { use_bidirectional_attention: oneSided, hidden_activation: { is: 'gelu_pytorch_tanh', else: 'the activation would be another' } },
};

export const gemma2: Family = {
  ...gemma,
  modelTypes: ['gemma2'],
  body: 'Gemma2Model',
  causal: 'Gemma2ForCausalLM',
  wiring: 'sandwich',
  window: { kind: 'pattern', key: 'sliding_window', otherwise: 4096, every: 2 },
  activation: field('hidden_activation', 'gelu_pytorch_tanh'),
  factor: { embedding: 'root', score: { ...field('query_pre_attn_scalar', 256), root: true } },
  cap: { scores: field('attn_logit_softcapping', 50), logits: field('final_logit_softcapping', 30) },
  names: { ...llamaNames, attentionAfter: 'post_attention_layernorm', mlpNorm: 'pre_feedforward_layernorm', mlpAfter: 'post_feedforward_layernorm' },
  inert: { cache_implementation: 'how the published code keeps keys and values', ...unread('hidden_act') },
  fixed: { use_bidirectional_attention: oneSided },
};

export const gemma3: Family = {
  ...gemma2,
  modelTypes: ['gemma3_text'],
  body: 'Gemma3TextModel',
  causal: 'Gemma3ForCausalLM',
  qkNorm: perHead,
  position: { kind: 'rope', rope: { ...halves, base: 1e6, local: { theta: 'rope_local_base_freq', base: 10000 } } },
  window: { kind: 'pattern', key: 'sliding_window', otherwise: 4096, every: field('sliding_window_pattern', 6) },
  cap: { scores: field('attn_logit_softcapping', 0), logits: field('final_logit_softcapping', 0) },
  inert: { ...gemma2.inert, _sliding_window_pattern: 'how the published code keeps `sliding_window_pattern`, which `layer_types` says too' },
  fixed: { use_bidirectional_attention: { ...oneSided, is: false } },
};
