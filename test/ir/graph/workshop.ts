import type { GraphBuilder } from '../../../ir/graph/build.ts';
import type { Cache } from '../../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../../ir/types.ts';

/** Rows of every table that ids pick from. */
export const tableRows = 16;

/** Decisions read off a list of numbers; 0 when it has run out. */
export class Tape {
  readonly #numbers: readonly number[];
  #at = 0;
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }
  get left(): number {
    return this.#numbers.length - this.#at;
  }
  below(count: number): number {
    return (this.#numbers[this.#at++] ?? 0) % count;
  }
  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)] as T;
  }
}

/** What a recipe works with. */
export type Workshop = {
  readonly tape: Tape;
  readonly build: GraphBuilder;
  /** Values that may be read, newest last. */
  readonly scope: ValueId[];
  readonly ids: ValueId;
  readonly positions: ValueId;
  readonly caches: Cache[];
  readonly trips: readonly number[];
  readonly type: (value: ValueId) => TensorType;
  /** A new weight of the module, and its value. */
  readonly weight: (shape: readonly number[]) => ValueId;
  /** Fills a body, that of a loop of `trip` iterations or of a fused op; its scope is this one's, the parameters and what it made. */
  readonly inside: (trip: number | undefined, params: readonly ValueId[]) => Workshop;
};
