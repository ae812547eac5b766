const banks = 2;

/**
 * The accumulators of the array: rows of one sum a column, halved into two banks. A bank serves the array (read, add, write of one sum a
 * column) or the epilogue (a whole row) in a cycle, not both. Sums are doubles, exact for E4M3 products; undefined (NaN) until written.
 */
export class AccumulatorBanks {
  readonly rows: number;
  readonly #side: number;
  readonly #sums: Float64Array;
  /** Cycle in which the array last used each bank. */
  readonly #used = new Float64Array(banks).fill(-1);

  constructor(rows: number, side: number) {
    this.rows = rows;
    this.#side = side;
    this.#sums = new Float64Array(rows * side).fill(NaN);
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
