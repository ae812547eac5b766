import type { Origin } from '../../diagnostics/diagnostic.ts';
import type { Dim, TensorType, ValueId } from '../types.ts';
import type { Weight } from '../weights.ts';
import type { CustomLayer } from './custom.ts';
import type { GraphAttrs, OpKind } from './ops.ts';

/** Kinds of ops that hold others. */
export type BodyKind = 'loop' | 'fused';

/** An operation: every kind has the same fields in the same order. */
export type GraphOp = {
  readonly [K in OpKind]: {
    readonly kind: K;
    readonly attrs: GraphAttrs[K];
    readonly operands: readonly ValueId[];
    readonly results: readonly ValueId[];
    readonly origin: Origin;
    readonly body: K extends BodyKind ? Block : undefined;
  };
}[OpKind];
export type OpOf<K extends OpKind> = Extract<GraphOp, { kind: K }>;

/** Straight-line code: its parameters, its operations in order, and what it hands back. A body sees outer values too. */
export type Block = { readonly params: readonly ValueId[]; readonly ops: readonly GraphOp[]; readonly yields: readonly ValueId[] };

/** What a step feeds a parameter of the module: a row list the host makes, activations of that name (`rows`), or (source graphs) a tensor of that name. */
export type Feed = 'ids' | 'positions' | 'types' | 'rows' | 'tensor';
export type Input = { readonly name: string; readonly feed: Feed };
/** A result of the module. `rows`: one row a token, or one a sampled row. */
export type Output = { readonly name: string; readonly rows: 'tokens' | 'samples' | 'tensor' };

/** A KV cache the module's attentions append to: `layers` of [kvHeads, headDim] keys and values a token. */
export type Cache = { readonly name: string; readonly layers: number; readonly kvHeads: number; readonly headDim: number };

/** Elements `stride` apart in a tensor; sizes may be named as in the source. */
export type Stride = { readonly size: Dim; readonly stride: Dim };

/**
 * Input `input` of the module, made of the source's tensor `tensor` of that shape. Row r, column c of a sequence is its element
 * r over `rows` + c over `columns`, both row-major; they are rows `of` the sequences, or of what these attend to besides; sequences are `batch` apart. The first `before` rows are zero, and the rest is rows.
 */
export type Unfold = {
  readonly input: string;
  readonly tensor: string;
  readonly of: 'tokens' | 'memory';
  readonly shape: readonly Dim[];
  readonly batch: Stride;
  readonly rows: readonly Stride[];
  readonly columns: readonly Stride[];
  readonly before: number;
};

/**
 * How the recognised entry serves the source's own inputs and outputs: what the host prepares from which source input
 * (masks become ragged rows, pasts become cache pages), for reports and for comparison with other runtimes.
 */
export type SourceInterface = {
  readonly inputs: readonly { readonly name: string; readonly role: 'ids' | 'positions' | 'types' | 'mask' | 'pastKey' | 'pastValue' | 'rows' | 'memoryMask' | 'other'; readonly layer: number }[];
  /** The tensors that rows are made of: host-side preparation (an image's patches, a transposed sequence). */
  readonly unfolds?: readonly Unfold[];
  readonly outputs: readonly { readonly name: string; readonly role: 'result' | 'presentKey' | 'presentValue'; readonly index: number }[];
  /** Inputs the source has and the entry has not: what they are in every run. */
  readonly fixed?: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** Which row of each sequence the source's sampled outputs are of, where it says. */
  readonly samples?: 'first' | 'last' | 'largest';
};

/** The accounting of source nodes: each ends as hardware, folded, host preparation, or refused. */
export type Disposition = 'hardware' | 'folded' | 'host' | 'refused';
export type SourceNode = { readonly name: string; readonly op: string; readonly disposition: Disposition };

export type GraphModule = {
  readonly name: string;
  readonly family: string;
  readonly inputs: readonly Input[];
  readonly outputs: readonly Output[];
  readonly caches: readonly Cache[];
  readonly weights: readonly Weight[];
  readonly customLayers: readonly CustomLayer[];
  /** Type of each value, by id. */
  readonly types: readonly TensorType[];
  /** Parameters pair with `inputs`, yields with `outputs`. */
  readonly body: Block;
  /** Not printed: it describes the source file, not the program. */
  readonly source: { readonly interface: SourceInterface; readonly nodes: readonly SourceNode[]; readonly parameters: number; readonly layers: number; readonly maxPositions: number };
};

/** Of a module that no source file made. */
export const noSource: GraphModule['source'] = { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 0, layers: 0, maxPositions: 0 };

/** Every operation, those of bodies after the one that holds them, in program order. */
export function* allOps(block: Block): Generator<GraphOp> {
  for (const op of block.ops) {
    yield op;
    if (op.body !== undefined) yield* allOps(op.body);
  }
}
