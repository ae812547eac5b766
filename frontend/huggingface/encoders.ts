import { allBias, sizes } from './llama.ts';
import { type Family, field } from './family.ts';

const bert: Family = {
  modelTypes: ['bert'],
  body: 'BertModel',
  sizes: { hidden: sizes.hidden, layers: sizes.layers, heads: sizes.heads, intermediate: sizes.intermediate, vocab: sizes.vocab, positions: sizes.positions, types: 'type_vocab_size' },
  norm: 'layer',
  epsilon: field('layer_norm_eps', 1e-12),
  wiring: 'post',
  position: { kind: 'learned', offset: 0, extra: 0 },
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

/** Positions count from the row after the padding token's. */
const roberta: Family = {
  ...bert,
  modelTypes: ['roberta'],
  body: 'RobertaModel',
  position: { kind: 'learned', offset: 2, extra: 0 },
  names: { ...bert.names, prefix: 'roberta.' },
  fixed: { ...bert.fixed, pad_token_id: { is: 1, else: 'positions would start in another row of their table' } },
};

const distilbert: Family = {
  ...bert,
  modelTypes: ['distilbert'],
  body: 'DistilBertModel',
  sizes: { hidden: 'dim', layers: 'n_layers', heads: 'n_heads', intermediate: { key: 'hidden_dim' }, vocab: sizes.vocab, positions: sizes.positions },
  epsilon: 1e-12,
  activation: field('activation', 'gelu'),
  names: {
    prefix: 'distilbert.',
    embed: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    embedNorm: 'embeddings.LayerNorm',
    layer: 'transformer.layer.{}.',
    attentionNorm: 'sa_layer_norm',
    mlpNorm: 'output_layer_norm',
    qkv: { kind: 'apart', q: 'attention.q_lin', k: 'attention.k_lin', v: 'attention.v_lin' },
    out: 'attention.out_lin',
    up: { kind: 'plain', name: 'ffn.lin1' },
    down: 'ffn.lin2',
  },
  inert: { sinusoidal_pos_embds: 'how the position table was first filled; it is stored', tie_weights_: 'an older spelling of tie_word_embeddings that no code reads' },
  fixed: {},
};

/** Text encoders, a row each. Sources: transformers, models/<family>/{configuration,modeling}_<family>.py. */
export const encoders: readonly Family[] = [
  bert,
  roberta,
  { ...roberta, modelTypes: ['xlm-roberta'], body: 'XLMRobertaModel' },
  { ...roberta, modelTypes: ['camembert'], body: 'CamembertModel' },
  distilbert,
];
