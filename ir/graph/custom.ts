import { dtypes, type TensorType, type ValueId } from '../types.ts';
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

/** What a layer's own code did wrong: it threw, or gave back something its contract does not have. */
export class CustomLayerError extends Error {
  constructor(layer: string, part: string, what: string) {
    super(`custom layer \`${layer}\`: \`${part}\` ${what}`);
    this.name = 'CustomLayerError';
  }
}

/** Declares a custom layer. Whatever goes wrong inside its functions comes out as a `CustomLayerError` that names the layer. */
export function defineLayer(layer: CustomLayer): CustomLayer {
  const guarded = <A extends unknown[], R>(part: string, run: (...args: A) => R, holds: (result: R) => boolean, wanted: string) =>
    (...args: A): R => {
      let result: R;
      try {
        result = run.apply(layer, args);
      } catch (error) {
        if (error instanceof CustomLayerError) throw error;
        throw new CustomLayerError(layer.name, part, `threw: ${error instanceof Error ? error.message : String(error)}`);
      }
      if (!holds(result)) throw new CustomLayerError(layer.name, part, `has to return ${wanted}`);
      return result;
    };
  return {
    ...layer,
    match: guarded('match', layer.match, (attrs) => attrs === undefined || isRecord(attrs), 'attributes, or undefined'),
    infer: guarded('infer', layer.infer, (type) => isRecord(type) && dtypes.includes(type.dtype) && Array.isArray(type.shape), 'a type, `{ dtype, shape }`'),
    reference: guarded('reference', layer.reference, (data) => data instanceof Float64Array, 'a Float64Array'),
    lower: guarded('lower', layer.lower, (value) => typeof value === 'number', 'a value of the builder'),
  };
}

const isRecord = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
