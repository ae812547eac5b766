import type { Format } from '../../isa-spec/fields.ts';
import { shareOf } from '../../isa-spec/groups.ts';
import type { StepCount } from '../../isa-spec/instructions.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import { pitchLines } from '../../ir/tile/footprint.ts';
import type { Affine, Buffer, BufferId, Region, RowBound, RowPart, TileModule } from '../../ir/tile/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Question, Questions } from '../plan/decisions.ts';
import type { Homes } from '../plan/tiling.ts';
import type { Pieces } from './blocks.ts';
import type { Turn } from './parts.ts';
import { affine, shift, type TileWriter } from './writer.ts';

/** Largest step a program serves, and the KV pool it works on. */
export type Bounds = TileModule['bounds'];

/** A value in memory: columns of a buffer, from `row` on a row for everything a step, or the part of it, counts (tokens, sampled rows, ...). */
export type Place = { readonly buffer: BufferId; readonly row: number; readonly column: number; readonly columns: number; readonly of: StepCount };

/** What lowering an op needs: the writer, where values are, and in which loop it is. */
export type Lowering = {
  readonly write: TileWriter;
  readonly module: GraphModule;
  readonly machine: Machine;
  readonly bounds: Bounds;
  readonly homes: Homes;
  /** What is settled of a thing of this op; undefined if there is no room. */
  readonly settle: <Q extends Question>(kind: Q, what: string, of: Questions[Q]['of']) => Questions[Q]['settled'] | undefined;
  readonly place: (value: ValueId) => Place;
  /** The SRAM list a row-list value (ids, positions, row scales) is in. */
  readonly list: (value: ValueId) => Region;
  /** Rows of FP32 ones in SRAM: the scales of blocks of weights, which have scales of columns. */
  readonly ones: (rows: number, columns: number) => Region;
  /** A row list of ones: the scales of rows that have scales of blocks. */
  readonly onesOf: (of: StepCount) => Region;
  /** Where in HBM a residual is that is brought back as it is added, if this one is. */
  readonly parkedAt: (residual: Place) => Place | undefined;
  readonly pieces: Pieces;
  /** A number no collective has yet. */
  readonly tag: () => number;
  /** Ops that another has done already. */
  readonly done: Set<GraphOp>;
  /** Codes whose pieces are all made of one group of columns, one after the other: the first is there before the others. Of other codes a group's are. */
  readonly madeTogether: Set<ValueId>;
  /** The part of the step's rows that is worked on; undefined for all. */
  readonly part: RowPart | undefined;
  /** The instance of a weight or cache that is read: that of the iteration of the layer loop, `ahead` further on; outside of the loop, where no iteration counts, `ahead` itself. `beside`: what the attention of another part does meanwhile. */
  readonly layer: { readonly looped: boolean; readonly ahead: number; readonly beside?: Turn<unknown>['beside'] };
};

/** The SRAM an op needs at the least is not there. */
export class DoesNotFit extends Error {}

/** Lowering needs a value in HBM that was to stay in SRAM. */
export class MustSpill extends Error {
  readonly buffer: string;
  constructor(buffer: string) {
    super(`\`${buffer}\` must live in HBM`);
    this.buffer = buffer;
  }
}

export const rowLimit = ({ bounds, part }: Lowering, of: StepCount): number => (of === 'tokens' && part !== undefined ? part.rows : bounds[of]);

/** Rows of them that the largest step has: of the last part fewer than it is high, if parts do not come out even. */
export const rowsAtMost = (low: Lowering, of: StepCount): number => Math.min(rowLimit(low, of), of === 'tokens' ? low.bounds.tokens - (low.part?.first ?? 0) : Infinity);

export const bufferOf = (low: Lowering, id: BufferId): Buffer => low.write.buffers[id] as Buffer;

/** Bytes a row of `columns` elements takes in a buffer of its own. */
export const rowBytes = (low: Lowering, format: Format, columns: number): number =>
  pitchLines({ format, columns }, low.machine.sram.lineBytes.value) * low.machine.sram.lineBytes.value;

/** The rows of a place from `row` on. */
export const rowsOf = (low: Lowering, place: Place, row: Affine, rows: number, reach: number): Region =>
  low.write.region(place.buffer, shift(row, place.row), rows, place.columns, { column: affine(place.column), reach: place.row + reach });

/** Instance-indexed rows of a weight buffer, `perInstance` each: this iteration's, `from` rows in. */
export const instanceRow = ({ layer: { looped, ahead } }: Lowering, perInstance: number, from: Affine = affine(0)): Affine =>
  ({ base: from.base + ahead * perInstance, steps: [looped ? perInstance : 0, from.steps[1], from.steps[2], from.steps[3]] });

export const stageDepth = 2;

/** Writes the ops of one row tile: operands and results where the units find them; `home`: this tile's rows of any place. */
type Emit = (reads: readonly Region[], writes: readonly Region[], rows: RowBound, home: (place: Place) => Region, passing: readonly Region[]) => void;

/** Rows that are made in a tile and read in it, and nowhere else; of `shared` chips, a chip's share of the tile's. */
export type Passing = { readonly name: string; readonly format: Format; readonly columns: number; readonly shared?: number };

/** What passes through: rows that are read, that are written, and that are made in between; in tiles that are settled already, or as they may be. */
type Passed = { readonly reads?: readonly Place[]; readonly writes?: readonly Place[]; readonly passing?: readonly Passing[]; readonly tiling?: Tiling };
type Tiling = { readonly rowTile: number; readonly rowTiles: number };

/**
 * Runs `emit` over tiles of rows, which for this op are `what`. Operands that live in HBM are loaded into, and results stored from, double-buffered
 * stages, and so are those of `passing`. Throws DoesNotFit when a single row is too much.
 */
export function overRows(low: Lowering, what: string, { reads = [], writes = [], passing = [], tiling }: Passed, emit: Emit): void {
  const of = (writes[0] ?? reads[0])?.of ?? 'tokens';
  const staged = [...reads, ...writes].filter((place) => bufferOf(low, place.buffer).space === 'hbm');
  const { rowTile, rowTiles } = tiling ?? rowTiling(low, what, of, bytesPassing(low, staged, passing));
  const rows: RowBound = { max: rowTile, of };
  const row = affine(0, 0, rowTile);
  const slot = affine(0, 0, 1);
  const stages = new Map(staged.map((place) => [place, stage(low, place, rowTile)]));
  const between = passing.map(({ shared = 1, ...made }) => low.write.region(low.write.buffer({ ...made, space: 'sram', role: 'stage', rows: shareOf(rowTile, shared), depth: stageDepth }), affine(0), shareOf(rowTile, shared), made.columns, { slot }));
  const home = (place: Place): Region => rowsOf(low, place, row, rowTile, rowTile * rowTiles);
  const local = (place: Place): Region => {
    const buffer = stages.get(place);
    if (buffer === undefined) return home(place);
    return low.write.region(buffer, affine(0), rowTile, place.columns, { slot });
  };
  low.write.loop(1, 'rows', rowTiles, () => {
    const inputs = reads.map((place) => {
      const region = local(place);
      if (stages.has(place)) low.write.op('load', {}, { from: home(place), out: region }, rows);
      return region;
    });
    const results = writes.map(local);
    emit(inputs, results, rows, home, between);
    writes.forEach((place, i) => {
      if (stages.has(place)) low.write.op('store', {}, { from: results[i] as Region, out: home(place) }, rows);
    });
  });
}

/** SRAM bytes that a row takes as it passes through: of what is in HBM, and of what is made in between. */
export function bytesPassing(low: Lowering, places: readonly Place[], passing: readonly Passing[]): number {
  const staged = places.filter((place) => bufferOf(low, place.buffer).space === 'hbm').reduce((sum, place) => sum + rowBytes(low, bufferOf(low, place.buffer).format, place.columns), 0);
  return Math.ceil(stageDepth * passing.reduce((sum, { format, columns, shared = 1 }) => sum + rowBytes(low, format, columns) / shared, staged));
}

/** Equal row tiles of rows that take `bytesPerRow` of stages each, of a `multiple` of rows. */
export function rowTiling(low: Lowering, what: string, of: StepCount, bytesPerRow: number, multiple = 1): Tiling {
  const rows = rowLimit(low, of);
  const settled = low.settle('rows', what, { rows, bytesPerRow });
  if (settled === undefined) throw new DoesNotFit();
  const rowTile = settled.rowTile === rows ? rows : Math.max(1, Math.floor(settled.rowTile / multiple)) * multiple;
  return { rowTile, rowTiles: Math.ceil(rows / rowTile) };
}

const stage = (low: Lowering, place: Place, rows: number): BufferId => {
  const home = bufferOf(low, place.buffer);
  return low.write.buffer({ name: `${home.name}.stage`, space: 'sram', role: 'stage', format: home.format, rows, columns: place.columns, depth: stageDepth });
};

/** An SRAM buffer for a row list or a host table of `words` 4-byte words. */
export const listBuffer = (write: TileWriter, name: string, format: 'i32' | 'f32', words: number): BufferId =>
  write.buffer({ name, space: 'sram', role: 'list', format, rows: 1, columns: words });

/** The list of the rows of a part: of all rows from its first on. */
export const listOfRows = ({ write, part }: Lowering, buffer: BufferId): Region => {
  const first = part?.first ?? 0;
  return write.region(buffer, affine(0), 1, (write.buffers[buffer] as Buffer).columns - first, { column: affine(first) });
};

/** All of a list. */
export const wholeList = (write: TileWriter, buffer: BufferId): Region => write.region(buffer, affine(0), 1, (write.buffers[buffer] as Buffer).columns);


