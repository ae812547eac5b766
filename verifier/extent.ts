import type { RowWindow } from '../isa-spec/fields.ts';
import type { StrideSet } from '../isa-spec/instructions.ts';

/** The least and greatest value of a loop index. */
export type Range = readonly [number, number];
/** A move and the indices that make it. */
export type Extreme = { readonly by: number; readonly I: readonly number[] };

/** A ring that moves nothing, for sets without one. */
const noRing: StrideSet['ring'] = { stride: 0, depth: 1, base: 0, steps: [0, 0, 0, 0] };

/** The least and greatest move of a stride set over ranges of indices. Exact, unless its ring turns over: then the ring counts as all its slots. */
export function extent(set: StrideSet | undefined, ranges: readonly Range[]): { readonly low: Extreme; readonly high: Extreme } {
  if (set === undefined) return { low: { by: 0, I: [] }, high: { by: 0, I: [] } };
  const { strides } = set;
  const ring = set.ring.depth === 0 ? noRing : set.ring;
  const turn = turnOf(ring, ranges);
  const slopes = strides.map((stride, level) => stride + (turn === undefined ? 0 : ring.stride * ring.steps[level]!));
  const ends = (greatest: boolean): Extreme => {
    const I = ranges.map(([low, high], level) => (slopes[level] === 0 ? low : slopes[level]! > 0 === greatest ? high : low));
    const slots = turn === undefined ? (greatest ? ring.depth - 1 : 0) : ring.base - turn * ring.depth;
    return { by: I.reduce((sum, index, level) => sum + index * slopes[level]!, ring.stride * slots), I };
  };
  return { low: ends(false), high: ends(true) };
}

/** How often a ring has turned over, if that is the same all through the ranges: then its slots are linear in the indices. */
function turnOf({ depth, base, steps }: StrideSet['ring'], ranges: readonly Range[]): number | undefined {
  const at = (end: 0 | 1): number => Math.floor(ranges.reduce((sum, range, level) => sum + range[end] * steps[level]!, base) / depth);
  return at(0) === at(1) ? at(0) : undefined;
}

/** Parts of a window's iterations that have the same number of rows: the full ones, and the one that is shortened; those beyond touch nothing. */
export function windowParts({ max, level }: RowWindow, ranges: readonly Range[], bound: number): readonly { readonly ranges: readonly Range[]; readonly rows: number }[] {
  const last = ranges[level]![1];
  const within = (low: number, high: number): readonly Range[] => ranges.map((range, l) => (l === level ? [low, high] : range));
  const full = Math.min(last + 1, Math.floor(bound / max));
  const rest = bound - full * max;
  return [...(full > 0 ? [{ ranges: within(0, full - 1), rows: max }] : []), ...(full <= last && rest > 0 ? [{ ranges: within(full, full), rows: rest }] : [])];
}
