import type { RowWindow } from '../../isa-spec/fields.ts';
import type { HbmRegion } from '../memory.ts';
import type { Execute } from './execute.ts';
import { type Chip, hbmOf, addressOf, type QueueState, windowOf } from './state.ts';

/** Copies the step's table, as much as there is up to `bytes`. */
export const hostw: Execute<'hostw'> = (chip, queue, { table, dst, bytes }) => {
  const source = chip.step.tables[table];
  const length = Math.min(bytes, source.length);
  if (length === 0) return;
  chip.sram.views.u8.set(source.subarray(0, length), chip.sram.writing(addressOf(queue, dst), length));
};

export const event: Execute<'event'> = (chip, _queue, { tag }) => {
  chip.events.push(tag);
};

export const dld: Execute<'dld'> = (chip, queue, { src, srcPitch, dst, dstPitch, lines, rows: window }) => {
  const { rows } = windowOf(queue, window);
  const { region, offset } = hbmOf(chip, queue, src);
  const line = addressOf(queue, dst);
  const bytes = lines * chip.geometry.lineBytes;
  const together = srcPitch === lines && dstPitch === lines ? rows : 1;
  for (let r = 0; r < rows; r += together) {
    const length = bytes * together;
    region.read(offset + r * srcPitch * chip.geometry.lineBytes, length, chip.sram.views.u8, chip.sram.writing(line + r * dstPitch, length));
  }
};

export const dst: Execute<'dst'> = (chip, queue, { src, srcPitch, dst: to, dstPitch, lines, rows: window }) => {
  const { rows } = windowOf(queue, window);
  const { region, offset } = hbmOf(chip, queue, to);
  const line = addressOf(queue, src);
  const bytes = lines * chip.geometry.lineBytes;
  for (let r = 0; r < rows; r++) {
    const at = chip.sram.at(line + r * srcPitch, bytes);
    region.write(offset + r * dstPitch * chip.geometry.lineBytes, chip.sram.views.u8.subarray(at, at + bytes));
  }
};

/** Row by row; a row is read whole before it is written, so rows may be moved by less than their length. */
export const dcp: Execute<'dcp'> = (chip, queue, { fill, src, srcPitch, dst: to, dstPitch, lines, value, rows: window }) => {
  const { rows } = windowOf(queue, window);
  const { sram } = chip;
  const bytes = lines * chip.geometry.lineBytes;
  for (let r = 0; r < rows; r++) {
    const target = sram.writing(addressOf(queue, to) + r * dstPitch, bytes);
    if (fill) sram.views.u32.fill(value, target / 4, (target + bytes) / 4);
    else {
      const source = sram.at(addressOf(queue, src) + r * srcPitch, bytes);
      sram.views.u8.copyWithin(target, source, source + bytes);
    }
  }
};

/** The elements of an index list that belong to a window. */
const indices = (chip: Chip, queue: QueueState, line: number, window: RowWindow): Int32Array => {
  const { first, rows } = windowOf(queue, window);
  const at = chip.sram.range(line * chip.geometry.lineBytes + 4 * first, 4 * rows);
  return chip.sram.views.i32.slice(at / 4, at / 4 + rows);
};

/** Whether row `row` of a table, which would be at `at`, is left out. */
const isSkipped = ({ limit }: HbmRegion, oob: 'fault' | 'skip' | undefined, row: number, at: number, bytes: number): boolean => oob === 'skip' && (row < 0 || at < 0 || at + bytes > limit);

export const dgat: Execute<'dgat'> = (chip, queue, { oob, src, srcPitch, dst: to, dstPitch, index, lines, rows }) => {
  const { region, offset } = hbmOf(chip, queue, src);
  const line = addressOf(queue, to);
  const bytes = lines * chip.geometry.lineBytes;
  indices(chip, queue, index, rows).forEach((row, i) => {
    const from = offset + row * srcPitch * chip.geometry.lineBytes;
    const target = chip.sram.writing(line + i * dstPitch, bytes);
    if (isSkipped(region, oob, row, from, bytes)) chip.sram.views.u8.fill(0, target, target + bytes);
    else region.read(from, bytes, chip.sram.views.u8, target);
  });
};

export const dsct: Execute<'dsct'> = (chip, queue, { oob, src, srcPitch, dst: to, dstPitch, index, lines, rows }) => {
  const { region, offset } = hbmOf(chip, queue, to);
  const line = addressOf(queue, src);
  const bytes = lines * chip.geometry.lineBytes;
  indices(chip, queue, index, rows).forEach((row, i) => {
    const at = chip.sram.at(line + i * srcPitch, bytes);
    const target = offset + row * dstPitch * chip.geometry.lineBytes;
    if (!isSkipped(region, oob, row, target, bytes)) region.write(target, chip.sram.views.u8.subarray(at, at + bytes));
  });
};
