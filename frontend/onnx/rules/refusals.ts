/** Why an operator is not computed, and what would make the model fit. `E3002`: no part of a transformer; `E3001`: not expressed. */
export type RefusedOp = { readonly code: 'E3001' | 'E3002'; readonly why: string; readonly help: string };

const recurrent: RefusedOp = { code: 'E3002', why: 'recurrent layers work token after token, which this machine has no way to do', help: 'give a model whose layers are attention and products of matrices' };
const convolution: RefusedOp = { code: 'E3002', why: 'convolutions are not layers of a transformer', help: 'run the convolutional part on the host and give the rest, from its embeddings on' };
const pooling: RefusedOp = { code: 'E3002', why: 'pooling over an image is not a layer of a transformer', help: convolution.help };
const batchNorm: RefusedOp = { code: 'E3002', why: 'normalising over a batch or an image is not a layer of a transformer', help: 'a transformer normalises over features (`LayerNormalization`, `RMSNormalization`)' };
const control: RefusedOp = { code: 'E3002', why: 'what is run may not depend on the data', help: 'export the model for one path (`use_cache` fixed, loops unrolled)' };
const sequence: RefusedOp = { code: 'E3002', why: 'lists of tensors are not values of a transformer', help: 'export the model without post-processing' };
const routing: RefusedOp = { code: 'E3002', why: 'choosing rows or experts by their values is not supported: mixtures of experts do not fit this machine yet', help: 'give a dense model' };
const scatter: RefusedOp = { code: 'E3001', why: 'writing into a tensor at computed places is not expressed', help: 'export with a cache that grows (`Concat` of past and present) rather than a static one' };
const image: RefusedOp = { code: 'E3002', why: 'resampling an image is not a layer of a transformer', help: convolution.help };

const table: readonly (readonly [RefusedOp, readonly string[]])[] = [
  [recurrent, ['LSTM', 'GRU', 'RNN', 'LinearAttention', 'CausalConvWithState']],
  [convolution, ['Conv', 'ConvTranspose', 'ConvInteger', 'QLinearConv', 'DeformConv']],
  [pooling, ['MaxPool', 'AveragePool', 'LpPool', 'GlobalAveragePool', 'GlobalMaxPool', 'GlobalLpPool', 'MaxRoiPool', 'RoiAlign']],
  [batchNorm, ['BatchNormalization', 'InstanceNormalization', 'GroupNormalization', 'LRN', 'MeanVarianceNormalization']],
  [control, ['Loop', 'Scan']],
  [sequence, ['SequenceAt', 'SequenceConstruct', 'SequenceEmpty', 'SequenceInsert', 'SequenceErase', 'SequenceLength', 'SequenceMap', 'SplitToSequence', 'ConcatFromSequence', 'Optional', 'OptionalGetElement', 'OptionalHasElement', 'StringNormalizer', 'TfIdfVectorizer']],
  [routing, ['TopK', 'ArgMax', 'ArgMin', 'Compress', 'Unique', 'NonMaxSuppression', 'Multinomial', 'Hardmax']],
  [scatter, ['Scatter', 'ScatterND', 'ScatterElements', 'TensorScatter']],
  [image, ['Resize', 'Upsample', 'GridSample', 'AffineGrid', 'DepthToSpace', 'SpaceToDepth', 'CenterCropPad', 'Col2Im', 'ImageDecoder']],
];

export const refusedOps: ReadonlyMap<string, RefusedOp> = new Map(table.flatMap(([refused, ops]) => ops.map((op) => [op, refused] as const)));

export const conditional: RefusedOp = control;

/** Convolutions that cut an image into patches are a product of matrices, and still have no rule. */
export const patchEmbedding: RefusedOp = { code: 'E3002', why: 'the patch embedding of an image (a convolution whose kernel is its stride) is not supported yet', help: 'cut the image into patches on the host, and give the model from its patch embeddings on' };
