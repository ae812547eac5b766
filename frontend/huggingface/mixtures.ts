import { mistral, olmo2, qwen2, qwen3 } from './decoders.ts';
import { type Family, field } from './family.ts';
import { halves, llamaNames, noWindow, unread } from './llama.ts';

/** Fields of routers that change no result. */
const routing = { output_router_logits: 'what the published code hands back, not what it computes', router_aux_loss_coef: 'used in training alone', router_jitter_noise: 'used in training alone' } as const;

const mixtral: Family = {
  ...mistral,
  modelTypes: ['mixtral'],
  body: 'MixtralModel',
  causal: 'MixtralForCausalLM',
  epsilon: field('rms_norm_eps', 1e-5),
  position: { kind: 'rope', rope: { ...halves, base: 1000000 } },
  window: { kind: 'always', key: 'sliding_window', otherwise: 0 },
  experts: {
    count: field('num_local_experts', 8), k: field('num_experts_per_tok', 2), inner: 'intermediate_size', normalise: true,
    names: { router: 'block_sparse_moe.gate', gate: 'block_sparse_moe.experts.{}.w1', up: 'block_sparse_moe.experts.{}.w3', down: 'block_sparse_moe.experts.{}.w2' },
  },
  inert: routing,
};

/** Linears of experts in the spelling of Qwen. */
const qwenExperts = { router: 'mlp.gate', gate: 'mlp.experts.{}.gate_proj', up: 'mlp.experts.{}.up_proj', down: 'mlp.experts.{}.down_proj' } as const;

/** How many experts there are, in the spelling of Qwen and in that of Mixtral, which later writers use for all. */
const counted = (otherwise: number) => ({ key: 'num_experts', also: 'num_local_experts', otherwise }) as const;

/** What the Qwens with experts have in common. */
const qwenMoe = {
  window: noWindow,
  inert: { ...routing, sliding_window: 'read only with `use_sliding_window`', max_window_layers: 'read only with `use_sliding_window`' },
  fixed: {
    decoder_sparse_step: { is: 1, else: 'some layers would have no experts' },
    use_sliding_window: { is: false, else: 'every other layer would see a window' },
  },
} as const;

const qwen2Moe: Family = {
  ...qwen2,
  ...qwenMoe,
  modelTypes: ['qwen2_moe'],
  body: 'Qwen2MoeModel',
  causal: 'Qwen2MoeForCausalLM',
  bias: { ...qwen2.bias, qkv: field('qkv_bias', true) },
  experts: {
    count: counted(60), k: field('num_experts_per_tok', 4), inner: 'moe_intermediate_size', normalise: field('norm_topk_prob', false), shared: 'shared_expert_intermediate_size',
    names: { ...qwenExperts, shared: { router: 'mlp.shared_expert_gate', gate: 'mlp.shared_expert.gate_proj', up: 'mlp.shared_expert.up_proj', down: 'mlp.shared_expert.down_proj' } },
  },
};

const qwen3Moe: Family = {
  ...qwen3,
  ...qwenMoe,
  modelTypes: ['qwen3_moe'],
  body: 'Qwen3MoeModel',
  causal: 'Qwen3MoeForCausalLM',
  experts: { count: counted(128), k: field('num_experts_per_tok', 8), inner: 'moe_intermediate_size', normalise: field('norm_topk_prob', false), names: qwenExperts },
  inert: { ...qwenMoe.inert, ...unread('qkv_bias') },
  fixed: {
    ...qwenMoe.fixed,
    use_qk_norm: { is: true, else: 'queries and keys would not be normalised' },
    shared_expert_intermediate_size: { is: 0, else: 'there would be a shared expert' },
  },
};

const olmoe: Family = {
  ...olmo2,
  modelTypes: ['olmoe'],
  body: 'OlmoeModel',
  causal: 'OlmoeForCausalLM',
  wiring: 'pre',
  names: llamaNames,
  experts: { count: counted(64), k: field('num_experts_per_tok', 8), inner: 'intermediate_size', normalise: field('norm_topk_prob', false), names: qwenExperts },
  inert: routing,
  fixed: { clip_qkv: { is: null, else: 'queries and keys would be clamped' } },
};

/** Text decoders whose every layer has experts, a row each. Sources: transformers, models/<family>/{configuration,modeling}_<family>.py. */
export const mixtures: readonly Family[] = [mixtral, qwen2Moe, qwen3Moe, olmoe];
