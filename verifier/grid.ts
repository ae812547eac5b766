import { type Certificate, type CertifiedAccess, valueAt } from './certificate.ts';

/** The rows and elements of a row an access touches in an iteration: [from, to) of each, and the ring slot. */
export type Part = { slot: number; row: number; rowEnd: number; column: number; columnEnd: number };
export const noPart = (): Part => ({ slot: 0, row: 0, rowEnd: 0, column: 0, columnEnd: 0 });

/** How an op's window shows in an access: matrices have its rows, a list of the step has an element for each of them. */
export type Extent = { readonly windowed: 'rows' | 'elements' | 'all'; readonly firstAt: (I: ArrayLike<number>) => number; readonly rowsAt: (I: ArrayLike<number>) => number };

/** What an access touches of its buffer, of `depth` slots, in an iteration: into `part`, as a walk asks for nothing so often. */
export function partOf(access: CertifiedAccess, extent: Extent, depth: number, I: ArrayLike<number>, part: Part): void {
  const isList = extent.windowed === 'elements';
  part.slot = ((valueAt(access.slot, I) % depth) + depth) % depth;
  part.row = valueAt(access.row, I);
  part.rowEnd = part.row + (isList ? 1 : extent.windowed === 'rows' ? extent.rowsAt(I) : access.rows);
  part.column = valueAt(access.column, I) + (isList ? extent.firstAt(I) : 0);
  part.columnEnd = part.column + (isList ? extent.rowsAt(I) : access.columns);
}

/** A buffer cut into cells: along the rows and along the columns, wherever some access begins or ends. A cell is touched as a whole or not at all. */
export type Grid = { readonly depth: number; readonly rows: ReadonlyMap<number, number>; readonly columns: ReadonlyMap<number, number> };

/** Most positions of one access that are worth writing out. */
const positionsMax = 100_000;

/** The grid of a buffer; undefined if an access has more positions than can be told apart. */
export function gridOf(certificate: Certificate, accesses: readonly { readonly access: CertifiedAccess; readonly extent: Extent }[], depth: number): Grid | undefined {
  const [rows, columns] = [new Set<number>(), new Set<number>()];
  const part = noPart();
  for (const { access, extent } of accesses) {
    const loops = certificate.around[access.op]!;
    const moves = (position: readonly number[], level: number): boolean => (position[level + 1] ?? 0) !== 0;
    // A window's height and place in a list change with the loop of rows.
    const along = (position: readonly number[], windowed: boolean) => loops.filter(({ level }) => moves(position, level) || (windowed && level === rowLevel));
    for (const [cuts, over, from, to] of [
      [rows, along(access.row, extent.windowed === 'rows'), 'row', 'rowEnd'],
      [columns, along(access.column, extent.windowed === 'elements'), 'column', 'columnEnd'],
    ] as const) {
      if (over.reduce((product, { count }) => product * count, 1) > positionsMax) return undefined;
      for (const I of iterations(over)) {
        partOf(access, extent, depth, I, part);
        cuts.add(part[from]).add(part[to]);
      }
    }
  }
  return { depth, rows: numbered(rows), columns: numbered(columns) };
}

/** The loop level windows of rows count with. */
export const rowLevel = 1;

const numbered = (cuts: ReadonlySet<number>): ReadonlyMap<number, number> => new Map([...cuts].toSorted((a, b) => a - b).map((cut, i) => [cut, i]));

/** Every combination of the indices of loops. The same array each time. */
function* iterations(loops: readonly { readonly level: number; readonly count: number }[]): Generator<readonly number[]> {
  const I = [0, 0, 0, 0];
  for (;;) {
    yield I;
    let at = loops.length - 1;
    while (at >= 0 && ++I[loops[at]!.level]! === loops[at]!.count) I[loops[at--]!.level] = 0;
    if (at < 0) return;
  }
}
