import { shareOf } from '../../isa-spec/groups.ts';
import type { Machine } from '../../isa-spec/machine.ts';

/** Rows chips have in columns, `parts` of them: bytes of a chip's columns of a row, and of the codes and scales that are made of a whole row of `columns`. */
export type SharedRows = { readonly rows: number; readonly parts: number; readonly columns: number; readonly columnBytes: number; readonly codeBytes: number };

/** Operations the vector unit has for an element at the least, to make a code of it: those of quantising. */
const operationsLeast = 3;

/**
 * Whether it is faster that each chip has whole rows of a share, and gives out the codes it makes of them, than that all have all rows. What that saves on the link
 * and in the vector unit must be worth one hop more.
 */
export function isWorthSharing({ rows, parts, columns, columnBytes, codeBytes }: SharedRows, { link, vectorLanes, clockHz }: Machine): boolean {
  const share = shareOf(rows, parts);
  const bytes = (rows * columnBytes - share * (columnBytes + codeBytes)) * (parts - 1);
  const operations = (rows - share) * columns * operationsLeast;
  return bytes / link.bytesPerSecond.value + operations / (vectorLanes.value * clockHz.value) > link.latencySeconds.value;
}
