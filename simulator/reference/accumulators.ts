import { scaledTerm } from '../../isa-spec/numerics-dots.ts';

const banks = 2;

/** A k-tile of a block with scales, as a row passes: whether it is the block's first, and the first of a sum; and, if it is the block's last, the scales of the row and of the weights. */
export type Block = { readonly opens: boolean; readonly fresh: boolean; readonly scale: { readonly row: number; readonly weights: number } | undefined };

/**
 * The accumulators of the array: rows of one sum a column, halved into two banks. A bank serves the array (read, add, write of one sum a
 * column) or the epilogue (a whole row) in a cycle, not both. Sums are doubles, exact for E4M3 products; undefined (NaN) until written.
 * Beside each is the sum of a block that has a scale, while its k-tiles go by.
 */
export class AccumulatorBanks {
  readonly rows: number;
  readonly #side: number;
  readonly #sums: Float64Array;
  readonly #blocks: Float64Array;
  /** Cycle in which the array last used each bank. */
  readonly #used = new Float64Array(banks).fill(-1);

  constructor(rows: number, side: number) {
    this.rows = rows;
    this.#side = side;
    this.#sums = new Float64Array(rows * side).fill(NaN);
    this.#blocks = new Float64Array(rows * side);
  }

  /** A sum, for the array to start a chain from. */
  read(row: number, column: number, cycle: number): number {
    this.#used[this.#bankOf(row)] = cycle;
    return this.#sums[row * this.#side + column]!;
  }

  write(row: number, column: number, sum: number, cycle: number): void {
    this.#used[this.#bankOf(row)] = cycle;
    this.#sums[row * this.#side + column] = sum;
  }

  add(row: number, column: number, sum: number, cycle: number): void {
    this.write(row, column, this.#sums[row * this.#side + column]! + sum, cycle);
  }

  /** Adds a k-tile's part to the sum of its block; the last part adds that, scaled, to the sum of all. */
  addToBlock(row: number, column: number, part: number, { opens, fresh, scale }: Block, cycle: number): void {
    const at = row * this.#side + column;
    this.#blocks[at] = opens ? part : this.#blocks[at]! + part;
    const sum = fresh ? 0 : this.#sums[at]!;
    this.write(row, column, scale === undefined ? sum : Math.fround(sum + scaledTerm.block(this.#blocks[at]!, scale.row, scale.weights)), cycle);
  }

  /** Whether the array uses the bank of `row` in this cycle, so that the epilogue cannot. */
  taken(row: number, cycle: number): boolean {
    return this.#used[this.#bankOf(row)] === cycle;
  }

  /** A whole row, for the epilogue. */
  row(row: number): Float64Array {
    return this.#sums.subarray(row * this.#side, (row + 1) * this.#side);
  }

  #bankOf(row: number): number {
    return Math.floor((row * banks) / this.rows);
  }
}
