import type { AccumulatorBanks } from './accumulators.ts';
import type { ReadPort } from './port.ts';

/** One `epi` under way: `finish(row, sums)` gives what stores the row; a row needs `residualBytes` of SRAM, the instruction `parameterBytes`. */
export type Drain = {
  readonly at: number;
  readonly rows: number;
  readonly parameterBytes: number;
  readonly residualBytes: number;
  readonly finish: (row: number, sums: Float64Array) => () => void;
  readonly completed: { done: number | undefined };
};
type Leaving = { readonly cycle: number; readonly store: () => void; readonly last: Drain | undefined };

/**
 * The epilogue: takes a row of accumulators a cycle, unless the array is using their bank or the row's residual is not read yet, and stores
 * it `depth` cycles later. Column parameters are read beside the first rows: they are needed well within the pipeline.
 */
export class Epilogue {
  readonly #accumulators: AccumulatorBanks;
  readonly #port: ReadPort;
  readonly #depth: number;
  #drain: Drain | undefined;
  #row = 0;
  #parameters = 0;
  #residual = 0;
  readonly #leaving: Leaving[] = [];
  /** Cycles a row waited for a bank the array used. */
  conflicts = 0;

  constructor(accumulators: AccumulatorBanks, port: ReadPort, depth: number) {
    this.#accumulators = accumulators;
    this.#port = port;
    this.#depth = depth;
  }

  get draining(): boolean {
    return this.#drain !== undefined;
  }

  begin(drain: Drain): void {
    this.#drain = drain;
    this.#row = 0;
    this.#parameters = drain.parameterBytes;
    this.#residual = drain.rows === 0 ? 0 : drain.residualBytes;
  }

  /** One cycle, after the array's. */
  step(cycle: number): void {
    for (let next = this.#leaving[0]; next !== undefined && next.cycle <= cycle; next = this.#leaving[0]) {
      next.store();
      if (next.last !== undefined) next.last.completed.done = cycle + 1;
      this.#leaving.shift();
    }
    const drain = this.#drain;
    if (drain === undefined) return;
    if (drain.rows === 0) {
      drain.completed.done = cycle + 1;
      this.#drain = undefined;
      return;
    }
    this.#residual -= this.#port.upTo(this.#residual, cycle);
    this.#parameters -= this.#port.upTo(this.#parameters, cycle);
    if (this.#residual > 0) return;
    const at = drain.at + this.#row;
    if (this.#accumulators.taken(at, cycle)) {
      this.conflicts++;
      return;
    }
    const last = ++this.#row === drain.rows;
    this.#leaving.push({ cycle: cycle + this.#depth, store: drain.finish(this.#row - 1, this.#accumulators.row(at)), last: last ? drain : undefined });
    this.#residual = drain.residualBytes;
    if (last) this.#drain = undefined;
  }
}
