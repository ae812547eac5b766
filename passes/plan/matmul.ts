import type { Machine } from '../../isa-spec/machine.ts';

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
};

const weightRingDepth = 3;
/** Most lines from a row to the next that every unit can say. */
export const pitchFieldMax = 4095;
/** Most rows a window's bound can say. */
export const rowsFieldMax = 8191;

/**
 * The cut with the fewest estimated cycles among those that fit `stageBytes` of SRAM (half for the weight ring) and two
 * banks of accumulators; undefined if none does. Estimate: the larger of array time and weight streaming, per pass.
 */
export function planMatmul(shape: MatmulShape, machine: Machine, stageBytes: number): MatmulPlan | undefined {
  const side = machine.arrays.size.value;
  const tileBytes = side * Math.ceil((side * shape.elementBytes) / machine.sram.lineBytes.value) * machine.sram.lineBytes.value;
  const tilesPerUnit = shape.gated ? 2 : 1;
  const slotTiles = Math.floor(Math.min(stageBytes / 2 / weightRingDepth, shape.chunkBytes) / tileBytes);
  const units = Math.ceil(shape.columns / side);
  const kTiles = Math.ceil(shape.k / side);
  const bytesPerCycle = machine.hbm.bytesPerSecond.value / machine.clockHz.value;
  const rate = shape.elementBytes === 1 ? 1 : machine.arrays.bf16Rate.value;

  let best: MatmulPlan | undefined;
  for (let split = 0; 2 ** split <= machine.arrays.count.value; split++) {
    const unitsMax = Math.min(units, Math.floor(machine.arrays.count.value / 2 ** split / tilesPerUnit), Math.floor(slotTiles / tilesPerUnit), 64 / tilesPerUnit);
    if (unitsMax < 1) continue;
    const groupCount = Math.ceil(units / unitsMax);
    const groupUnits = Math.ceil(units / groupCount);
    const perRow = shape.stagedBytesPerRow + shape.stagedBytesPerRowAndColumn * groupUnits * side;
    const rowsMax = Math.min(shape.rows, rowsFieldMax, 2 ** split * Math.floor(machine.accumulatorRows.value / 2), perRow === 0 ? shape.rows : Math.floor(stageBytes / 2 / perRow));
    if (rowsMax < 1) continue;
    const rowTiles = Math.ceil(shape.rows / rowsMax);
    const rowTile = Math.ceil(shape.rows / rowTiles);
    const arrayCycles = (groupCount * kTiles * Math.max(Math.ceil(rowTile / 2 ** split), side)) / rate;
    const streamCycles = (units * tilesPerUnit * kTiles * tileBytes) / bytesPerCycle;
    const cycles = rowTiles * Math.max(arrayCycles, streamCycles);
    if (best !== undefined && best.cycles <= cycles) continue;
    const chunkTiles = Math.min(kTiles, 256, Math.floor(slotTiles / (groupUnits * tilesPerUnit)), Math.floor(rowsFieldMax / (groupUnits * tilesPerUnit)));
    best = {
      rowTile, rowTiles, split, tilesPerUnit,
      groups: pieces(units, groupUnits, shape.columns % side !== 0),
      chunks: pieces(kTiles, chunkTiles, shape.k % side !== 0),
      kLast: shape.k - (kTiles - 1) * side,
      nLast: shape.columns - (units - 1) * side,
      depth: weightRingDepth,
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
