import type { AccumulatorBanks, Block } from './accumulators.ts';
import type { AdderTree } from './tree.ts';

/** A multiplication while rows of it are in the array: accumulations still to come, and when the last was. */
export type Product = { outstanding: number; done: number | undefined };

/** A row of activations on its way through the array: weight tile it meets, accumulator row it goes to, whether that is overwritten. */
export type Row = {
  readonly tile: number;
  readonly at: number;
  readonly fresh: boolean;
  /** bf16: sums are a chain of rounded additions that starts from the accumulator. */
  readonly chained: boolean;
  /** Registers between the array and the accumulators: a level of the adder tree each, or what a bf16 product takes longer. */
  readonly levels: number;
  /** The block of k that this tile is part of, if blocks have scales. */
  readonly block: Block | undefined;
  readonly product: Product;
};
/** `value` undefined: no operand here, the sum passes by. */
type Activation = { readonly value: number | undefined; readonly row: Row };
type Weight = { readonly value: number; readonly tile: number; readonly k: number };

const nothing: Weight = { value: NaN, tile: -1, k: -1 };

/**
 * A weight-stationary array of `side` x `side` cells, register by register. Activations enter at the left, row k through k skew registers,
 * and move right; sums move down and leave at the bottom into the adder tree; both one cell a cycle. Weights enter at the top, column n
 * through n skew registers, and move down until the cell of their row keeps them in its shadow register. The first activation that belongs
 * to another tile makes a cell exchange its weight for the one in its shadow, so that a tile can come in while the one before is at work.
 */
export class SystolicArray {
  readonly side: number;
  readonly #accumulators: AccumulatorBanks;
  readonly #tree: AdderTree;
  /** Skew registers: of row k at the left, of column n at the top. */
  readonly #left: (Activation | undefined)[][];
  readonly #top: (Weight | undefined)[][];
  /** What enters each cell in this cycle, by row * side + column. */
  readonly #activations: (Activation | undefined)[];
  readonly #sums: Float64Array;
  readonly #weights: (Weight | undefined)[];
  readonly #active: Weight[];
  readonly #shadow: Weight[];
  /** Cycles in which at least one activation was in a cell. */
  busy = 0;

  constructor(side: number, accumulators: AccumulatorBanks, tree: AdderTree) {
    this.side = side;
    this.#accumulators = accumulators;
    this.#tree = tree;
    this.#left = Array.from({ length: side }, (_, k) => Array.from({ length: k }, () => undefined));
    this.#top = Array.from({ length: side }, (_, n) => Array.from({ length: n }, () => undefined));
    this.#activations = Array.from({ length: side * side }, () => undefined);
    this.#weights = Array.from({ length: side * side }, () => undefined);
    this.#sums = new Float64Array(side * side);
    this.#active = Array.from({ length: side * side }, () => nothing);
    this.#shadow = Array.from({ length: side * side }, () => nothing);
  }

  /** A row of activations at the left edge in this cycle, to be called before `step`. Rows of weights beyond `values` have no operand. */
  feed(row: Row, values: ArrayLike<number>): void {
    for (let k = 0; k < this.side; k++) {
      const element = { value: k < values.length ? values[k]! : undefined, row };
      if (k === 0) this.#activations[0] = element;
      else this.#left[k]![k - 1] = element;
    }
  }

  /** Row k of a weight tile at the top edge in this cycle, to be called after `step`. */
  push(tile: number, k: number, values: ArrayLike<number>): void {
    for (let n = 0; n < this.side; n++) {
      const weight = { value: values[n]!, tile, k };
      if (n === 0) this.#enter(0, 0, weight);
      else this.#top[n]![n - 1] = weight;
    }
  }

  /** One cycle: every cell computes and hands on. Cells are gone through from the last to the first, so that what they hand on waits for the next cycle. */
  step(cycle: number): void {
    for (let n = 1; n < this.side; n++) {
      this.#weights[n] = this.#top[n]!.shift();
      this.#top[n]!.push(undefined);
    }
    let occupied = false;
    for (let k = this.side - 1; k >= 0; k--) {
      for (let n = this.side - 1; n >= 0; n--) {
        const cell = k * this.side + n;
        const activation = this.#activations[cell];
        if (activation !== undefined) {
          occupied = true;
          this.#multiply(k, n, activation, cycle);
          if (n < this.side - 1) this.#activations[cell + 1] = activation;
          this.#activations[cell] = undefined;
        }
        const weight = this.#weights[cell];
        if (weight === undefined) continue;
        this.#weights[cell] = undefined;
        this.#enter(k, n, weight);
      }
    }
    if (occupied) this.busy++;
    for (let k = 1; k < this.side; k++) {
      this.#activations[k * this.side] = this.#left[k]!.shift();
      this.#left[k]!.push(undefined);
    }
  }

  #multiply(k: number, n: number, { value, row }: Activation, cycle: number): void {
    const cell = k * this.side + n;
    if (this.#active[cell]!.tile !== row.tile) this.#active[cell] = this.#shadow[cell]!;
    const weight = this.#active[cell]!;
    if (weight.tile !== row.tile) throw new Error(`internal: cell ${k}, ${n} holds a weight of tile ${weight.tile}, its activation is for tile ${row.tile}`);
    const above = k > 0 ? this.#sums[cell]! : row.chained && !row.fresh ? this.#accumulators.read(row.at, n, cycle) : 0;
    const exact = value === undefined ? above : above + value * weight.value;
    const sum = row.chained ? Math.fround(exact) : exact;
    if (k < this.side - 1) this.#sums[cell + this.side] = sum;
    else this.#tree.enter(row, n, sum);
  }

  /** A weight in a cell: kept if it is of the cell's row, else handed down. */
  #enter(k: number, n: number, weight: Weight): void {
    if (weight.k === k) this.#shadow[k * this.side + n] = weight;
    else this.#weights[(k + 1) * this.side + n] = weight;
  }
}
