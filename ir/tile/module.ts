import type { Origin } from '../../diagnostics/diagnostic.ts';
import type { StepCount } from '../../isa-spec/instructions.ts';
import type { BufferFormat, TileAttrs, TileKind, tileOperands } from './ops.ts';

declare const brand: unique symbol;
/** Names a buffer: its index in `module.buffers`. */
export type BufferId = number & { readonly [brand]: 'BufferId' };

/**
 * What the host or the packer puts into an HBM buffer, from the graph module's weight `weight` (never an activation):
 * `tiles`: the weight [n, k] as A x A tiles in the order the program streams them. Column groups of `groupTiles` tiles (the
 *   last group may be narrower), in each k-tiles, in each the group's n-tiles; a tile is A rows (k) of A columns (n), zero beyond the edges. Gated: a group's first half of tiles are of the
 *   first n/2 columns of the weight, the second half of the other. One row of the buffer is one tile.
 * `params`: per column group one row: FP32 column scales (if e4m3), then biases (if `bias`), groupTiles*A columns each, in tile order.
 * `norm`: one row: eps, padded to a line, then gamma (ones without), then, if there is room, beta (-0 without), `features` each. `rows`: the weight as it is, a row a row.
 * `expertTiles`, `expertParams`: the same of each of `experts` equal parts of the weight's rows, all of a part in one row.
 * All have `instances` of the weight one after the other (a loop's iterations); `rowsPerInstance` rows each.
 */
export type Packing =
  | { readonly kind: 'tiles'; readonly weight: string; readonly groupTiles: number; readonly gated: boolean }
  | { readonly kind: 'params'; readonly weight: string; readonly bias: string; readonly groupTiles: number; readonly gated: boolean; readonly scale: boolean }
  | { readonly kind: 'norm'; readonly gamma: string; readonly beta: string; readonly features: number; readonly epsilon: number }
  | { readonly kind: 'expertTiles'; readonly weight: string; readonly experts: number; readonly groupTiles: number; readonly gated: boolean }
  | { readonly kind: 'expertParams'; readonly weight: string; readonly bias: string; readonly experts: number; readonly groupTiles: number; readonly gated: boolean; readonly scale: boolean }
  | { readonly kind: 'rows'; readonly weight: string };

/**
 * A matrix in one memory. Rows start on lines. `depth` slots of `rows` rows each make a ring.
 * A `ring` is filled slot after slot by one queue and emptied in the same order by another, throughout a step.
 * A `list` is packed (a row list of the whole step, or a host table as raw words). Accumulators count columns in FP32 elements.
 */
export type Buffer = {
  readonly name: string;
  readonly space: 'hbm' | 'sram' | 'acc';
  readonly role: 'weights' | 'kv' | 'pipe' | 'value' | 'stage' | 'ring' | 'list' | 'input' | 'output';
  readonly format: BufferFormat;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly packing: Packing | undefined;
};

/** `base + sum steps[l] * I[l]` over the four loop levels. */
export type Affine = { readonly base: number; readonly steps: readonly [number, number, number, number] };

/** Part of a buffer: `rows` rows from `row`, `columns` columns from `column`, of ring slot `slot mod depth`. */
export type Region = { readonly buffer: BufferId; readonly slot: Affine; readonly row: Affine; readonly column: Affine; readonly rows: number; readonly columns: number };

/**
 * `max` rows, shortened at run time to what is left of the step's count after `max * I[1]` rows; `all`: never shortened. With `part`
 * the count is of the step's rows from `first` on, at most `rows` of them. `shared`: of that count a chip's share, among so many, rounded up.
 */
export type RowBound = { readonly max: number; readonly of: StepCount | 'all'; readonly part?: RowPart; readonly shared?: number };
export type RowPart = { readonly first: number; readonly rows: number };

type OperandNames<K extends TileKind> = (typeof tileOperands)[K];
type RegionsOf<K extends TileKind> = {
  readonly [N in keyof OperandNames<K> as OperandNames<K>[N] extends 'read?' ? never : N]: Region;
} & { readonly [N in keyof OperandNames<K> as OperandNames<K>[N] extends 'read?' ? N : never]: Region | undefined };

export type TileOp = {
  readonly [K in TileKind]: {
    readonly kind: K;
    readonly attrs: TileAttrs[K];
    readonly regions: RegionsOf<K>;
    readonly rows: RowBound;
    /** The graph op this does part of: a label unique in the module (`layer.attention`), and where that came from. */
    readonly label: string;
    readonly origin: Origin;
  };
}[TileKind];
export type TileOpOf<K extends TileKind> = Extract<TileOp, { kind: K }>;

/** Loop levels: 0 layers, 1 row tiles, 2 column groups, 3 k chunks. A nested loop has a higher level than the one around it. */
export type TileLoop = { readonly kind: 'loop'; readonly level: 0 | 1 | 2 | 3; readonly name: string; readonly count: number; readonly body: readonly TileNode[] };
export type TileNode = TileOp | TileLoop;

/** Every operation, loop bodies included, in program order. */
export function* allTileOps(nodes: readonly TileNode[]): Generator<TileOp> {
  for (const node of nodes) {
    if (isLoop(node)) yield* allTileOps(node.body);
    else yield node;
  }
}

export const isLoop = (node: TileNode): node is TileLoop => node.kind === 'loop';

export type TileModule = {
  readonly name: string;
  /** Side of a weight tile. */
  readonly tile: number;
  readonly chips: number;
  /** Largest step: rows, sequences, sampled rows, rows of memory; pages of the KV pool and entries of a page list. */
  readonly bounds: { readonly tokens: number; readonly sequences: number; readonly samples: number; readonly memory: number; readonly poolPages: number; readonly pageRows: number; readonly pageListEntries: number };
  readonly buffers: readonly Buffer[];
  readonly body: readonly TileNode[];
  /** Activations the host brings: the graph's input and the buffer it writes its rows to. */
  readonly inputs: readonly { readonly name: string; readonly buffer: BufferId; readonly rows: StepCount }[];
  /** The graph's results: output name and the buffer that holds it. */
  readonly outputs: readonly { readonly name: string; readonly buffer: BufferId; readonly rows: StepCount }[];
};
