import { addDims, equalDims, minimaIn } from '../../ir/dims.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { evaluate, scenarioOf } from './evaluate.ts';
import type { Source } from './source.ts';

/** How many the last rows of an axis are that a slice takes, at most; undefined where it takes others. */
export function lastRows({ start, count, of }: { readonly start: Dim; readonly count: Dim; readonly of: Dim }): number | undefined {
  if (!equalDims(addDims(start, count), of)) return undefined;
  return typeof count === 'number' ? count : minimaIn(count).find((minimum) => equalDims(minimum.of, of) && equalDims(minimum.name, count))?.most;
}

/** Sequences as long as this are run at: a cache that keeps fewer rows of them only hides what no window shows. */
export const shortest = 64;

/**
 * Whether an output that picks rows of a cache by their places, once that is full, keeps the last `window` of them in order, room for more
 * aside: looked at where the cache is just long enough, and longer.
 */
export function keepsLast(source: Source, places: ValueId, axis: number, window: number): boolean {
  return [0, 1, 5].every((more) => [1, 3].every((rows) => {
    const past = window + more;
    const { shape, data } = evaluate(source, places, scenarioOf(source, { batch: 1, rows, past }), new Map());
    const apart = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const [first = -1, ...others] = Array.from({ length: shape[axis] ?? 0 }, (_, i) => data[i * apart]);
    const last = past + rows - 1;
    return first >= 0 && first <= last - window + 1 && others.every((place, i) => place === Math.min(last, first + 1 + i));
  }));
}
