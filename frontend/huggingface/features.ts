/** A part of a network that cannot be compiled: what it is called, and the rule it breaks. */
export type Feature = { readonly name: string; readonly why: string };

const recurrent = 'each row\'s state comes from the row before it, and the machine has no recurrence';

/** Features by id; the tables of `refusals.ts` and `missing.ts` name them. */
export const features = {
  mamba: { name: 'a selective state space (Mamba)', why: recurrent },
  mamba2: { name: 'a state space with scalar decay (Mamba-2)', why: recurrent },
  rwkv: { name: 'RWKV time mixing', why: recurrent },
  lstm: { name: 'an LSTM', why: recurrent },
  xlstm: { name: 'an mLSTM cell', why: recurrent },
  lru: { name: 'a linear recurrent unit behind a convolution (RG-LRU)', why: recurrent },
  linearAttention: { name: 'linear attention', why: `it keeps a state matrix instead of keys and values: ${recurrent}` },
  deltaNet: { name: 'linear attention (Gated DeltaNet)', why: `it keeps a state matrix instead of keys and values: ${recurrent}` },
  kimiDelta: { name: 'linear attention (Kimi Delta Attention)', why: `it keeps a state matrix instead of keys and values: ${recurrent}` },
  lightning: { name: 'linear attention (lightning attention)', why: `it keeps a state matrix instead of keys and values: ${recurrent}` },
  shortConv: { name: 'a gated short convolution', why: 'it mixes neighbouring rows, and the machine mixes rows by attention alone' },
  convAttention: { name: 'attention behind a short convolution', why: 'it mixes neighbouring rows before attention, and the machine mixes rows by attention alone' },
  convolution: { name: 'convolutions', why: 'the machine has matrix products, attention and row functions; a convolution is none of them unless its kernel equals its stride' },
  convStem: { name: 'a convolution stem before its layers', why: 'the machine has matrix products, attention and row functions; a convolution is none of them unless its kernel equals its stride' },
  groupedConv: { name: 'grouped convolutions in place of its linears', why: 'a grouped product is not a matrix product of the machine' },
  fourier: { name: 'Fourier mixing', why: 'it mixes rows by a Fourier transform, and the machine mixes rows by attention alone' },
  hashing: { name: 'attention over hash buckets (LSH)', why: 'which keys a row sees depends on the data' },
  chunkLocal: { name: 'attention within chunks', why: 'which keys a row sees depends on chunks of its sequence' },
  sparseAttention: { name: 'sparse attention chosen by an indexer', why: 'which keys a row sees depends on the data' },
  blockSparse: { name: 'block sparse attention chosen by an indexer', why: 'which keys a row sees depends on the data' },
  compressedAttention: { name: 'attention over compressed keys and values', why: 'keys of several rows are merged, so the cache is not one row a token' },
  hyperConnections: { name: 'hyper-connections', why: 'there are several residual streams, mixed by weights that depend on the data' },
  experts: { name: 'a mixture of experts', why: 'not implemented for this family' },
  latentAttention: { name: 'multi-head latent attention', why: 'keys and values are kept as one compressed row; not implemented' },
  encoderDecoder: { name: 'an encoder and a decoder', why: 'attention across two sequences is not implemented' },
  severalTowers: { name: 'several networks in one', why: 'only single networks are read; compile the text model\'s own config' },
  headNorm: { name: 'norms of each head\'s queries and keys', why: 'not implemented for this family' },
  softCap: { name: 'soft caps on scores or logits', why: 'not implemented for this family' },
  sinks: { name: 'attention sinks', why: 'not implemented for this family' },
  gainPlusOne: { name: 'norm gains stored less one', why: 'not implemented for this family' },
  alibi: { name: 'ALiBi position biases', why: 'not implemented for this family' },
  relativeBias: { name: 'relative position biases', why: 'the attention unit adds slopes of the distance to scores, and no tables' },
  mixedLayers: { name: 'layers of several kinds', why: 'not implemented for this family' },
  patches: { name: 'image patches as input', why: 'inputs are token ids; not implemented' },
  diffusion: { name: 'layers modulated by a time step (a diffusion transformer)', why: 'norms scaled by another input are not implemented' },
  otherActivation: { name: 'an activation the machine does not have', why: 'the epilogue has relu, silu, gelu, tanh and sigmoid' },
  multipliers: { name: 'factors on its branches', why: 'not implemented for this family' },
  subNorms: { name: 'norms inside its branches', why: 'not implemented' },
  layout: { name: 'its own layout of fused weights', why: 'not implemented' },
} as const satisfies Record<string, Feature>;

export type FeatureId = keyof typeof features;
