import type { RopeTraits } from './rope.ts';
import type { QkNorm, Wiring } from './spec.ts';

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
  /** Norms of what a branch gives, where it has one before too. */
  readonly attentionAfter?: string;
  readonly mlpAfter?: string;
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

/** Linears of a mixture of experts; `{}` stands for the expert. The shared expert's answer is weighed by its gate. */
export type ExpertNames = {
  readonly router: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  readonly shared?: { readonly router: string; readonly gate: string; readonly up: string; readonly down: string };
};

/** Fields of a mixture of experts: how many there are, how many a row chooses, the width of one. Scores are a softmax. */
export type ExpertTraits = {
  /** `also`: another spelling. */
  readonly count: Field<number> & { readonly also?: string };
  readonly k: Field<number>;
  readonly inner: string;
  readonly normalise: Flag;
  readonly shared?: string;
  readonly names: ExpertNames;
};

export type Family = {
  readonly modelTypes: readonly string[];
  /** Class whose result is rows of the hidden size, and the one with a head over the vocabulary. */
  readonly body: string;
  readonly causal?: string;
  readonly sizes: Sizes;
  readonly norm: 'rms' | 'layer';
  readonly gain?: 'none' | 'lessOne';
  readonly offset?: Flag;
  readonly epsilon: Field<number> | number;
  readonly wiring: Wiring | { readonly key: string; readonly otherwise: boolean; readonly yes: Wiring; readonly no: Wiring };
  /** Slopes set no length: a program serves sequences of `longest`, unless the config says more. A learned table has `extra` rows more than its field says; position 0 is its row `offset`. */
  readonly position: { readonly kind: 'slopes'; readonly longest: number } | { readonly kind: 'rope'; readonly rope: RopeTraits } | { readonly kind: 'learned'; readonly offset: number; readonly extra: number };
  readonly qkNorm?: Omit<QkNorm, 'offset'> & { readonly when: Flag; readonly offset?: true };
  readonly mask: 'causal' | 'full';
  readonly window: WindowTraits;
  readonly bias: { readonly qkv: Flag; readonly out: Flag; readonly mlp: Flag; readonly head: Flag };
  readonly activation: Field<string>;
  /** Names the published class takes for others. */
  readonly legacyActivation?: Readonly<Record<string, string>>;
  readonly gated: boolean;
  readonly experts?: ExpertTraits;
  readonly factor?: {
    /** `root`: the square root of the hidden size. */
    readonly embedding?: Field<number> | 'root';
    /** `root`: one over the square root of the field. */
    readonly score?: Field<number> & { readonly root?: true };
    readonly residual?: Field<number>;
    readonly logits?: Field<number> & { readonly divides: boolean };
  };
  /** Fields of what is capped softly; null there: nothing. */
  readonly cap?: { readonly scores: Field<number>; readonly logits: Field<number> };
  readonly tied: Field<boolean>;
  readonly names: Names;
  /** Fields of this family that change nothing, with the reason. */
  readonly inert?: Readonly<Record<string, string>>;
  /** Fields of this family that are compiled for one value alone: that value (also the default), and what another would change. */
  readonly fixed?: Readonly<Record<string, { readonly is: string | number | boolean | null; readonly else: string }>>;
  /** Fields that have to equal another. */
  readonly same?: Readonly<Record<string, string>>;
};

/** How a family says that attention sees a window. `switch`: only if that field is true, and only from layer `from` on. */
export type WindowTraits =
  | { readonly kind: 'none' }
  | { readonly kind: 'always'; readonly key: string; readonly otherwise: number }
  | { readonly kind: 'switched'; readonly key: string; readonly otherwise: number; readonly switch: string; readonly from: string; readonly fromOtherwise: number }
  /** All layers but every n-th. */
  | { readonly kind: 'pattern'; readonly key: string; readonly otherwise: number; readonly every: Field<number> | number };

export const field = <T>(key: string, otherwise: T): Field<T> => ({ key, otherwise });
