import { formatBytes } from '../../isa-spec/fields.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { type Accumulators, type GroupRows, placeRows } from './accumulators.ts';
import { linesOf, readElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { kernels, panelColumns, putPanelRow, putTripleRow, tripleRows } from './kernel.ts';
import { addressOf, type Chip, type WeightEntry, windowOf } from './state.ts';
import { multiplyBf16 } from '../wasm/bf16.ts';
import { multiplyE4m3 } from '../wasm/e4m3.ts';
import type { Job } from '../wasm/job.ts';

/** Entries the weight FIFO of the functional machine holds. */
export const weightFifoEntries = 2;

const matrixFormat = (format: string): 'bf16' | 'e4m3' => {
  if (format !== 'bf16' && format !== 'e4m3') throw new SimulationFault('operand', `matrices are e4m3 or bf16, not ${format}`);
  return format;
};

export const wld: Execute<'wld'> = (chip, queue, { format: named, src, kTiles, nTiles, split }) => {
  const format = matrixFormat(named);
  const { size, lineBytes } = chip.geometry;
  const rowBytes = linesOf(format, size, lineBytes) * lineBytes;
  const length = kTiles * nTiles * size * rowBytes;
  const at = chip.sram.at(addressOf(queue, src), length);
  const spare = chip.spareWeights.pop();
  const memory = spare !== undefined && spare.u8.length >= length ? spare : viewsOf(length);
  memory.u8.set(chip.sram.views.u8.subarray(at, at + length));
  chip.weightFifo.push({ format, kTiles, nTiles, split, size, rowBytes, memory });
};

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

export const mm: Execute<'mm'> = (chip, queue, { format: named, accumulate, split, a, pitch, acc, kTiles, kLast, nTiles, rows: window }) => {
  const { geometry, sram } = chip;
  const { size, lineBytes } = geometry;
  const format = matrixFormat(named);
  const entry = chip.weightFifo.shift();
  if (entry === undefined) throw new Error('internal: mm ran without weights');
  chip.spareWeights.push(entry.memory);
  if (entry.format !== format || entry.kTiles !== kTiles || entry.nTiles !== nTiles || entry.split !== split) {
    throw new SimulationFault('fifo', `multiplies ${format} ${kTiles} x ${nTiles} tiles split ${split}, pushed were ${entry.format} ${entry.kTiles} x ${entry.nTiles} split ${entry.split}`);
  }
  if (kLast > size) throw new SimulationFault('operand', `kLast ${kLast} of a tile of ${size}`);
  const { rows } = windowOf(queue, window);
  const groups = placeRows(geometry, addressOf(queue, acc), nTiles, split, { max: window.max, rows });
  if (rows === 0) return;
  chip.accumulators.touch('write', groups, nTiles);
  if (accumulate === 'no' || (accumulate === 'first' && queue.I[3] === 0)) for (const group of groups) clear(chip.accumulators, group, nTiles, size);

  const line = addressOf(queue, a);
  const rowBytes = ((kTiles - 1) * size + kLast) * formatBytes[format];
  for (let r = 0; r < rows; r++) sram.at(line + r * pitch, rowBytes);
  if (chip.simd !== undefined) {
    const job = jobOf(chip, entry, { kLast, rows, groups, line, pitch });
    (format === 'e4m3' ? multiplyE4m3 : multiplyBf16)(chip.simd, job);
    return;
  }

  const w = new Float64Array(size * size);
  const x = new Float64Array(rows * size);
  const { triple, row: single } = kernels[format];
  for (let kt = 0; kt < kTiles; kt++) {
    const depth = kt === kTiles - 1 ? kLast : size;
    for (const group of groups) {
      packRows(group, depth, x, (r, row) => readElements[format](sram.views, (line + r * pitch) * lineBytes + kt * size * formatBytes[format], depth, row));
    }
    const wide = !isFinite(x, rows * depth);
    for (let nt = 0; nt < nTiles; nt++) {
      const width = decodeTile(entry, kt * nTiles + nt, depth, wide, w);
      for (const group of groups) {
        const sums = chip.accumulators.of(group.firstArray + nt, group.accumulatorRow + group.rows);
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

/** The product for the SIMD kernels. `line` and `pitch` are of the activations, in lines. */
const jobOf = (
  { sram, geometry: { lineBytes }, accumulators }: Chip,
  { format, size, kTiles, nTiles, rowBytes, memory }: WeightEntry,
  { kLast, rows, groups, line, pitch }: { readonly kLast: number; readonly rows: number; readonly groups: readonly GroupRows[]; readonly line: number; readonly pitch: number },
): Job => {
  const bytes = formatBytes[format];
  return {
    size, kTiles, kLast, nTiles, rows,
    x: bytes === 1 ? sram.views.u8 : sram.views.u16,
    xAt: (r) => ((line + r * pitch) * lineBytes) / bytes,
    tiles: bytes === 1 ? memory.u8 : memory.u16,
    pitch: rowBytes / bytes,
    places: groups.map((group) => ({
      row: group.row, rows: group.rows, at: group.accumulatorRow * size,
      sums: (nt) => accumulators.of(group.firstArray + nt, group.accumulatorRow + group.rows),
    })),
  };
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
