import type { Activation, routeScores } from '../../isa-spec/instructions.ts';

/**
 * The graph language's operations and what each is parametrised by. To add one, add a line and follow the compiler.
 *
 * The transformer ops work on rows: an activation is [tokens, features], one row for each token of a ragged step; which
 * rows form a sequence, and what it has cached, is the step's business (`Step` in interpret.ts), not the graph's.
 * The primitive ops are what an ONNX graph is made of before it is recognised; none may be left when lowering starts.
 */
export type GraphAttrs = {
  /** () -> the named weight of the module; inside a loop, this iteration's instance. */
  readonly weight: { readonly name: string };
  /** (ids: i32 [tokens], table [n, d]) -> [tokens, d] */
  readonly embed: Record<never, never>;
  /**
   * (x, gamma [d]?, beta [d]?) -> x. RMS: x / sqrt(mean(x^2) + eps) * gamma. Layer: (x - mean) / sqrt(var + eps) * gamma + beta.
   * Means are over each of the `groups` equal parts of a row on its own: 1, or one a head.
   */
  readonly norm: { readonly norm: 'rms' | 'layer'; readonly groups: number; readonly epsilon: number };
  /**
   * (x [t, k], w [n, k], then those present in this order: scales of x, columnScale [n], bias [n], residual [t, n or n/2]) -> [t, n], n/2 if gated.
   * y = x w^T * columnScale + bias; activation (gated: act(y[:, :n/2]) * y[:, n/2:]); + residual. Scales [t] multiply the sums of rows;
   * scales [t, ceil(k/128)] those of blocks of 128 of k, which are then added up.
   */
  readonly linear: { readonly activation: Activation; readonly gated: boolean; readonly scaled: boolean; readonly bias: boolean; readonly residual: boolean };
  /** (x [t, heads*headDim], positions: i32 [t]) -> x. Rotates the first 2*frequencies.length elements of each head; pairs are halves (i, i+n/2) or interleaved (2i, 2i+1). */
  readonly rope: { readonly headDim: number; readonly frequencies: readonly number[]; readonly amplitude: number; readonly interleaved: boolean; readonly positions: number };
  /**
   * (q [t, heads*headDim], k [t, kvHeads*headDim], v likewise, sinks [heads] and slopes [heads] if there are) -> [t, heads*headDim]. softmax(cap(scale * q k^T), masked) v for
   * each row against the keys of its own sequence: those cached plus this step's (cache given, appended first), else this step's only; or, where k and v are [memory, ...], against all of its memory.
   * Inside a loop every iteration has its own cache. `window` 0: none. cap(z) = softCap * tanh(z / softCap), softCap 0: none. A sink is the
   * logit of one more key, of value 0. A slope is added to scores for each place that a key is after its query (ALiBi).
   */
  readonly attention: {
    readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly scale: number; readonly softCap: number; readonly sinks: boolean; readonly slopes: boolean;
    readonly mask: 'full' | 'causal'; readonly window: number; readonly cache: string;
  };
  /**
   * (x [t, d], logits [t, experts], gates and ups [experts*2f, d], downs [experts*d, f], then those present in this order: scales of the
   * rows of both, choice bias [experts], biases of both) -> [t, d].
   * Of each row the k experts of highest score (+ choice bias), the lower number first among equals; their scores, normalised to sum to 1 or not,
   * are the weights of what they make of it, added up in this order. Expert e has rows e*2f to (e+1)*2f, gates first, and e*d to (e+1)*d:
   * down(activation(gate x) * up x), either product rounded to bf16. `scaled`: the rows multiplied are quantised, as by `quantise`.
   * Of `parts` chips each has so much of every expert's gates, ups and downs, and of the result's columns; inner rows are gathered, the chips' columns in rank order.
   * `whole`: each has as many whole experts instead, in rank order, and all of every row.
   */
  readonly experts: {
    readonly experts: number; readonly k: number; readonly scores: (typeof routeScores)[number]; readonly normalise: boolean;
    readonly activation: Activation; readonly scaled: boolean; readonly biased: boolean; readonly bias: boolean; readonly parts: number; readonly whole: boolean;
  };
  /** (x [t, d]) -> [samples, d]: the rows the step asks for (language models: where a next token is wanted). */
  readonly sampleRows: Record<never, never>;
  /** (x) -> activation of each element. */
  readonly activate: { readonly activation: Activation };
  readonly add: Record<never, never>;
  readonly multiply: Record<never, never>;
  /** (x [t, d], by [d] or [1]) -> x times a number for each feature, or one for all. */
  readonly scale: Record<never, never>;
  /** (x [t, d]) -> columns start to end. */
  readonly columns: { readonly start: number; readonly end: number };
  /** (x [t, d]) -> (e4m3 [t, d], f32 [t]): scale = amax/448 (1 if 0) of each row, x / scale. `blocks`: of each 128 columns of a row, the last of which may be fewer; f32 [t, ceil(d/128)]. */
  readonly quantise: { readonly blocks: boolean };
  /** (x) -> x rounded to the result's dtype. */
  readonly convert: Record<never, never>;
  /** (x [t, d/parts] on each of `parts` chips) -> [t, d]: of each of the `strips` x is cut into, alike, the chips' columns in rank order. */
  readonly allgather: { readonly parts: number; readonly strips: number };
  /** () -> [tokens, d]: the rows the chip before in a pipeline gave out as its `value`th in its last step; of the first chip, and interpreted alone, zeros. */
  readonly take: { readonly value: number };
  /** (x [t, d]) -> x, which the next chip takes in its next step. */
  readonly give: { readonly value: number };
  /** (carried...) -> (carried...): the body `trip` times. */
  readonly loop: { readonly trip: number };
  /** (values the body reads) -> (values of the body that others read): ops the machine works off together, rows going from one to the next. */
  readonly fused: Record<never, never>;
  /** A layer of the user's (see custom.ts): `layer` names its definition, which travels with the module. */
  readonly custom: { readonly layer: string; readonly attrs: Readonly<Record<string, number | string | readonly number[]>> };
} & TensorAttrs;

/** Element-wise functions of one value in a source graph. */
export const unaryFunctions = ['neg', 'abs', 'sqrt', 'reciprocal', 'exp', 'log', 'tanh', 'sigmoid', 'erf', 'relu', 'sin', 'cos', 'floor', 'ceil', 'not', 'isnan', 'sign', 'softplus', 'round'] as const;
/** Element-wise functions of two values in a source graph, broadcasting as NumPy does. */
export const binaryFunctions = ['add', 'sub', 'mul', 'div', 'pow', 'min', 'max', 'mod', 'equal', 'less', 'lessEqual', 'greater', 'greaterEqual', 'and', 'or'] as const;

/** What becomes of an element that is written to: the new value, or the old and the new together. */
export const scatterReductions = ['none', 'add', 'mul', 'min', 'max'] as const;

/** What a source graph is made of: a small algebra on tensors of any rank. `p` marks the primitives. */
export type PrimitiveAttrs = {
  /** A constant small enough to hold: integers, scalars, tables. Larger ones are weights. */
  readonly pconst: { readonly values: readonly number[] };
  readonly punary: { readonly fn: (typeof unaryFunctions)[number] };
  readonly pbinary: { readonly fn: (typeof binaryFunctions)[number] };
  readonly pwhere: Record<never, never>;
  /** Batched matrix product of the last two axes, batch axes broadcasting. */
  readonly pmatmul: Record<never, never>;
  readonly preduce: { readonly fn: 'sum' | 'mean' | 'max' | 'min' | 'prod'; readonly axes: readonly number[]; readonly keepDims: boolean };
  readonly psoftmax: { readonly axis: number };
  readonly ptranspose: { readonly perm: readonly number[] };
  /** The result's type says the shape. */
  readonly preshape: Record<never, never>;
  /** Broadcast to the result's shape. */
  readonly pexpand: Record<never, never>;
  /** Dims as expressions, so that slices of symbolic axes can be said. */
  readonly pslice: { readonly axis: number; readonly start: string; readonly end: string; readonly step: number };
  readonly pconcat: { readonly axis: number };
  /** (data, indices) along axis. */
  readonly pgather: { readonly axis: number };
  /** To integers cuts off (below 32 bits the low ones stay), to bool compares with 0, to floats of 8 bits and fewer rounds (ties to even, saturating); wider ones hold what they are given. */
  readonly pcast: Record<never, never>;
  /** () -> integers start, start+step, ... of the result's length (a symbolic Range). */
  readonly piota: { readonly start: string; readonly step: number };
  /** (x) -> x with elements outside a triangle zeroed. */
  readonly ptrilu: { readonly upper: boolean; readonly k: string };
  readonly pcumsum: { readonly axis: number };
  /** (data, indices) -> data at indices along axis, one index an element; the other axes broadcast (NumPy's take_along_axis). */
  readonly ppick: { readonly axis: number };
  /** (data, indices, updates) -> data, its element at each index along axis written by that of updates, or combined with it, in row-major order. Indices broadcast to updates; the other axes of updates are the first places of data's. */
  readonly pscatter: { readonly axis: number; readonly reduction: (typeof scatterReductions)[number] };
  /** (x) -> i64 indices of the k largest (or smallest) along axis, best first, of equals the first; not-a-number is the largest. */
  readonly ptopk: { readonly axis: number; readonly k: string; readonly largest: boolean };
  /** () -> the size expressions, as integers (a folded Shape computation that has stayed symbolic). */
  readonly psizes: { readonly sizes: readonly string[] };
};

/** Activations of the library, in real numbers: those the machine has, and those it has not. */
export const blockActivations = ['relu', 'silu', 'gelu', 'gelu_tanh', 'tanh', 'sigmoid', 'relu2', 'softplus', 'mish', 'hardswish', 'elu'] as const;

/** What a router's weights are made of. */
export const moeScores = ['softmax', 'sigmoid', 'chosen'] as const;

/** Where the elements of a rotation's pairs lie. */
export const ropePairs = ['halves', 'interleaved', 'unzipped'] as const;

/** What recognising makes of primitives: the functions a transformer is made of, on tensors of any rank. `t` marks them. */
export type BlockAttrs = {
  /** (x, gamma?, beta?, both broadcasting to x) -> x. RMS: x / sqrt(mean(x^2) + epsilon) * gamma. Layer: (x - mean) / sqrt(variance + epsilon) * gamma + beta. 0 / 0 is 0. */
  readonly tnorm: { readonly norm: 'rms' | 'layer'; readonly axes: readonly number[]; readonly epsilon: number };
  /** (x) -> f(slope * x) / slope of each element. */
  readonly tactivate: { readonly activation: (typeof blockActivations)[number]; readonly slope: number };
  /** (x, cos [.., w], sin [.., w]) -> x, the first 2w elements of its last axis rotated. Pairs are halves (i, i + w), interleaved (2i, 2i + 1), or unzipped: read interleaved, written as halves. */
  readonly trope: { readonly pairs: (typeof ropePairs)[number] };
  /**
   * (q [.., m, d], k [.., n, d], v [.., n, e], then bias and sinks if there are, broadcasting to [.., m, n] and [.., m, 1]) -> [.., m, e].
   * softmax over keys of cap(scale * q k^T) + bias, times v; cap(z) = softCap * tanh(z / softCap), softCap 0: none. A sink is the logit of
   * one more key, of value 0. A row that may see nothing (every logit -Infinity) is 0.
   */
  readonly tattention: { readonly scale: number; readonly softCap: number; readonly biased: boolean; readonly sinks: boolean };
  /**
   * (x [.., d], logits [.., E], choice bias [E] if biased, gate [E, d, f], up [E, d, f], down [E, f, d], then if expertBias gate's [E, f], up's [E, f], down's [E, d]) -> [.., d].
   * Of each row the k experts of highest score (+ bias), the lower number first among equals; their scores are the weights, normalised to sum to 1
   * or not, times factor. `chosen`: a softmax over the logits of the chosen alone. Of several groups of E / groups neighbours each, only the experts of
   * those `kept` are chosen from whose `judged` best add up to most. Expert: down(act(min(gate x, limit)) * (clamp(up x, limit) + shift)); limit 0: none.
   */
  readonly tmoe: {
    readonly k: number; readonly scores: (typeof moeScores)[number]; readonly normalise: boolean; readonly factor: number;
    readonly groups: number; readonly kept: number; readonly judged: number;
    readonly activation: (typeof blockActivations)[number]; readonly slope: number; readonly limit: number; readonly shift: number;
    readonly biased: boolean; readonly expertBias: boolean;
  };
};

export type TensorAttrs = PrimitiveAttrs & BlockAttrs;

export type OpKind = keyof GraphAttrs;
