import { SimulationFault } from '../fault.ts';
import type { Geometry } from './state.ts';

/**
 * The accumulators of a chip: `accumulatorRows` rows of A sums for each array. A sum is a double, which holds every sum of E4M3
 * products exactly. Undefined (NaN) until written.
 */
export class Accumulators {
  readonly #geometry: Geometry;
  readonly #arrays: Float64Array[] = [];
  readonly #used: number[] = [];

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** The rows of one array, A sums each, of which those before `end` are about to be used. */
  of(array: number, end: number): Float64Array {
    const { accumulatorRows, size } = this.#geometry;
    this.#used[array] = Math.max(this.#used[array] ?? 0, end);
    let rows = this.#arrays[array];
    if (rows === undefined) this.#arrays[array] = rows = new Float64Array(accumulatorRows * size).fill(NaN);
    return rows;
  }

  /** Forgets the contents. */
  reset(): void {
    this.#arrays.forEach((rows, array) => rows.fill(NaN, 0, (this.#used[array] ?? 0) * this.#geometry.size));
    this.#used.length = 0;
  }
}

/** A run of rows in one group of arrays: rows [row, row + rows) of the window, at accumulator rows from `accumulatorRow`. */
export type GroupRows = { readonly row: number; readonly rows: number; readonly accumulatorRow: number; readonly firstArray: number };

/**
 * How a window of `rows` of at most `max` rows lies in 2^split groups of `nTiles` arrays: row r in group floor(r / R'), R' = ceil(max / 2^split),
 * at accumulator row addr + r mod R'. A fault if arrays or rows do not suffice.
 */
export const placeRows = (geometry: Geometry, addr: number, nTiles: number, split: number, window: { readonly max: number; readonly rows: number }): readonly GroupRows[] => {
  const groups = 2 ** split;
  if (nTiles * groups > geometry.arrays) throw new SimulationFault('operand', `${groups} groups of ${nTiles} arrays, the chip has ${geometry.arrays}`);
  const perGroup = Math.ceil(window.max / groups);
  const placed: GroupRows[] = [];
  for (let row = 0, group = 0; row < window.rows; row += perGroup, group++) {
    const rows = Math.min(perGroup, window.rows - row);
    if (addr < 0 || addr + rows > geometry.accumulatorRows) throw new SimulationFault('bounds', `accumulator rows ${addr} to ${addr + rows} of ${geometry.accumulatorRows}`);
    placed.push({ row, rows, accumulatorRow: addr, firstArray: group * nTiles });
  }
  return placed;
};
