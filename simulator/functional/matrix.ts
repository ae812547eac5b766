import { formatBytes } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { blocksOf, isMatrixFormat, type MatrixFormat, profileOf, weightFormatOf, weightScales } from '../../isa-spec/profiles.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { type Accumulators, type GroupRows, placeRows } from './accumulators.ts';
import { linesOf, readElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { kernels, panelColumns, putPanelRow, putTripleRow, tripleRows } from './kernel.ts';
import { multiplyScaled } from './scaled.ts';
import { multiplyScaledSimd } from './simd-scaled.ts';
import { multiplySimd } from './simd-product.ts';
import { addressOf, type Chip, type QueueState, type WeightEntry, type WeightScales, windowOf } from './state.ts';

/** Entries the weight FIFO of the functional machine holds. */
export const weightFifoEntries = 2;

const matrixFormat = (format: string): MatrixFormat => {
  if (!isMatrixFormat(format)) throw new SimulationFault('operand', `matrices are e4m3, e5m2 or bf16, not ${format}`);
  return format;
};
const nowhere = { addr: 0, ss: 0 };

/** Scales of the blocks of an entry: a row for each block of k, ascending, padded to a line. */
const scalesOf = (chip: Chip, queue: QueueState, fields: InstructionOf<'wld'>['fields']): WeightScales | undefined => {
  const { scales = nowhere } = fields;
  const scaling = blocksOf(fields);
  const laid = weightScales(fields, chip.geometry.size);
  if (scaling === undefined || laid === undefined) return undefined;
  const { sram, geometry: { lineBytes } } = chip;
  const { format, columns: pitch, rows } = laid;
  const lines = linesOf(format, pitch, lineBytes);
  const values = new Float64Array(rows * pitch);
  for (let row = 0; row < rows; row++) readElements[format](sram.views, sram.at(addressOf(queue, scales) + row * lines, lines * lineBytes), pitch, values, row * pitch);
  return { scaling, pitch, values };
};

export const wld: Execute<'wld'> = (chip, queue, fields) => {
  const { format: named, src, kTiles, nTiles } = fields;
  const format = matrixFormat(named);
  const { size, lineBytes } = chip.geometry;
  const rowBytes = linesOf(format, size, lineBytes) * lineBytes;
  const length = kTiles * nTiles * size * rowBytes;
  const at = chip.sram.at(addressOf(queue, src), length);
  const spare = chip.spareWeights.pop();
  const memory = spare !== undefined && spare.u8.length >= length ? spare : viewsOf(length);
  memory.u8.set(chip.sram.views.u8.subarray(at, at + length));
  chip.weightFifo.push({ format, kTiles, nTiles, gang: gangText(fields), size, rowBytes, memory, scales: scalesOf(chip, queue, fields) });
};

const gangText = ({ split, kSplit = 0 }: { readonly split: number; readonly kSplit?: number }): string => `split ${split}${kSplit === 0 ? '' : ` and ${kSplit} along k`}`;
const entryText = (format: string, scaling: string | undefined, { kTiles, nTiles }: { readonly kTiles: number; readonly nTiles: number }, gang: string): string =>
  `${format}${scaling === undefined ? '' : ` with ${scaling} scales`} ${kTiles} x ${nTiles} tiles ${gang}`;

/** Tile number `index` of an entry in panels: its first `depth` rows, its columns up to the last that is not zero (all, if `wide`). Returns how many columns. */
const decodeTile = (entry: WeightEntry, index: number, depth: number, wide: boolean, w: Float64Array): number => {
  const { size, rowBytes, format, memory } = entry;
  const first = index * size * rowBytes;
  const width = wide ? size : Math.ceil(usedColumns(entry, first, depth) / panelColumns) * panelColumns;
  const row = new Float64Array(width);
  for (let k = 0; k < depth; k++) {
    readElements[format](memory, first + k * rowBytes, width, row);
    putPanelRow(w, row, k, width, depth);
  }
  return width;
};

const usedColumns = ({ size, rowBytes, format, memory }: WeightEntry, first: number, depth: number): number => {
  const bytes = formatBytes[format];
  for (let n = size - 1; n >= 0; n--) {
    for (let k = 0; k < depth; k++) for (let b = 0; b < bytes; b++) if (memory.u8[first + k * rowBytes + n * bytes + b] !== 0) return n + 1;
  }
  return 0;
};

const isFinite = (values: Float64Array, count: number): boolean => {
  for (let i = 0; i < count; i++) if (values[i]! - values[i]! !== 0) return false;
  return true;
};

export const mm: Execute<'mm'> = (chip, queue, fields) => {
  const { accumulate, split, a, pitch, acc, kTiles, kLast, nTiles, rows: window } = fields;
  const { geometry, sram, accumulators } = chip;
  const { size, lineBytes } = geometry;
  const format = matrixFormat(fields.format);
  const scaling = blocksOf(fields);
  const entry = chip.weightFifo.shift();
  if (entry === undefined) throw new Error('internal: mm ran without weights');
  chip.spareWeights.push(entry.memory);
  const [wanted, pushed] = [entryText(weightFormatOf(fields), scaling, fields, gangText(fields)), entryText(entry.format, entry.scales?.scaling, entry, entry.gang)];
  if (wanted !== pushed) throw new SimulationFault('fifo', `multiplies ${wanted}, pushed were ${pushed}`);
  if (kLast > size) throw new SimulationFault('operand', `kLast ${kLast} of a tile of ${size}`);
  const { rows } = windowOf(queue, window);
  const groups = placeRows(geometry, addressOf(queue, acc), nTiles, split, { max: window.max, rows });
  if (rows === 0) return;
  accumulators.touch('write', groups, nTiles);
  if (accumulate === 'no' || (accumulate === 'first' && queue.I[3] === 0)) for (const group of groups) clear(accumulators, group, nTiles, size);

  const line = addressOf(queue, a);
  const k = (kTiles - 1) * size + kLast;
  for (let r = 0; r < rows; r++) sram.at(line + r * pitch, k * formatBytes[format]);
  const read = (r: number, from: number, count: number, out: Float64Array): void => readElements[format](sram.views, (line + r * pitch) * lineBytes + from * formatBytes[format], count, out);
  if (entry.scales !== undefined) {
    const { format: scaleFormat } = blockScales[entry.scales.scaling];
    const scaleLine = addressOf(queue, fields.scales ?? nowhere);
    const readScales = (r: number, out: Float64Array): void =>
      readElements[scaleFormat](sram.views, sram.at(scaleLine + r * (fields.scalePitch ?? 0), out.length * formatBytes[scaleFormat]), out.length, out);
    const product = { entry, scales: entry.scales, k, groups, read: (r: number, out: Float64Array) => read(r, 0, k, out), readScales };
    if (chip.simd === undefined) multiplyScaled(accumulators, product);
    else multiplyScaledSimd(accumulators, chip.simd, { codes: sram.views.u8, at: (r) => (line + r * pitch) * lineBytes }, product);
    return;
  }
  const profile = profileOf(fields) === 'exact' ? 'exact' : 'chained';
  if (chip.simd !== undefined) {
    multiplySimd(chip, chip.simd, profile, { format, entry, kLast, rows, groups, line, pitch });
    return;
  }

  const w = new Float64Array(size * size);
  const x = new Float64Array(rows * size);
  const { triple, row: single } = kernels[profile];
  for (let kt = 0; kt < kTiles; kt++) {
    const depth = kt === kTiles - 1 ? kLast : size;
    for (const group of groups) {
      packRows(group, depth, x, (r, row) => read(r, kt * size, depth, row));
    }
    const wide = !isFinite(x, rows * depth);
    for (let nt = 0; nt < nTiles; nt++) {
      const width = decodeTile(entry, kt * nTiles + nt, depth, wide, w);
      for (const group of groups) {
        const sums = accumulators.of(group.firstArray + nt, group.accumulatorRow + group.rows);
        for (let n = 0; n < width; n += panelColumns) {
          const panel = { w, at: n * depth, depth, pitch: size };
          const at = group.accumulatorRow * size + n;
          let r = 0;
          for (; r + tripleRows <= group.rows; r += tripleRows) triple(sums, at + r * size, x, (group.row + r) * depth, panel);
          for (; r < group.rows; r++) single(sums, at + r * size, x, (group.row + r) * depth, panel);
        }
      }
    }
  }
};

/** Rows of a group as the kernels take them: triples interleaved, what is left one by one. */
const packRows = ({ row: first, rows }: GroupRows, depth: number, x: Float64Array, read: (row: number, out: Float64Array) => void): void => {
  const row = new Float64Array(depth);
  const inTriples = rows - (rows % tripleRows);
  for (let r = 0; r < rows; r++) {
    read(first + r, row);
    if (r >= inTriples) x.set(row, (first + r) * depth);
    else putTripleRow(x, row, (first + r - (r % tripleRows)) * depth, r % tripleRows);
  }
};

const clear = (accumulators: Accumulators, group: GroupRows, nTiles: number, size: number): void => {
  for (let nt = 0; nt < nTiles; nt++) accumulators.of(group.firstArray + nt, group.accumulatorRow + group.rows).fill(0, group.accumulatorRow * size, (group.accumulatorRow + group.rows) * size);
};
