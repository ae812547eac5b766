import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';

/** `full` equal pieces of `size` tiles, then, if `tail` is not 0, one of `tail` tiles. */
export type Pieces = { readonly size: number; readonly full: number; readonly tail: number };

/**
 * How a matrix product is cut. Row tiles of `rowTile` rows; in each, column groups; in each, chunks of k-tiles streamed
 * through a weight ring of `depth` slots. 2^split groups of arrays share the rows of a tile.
 */
export type MatmulPlan = {
  readonly rowTile: number;
  readonly rowTiles: number;
  readonly split: number;
  /** In units of one tile of output columns; a gated unit has two tiles of weight columns. */
  readonly groups: Pieces;
  readonly chunks: Pieces;
  readonly tilesPerUnit: 1 | 2;
  readonly kLast: number;
  readonly nLast: number;
  readonly depth: number;
  /** Estimated, for all rows. */
  readonly cycles: number;
};

export type MatmulShape = {
  readonly rows: number;
  readonly k: number;
  /** Output columns: half the weight's rows when gated. */
  readonly columns: number;
  readonly gated: boolean;
  readonly elementBytes: number;
  /** Most bytes of weights that are brought at once. */
  readonly chunkBytes: number;
  /** SRAM bytes a row of a row tile takes besides the weight ring, and a row's column of output does (staged operands only). */
  readonly stagedBytesPerRow: number;
  readonly stagedBytesPerRowAndColumn: number;
  /** The k-tiles of a chunk, if operands are in pieces; else as many as fit. */
  readonly chunkTiles: number | undefined;
  /** Groups but the last are multiples of so many units. */
  readonly groupStep: number;
};

/** SRAM for what passes through: the bytes an op may stage in, half of them the weight ring's, and the slots of that ring. */
export type Staging = { readonly stageBytes: number; readonly ringDepth: number };

/** Most slots of a weight ring: a semaphore counts to 15. */
const ringMost = 15;

/** Rows that make reading weights cheap: multiplying as many by a tile takes as long as bringing it. */
export const rowsToShare = (machine: Machine): number =>
  Math.ceil((tileBytesOf(machine, 1) * machine.arrays.count.value * machine.clockHz.value) / machine.hbm.bytesPerSecond.value);

/** Tiles along n that a product of so many rows has in the arrays at once: groups of arrays share the rows, as long as each has as many as a tile takes to load. Two at the least, for a gated one. */
const tilesAcross = ({ arrays }: Machine, rows: number): number => Math.max(2, Math.floor(arrays.count.value / 2 ** Math.floor(Math.log2(Math.max(1, rows / arrays.size.value)))));

/** Tiles along k brought at once: those of two tiles an array, but no more than a gated product makes columns of at a time. */
const tilesDeep = (machine: Machine, rows: number): number => {
  const across = tilesAcross(machine, rows);
  return Math.max(1, Math.min(Math.floor(across / 2), Math.floor((2 * machine.arrays.count.value) / across)));
};

/**
 * The depths a weight ring may have, best first: as deep as there is room for, but at least 3. A power of two divides the slots most products
 * take, so that they begin where others did.
 */
export function ringDepths(machine: Machine, rows: number, stageBytes: number): readonly number[] {
  const deepest = Math.min(ringMost, Math.floor(stageBytes / 2 / tileBytesOf(machine, 1) / (tilesAcross(machine, rows) * tilesDeep(machine, rows))));
  return [...(deepest < 4 ? [] : [2 ** Math.floor(Math.log2(deepest))]), 3, 2, 1];
}

/** Most lines from a row to the next that every unit can say. */
export const pitchFieldMax = 4095;
/** Most rows a window's bound can say. */
export const rowsFieldMax = 8191;
/** Most k-tiles a product can say. */
const kTilesMax = 256;

/** Bytes of a tile of weights in SRAM. */
const tileBytesOf = ({ arrays, sram }: Machine, elementBytes: number): number => {
  const [side, line] = [arrays.size.value, sram.lineBytes.value];
  return side * Math.ceil((side * elementBytes) / line) * line;
};

/**
 * Columns of a piece of a row that is scaled in blocks: as many as have their scales on one line, or what is brought at once of the weights that
 * they are multiplied by; a block and a tile at the least.
 */
export function pieceColumns(machine: Machine, rows: number, { stageBytes, ringDepth }: Staging): number {
  const [side, { size }] = [machine.arrays.size.value, blockScales.block];
  const least = Math.max(side, size);
  const slotTiles = stageBytes / 2 / ringDepth / tileBytesOf(machine, 1);
  const most = Math.min(kTilesMax, tilesDeep(machine, rows), Math.floor(slotTiles / tilesAcross(machine, rows))) * side;
  let columns = Math.max(least, (machine.sram.lineBytes.value / formatBytes.f32) * size);
  while (columns / 2 >= least && columns > most) columns /= 2;
  return columns;
}

/**
 * The cut with the fewest estimated cycles among those that fit `stageBytes` of SRAM (half for the weight ring) and two
 * banks of accumulators; undefined if none does. Estimate: the larger of array time and weight streaming, per pass.
 */
export function planMatmul(shape: MatmulShape, machine: Machine, { stageBytes, ringDepth: depth }: Staging): MatmulPlan | undefined {
  const side = machine.arrays.size.value;
  const tileBytes = tileBytesOf(machine, shape.elementBytes);
  const tilesPerUnit = shape.gated ? 2 : 1;
  const slotTiles = Math.min(shape.chunkTiles === undefined ? tilesAcross(machine, shape.rows) * tilesDeep(machine, shape.rows) : Infinity, Math.floor(Math.min(stageBytes / 2 / depth, shape.chunkBytes) / tileBytes));
  const units = Math.ceil(shape.columns / side);
  const kTiles = Math.ceil(shape.k / side);
  const leastChunk = Math.min(kTiles, shape.chunkTiles ?? 1);
  const bytesPerCycle = machine.hbm.bytesPerSecond.value / machine.clockHz.value;
  const rate = shape.elementBytes === 1 ? 1 : machine.arrays.bf16Rate.value;

  let best: MatmulPlan | undefined;
  for (let split = 0; 2 ** split <= machine.arrays.count.value; split++) {
    const inGang = Math.min(units, Math.floor(machine.arrays.count.value / 2 ** split / tilesPerUnit), Math.floor(Math.min(slotTiles, rowsFieldMax) / tilesPerUnit / leastChunk), 64 / tilesPerUnit);
    const unitsMax = inGang < units ? Math.floor(inGang / shape.groupStep) * shape.groupStep : units;
    if (unitsMax < 1) continue;
    const even = Math.ceil(units / Math.ceil(units / unitsMax));
    const groupUnits = Math.min(units, Math.ceil(even / shape.groupStep) * shape.groupStep);
    const groupCount = Math.ceil(units / groupUnits);
    const perRow = shape.stagedBytesPerRow + shape.stagedBytesPerRowAndColumn * groupUnits * side;
    const rowsMax = Math.min(shape.rows, rowsFieldMax, 2 ** split * Math.floor(machine.accumulatorRows.value / 2), perRow === 0 ? shape.rows : Math.floor(stageBytes / 2 / perRow));
    if (rowsMax < 1) continue;
    const rowTiles = Math.ceil(shape.rows / rowsMax);
    const rowTile = Math.ceil(shape.rows / rowTiles);
    const arrayCycles = (groupCount * kTiles * Math.max(Math.ceil(rowTile / 2 ** split), side)) / rate;
    const streamCycles = (units * tilesPerUnit * kTiles * tileBytes) / bytesPerCycle;
    const cycles = rowTiles * Math.max(arrayCycles, streamCycles);
    // Of equals the one that streams the weights less often.
    if (best !== undefined && (best.cycles < cycles || (best.cycles === cycles && best.rowTiles <= rowTiles))) continue;
    const chunkTiles = shape.chunkTiles !== undefined ? leastChunk : Math.min(kTiles, kTilesMax, Math.floor(slotTiles / (groupUnits * tilesPerUnit)), Math.floor(rowsFieldMax / (groupUnits * tilesPerUnit)));
    best = {
      rowTile, rowTiles, split, tilesPerUnit,
      groups: pieces(units, groupUnits, shape.columns % side !== 0),
      chunks: pieces(kTiles, chunkTiles, shape.k % side !== 0),
      kLast: shape.k - (kTiles - 1) * side,
      nLast: shape.columns - (units - 1) * side,
      depth,
      cycles,
    };
  }
  return best;
}

/** Cuts `total` tiles; a ragged last tile needs a piece of its own to be in. */
function pieces(total: number, size: number, ragged: boolean): Pieces {
  const rest = total % size;
  const tail = rest !== 0 ? rest : ragged ? size : 0;
  return { size, full: (total - tail) / size, tail };
}

/** Pieces in all. */
export const pieceCount = (of: Pieces): number => of.full + (of.tail === 0 ? 0 : 1);
/** Tiles in all. */
export const pieceTotal = (of: Pieces): number => of.full * of.size + of.tail;
