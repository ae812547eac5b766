import type { Instruction, InstructionOf } from '../../isa-spec/instructions.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import { activate } from '../../isa-spec/numerics.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { blocksOf, weightFormatOf, weightScales } from '../../isa-spec/profiles.ts';
import { SimulationFault } from '../fault.ts';
import { linesOf as linesFor, readElements, writeElements } from '../functional/elements.ts';
import { addressOf, type Chip, hbmOf, type QueueState, windowOf } from '../functional/state.ts';
import type { Transfer } from './dma.ts';
import type { Drain } from './epilogue.ts';
import type { Job } from './multiply.ts';
import type { Load } from './weights.ts';

/** What the units of the array need of an instruction: its operands, by address as the instruction is issued, by value when a unit asks for them. */

type Fields<M extends 'wld' | 'mm' | 'epi'> = InstructionOf<M>['fields'];
/** The chip, the queue that issues, and cycles a bf16 row takes for each of an e4m3 row. */
export type Issuing = { readonly chip: Chip; readonly queue: QueueState; readonly slow: number };

/** Arrays are stepped that share nothing but k. */
const oneColumn = (what: string, { nTiles, split, kSplit = 0 }: { readonly nTiles: number; readonly split: number; readonly kSplit?: number }, arrays: number): void => {
  if (nTiles !== 1 || split !== 0) throw new SimulationFault('operand', `${what} of ${nTiles} x 2^${split} arrays, the reference has one across`);
  if (2 ** kSplit > arrays) throw new SimulationFault('operand', `${what} of 2^${kSplit} arrays that share k, there are ${arrays}`);
};
/** They are stepped for one format by itself, unscaled or in blocks of whole k-tiles. */
const known = (weights: string, { format, scaling }: Fields<'wld' | 'mm'>, side: number): void => {
  const hasBlocks = scaling === 'block' && side <= blockScales.block.size;
  if ((format === 'e4m3' || format === 'bf16') && weights === format && (scaling === undefined || hasBlocks)) return;
  throw new SimulationFault('operand', `the reference multiplies e4m3 by e4m3 and bf16 by bf16, not ${format} by ${weights}${scaling === undefined ? '' : ` with ${scaling} scales`}`);
};
const beatsOf = (format: string, slow: number): number => (format === 'bf16' ? slow : 1);

export function loadOf({ chip, queue, slow }: Issuing, fields: Fields<'wld'>): Load {
  const { format, src, kTiles, kSplit = 0 } = fields;
  const { size, lineBytes, arrays } = chip.geometry;
  oneColumn('weights', fields, arrays);
  known(format, fields, size);
  const line = addressOf(queue, src);
  const rowLines = linesFor(format, size, lineBytes);
  const read = (tile: number, k: number): Float64Array => {
    const values = new Float64Array(size);
    readElements[format](chip.sram.views, chip.sram.at(line + (tile * size + k) * rowLines, rowLines * lineBytes), size, values);
    return values;
  };
  // They come beside the tiles: a product finds them when those have made room in SRAM for the next.
  const found = weightScales(fields, size);
  const scalesLine = addressOf(queue, fields.scales ?? nowhere);
  const scales = found && Array.from({ length: found.rows }, (_, block) => single(chip, scalesLine + block * linesFor(found.format, found.columns, lineBytes), 0));
  return { format, kTiles, kSplit, beats: beatsOf(format, slow), read, scales };
}

const nowhere = { addr: 0, ss: 0 };
/** An FP32 number of the line. */
const single = ({ sram, geometry }: Chip, line: number, index: number): number => {
  const value = new Float64Array(1);
  readElements.f32(sram.views, sram.range(line * geometry.lineBytes + formatBytes.f32 * index, formatBytes.f32), 1, value);
  return value[0]!;
};

export function jobOf({ chip, queue, slow }: Issuing, fields: Fields<'mm'>): Job {
  const { format, accumulate, a, pitch, acc, kTiles, kLast, kSplit = 0, rows: window } = fields;
  const { size, lineBytes, arrays, accumulatorRows } = chip.geometry;
  oneColumn('products', fields, arrays);
  known(weightFormatOf(fields), fields, size);
  const { rows } = windowOf(queue, window);
  const [line, at] = [addressOf(queue, a), addressOf(queue, acc)];
  if (at + rows > accumulatorRows) throw new SimulationFault('bounds', `accumulator rows ${at} to ${at + rows} of ${accumulatorRows}`);
  const bytes = formatBytes[format];
  const read = (row: number, tile: number): Float64Array => {
    const values = new Float64Array(tile === kTiles - 1 ? kLast : size);
    readElements[format](chip.sram.views, chip.sram.range((line + row * pitch) * lineBytes + tile * size * bytes, values.length * bytes), values.length, values);
    return values;
  };
  const overwrites = accumulate === 'no' || (accumulate === 'first' && queue.I[3] === 0);
  const [scalesLine, scalePitch] = [addressOf(queue, fields.scales ?? nowhere), fields.scalePitch ?? 0];
  const scaleOf = blocksOf(fields) === undefined ? undefined : (row: number, block: number): number => single(chip, scalesLine + row * scalePitch, block);
  return { format, kTiles, kSplit, rows, beats: beatsOf(format, slow), overwrites, at, read, scaleOf, product: { outstanding: 0, done: undefined } };
}

/** The epilogue of each row, in FP32, an operation at a time. */
export function drainOf({ chip, queue }: Issuing, fields: Fields<'epi'>): Drain {
  const { format, activation, scale, bias, residual, gated, acc, out, pitch, params, residualAt, rowScale, nLast, rows: window } = fields;
  oneColumn('a drain', fields, chip.geometry.arrays);
  if (gated) throw new SimulationFault('operand', 'a gated drain takes two arrays, the reference has one across');
  const { sram, geometry } = chip;
  const { size, lineBytes } = geometry;
  const { first, rows } = windowOf(queue, window);
  const [paramsLine, outLine, residualLine] = [params, out, residualAt].map((operand) => addressOf(queue, operand)) as [number, number, number];
  const parameterLines = linesFor('f32', size, lineBytes);
  const rowBytes = linesFor(format, nLast, lineBytes) * lineBytes;
  const read = (of: 'f32' | typeof format, offset: number, count: number): Float64Array => {
    const values = new Float64Array(count);
    readElements[of](sram.views, sram.range(offset, count * formatBytes[of]), count, values);
    return values;
  };
  const finish = (row: number, sums: Float64Array): (() => void) => {
    const columnScales = scale ? read('f32', paramsLine * lineBytes, nLast) : undefined;
    const biases = bias ? read('f32', (paramsLine + (scale ? parameterLines : 0)) * lineBytes, nLast) : undefined;
    const rowScales = scale ? read('f32', rowScale * lineBytes + 4 * (first + row), 1) : undefined;
    const added = residual ? read(format, (residualLine + row * pitch) * lineBytes, nLast) : undefined;
    const values = Float64Array.from({ length: nLast }, (_, n) => {
      let y = Math.fround(sums[n]!) + 0;
      if (rowScales !== undefined && columnScales !== undefined) y = Math.fround(Math.fround(y * rowScales[0]!) * columnScales[n]!);
      if (biases !== undefined) y = Math.fround(y + biases[n]!);
      y = activate(activation, y);
      return added === undefined ? y : Math.fround(y + added[n]!);
    });
    return () => writeElements[format](sram.views, sram.at(outLine + row * pitch, rowBytes), nLast, values);
  };
  const parts = (scale ? 1 : 0) + (bias ? 1 : 0);
  return { at: addressOf(queue, acc), rows, parameterBytes: parts * parameterLines * lineBytes, residualBytes: residual ? rowBytes : 0, finish, completed: { done: undefined } };
}

/** A transfer but for its timing. `run`: bytes of its contiguous runs in HBM. */
export type Lines = Pick<Transfer, 'lines' | 'move'> & { readonly run: number };

/** The lines of a DMA instruction, in order; undefined if there are none. */
export function linesOf({ chip, queue }: Issuing, instruction: Extract<Instruction, { op: 'dld' | 'dst' | 'dgat' | 'dsct' }>): Lines | undefined {
  const { lines, rows: window, srcPitch, dstPitch } = instruction.fields;
  const { sram, geometry } = chip;
  const { lineBytes } = geometry;
  const { first, rows } = windowOf(queue, window);
  if (rows * lines === 0) return undefined;
  const loads = instruction.op === 'dld' || instruction.op === 'dgat';
  const ours = instruction.op === 'dld' || instruction.op === 'dgat' ? instruction.fields.dst : instruction.fields.src;
  const theirs = instruction.op === 'dld' || instruction.op === 'dgat' ? instruction.fields.src : instruction.fields.dst;
  const [pitch, hbmPitch] = loads ? [dstPitch, srcPitch] : [srcPitch, dstPitch];
  const index = 'index' in instruction.fields ? instruction.fields.index : undefined;
  if ('oob' in instruction.fields && instruction.fields.oob === 'skip') throw new SimulationFault('operand', `the reference skips no rows, as ${instruction.op} is to`);
  const sramLine = addressOf(queue, ours);
  const { region, offset } = hbmOf(chip, queue, theirs);
  const hbmRow = (row: number): number => (index === undefined ? row : sram.views.i32[sram.range(index * lineBytes + 4 * (first + row), 4) / 4]!);
  const move = (line: number): (() => void) => {
    const [row, at] = [Math.floor(line / lines), line % lines];
    const inHbm = offset + (hbmRow(row) * hbmPitch + at) * lineBytes;
    const inSram = sram.at(sramLine + row * pitch + at, lineBytes);
    if (!loads) {
      // HBM serves requests in order: what comes after finds it there, whenever it is known to be.
      region.write(inHbm, sram.views.u8.slice(inSram, inSram + lineBytes));
      return () => {};
    }
    const bytes = new Uint8Array(lineBytes);
    region.read(inHbm, lineBytes, bytes, 0);
    return () => sram.views.u8.set(bytes, inSram);
  };
  const run = index === undefined && hbmPitch === lines ? rows * lines * lineBytes : lines * lineBytes;
  return { lines: rows * lines, move, run };
}
