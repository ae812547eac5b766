import { SimulationFault } from '../fault.ts';
import type { Watched, Witness } from '../memory.ts';
import type { Geometry } from './state.ts';

/**
 * The accumulators of a chip: `accumulatorRows` rows of A sums for each array. A sum is a double, which holds every sum of E4M3
 * products exactly. Undefined (NaN) until written.
 */
export class Accumulators implements Watched {
  /** Unit: a row of one array, numbered array x accumulatorRows + row. */
  witness: Witness | undefined = undefined;
  readonly #geometry: Geometry;
  readonly #arrays: Float64Array[] = [];
  readonly #used: number[] = [];

  constructor(geometry: Geometry) {
    this.#geometry = geometry;
  }

  /** The rows of one array, A sums each, up to `end` or beyond; valid until asked for more. */
  of(array: number, end: number): Float64Array {
    const { accumulatorRows, size } = this.#geometry;
    this.#used[array] = Math.max(this.#used[array] ?? 0, end);
    const held = this.#arrays[array];
    if (held !== undefined && held.length >= end * size) return held;
    const rows = new Float64Array(Math.min(accumulatorRows, 2 ** Math.ceil(Math.log2(end))) * size).fill(NaN, held?.length);
    if (held !== undefined) rows.set(held);
    this.#arrays[array] = rows;
    return rows;
  }

  /** Announces an access to the rows of `groups` in `nTiles` arrays each. */
  touch(access: 'read' | 'write', groups: readonly GroupRows[], nTiles: number): void {
    if (this.witness === undefined) return;
    for (const { firstArray, accumulatorRow, rows } of groups) {
      for (let nt = 0; nt < nTiles; nt++) this.witness(access, (firstArray + nt) * this.#geometry.accumulatorRows + accumulatorRow, rows);
    }
  }

  copy(first: number, count: number): Uint8Array {
    const { rows, from } = this.#at(first, count);
    return new Uint8Array(rows.slice(from, from + count * this.#geometry.size).buffer);
  }

  put(first: number, held: Uint8Array): void {
    const sums = new Float64Array(held.buffer, held.byteOffset, held.length / 8);
    const { rows, from } = this.#at(first, sums.length / this.#geometry.size);
    rows.set(sums, from);
  }

  #at(first: number, count: number): { readonly rows: Float64Array; readonly from: number } {
    const { accumulatorRows, size } = this.#geometry;
    const row = first % accumulatorRows;
    return { rows: this.of(Math.floor(first / accumulatorRows), row + count), from: row * size };
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
