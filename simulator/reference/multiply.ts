import { blockScales } from '../../isa-spec/numerics-scales.ts';
import type { Block } from './accumulators.ts';
import type { Product, SystolicArray } from './array.ts';
import type { ReadPort } from './port.ts';
import type { WeightPath } from './weights.ts';

/** One `mm` under way: `read(row, tile)` gives a row's operands of a k-tile, `at(row)` its accumulator row, `scaleOf(row, block)` its scale of a block of k, if blocks have any. */
export type Job = {
  readonly format: string;
  readonly kTiles: number;
  readonly rows: number;
  readonly beats: number;
  readonly overwrites: boolean;
  readonly at: number;
  readonly read: (row: number, tile: number) => Float64Array;
  readonly scaleOf: ((row: number, block: number) => number) | undefined;
  readonly product: Product;
};

/** Streams the rows of a multiplication through the array, once a k-tile, one row every `beats` cycles. */
export class RowStream {
  readonly #array: SystolicArray;
  readonly #weights: WeightPath;
  readonly #port: ReadPort;
  #job: Job | undefined;
  #tile = 0;
  #row = 0;
  #beat = 0;
  #number = 0;

  constructor(array: SystolicArray, weights: WeightPath, port: ReadPort) {
    this.#array = array;
    this.#weights = weights;
    this.#port = port;
  }

  get streaming(): boolean {
    return this.#job !== undefined;
  }

  begin(job: Job): void {
    this.#job = job;
    this.#tile = 0;
    this.#row = 0;
    this.#beat = 0;
    if (job.rows > 0) job.product.outstanding = job.rows * job.kTiles * this.#array.side;
  }

  /** One cycle, before the array's. */
  step(cycle: number): void {
    const job = this.#job;
    if (job === undefined) return;
    const first = this.#row === 0 && this.#beat === 0;
    if (first && !this.#weights.ready) return;
    if (job.rows > 0 && !this.#port.take(this.#array.side, cycle)) return;
    if (first) this.#number = this.#weights.start(this.#tile === 0 ? job : undefined);
    if (job.rows > 0) {
      if (this.#beat === 0) {
        const row = { tile: this.#number, at: job.at + this.#row, fresh: job.overwrites && this.#tile === 0, block: this.#blockOf(job), chained: job.format === 'bf16', product: job.product };
        this.#array.feed(row, job.read(this.#row, this.#tile));
      }
      if (++this.#beat < job.beats) return;
      this.#beat = 0;
      if (++this.#row < job.rows) return;
      this.#row = 0;
    }
    if (++this.#tile < job.kTiles) return;
    if (job.rows === 0) job.product.done = cycle + 1;
    this.#job = undefined;
  }

  #blockOf({ kTiles, overwrites, scaleOf }: Job): Block | undefined {
    const { scales } = this.#weights;
    if (scaleOf === undefined || scales === undefined) return undefined;
    const inBlock = blockScales.block.size / this.#array.side;
    const [block, within] = [Math.floor(this.#tile / inBlock), this.#tile % inBlock];
    const closes = within === inBlock - 1 || this.#tile === kTiles - 1;
    return { opens: within === 0, fresh: overwrites && this.#tile === 0, scale: closes ? { row: scaleOf(this.#row, block), columns: (column) => scales(block, column) } : undefined };
  }
}
