import { type Format, formatBytes, formats } from '../isa-spec/fields.ts';
import { type HbmBase, hbmBases } from '../isa-spec/instructions.ts';
import type { Json } from '../isa-spec/json.ts';
import type { Program } from '../isa-spec/program.ts';
import { linesOf, readElements } from '../simulator/functional/elements.ts';
import type { MachineState } from '../simulator/functional/machine-state.ts';
import type { Chip } from '../simulator/functional/state.ts';
import { viewsOf } from '../simulator/memory.ts';

/** A value of the program and where it lives: `slots` times `rows` rows of `columns`; `at`, `pitch` and `slot` in lines. */
export type Tensor = {
  readonly name: string;
  readonly space: 'sram' | 'hbm';
  readonly base: HbmBase;
  readonly format: Format;
  readonly slots: number;
  readonly rows: number;
  readonly columns: number;
  readonly at: number;
  readonly pitch: number;
  readonly slot: number;
};

/** Rows in memory, where and how they lie. */
export type Region = Pick<Tensor, 'space' | 'base' | 'format' | 'rows' | 'columns' | 'at' | 'pitch'>;

/** The values an entry of a program names, results last. A certificate that is not the compiler's names none. Accumulators are printed as such. */
export function tensorsOf({ life, ioMap }: Program, entry: number): readonly Tensor[] {
  const outputs = ioMap.outputs.map((output): Tensor => ({ ...output, space: 'hbm', slots: 1, rows: 1, at: output.offset, slot: 0 }));
  const buffers = fieldOf(Array.isArray(life) ? (life as readonly Json[])[entry] : undefined, 'buffers');
  const named = (Array.isArray(buffers) ? (buffers as readonly Json[]) : []).flatMap((buffer): Tensor[] => {
    const number = (name: string): number => Number(fieldOf(buffer, name));
    const [space, base, format, name] = ['space', 'base', 'format', 'name'].map((key) => fieldOf(buffer, key));
    const numbers = { slots: number('depth'), rows: number('rows'), columns: number('columns'), at: number('at'), pitch: number('pitch'), slot: number('slot') };
    if (typeof name !== 'string' || (space !== 'sram' && space !== 'hbm') || !isOne(formats, format) || !isOne(hbmBases, base)) return [];
    return Object.values(numbers).every((value) => Number.isSafeInteger(value) && value >= 0) ? [{ name, space, base, format, ...numbers }] : [];
  });
  return [...named, ...outputs];
}

const fieldOf = (value: Json | undefined, name: string): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, Json>>)[name] : undefined;

const isOne = <T extends string>(names: readonly T[], value: unknown): value is T => (names as readonly unknown[]).includes(value);

/** One slot of a tensor. */
export const slotOf = (tensor: Tensor, slot: number): Region => ({ ...tensor, at: tensor.at + slot * tensor.slot });

/** The bytes of `rows` rows from `row` on, one after the other. Throws SimulationFault outside the memory. */
export function bytesOf(chip: Chip, { space, base, format, columns, at, pitch }: Region, row: number, rows: number): readonly Uint8Array[] {
  const memory = space === 'sram' ? chip.sram : chip.hbm[base];
  if (memory === undefined) throw new RangeError(`there is no HBM \`${base}\``);
  const { lineBytes } = chip.geometry;
  return Array.from({ length: rows }, (_, r) => memory.copy((at + (row + r) * pitch) * lineBytes, columns * formatBytes[format]));
}

/** Elements shown of a row, and rows of a tensor, unless more are asked for. */
const shown = { columns: 8, rows: 6 } as const;

/** Values for people: the first columns of the first rows or of one row, or one row whole. */
export function regionText(chip: Chip, region: Region, row: number | undefined, whole: boolean): readonly string[] {
  const [first, count] = row === undefined ? [0, Math.min(region.rows, shown.rows)] : [row, 1];
  const lines = bytesOf(chip, region, first, count).map((bytes, r) => {
    const views = viewsOf(bytes.length);
    views.u8.set(bytes);
    const columns = whole ? region.columns : Math.min(region.columns, shown.columns);
    const values = new Float64Array(columns);
    readElements[region.format](views, 0, columns, values);
    return `  [${first + r}] ${[...values].map(valueText).join(' ')}${columns < region.columns ? ` ... (${region.columns})` : ''}`;
  });
  return count < region.rows && row === undefined ? [...lines, `  ... (${region.rows} rows)`] : lines;
}

const valueText = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(5));

export const placeOf = ({ space, base, at, pitch, format, rows, columns }: Region): string =>
  `${format} [${rows}, ${columns}] at ${space === 'sram' ? 'SRAM' : `HBM \`${base}\``} line ${at}, pitch ${pitch}`;

/** Sums of accumulator rows of one array, the first columns. */
export function accumulatorText({ accumulators, geometry: { size, arrays, accumulatorRows } }: Chip, array: number, row: number, rows: number): readonly string[] {
  if (array >= arrays || row + rows > accumulatorRows) throw new RangeError(`the chip has ${arrays} arrays of ${accumulatorRows} accumulator rows`);
  const sums = accumulators.of(array, row + rows);
  return Array.from({ length: rows }, (_, r) => `  [${row + r}] ${[...sums.subarray((row + r) * size, (row + r) * size + shown.columns)].map(valueText).join(' ')} ... (${size})`);
}

/** `sram LINE[:ROWS] FORMAT [COLUMNS]`, `hbm BASE LINE[:ROWS] FORMAT [COLUMNS]`: a line a row, unless there are more columns than fit. Undefined if it is neither. */
export function regionNamed(words: readonly string[], { chips }: MachineState): Region | undefined {
  const [space, ...rest] = words;
  if (space !== 'sram' && space !== 'hbm') return undefined;
  const base = space === 'hbm' ? rest.shift() : 'none';
  const [where = '', format = 'f32', columns] = rest;
  const found = /^(0x[0-9a-f]+|\d+)(?::(\d+))?$/i.exec(where);
  const { lineBytes } = chips[0]!.geometry;
  if (found === null || !isOne(hbmBases, base) || !isOne(formats, format) || !/^[1-9]\d{0,6}$/.test(columns ?? '1')) {
    throw new RangeError('`print sram LINE[:ROWS] FORMAT [COLUMNS]`, or `print hbm BASE LINE[:ROWS] FORMAT [COLUMNS]`');
  }
  const width = columns === undefined ? lineBytes / formatBytes[format] : Number(columns);
  return { space, base, format, rows: Number(found[2] ?? 1), columns: width, at: Number(found[1]), pitch: linesOf(format, width, lineBytes) };
}
