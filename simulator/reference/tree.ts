import type { AccumulatorBanks } from './accumulators.ts';
import type { Row } from './array.ts';

/** What an array has made of a row in one column. */
type Part = { readonly row: Row; readonly value: number };

/**
 * The way from the arrays' last cells to the accumulators, a line of registers for each column. What arrays that share k make of a row leaves
 * them in one cycle and is added up on the way, a level of adders to a register; sums of blocks with scales are handed on side by side, and
 * added to the accumulators in the order of k. A row of fewer levels enters nearer to the end: RowStream holds it back until it overtakes none.
 */
export class AdderTree {
  readonly #accumulators: AccumulatorBanks;
  /** Of each column: what leaves the arrays in this cycle, k ascending; its registers, the last of the way first. */
  readonly #entering: Part[][];
  readonly #registers: (readonly Part[] | undefined)[][];

  constructor(side: number, accumulators: AccumulatorBanks) {
    this.#accumulators = accumulators;
    this.#entering = Array.from({ length: side }, () => []);
    this.#registers = Array.from({ length: side }, () => []);
  }

  enter(row: Row, column: number, value: number): void {
    this.#entering[column]!.push({ row, value });
  }

  /** One cycle, after the arrays', which are gone through in the order of k. */
  step(cycle: number): void {
    this.#registers.forEach((registers, column) => {
      const [first, ...others] = this.#entering[column]!;
      if (first !== undefined) {
        const { levels } = first.row;
        if (registers[levels] !== undefined) throw new Error(`internal: two rows are ${levels} levels above the accumulators of column ${column}`);
        registers[levels] = [first, ...others];
        this.#entering[column] = [];
      }
      const leaving = registers.shift();
      if (leaving !== undefined) this.#store(leaving, column, cycle);
    });
  }

  #store(parts: readonly Part[], column: number, cycle: number): void {
    const { at, chained, fresh, block, product } = parts[0]!.row;
    const sum = parts.map(({ value }) => value).reduce((total, value) => total + value);
    if (block !== undefined) for (const { row, value } of parts) this.#accumulators.addToBlock(at, column, value, row.block!, cycle);
    else if (chained || fresh) this.#accumulators.write(at, column, sum, cycle);
    else this.#accumulators.add(at, column, sum, cycle);
    if (--product.outstanding === 0) product.done = cycle + 1;
  }
}
