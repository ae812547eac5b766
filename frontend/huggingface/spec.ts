import type { Activation } from '../../isa-spec/instructions.ts';
import type { DType } from '../../ir/types.ts';
import type { ExpertNames, Names } from './family.ts';

/** Angles of a rotary embedding: pair i turns by position * frequencies[i]. */
export type RopeSpec = { readonly frequencies: readonly number[]; readonly interleaved: boolean; readonly path: string };

/** Order of norms, attention, feed-forward and sums in a layer. */
export type Wiring =
  /** x += A(N(x)); x += F(N(x)) */
  | 'pre'
  /** x = N(x + A(x)); x = N(x + F(x)) */
  | 'post'
  /** n = N(x); x + A(n) + F(n) */
  | 'parallel'
  /** x + A(N(x)) + F(N'(x)) */
  | 'parallel2'
  /** x += N'(A(N(x))); x += N'(F(N(x))) */
  | 'sandwich'
  /** x += N(A(x)); x += N(F(x)) */
  | 'branch';

/** What layers of one network may differ in. `window`: keys each query sees, 0: all. */
export type LayerKind = { readonly window: number; readonly rope: RopeSpec | undefined };

/** Norms of queries and keys before they turn: of each head, or of the row of all. The gain of each head is its own or `shared`. */
export type QkNorm = { readonly of: 'heads' | 'row'; readonly gain: 'own' | 'shared'; readonly offset: boolean; readonly q: string; readonly k: string };

/** A mixture of experts in the place of every layer's feed-forward. */
export type ExpertsSpec = {
  readonly count: number;
  readonly k: number;
  /** Width of an expert's inner rows. */
  readonly inner: number;
  /** Weights of the chosen add up to 1. */
  readonly normalise: boolean;
  /** Width of an expert every row meets, times the sigmoid of a number of the row's. */
  readonly shared: number | undefined;
  readonly names: ExpertNames;
  /** The field that says how many there are. */
  readonly field: string;
};

/** A transformer, checked: what `build.ts` can make without a further question. */
export type TransformerSpec = {
  readonly family: string;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly intermediate: number;
  readonly vocab: number;
  readonly maxPositions: number;
  readonly norm: 'rms' | 'layer';
  /** Whether norms have a gain, stored as it is or less one, and (layer norm) an offset. */
  readonly affine: { readonly gain: 'none' | 'stored' | 'lessOne'; readonly offset: boolean };
  readonly qkNorm: QkNorm | undefined;
  readonly epsilon: number;
  readonly wiring: Wiring;
  /** Layer i is of kind i modulo their number. */
  readonly kinds: readonly LayerKind[];
  /** What scores rise by for each place a key is after its query, by head (ALiBi). */
  readonly slopes: readonly number[] | undefined;
  /** Rows of a learned position table; the first `offset` of them stand for no position. */
  readonly positionTable: { readonly rows: number; readonly offset: number } | undefined;
  /** Rows of the token type table. */
  readonly typeTable: number | undefined;
  readonly mask: 'causal' | 'full';
  readonly bias: { readonly qkv: boolean; readonly out: boolean; readonly mlp: boolean; readonly head: boolean };
  readonly activation: Activation;
  readonly gated: boolean;
  readonly experts: ExpertsSpec | undefined;
  /** Factors folded into weights: embedding rows, attention scores, what a branch adds, logits. */
  readonly factor: { readonly embedding: number; readonly score: number; readonly residual: number; readonly logits: number };
  /** What scores and logits are softly kept below, 0: nothing. */
  readonly cap: { readonly scores: number; readonly logits: number };
  readonly head: 'none' | 'tied' | 'own';
  readonly names: Names;
  /** Fields the config calls things by, for origins. */
  readonly fields: { readonly layers: string; readonly heads: string; readonly activation: string };
  /** Dtype the checkpoint is said to be stored in. */
  readonly dtype: DType;
  /** How the stored weights are quantised, if the config says so. */
  readonly quantised: string | undefined;
};
