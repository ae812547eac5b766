import { blockScales } from '../../isa-spec/numerics-scales.ts';
import type { Block } from './accumulators.ts';
import type { Product, SystolicArray } from './array.ts';
import type { ReadPort } from './port.ts';
import type { Load, WeightPath, Weights } from './weights.ts';

/** One `mm` under way: `read(row, tile)` gives a row's operands of a k-tile, `at(row)` its accumulator row, `scaleOf(row, block)` its scale of a block of k, if blocks have any. 2^`kSplit` arrays share its k-tiles. */
export type Job = {
  readonly format: string;
  readonly kTiles: number;
  readonly kSplit: number;
  readonly rows: number;
  readonly beats: number;
  readonly overwrites: boolean;
  readonly at: number;
  readonly read: (row: number, tile: number) => Float64Array;
  readonly scaleOf: ((row: number, block: number) => number) | undefined;
  readonly product: Product;
};

/** An array, the way of its weights, and the port it has its part of a row from. */
export type Station = { readonly array: SystolicArray; readonly path: WeightPath; readonly operands: ReadPort };

/**
 * Streams the rows of a multiplication through its arrays, once a step, one row every `beats` cycles: each array has the part of the row that
 * meets its k-tile of the step, in the same cycle as the others; when k-tiles run out, the last arrays have none.
 */
export class RowStream {
  readonly #stations: readonly Station[];
  readonly #weights: Weights;
  #job: Job | undefined;
  #entry: Load | undefined;
  /** The first k-tile of the step; what its arrays count theirs as. */
  #tile = 0;
  #numbers: readonly number[] = [];
  #row = 0;
  #beat = 0;
  /** When the sums of a row are at the accumulators' door, if it follows those before at once. */
  #due = 0;

  constructor(stations: readonly Station[], weights: Weights) {
    this.#stations = stations;
    this.#weights = weights;
  }

  get streaming(): boolean {
    return this.#job !== undefined;
  }

  begin(job: Job): void {
    this.#job = job;
    this.#entry = undefined;
    this.#tile = 0;
    this.#row = 0;
    this.#beat = 0;
    const { side } = this.#stations[0]!.array;
    if (job.rows > 0) job.product.outstanding = job.rows * Math.ceil(job.kTiles / 2 ** job.kSplit) * side;
  }

  /** One cycle, before the arrays'. A product of fewer levels than the one before waits until its sums do not overtake that one's. */
  step(cycle: number): void {
    const job = this.#job;
    if (job === undefined) return;
    this.#entry ??= this.#weights.take(job);
    if (this.#entry === undefined) return;
    const stations = this.#stations.slice(0, Math.min(2 ** job.kSplit, job.kTiles - this.#tile));
    const first = this.#row === 0 && this.#beat === 0;
    if (first && (cycle + job.kSplit < this.#due || !stations.every(({ path }) => path.ready))) return;
    if (job.rows > 0 && !stations.every(({ array, operands }) => operands.take(array.side, cycle))) return;
    if (first) this.#numbers = stations.map(({ path }) => path.start());
    this.#due = cycle + 1 + job.kSplit;
    if (job.rows > 0) {
      if (this.#beat === 0) stations.forEach((station, index) => this.#feed(station, index, job));
      if (++this.#beat < job.beats) return;
      this.#beat = 0;
      if (++this.#row < job.rows) return;
      this.#row = 0;
    }
    this.#tile += 2 ** job.kSplit;
    if (this.#tile < job.kTiles) return;
    if (job.rows === 0) job.product.done = cycle + 1;
    this.#job = undefined;
  }

  #feed({ array }: Station, index: number, job: Job): void {
    const chained = job.format === 'bf16';
    const tile = this.#tile + index;
    const row = { tile: this.#numbers[index]!, at: job.at + this.#row, fresh: job.overwrites && this.#tile === 0, block: this.#blockOf(job, tile), chained, levels: chained ? 1 : job.kSplit, product: job.product };
    array.feed(row, job.read(this.#row, tile));
  }

  #blockOf({ kTiles, overwrites, scaleOf }: Job, tile: number): Block | undefined {
    const scales = this.#entry?.scales;
    if (scaleOf === undefined || scales === undefined) return undefined;
    const inBlock = blockScales.block.size / this.#stations[0]!.array.side;
    const [block, within] = [Math.floor(tile / inBlock), tile % inBlock];
    const closes = within === inBlock - 1 || tile === kTiles - 1;
    return { opens: within === 0, fresh: overwrites && tile === 0, scale: closes ? { row: scaleOf(this.#row, block), weights: scales[block]! } : undefined };
  }
}
