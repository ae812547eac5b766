import { formatBytes } from '../../isa-spec/fields.ts';
import { SimulationFault } from '../fault.ts';
import { viewsOf } from '../memory.ts';
import { type GroupRows, placeRows } from './accumulators.ts';
import { linesOf, readElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addChained, addExact, addExactPair, type Tile } from './kernel.ts';
import { accumulatorRowOf, lineOf, type WeightEntry, windowOf } from './state.ts';

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
  const at = chip.sram.at(lineOf(queue, src), length);
  const memory = viewsOf(length);
  memory.u8.set(chip.sram.views.u8.subarray(at, at + length));
  chip.weightFifo.push({ format, kTiles, nTiles, split, size, rowBytes, memory });
};

/** Tile number `index` of an entry: its first `valid` rows, its columns up to the last that is not zero (all, if `wide`). */
const decodeTile = (entry: WeightEntry, index: number, valid: number, wide: boolean, w: Float64Array): Tile => {
  const { size, rowBytes } = entry;
  const first = index * size * rowBytes;
  const width = wide ? size : usedColumns(entry, first, rowBytes, valid, size);
  for (let k = 0; k < valid; k++) readElements[entry.format](entry.memory, first + k * rowBytes, width, w, k * width);
  const depth = Math.ceil(valid / 4) * 4;
  w.fill(0, valid * width, depth * width);
  return { w, width, depth, pitch: size, finite: isFinite(w, valid * width) };
};

const usedColumns = (entry: WeightEntry, first: number, rowBytes: number, valid: number, size: number): number => {
  const bytes = formatBytes[entry.format];
  for (let n = size - 1; n >= 0; n--) {
    for (let k = 0; k < valid; k++) for (let b = 0; b < bytes; b++) if (entry.memory.u8[first + k * rowBytes + n * bytes + b] !== 0) return n + 1;
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
  if (entry.format !== format || entry.kTiles !== kTiles || entry.nTiles !== nTiles || entry.split !== split) {
    throw new SimulationFault('fifo', `multiplies ${format} ${kTiles} x ${nTiles} tiles split ${split}, pushed were ${entry.format} ${entry.kTiles} x ${entry.nTiles} split ${entry.split}`);
  }
  if (kLast > size) throw new SimulationFault('operand', `kLast ${kLast} of a tile of ${size}`);
  const { rows } = windowOf(queue, window);
  const groups = placeRows(geometry, accumulatorRowOf(queue, acc), nTiles, split, { max: window.max, rows });
  if (rows === 0) return;
  if (accumulate === 'no' || (accumulate === 'first' && queue.I[3] === 0)) for (const group of groups) clear(chip.accumulators, group, nTiles, size);

  const w = new Float64Array(size * size);
  const x = new Float64Array(rows * size);
  const line = lineOf(queue, a);
  const rowBytes = ((kTiles - 1) * size + kLast) * formatBytes[format];
  for (let r = 0; r < rows; r++) sram.at(line + r * pitch, rowBytes);

  for (let kt = 0; kt < kTiles; kt++) {
    const valid = kt === kTiles - 1 ? kLast : size;
    x.fill(0);
    for (let r = 0; r < rows; r++) readElements[format](sram.views, (line + r * pitch) * lineBytes + kt * size * formatBytes[format], valid, x, r * size);
    const wide = !isFinite(x, rows * size);
    for (let nt = 0; nt < nTiles; nt++) {
      const tile = decodeTile(entry, kt * nTiles + nt, valid, wide, w);
      for (const group of groups) multiplyGroup(chip.accumulators.of(group.firstArray + nt), group, x, format, tile);
    }
  }
};

const clear = (accumulators: { readonly of: (array: number) => Float64Array }, group: GroupRows, nTiles: number, size: number): void => {
  for (let nt = 0; nt < nTiles; nt++) accumulators.of(group.firstArray + nt).fill(0, group.accumulatorRow * size, (group.accumulatorRow + group.rows) * size);
};

const multiplyGroup = (sums: Float64Array, group: GroupRows, x: Float64Array, format: 'bf16' | 'e4m3', tile: Tile): void => {
  const { pitch } = tile;
  const c = group.accumulatorRow * pitch;
  const first = group.row * pitch;
  if (format === 'bf16') {
    for (let r = 0; r < group.rows; r++) addChained(sums, c + r * pitch, x, first + r * pitch, tile);
    return;
  }
  let r = 0;
  for (; r + 1 < group.rows; r += 2) addExactPair(sums, c + r * pitch, x, first + r * pitch, tile);
  if (r < group.rows) addExact(sums, c + r * pitch, x, first + r * pitch, tile);
};
