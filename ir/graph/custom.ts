import type { TensorType, ValueId } from '../types.ts';
import type { GraphBuilder } from './build.ts';

type Attrs = Readonly<Record<string, number | string | readonly number[]>>;

/** What a custom layer may look at when it decides whether a source node is its own. */
export type SourceOp = { readonly domain: string; readonly op: string; readonly attrs: Attrs };

/** A layer of the user's: recognised, typed, given a meaning, and lowered to graph ops. One value, handed to `compile()`. */
export type CustomLayer = {
  readonly name: string;
  /** One sentence for reports and `--help`. */
  readonly docs: string;
  /** The layer's attributes, read from a source node that is this layer; undefined when it is not. */
  readonly match: (source: SourceOp) => Attrs | undefined;
  /** Result type from operand types. Throws a string-message Error when the operands do not fit. */
  readonly infer: (operands: readonly TensorType[], attrs: Attrs) => TensorType;
  /** The meaning, in real numbers, on row-major data. */
  readonly reference: (operands: readonly { readonly shape: readonly number[]; readonly data: Float64Array }[], attrs: Attrs) => Float64Array;
  /** Rewrites the layer into graph ops; returns its result. */
  readonly lower: (build: GraphBuilder, operands: readonly ValueId[], attrs: Attrs) => ValueId;
};

/** Declares a custom layer: an identity that types its parts. */
export const defineLayer = (layer: CustomLayer): CustomLayer => layer;
