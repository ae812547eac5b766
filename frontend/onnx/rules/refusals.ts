/** Why an operator is not computed, and what would make the model fit. `E3002`: no part of a transformer; `E3001`: not expressed. */
export type RefusedOp = { readonly code: 'E3001' | 'E3002'; readonly why: string; readonly help: string };

const embeddings = 'run that part on the host and give the rest, from its embeddings on';

const recurrent: RefusedOp = { code: 'E3002', why: 'recurrent layers work token after token, which this machine has no way to do', help: 'give a model whose layers are attention and products of matrices' };
const image: RefusedOp = { code: 'E3002', why: 'it makes or warps images, which no layer of a transformer does', help: embeddings };
const signal: RefusedOp = { code: 'E3002', why: 'it prepares a sound, which no layer of a transformer does', help: embeddings };
const control: RefusedOp = { code: 'E3002', why: 'what is run may not depend on the data', help: 'export the model for one path (`use_cache` fixed, loops unrolled)' };
const sequence: RefusedOp = { code: 'E3002', why: 'lists of tensors whose length depends on data are not values of a transformer', help: 'export the model without post-processing' };
const text: RefusedOp = { code: 'E3002', why: 'text is not computed with', help: 'run the tokenizer on the host' };
const random: RefusedOp = { code: 'E3002', why: 'random numbers are not made in a program, which is the same in every run', help: 'sample on the host, from the logits' };
const training: RefusedOp = { code: 'E3002', why: 'it is a part of training', help: 'export the model for inference' };
const count: RefusedOp = { code: 'E3001', why: 'how many elements it yields depends on data', help: 'export the model without post-processing' };
const algebra: RefusedOp = { code: 'E3001', why: 'it is made of nothing a transformer computes', help: 'write the layer as a custom layer' };
const bits: RefusedOp = { code: 'E3001', why: 'bits of a number are not computed with', help: 'export the model with its weights unpacked' };

const table: readonly (readonly [RefusedOp, readonly string[]])[] = [
  [recurrent, ['LSTM', 'GRU', 'RNN', 'ReverseSequence', 'LinearAttention', 'CausalConvWithState']],
  [image, ['ConvTranspose', 'DeformConv', 'MaxUnpool', 'MaxRoiPool', 'RoiAlign', 'GridSample', 'AffineGrid', 'CenterCropPad', 'Col2Im', 'ImageDecoder', 'NonMaxSuppression']],
  [signal, ['DFT', 'STFT', 'MelWeightMatrix', 'HannWindow', 'HammingWindow', 'BlackmanWindow']],
  [control, ['Loop', 'Scan']],
  [sequence, ['SequenceMap', 'Optional', 'OptionalGetElement', 'OptionalHasElement']],
  [text, ['StringNormalizer', 'StringConcat', 'StringSplit', 'RegexFullMatch', 'TfIdfVectorizer']],
  [random, ['Multinomial', 'Bernoulli', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike']],
  [training, ['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss']],
  [count, ['Unique']],
  [algebra, ['Det', 'Asin', 'Acos', 'Atan', 'Asinh', 'Acosh', 'Atanh']],
  [bits, ['BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'BitwiseNot', 'BitCast']],
];

const search: RefusedOp = { code: 'E3002', why: 'choosing tokens is what the host does between steps', help: 'compile the decoder: give the model of its subgraph (attribute `decoder`) by itself' };
const ordered: RefusedOp = { code: 'E3001', why: 'its tensors lie in an order of another machine', help: 'export the model with `QuantizeLinear` and `DequantizeLinear`' };
const ragged: RefusedOp = { code: 'E3001', why: 'how many rows there are depends on data', help: 'give the model with its padding: sequences of their own length are taken apart here' };
const paged: RefusedOp = { code: 'E3001', why: 'caches in pages, or of which parts are attended to, are not expressed', help: 'export with `GroupQueryAttention` and a cache for each sequence: pages are made here' };

const contribTable: typeof table = [
  [search, ['BeamSearch', 'WhisperBeamSearch', 'GreedySearch', 'Sampling', 'NGramRepeatBlock']],
  [ordered, ['QuantizeWithOrder', 'DequantizeWithOrder', 'QOrderedAttention', 'QOrderedGelu', 'QOrderedLayerNormalization', 'QOrderedLongformerAttention', 'QOrderedMatMul']],
  [ragged, ['RemovePadding', 'RestorePadding']],
  [paged, ['PagedAttention', 'SparseAttention', 'LongformerAttention']],
  [recurrent, ['AttnLSTM', 'DynamicQuantizeLSTM', 'LinearAttention', 'LinearAttentionGate', 'GatedDeltaNet', 'CausalConvWithState', 'VarlenCausalConvWithState']],
  [image, ['NhwcConv', 'NhwcFusedConv', 'NhwcMaxPool', 'MaxpoolWithMask', 'QLinearConv', 'QLinearAveragePool', 'QLinearGlobalAveragePool', 'ConvTransposeWithDynamicPads', 'CropAndResize', 'GridSample']],
  [text, ['Tokenizer', 'WordConvEmbedding']],
  [training, ['BiasDropout', 'BitmaskDropout', 'BitmaskBiasDropout', 'SoftmaxCrossEntropyLossInternal', 'YieldOp']],
];

const byOp = (rows: typeof table): ReadonlyMap<string, RefusedOp> => new Map(rows.flatMap(([refused, ops]) => ops.map((op) => [op, refused] as const)));
const refused: ReadonlyMap<string, ReadonlyMap<string, RefusedOp>> = new Map([['', byOp(table)], ['com.microsoft', byOp(contribTable)]]);

/** Why a known operator of a domain ('' is ai.onnx) is refused. */
export const refusalOf = (domain: string, op: string): RefusedOp | undefined => refused.get(domain)?.get(op);

export const conditional: RefusedOp = control;
