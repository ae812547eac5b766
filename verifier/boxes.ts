/**
 * Memory: `rows` rows of `units` units, `pitch` apart, from `start` on. Units are lines, or accumulator rows; `space` tells
 * memories apart.
 */
export type Box = { readonly space: number; readonly start: number; readonly rows: number; readonly pitch: number; readonly units: number };

/** One past the last unit of a box. */
export const endOf = ({ start, rows, pitch, units }: Box): number => start + (rows - 1) * pitch + units;

/** Whether some row of `box`, those numbered `first` to `last`, touches [start, start + units). */
function meets({ start: origin, pitch, units: width }: Box, first: number, last: number, start: number, units: number): boolean {
  if (pitch === 0) return start < origin + width && origin < start + units;
  const from = Math.max(first, Math.floor((start - origin - width) / pitch) + 1);
  const to = Math.min(last, Math.ceil((start + units - origin) / pitch) - 1);
  return from <= to;
}

/** Whether two boxes have a unit in common. Exact. */
export function overlap(a: Box, b: Box): boolean {
  if (a.space !== b.space || a.rows <= 0 || b.rows <= 0 || a.units === 0 || b.units === 0) return false;
  if (a.start >= endOf(b) || b.start >= endOf(a)) return false;
  if (a.rows === 1) return meets(b, 0, b.rows - 1, a.start, a.units);
  if (b.rows === 1) return meets(a, 0, a.rows - 1, b.start, b.units);
  // Row i of a against row j of b, both `pitch` apart, is row i - j of a against row 0 of b.
  if (a.pitch === b.pitch) return meets(a, 1 - b.rows, a.rows - 1, b.start, b.units);
  const [few, many] = a.rows <= b.rows ? [a, b] : [b, a];
  for (let row = 0; row < few.rows; row++) if (meets(many, 0, many.rows - 1, few.start + row * few.pitch, few.units)) return true;
  return false;
}
