import { Records } from './records.ts';
import type { Instance, Standing } from './walk.ts';

/** An op in an iteration. */
export type Turn = { readonly op: number; readonly I: readonly number[] };

/** A source a use may see: of the op, in the same turn of `common` loops, or in the turn before of the loop at `carried`. */
export type Source = { readonly common: readonly number[]; readonly carried: number };

/** Numbers of a tag's record: the op, of whose values it has copies, the instruction's queue and index, and the indices of its loops from there on. */
const at = { op: 0, origin: 1, queue: 2, index: 3, I: 4 } as const;
const width = 8;

/** Tags number the instances that have written; 0 is nobody. */
export class Tags {
  readonly #of = new Records(width);

  constructor() {
    this.#of.add();
  }

  add(op: number, origin: number, { queue, index, I }: Instance): number {
    const from = this.#of.add();
    const { numbers } = this.#of;
    numbers[from + at.op] = op;
    numbers[from + at.origin] = origin;
    numbers[from + at.queue] = queue;
    numbers[from + at.index] = index;
    for (let level = 0; level < 4; level++) numbers[from + at.I + level] = I[level]!;
    return from / width;
  }

  op(tag: number): number {
    return this.#of.numbers[tag * width + at.op]!;
  }

  origin(tag: number): number {
    return this.#of.numbers[tag * width + at.origin]!;
  }

  turn(tag: number): Turn {
    return { op: this.op(tag), I: this.#indices(tag) };
  }

  /** Whether what was written is what a source means for a read in iteration `reads`. */
  isFrom(tag: number, { common, carried }: Source, reads: readonly number[]): boolean {
    for (let i = 0; i < common.length; i++) {
      const level = common[i]!;
      const wrote = this.#of.numbers[tag * width + at.I + level]!;
      if (level === carried) return wrote === reads[level]! - 1;
      if (wrote !== reads[level]!) return false;
    }
    return carried < 0;
  }

  /** The turn, as it is called in states that may come again: indices of outermost loops count from where the walk is. */
  name(tag: number, { began, level, base }: Standing): string {
    const queue = this.#of.numbers[tag * width + at.queue]!;
    const I = this.#indices(tag);
    if (!this.#isSince(tag, began)) return `${this.op(tag)}.x${I.join('.')}`;
    I[level[queue]!]! -= base;
    return `${this.op(tag)}.${I.join('.')}`;
  }

  /** The outermost loops jump ahead. */
  skip(tag: number, by: number, { began, level }: Standing): void {
    const queue = this.#of.numbers[tag * width + at.queue]!;
    if (this.#isSince(tag, began)) this.#of.numbers[tag * width + at.I + level[queue]!]! += by;
  }

  /** Whether it was written in the outermost loop its queue is in. */
  #isSince(tag: number, began: readonly number[]): boolean {
    return this.#of.numbers[tag * width + at.index]! >= began[this.#of.numbers[tag * width + at.queue]!]!;
  }

  #indices(tag: number): number[] {
    return Array.from(this.#of.numbers.subarray(tag * width + at.I, (tag + 1) * width));
  }
}
