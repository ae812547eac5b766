import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import type { Turn } from '../tile/parts.ts';
import { efficiencyOf } from './pages.ts';

/** `full` equal pieces of `size` tiles, then, if `tail` is not 0, one of `tail` tiles. */
export type Pieces = { readonly size: number; readonly full: number; readonly tail: number };

/**
 * What is decided of a matrix product. Row tiles of `rowTile` rows; in each, column groups of `groupUnits` tiles of output columns; in each, chunks of
 * `chunkTiles` k-tiles are streamed through the weight ring, `aside` of a chunk's tiles by the other queue of loads. 2^split groups of arrays share the rows of a tile; arrays of a group that are left share k.
 */
export type Cut = { readonly rowTile: number; readonly split: number; readonly groupUnits: number; readonly chunkTiles: number; readonly aside: number };

/** A product so cut: all that follows from its shape and its cut. Cycles are estimated: of the arrays for one row tile, of streaming the weights once, and of all rows. */
export type MatmulPlan = {
  readonly rowTile: number;
  readonly rowTiles: number;
  readonly split: number;
  /** Arrays of a group of rows, if those may share k: sums of E4M3 are exact, and so are those of its blocks. Else 0. */
  readonly along: number;
  /** In units of one tile of output columns; a gated unit has two tiles of weight columns. */
  readonly groups: Pieces;
  readonly chunks: Pieces;
  /** Of the tail of the groups: as it is narrower, they may be deeper. */
  readonly tailChunks: Pieces;
  readonly tilesPerUnit: 1 | 2;
  readonly kLast: number;
  readonly nLast: number;
  /** Tiles of a slot that the other queue of loads brings, in the groups that are looped over: all but the last, and but the first where that is `leading`. */
  readonly aside: number;
  readonly leading: boolean;
  readonly arrayCycles: number;
  readonly streamCycles: number;
  readonly cycles: number;
};

export type MatmulShape = {
  readonly rows: number;
  readonly k: number;
  /** Output columns: half the weight's rows when gated. */
  readonly columns: number;
  readonly gated: boolean;
  readonly format: Format;
  /** Most bytes of weights that are brought at once; undefined: as many as there is room for. */
  readonly chunkBytes: number | undefined;
  /** SRAM bytes a row of a row tile takes besides the weight ring, and a row's column of output does (staged operands only). */
  readonly stagedBytesPerRow: number;
  readonly stagedBytesPerRowAndColumn: number;
  /** The k-tiles of a chunk, if operands are in pieces; else as many as fit. */
  readonly chunkTiles: number | undefined;
  /** Groups but the last are multiples of so many units. */
  readonly groupStep: number;
  /** What the attention of another part does meanwhile, if the other queue of loads has nothing else to bring. */
  readonly beside: Turn<unknown>['beside'];
};

/** SRAM for what passes through: the bytes an op may stage in, half of them the weight ring's, and the slots of that ring. */
export type Staging = { readonly stageBytes: number; readonly ringDepth: number };

/** Most slots of a weight ring: a semaphore counts to 15. */
export const ringMost = 15;

/** Rows that make reading weights cheap: multiplying as many by a tile takes as long as bringing it. */
export const rowsToShare = (machine: Machine): number =>
  Math.ceil((tileBytesOf(machine, 'e4m3') * machine.arrays.count.value * machine.clockHz.value) / machine.hbm.bytesPerSecond.value);

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
  const deepest = Math.min(ringMost, Math.floor(stageBytes / 2 / tileBytesOf(machine, 'e4m3') / (tilesAcross(machine, rows) * tilesDeep(machine, rows))));
  return [...(deepest < 4 ? [] : [2 ** Math.floor(Math.log2(deepest))]), 3, 2, 1];
}

/** Most lines from a row to the next that every unit can say. */
export const pitchFieldMax = 4095;
/** Most rows a window's bound can say. */
export const rowsFieldMax = 8191;
/** Most k-tiles a product can say, and tiles of columns. */
const [kTilesMax, nTilesMax] = [256, 64] as const;

/** Bytes of a tile of weights in SRAM. */
const tileBytesOf = ({ arrays, sram }: Machine, format: Format): number => {
  const [side, line] = [arrays.size.value, sram.lineBytes.value];
  return side * Math.ceil((side * formatBytes[format]) / line) * line;
};

/** Columns a piece of a row that is scaled in blocks may have: as many as have their scales on one line, or half as many, and so on; a block and a tile at the least. */
export function pieceSizes({ arrays, sram }: Machine): readonly number[] {
  const { size } = blockScales.block;
  const least = Math.max(arrays.size.value, size);
  const sizes = [Math.max(least, (sram.lineBytes.value / formatBytes.f32) * size)];
  for (let next = (sizes[0] as number) / 2; next >= least; next /= 2) sizes.push(next);
  return sizes;
}

/** Columns of the pieces that rows of so many columns come in from chips that have a strip each of every piece, of whole blocks; undefined if there are none such. */
export function stripedPiece(machine: Machine, columns: number, parts: number): number | undefined {
  const [widest, ...others] = pieceSizes(machine) as readonly [number, ...number[]];
  return [...others, widest].find((size) => columns % size === 0 && size % (parts * blockScales.block.size) === 0);
}

/** Tiles along k of a piece of few rows: arrays share k, and narrow products take them so many at a time. */
const fewRowsDeep = 8;

/** Columns of a piece of a row that is scaled in blocks: no more than what is brought at once of the weights that they are multiplied by, if there are so few. */
export function pieceColumns(machine: Machine, rows: number, { stageBytes, ringDepth }: Staging): number {
  const side = machine.arrays.size.value;
  const slotTiles = stageBytes / 2 / ringDepth / tileBytesOf(machine, 'e4m3');
  const across = tilesAcross(machine, rows);
  // A group makes a piece at the least, of gates and of what they gate.
  const deep = rows <= 2 * side ? Math.min(fewRowsDeep, Math.floor(slotTiles / 2)) : 0;
  const most = Math.min(kTilesMax, Math.max(deep, Math.min(tilesDeep(machine, rows), Math.floor(slotTiles / across)))) * side;
  const sizes = pieceSizes(machine);
  return sizes.find((columns) => columns <= most) ?? (sizes.at(-1) as number);
}

/**
 * The cut with the fewest estimated cycles among those that fit `stageBytes` of SRAM (half for the weight ring) and two
 * banks of accumulators, its chunks as many as have to be and alike: the first is brought soonest; undefined if none does. Estimate: the larger of array time and weight streaming, per pass.
 */
export function planMatmul(shape: MatmulShape, machine: Machine, { stageBytes, ringDepth }: Staging): Cut | undefined {
  const side = machine.arrays.size.value;
  const tileBytes = tileBytesOf(machine, shape.format);
  const tilesPerUnit = shape.gated ? 2 : 1;
  const slotTiles = Math.min(shape.chunkTiles === undefined ? tilesAcross(machine, shape.rows) * tilesDeep(machine, shape.rows) : Infinity, Math.floor(Math.min(stageBytes / 2 / ringDepth, shape.chunkBytes ?? Infinity) / tileBytes));
  const units = Math.ceil(shape.columns / side);
  const kTiles = Math.ceil(shape.k / side);
  const leastChunk = Math.min(kTiles, shape.chunkTiles ?? 1);

  let best: (Cut & { readonly rowTiles: number; readonly arrayCycles: number; readonly cycles: number }) | undefined;
  for (let split = 0; 2 ** split <= machine.arrays.count.value; split++) {
    const inGang = Math.min(units, Math.floor(machine.arrays.count.value / 2 ** split / tilesPerUnit), Math.floor(Math.min(slotTiles, rowsFieldMax) / tilesPerUnit / leastChunk), nTilesMax / tilesPerUnit);
    for (const groupUnits of groupSizes(shape, units, inGang)) {
      const nTiles = groupUnits * tilesPerUnit;
      const perRow = shape.stagedBytesPerRow + shape.stagedBytesPerRowAndColumn * groupUnits * side;
      const rowsMax = Math.min(shape.rows, rowsFieldMax, 2 ** split * Math.floor(machine.accumulatorRows.value / 2), perRow === 0 ? shape.rows : Math.floor(stageBytes / 2 / perRow));
      if (rowsMax < 1) continue;
      const chunkMost = Math.min(kTiles, kTilesMax, Math.floor(slotTiles / nTiles), Math.floor(rowsFieldMax / nTiles));
      const deep = 2 ** kSplitOf({ along: alongOf(shape, split, machine) }, nTiles, chunkMost);
      const chunkTiles = shape.chunkTiles !== undefined ? leastChunk : evenly(kTiles, chunkMost, Math.max(2, deep));
      const cut: Cut = { rowTile: Math.ceil(shape.rows / Math.ceil(shape.rows / rowsMax)), split, groupUnits, chunkTiles, aside: 0 };
      const { rowTiles, arrayCycles, cycles } = estimate(shape, cut, machine);
      // Of equals the one that streams the weights less often, then the one that takes the arrays less, in fewer groups; of those the one whose arrays have the fewest rows: the last of them is through soonest.
      if (best !== undefined && (cycles - best.cycles || rowTiles - best.rowTiles || arrayCycles - best.arrayCycles || Math.ceil(units / groupUnits) - Math.ceil(units / best.groupUnits)) > 0) continue;
      best = { ...cut, rowTiles, arrayCycles, cycles };
    }
  }
  if (best === undefined) return undefined;
  const { rowTile, split, groupUnits, chunkTiles } = best;
  const cut: Cut = { rowTile, split, groupUnits, chunkTiles, aside: 0 };
  const { arrayCycles, streamCycles } = estimate(shape, cut, machine);
  const need = streamCycles / arrayCycles / efficiencyOf(machine, Infinity);
  const aside = Math.round(asideShare(need) * chunkTiles * groupUnits * tilesPerUnit);
  return faultOfCut(shape, { ...cut, aside }, machine) === undefined ? { ...cut, aside } : cut;
}

/** Sizes of groups worth a look: as many units as a gang has room for, but alike; and, if arrays left may share k, powers of two, which leave none; but not of weights that are brought when they are known, a chunk after the other: those had better be large. */
function groupSizes({ groupStep, format, chunkBytes }: MatmulShape, units: number, inGang: number): readonly number[] {
  const most = inGang < units ? Math.floor(inGang / groupStep) * groupStep : units;
  if (most < 1) return [];
  const sizes = [evenly(units, most, groupStep)];
  if (format === 'e4m3' && chunkBytes === undefined) for (let size = 1; size < most; size *= 2) if (size % groupStep === 0) sizes.push(size);
  return sizes;
}

/** `total` in the fewest pieces of no more than `most`: how many in each, so that they are alike; but multiples of `step`, if one has room. */
function evenly(total: number, most: number, step: number): number {
  if (total <= most) return total;
  const unit = step <= most ? step : 1;
  const whole = most - (most % unit);
  return Math.ceil(total / Math.ceil(total / whole) / unit) * unit;
}

/** Arrays of a group that share k, as a power of two: as many as it has for each tile across, but no more than a chunk has k-tiles. */
export const kSplitOf = ({ along }: Pick<MatmulPlan, 'along'>, nTiles: number, chunkTiles: number): number =>
  Math.max(0, Math.min(Math.floor(Math.log2(along / nTiles)), Math.ceil(Math.log2(chunkTiles))));

const alongOf = ({ format }: MatmulShape, split: number, { arrays }: Machine): number => (format === 'e4m3' ? Math.floor(arrays.count.value / 2 ** split) : 0);

type Estimate = Pick<MatmulPlan, 'rowTiles' | 'arrayCycles' | 'streamCycles' | 'cycles'>;

/** K-tiles of a chunk of a group of fewer units: as many as there are tiles in others. */
function tailChunkOf(shape: MatmulShape, { split, groupUnits, chunkTiles }: Pick<Cut, 'split' | 'groupUnits' | 'chunkTiles'>, units: number, machine: Machine): number {
  if (units === groupUnits || shape.chunkTiles !== undefined || shape.chunkBytes !== undefined) return chunkTiles;
  const kTiles = Math.ceil(shape.k / machine.arrays.size.value);
  const most = Math.min(kTiles, kTilesMax, Math.floor((chunkTiles * groupUnits) / units));
  return evenly(kTiles, most, 2 ** kSplitOf({ along: alongOf(shape, split, machine) }, units * (shape.gated ? 2 : 1), most));
}

function estimate(shape: MatmulShape, { rowTile, split, groupUnits, chunkTiles }: Omit<Cut, 'aside'>, machine: Machine): Estimate {
  const side = machine.arrays.size.value;
  const units = Math.ceil(shape.columns / side);
  const kTiles = Math.ceil(shape.k / side);
  const tilesPerUnit = shape.gated ? 2 : 1;
  const rowTiles = Math.ceil(shape.rows / rowTile);
  const rate = shape.format === 'bf16' ? machine.arrays.bf16Rate.value : 1;
  const along = alongOf(shape, split, machine);
  const steps = (of: number, tiles: number): number => (tiles === 0 ? 0 : Math.ceil(tiles / 2 ** kSplitOf({ along }, of * tilesPerUnit, tiles)));
  const stepsOf = (of: number, size: number): number => Math.floor(kTiles / size) * steps(of, size) + steps(of, kTiles % size);
  const rest = units % groupUnits;
  const passes = Math.floor(units / groupUnits) * stepsOf(groupUnits, chunkTiles) + (rest === 0 ? 0 : stepsOf(rest, tailChunkOf(shape, { split, groupUnits, chunkTiles }, rest, machine)));
  const arrayCycles = (passes * Math.max(Math.ceil(rowTile / 2 ** split), side)) / rate;
  const streamCycles = (units * tilesPerUnit * kTiles * tileBytesOf(machine, shape.format)) / (machine.hbm.bytesPerSecond.value / machine.clockHz.value);
  return { rowTiles, arrayCycles, streamCycles, cycles: rowTiles * Math.max(arrayCycles, streamCycles) };
}

/** A product as its cut makes it. */
export function cutProduct(shape: MatmulShape, cut: Cut, machine: Machine): MatmulPlan {
  const { rowTile, split, groupUnits, chunkTiles, aside } = cut;
  const side = machine.arrays.size.value;
  const [units, kTiles] = [Math.ceil(shape.columns / side), Math.ceil(shape.k / side)];
  const groups = pieces(units, groupUnits, shape.columns % side !== 0);
  const chunksOf = (size: number): Pieces => pieces(kTiles, size, shape.k % side !== 0);
  return {
    ...estimate(shape, cut, machine),
    rowTile, split, along: alongOf(shape, split, machine), tilesPerUnit: shape.gated ? 2 : 1,
    groups,
    chunks: chunksOf(chunkTiles),
    tailChunks: chunksOf(tailChunkOf(shape, cut, groups.tail === 0 ? groupUnits : groups.tail, machine)),
    kLast: shape.k - (kTiles - 1) * side,
    nLast: shape.columns - (units - 1) * side,
    aside, leading: aside > 0 && shape.beside === 'begins',
  };
}

/** Bytes of SRAM that all weights of a product so cut take, a slot for every chunk of each group. */
export function bytesHeld(shape: MatmulShape, cut: Cut, machine: Machine): number {
  const plan = cutProduct(shape, cut, machine);
  return slotsOf(plan) * plan.groups.size * plan.chunks.size * plan.tilesPerUnit * tileBytesOf(machine, shape.format);
}

/** What of a cut the machine cannot do; undefined if it can. Whether SRAM has the room is another matter. */
export function faultOfCut(shape: MatmulShape, { rowTile, split, groupUnits, chunkTiles, aside }: Cut, machine: Machine): string | undefined {
  const side = machine.arrays.size.value;
  const tilesPerUnit = shape.gated ? 2 : 1;
  const [units, kTiles] = [Math.ceil(shape.columns / side), Math.ceil(shape.k / side)];
  const nTiles = groupUnits * tilesPerUnit;
  const rowsMost = Math.min(shape.rows, rowsFieldMax, 2 ** split * Math.floor(machine.accumulatorRows.value / 2));
  const arrays = machine.arrays.count.value;
  const whole = [rowTile, groupUnits, chunkTiles].every((size) => Number.isInteger(size) && size >= 1) && Number.isInteger(split) && split >= 0;
  if (!whole) return 'a row tile, a group and a chunk are of one or more, and arrays are split 0 or more times';
  if (rowTile > rowsMost) return `row tiles of ${rowTile} rows, where ${rowsMost} are the most`;
  if (nTiles * 2 ** split > arrays || nTiles > nTilesMax) return `${nTiles} tiles across, ${2 ** split} times, where there are ${arrays} arrays`;
  if (groupUnits > units || (groupUnits < units && groupUnits % shape.groupStep !== 0)) return `groups of ${groupUnits} of ${units} tiles of columns${shape.groupStep === 1 ? '' : `, which go by ${shape.groupStep}`}`;
  if (chunkTiles > Math.min(kTiles, kTilesMax) || chunkTiles * nTiles > rowsFieldMax) return `chunks of ${chunkTiles} of ${kTiles} k-tiles`;
  if (shape.chunkTiles !== undefined && chunkTiles !== Math.min(kTiles, shape.chunkTiles)) return `chunks of ${chunkTiles} k-tiles, where rows are scaled in pieces of ${shape.chunkTiles}`;
  if (chunkTiles * nTiles * tileBytesOf(machine, shape.format) > (shape.chunkBytes ?? Infinity)) return `chunks of more than ${shape.chunkBytes} bytes`;
  if (!Number.isInteger(aside) || aside < 0 || aside >= chunkTiles * nTiles) return `${aside} tiles aside, of ${chunkTiles * nTiles}`;
  if (aside > 0 && (shape.beside === undefined || rowTile < shape.rows || nTiles < 2 || Math.ceil(units / groupUnits) < groupsAside)) return `${aside} tiles aside, where the other queue of loads has values to bring, or there are several row tiles, one tile across, or fewer than ${groupsAside} groups`;
  return undefined;
}

/**
 * HBM is shared alike by all who read it. While attention does, one queue of loads gets half, two get two thirds. The share that the second must bring so that
 * products of `need`, the part of HBM's rate that keeps them going, get it: the time t it is at work is that in which (1 - t)/2 + 2t/3 = need, and what it brings t/3 of all.
 * None if one queue does, or if HBM is what they wait for anyway.
 */
const asideShare = (need: number): number => (need <= 1 / 2 || need >= 1 ? 0 : Math.min(1 / 2, 2 - 1 / need));

/** Fewest groups of which some are looped over: the first and the last may be apart. */
const groupsAside = 4;

/** Cuts `total` tiles; a ragged last tile needs a piece of its own to be in. */
function pieces(total: number, size: number, ragged: boolean): Pieces {
  const rest = total % size;
  const tail = rest !== 0 ? rest : ragged ? size : 0;
  return { size, full: (total - tail) / size, tail };
}

/** Pieces in all. */
export const pieceCount = (of: Pieces): number => of.full + (of.tail === 0 ? 0 : 1);
/** Slots of weights that a product takes for a row tile: one for each chunk of each group. */
export const slotsOf = ({ groups, chunks, tailChunks }: Pick<MatmulPlan, 'groups' | 'chunks' | 'tailChunks'>): number => groups.full * pieceCount(chunks) + (groups.tail === 0 ? 0 : pieceCount(tailChunks));
/** Tiles in all. */
export const pieceTotal = (of: Pieces): number => of.full * of.size + of.tail;
