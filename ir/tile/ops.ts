import type { Format } from '../../isa-spec/fields.ts';
import type { Activation, HostTable, routeScores, VectorFunction } from '../../isa-spec/instructions.ts';

/**
 * The tile language's operations: one unit doing one thing to explicit regions of explicit memories. Each becomes one
 * instruction; semaphores and addresses are the backend's. `attrs` are what is not a region; `regions` below names the operands.
 * Semantics are those of the instruction of the same row in isa-spec/instructions.ts.
 */
export type TileAttrs = {
  /** A host table into a list (hostw). */
  readonly input: { readonly table: HostTable };
  readonly load: Record<never, never>;
  readonly store: Record<never, never>;
  /** Row i <- table row index[first + i] (dgat). `skip`, here and in `scatter`: of an index below 0 the row is zeros, or goes nowhere. */
  readonly gather: { readonly skip: boolean };
  /** Row i -> pool row index[first + i] (dsct). */
  readonly scatter: { readonly skip: boolean };
  /** Every element becomes a number (dcp). */
  readonly fill: { readonly value: number };
  /** Weight tiles to the FIFO (wld); with `scales`, a row of FP32 numbers for each block of k, one for each block of n, go with them. */
  readonly weights: { readonly kTiles: number; readonly nTiles: number; readonly split: number; readonly kSplit: number };
  /** The next FIFO entry times rows of a (mm). `first`: overwrites in iteration 0 of loop level 3. `scales`: of each row, those of its blocks of 128 of k. */
  readonly multiply: { readonly accumulate: 'no' | 'yes' | 'first'; readonly split: number; readonly kSplit: number; readonly kTiles: number; readonly kLast: number; readonly nTiles: number };
  /** Accumulators to memory (epi). */
  readonly drain: {
    readonly activation: Activation; readonly scale: boolean; readonly bias: boolean; readonly gated: boolean; readonly split: number; readonly nTiles: number; readonly nLast: number;
  };
  readonly query: { readonly heads: number; readonly headDim: number; readonly scale: number };
  /** `softCap` 0: scores are not capped. */
  readonly attend: { readonly mask: 'full' | 'causal'; readonly window: number; readonly softCap: number; readonly kvHeads: number; readonly pageRows: number };
  readonly finish: Record<never, never>;
  /** One micro-operation (vmap), of x, or of it and another operand: `y`, rows; or `same`, one row of FP32 numbers or one number, the same for every row. */
  readonly map: { readonly function: VectorFunction };
  readonly norm: { readonly norm: 'rms' | 'layer'; readonly groups: number };
  readonly rope: { readonly interleaved: boolean; readonly headDim: number; readonly rotary: number; readonly heads: number };
  readonly quantise: Record<never, never>;
  /** A scale for each block of 128 columns (vqblk). */
  readonly quantiseBlocks: Record<never, never>;
  /** The experts each row chooses: pairs of row and choice by expert, their weights, where each expert's begin (route). */
  readonly route: { readonly scores: (typeof routeScores)[number]; readonly normalise: boolean; readonly experts: number; readonly k: number };
  /** Pairs into bins of one expert: the row of each place, the place of each pair, the expert of each bin; -1 where there is none. `group` chips share the experts, each has bins for its own alone (bin). */
  readonly bin: { readonly experts: number; readonly k: number; readonly size: number; readonly group: number };
  /** Row i <- rows i*k to (i+1)*k - 1 of x times their weights, added up (mix). */
  readonly mix: { readonly k: number };
  readonly allgather: { readonly parts: number; readonly tag: number };
  /** `out` has this chip's columns of the sum of what all chips bring. */
  readonly reduceScatter: { readonly parts: number; readonly tag: number };
  /** Columns of all rows for whole rows of a share of them: `out` has this chip's. */
  readonly exchange: { readonly parts: number; readonly tag: number };
  /** The rows of all chips' shares; the elements of their lists. */
  readonly collect: { readonly parts: number; readonly tag: number };
  readonly collectList: { readonly parts: number; readonly tag: number };
  /** Rows to the next chip; `out` has those of the chip before, if there is one. */
  readonly shift: { readonly tag: number };
};
export type TileKind = keyof TileAttrs;

/** Operands of each kind, whether it reads or writes them, and which may be absent. `update` reads and writes. */
export const tileOperands = {
  input: { out: 'write' },
  load: { from: 'read', out: 'write' },
  store: { from: 'read', out: 'write' },
  gather: { table: 'read', index: 'read', out: 'write' },
  scatter: { from: 'read', index: 'read', out: 'write' },
  fill: { out: 'write' },
  weights: { from: 'read', scales: 'read?' },
  multiply: { a: 'read', scales: 'read?', acc: 'update' },
  drain: { acc: 'read', params: 'read?', residual: 'read?', rowScale: 'read?', out: 'write' },
  query: { q: 'read', worklist: 'read', slopes: 'read?' },
  attend: { kv: 'read', pages: 'read' },
  finish: { sinks: 'read?', out: 'write' },
  map: { x: 'read', y: 'read?', same: 'read?', out: 'write' },
  norm: { x: 'read', params: 'read', out: 'write' },
  rope: { x: 'read', table: 'read', out: 'write' },
  quantise: { x: 'read', out: 'write', rowScale: 'write' },
  quantiseBlocks: { x: 'read', out: 'write', scales: 'write' },
  route: { x: 'read', biases: 'read?', indices: 'write', weights: 'write', offsets: 'write' },
  bin: { indices: 'read', offsets: 'read', sources: 'write', places: 'write', owners: 'write' },
  mix: { x: 'read', weights: 'read', out: 'write' },
  allgather: { from: 'read', out: 'write' },
  reduceScatter: { from: 'read', out: 'write' },
  exchange: { from: 'read', out: 'write' },
  collect: { from: 'read', out: 'write' },
  collectList: { from: 'read', out: 'write' },
  shift: { from: 'read', out: 'write' },
} as const satisfies Record<TileKind, Readonly<Record<string, 'read' | 'write' | 'update' | 'read?'>>>;

/** Which of a chip's queues runs each kind. */
export const tileQueue = {
  input: 'ctl', load: 'dma0', store: 'dma1', gather: 'dma0', scatter: 'dma1', fill: 'dma0', weights: 'wld', multiply: 'mxu', drain: 'epi',
  query: 'att', attend: 'att', finish: 'att', map: 'vec', norm: 'vec', rope: 'vec', quantise: 'vec', quantiseBlocks: 'vec', route: 'vec', bin: 'vec', mix: 'vec', allgather: 'col', reduceScatter: 'col', exchange: 'col', collect: 'col', collectList: 'col', shift: 'col',
} as const satisfies Record<TileKind, string>;

export type BufferFormat = Format;
