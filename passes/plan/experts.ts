import { binsOf } from '../../isa-spec/bins.ts';
import type { Format } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { type Cut, cutProduct, faultOfCut, type MatmulShape, planMatmul, rowsFieldMax, type Staging } from './matmul.ts';

/** Rows of `width` columns that each choose `k` of so many experts, whose two products have `inner` columns between them, a part of them on each of `parts` chips; or `group` chips have as many experts each. A place of a bin takes `bytesPerRow` of stages. */
export type BinsShape = { readonly rows: number; readonly experts: number; readonly k: number; readonly group: number; readonly width: number; readonly inner: number; readonly out: number; readonly parts: number; readonly format: Format; readonly bytesPerRow: number };

/** What is decided of them: places of a bin, each of which is one row tile; how its two products are cut; slots of the rings of their weights. */
export type Bins = { readonly size: number; readonly ringDepth: number; readonly gate: Cut; readonly down: Cut };

/** Most slots of the rings of weights that are picked. */
const ringMost = 3;

/** The shapes of the two products of a bin. */
export function shapesOfBins({ width, inner, out, parts, format, bytesPerRow }: BinsShape, size: number, machine: Machine): { readonly gate: MatmulShape; readonly down: MatmulShape } {
  const shape = {
    rows: size, format,
    // A gather brings a chunk of weights as one row, and has sixteen bits for its lines.
    chunkBytes: (2 ** 16 - 1) * machine.sram.lineBytes.value,
    // Both products have these rows, and room for rows.
    stagedBytesPerRow: bytesPerRow / 2, stagedBytesPerRowAndColumn: 0, chunkTiles: undefined, groupStep: 1, beside: undefined,
  };
  return { gate: { ...shape, k: width, columns: inner / parts, gated: true }, down: { ...shape, k: inner, columns: out, gated: false } };
}

/** The bins with the fewest estimated cycles for all of them together; undefined if none has room. */
export function planBins(shape: BinsShape, machine: Machine, staging: Staging): Bins | undefined {
  const { rows, k, experts, group } = shape;
  if (rows > rowsFieldMax) return undefined;
  const ringDepth = Math.min(ringMost, staging.ringDepth);
  let best: { readonly bins: Bins; readonly cycles: number } | undefined;
  for (let cuts = 1, size = 0; size !== 1; cuts = cuts < 8 ? cuts + 1 : 2 * cuts) {
    size = Math.ceil(rows / cuts);
    const shapes = shapesOfBins(shape, size, machine);
    const gate = planMatmul(shapes.gate, machine, { ...staging, ringDepth });
    const down = planMatmul(shapes.down, machine, { ...staging, ringDepth });
    if (gate === undefined || down === undefined || gate.rowTile < size || down.rowTile < size) continue;
    const cycles = binsOf({ max: rows, k, experts, group, size }) * (cutProduct(shapes.gate, gate, machine).cycles + cutProduct(shapes.down, down, machine).cycles);
    if (best === undefined || cycles < best.cycles) best = { bins: { size, ringDepth, gate, down }, cycles };
  }
  return best?.bins;
}

/** What of bins the machine cannot do; undefined if it can. */
export function faultOfBins(shape: BinsShape, { size, ringDepth, gate, down }: Bins, machine: Machine): string | undefined {
  const most = Math.min(shape.rows, rowsFieldMax);
  if (!Number.isInteger(size) || size < 1 || size > most) return `bins of ${size} places, where there are 1 to ${most}`;
  if (!Number.isInteger(ringDepth) || ringDepth < 1 || ringDepth > ringMost) return `rings of ${ringDepth} slots, where there are 1 to ${ringMost}`;
  if (gate.rowTile !== size || down.rowTile !== size) return `row tiles of ${gate.rowTile} and ${down.rowTile} rows, where a bin has ${size} places`;
  const shapes = shapesOfBins(shape, size, machine);
  return faultOfCut(shapes.gate, gate, machine) ?? faultOfCut(shapes.down, down, machine);
}
