import type { BlockScaling } from '../../isa-spec/instructions.ts';
import { scaledTerm } from '../../isa-spec/numerics-dots.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import type { Accumulators, GroupRows } from './accumulators.ts';
import { readElements } from './elements.ts';
import type { WeightEntry, WeightScales } from './state.ts';

/** A product with scales of blocks. `read` and `readScales` give the `k` elements of row r of the activations, and the scales of its blocks. */
export type Scaled = {
  readonly entry: WeightEntry;
  readonly scales: WeightScales;
  readonly k: number;
  readonly groups: readonly GroupRows[];
  readonly read: (r: number, out: Float64Array) => void;
  readonly readScales: (r: number, out: Float64Array) => void;
};

/** Tile column `nt` of an entry, `k` rows of A. */
const decodeColumn = ({ size, rowBytes, nTiles, format, memory }: WeightEntry, nt: number, k: number): Float64Array => {
  const w = new Float64Array(k * size);
  for (let row = 0; row < k; row++) {
    const tile = Math.floor(row / size) * nTiles + nt;
    readElements[format](memory, (tile * size + (row % size)) * rowBytes, size, w, row * size);
  }
  return w;
};

/** Columns that share a scale of weights: a block of 128 x 128, or 32 elements of one column. */
export const columnsOf = (scaling: BlockScaling): number => (scaling === 'block' ? blockScales.block.size : 1);

/** Adds a product to the accumulators, which hold FP32 sums: each block summed exactly, scaled, and added in FP32, blocks ascending. */
export const multiplyScaled = (accumulators: Accumulators, { entry, scales: { scaling, pitch, values }, k, groups, read, readScales }: Scaled): void => {
  const { size } = entry;
  const depth = blockScales[scaling].size;
  const columns = columnsOf(scaling);
  const term = scaledTerm[scaling];
  const x = new Float64Array(k);
  const scales = new Float64Array(Math.ceil(k / depth));
  const part = new Float64Array(size);
  for (let nt = 0; nt < entry.nTiles; nt++) {
    const w = decodeColumn(entry, nt, k);
    for (const { row, rows, accumulatorRow, firstArray } of groups) {
      const sums = accumulators.of(firstArray + nt, accumulatorRow + rows);
      for (let r = 0; r < rows; r++) {
        read(row + r, x);
        readScales(row + r, scales);
        const at = (accumulatorRow + r) * size;
        for (let block = 0; block < scales.length; block++) {
          part.fill(0);
          for (let i = block * depth, end = Math.min(k, i + depth); i < end; i++) for (let n = 0; n < size; n++) part[n]! += x[i]! * w[i * size + n]!;
          for (let n = 0; n < size; n++) {
            const scale = values[block * pitch + Math.floor((nt * size + n) / columns)]!;
            sums[at + n] = Math.fround(sums[at + n]! + term(part[n]!, scales[block]!, scale));
          }
        }
      }
    }
  }
};
