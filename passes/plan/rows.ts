import { rowsFieldMax, type Staging } from './matmul.ts';

/** Rows that pass through SRAM a tile at a time, and the bytes each takes there while it does. */
export type RowsShape = { readonly rows: number; readonly bytesPerRow: number };

/** What is decided of them. */
export type RowTile = { readonly rowTile: number };

/** Row tiles of a stage are no more than that part of it, if they have some rows: what is on its way is not worth more room. */
const [tileShare, someRows] = [1 / 8, 16] as const;

/** Equal row tiles, as tall as the stages let them be; undefined if there is no room for a single row. */
export function planRows({ rows, bytesPerRow }: RowsShape, { stageBytes }: Pick<Staging, 'stageBytes'>): RowTile | undefined {
  const most = Math.min(rows, rowsFieldMax, bytesPerRow === 0 ? rows : Math.max(Math.floor((stageBytes * tileShare) / bytesPerRow), Math.min(someRows, Math.floor(stageBytes / bytesPerRow))));
  return most < 1 ? undefined : { rowTile: Math.ceil(rows / Math.ceil(rows / most)) };
}

/** What of a row tile the machine cannot do; undefined if it can. */
export function faultOfRows({ rows }: Pick<RowsShape, 'rows'>, { rowTile }: RowTile): string | undefined {
  const most = Math.min(rows, rowsFieldMax);
  return Number.isInteger(rowTile) && rowTile >= 1 && rowTile <= most ? undefined : `row tiles of ${rowTile} rows, where there are 1 to ${most}`;
}

/** Rows of whose `k` results each is made; `words`: numbers on a line, on which the weights of a tile start. */
export type MixShape = { readonly rows: number; readonly k: number; readonly words: number; readonly bytesPerRow: number };

/** Row tiles in which the results of experts are added up. */
export function planMix({ rows, k, words, bytesPerRow }: MixShape, { stageBytes }: Pick<Staging, 'stageBytes'>): RowTile | undefined {
  const most = Math.min(Math.floor(stageBytes / 2 / bytesPerRow), Math.floor(rowsFieldMax / k));
  if (most >= rows) return { rowTile: rows };
  const tallest = Math.floor(most / words) * words;
  if (tallest < 1) return undefined;
  return { rowTile: Math.ceil(rows / Math.ceil(rows / tallest) / words) * words };
}

/** What of such a row tile the machine cannot do; undefined if it can. */
export function faultOfMix({ rows, k, words }: MixShape, { rowTile }: RowTile): string | undefined {
  const most = Math.floor(rowsFieldMax / k);
  const onLines = rowTile === rows || rowTile % words === 0;
  return Number.isInteger(rowTile) && rowTile >= 1 && rowTile <= most && onLines ? undefined : `row tiles of ${rowTile} rows, where there are 1 to ${most}, by ${words} unless it is all ${rows}`;
}
