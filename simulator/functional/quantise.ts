import { formatBytes } from '../../isa-spec/fields.ts';
import { decodeUe8m0 } from '../../isa-spec/numerics-formats.ts';
import { blockScales, isQuantised, type Quantised, quantiseBlocks, quantiseElement, quantiseMx, scaleOfElements } from '../../isa-spec/numerics-scales.ts';
import { SimulationFault } from '../fault.ts';
import { readElements, writeElements, writeSingle } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, windowOf } from './state.ts';

const quantisedFormat = (format: string): Quantised => {
  if (!isQuantised(format)) throw new SimulationFault('operand', `rows are quantised to e4m3 or e5m2, not ${format}`);
  return format;
};

/** A scale for each row: found, or given. */
export const vqnt: Execute<'vqnt'> = (chip, queue, { xFormat, format: named, mode = 'row', pow2 = false, x, xPitch, out, outPitch, rowScale, columns, rows: window }) => {
  const { sram, geometry } = chip;
  const format = quantisedFormat(named);
  const { first, rows } = windowOf(queue, window);
  const list = rowScale * geometry.lineBytes + 4 * first;
  const scales = (mode === 'given' ? sram.range(list, 4 * rows) : sram.writingRange(list, 4 * rows)) / 4;
  const values = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, values);
    const scale = mode === 'given' ? sram.views.f32[scales + r]! : scaleOfElements(values, 0, columns, { format, pow2 });
    for (let i = 0; i < columns; i++) values[i] = quantiseElement(values[i]!, scale, format);
    writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * outPitch, columns * formatBytes[format]), columns, values);
    if (mode === 'row') writeSingle(sram.views, scales + r, scale);
  }
};

/** A scale for each block of a row. */
export const vqblk: Execute<'vqblk'> = (chip, queue, { xFormat, format: named, scaling, pow2, x, xPitch, out, outPitch, scales, scalePitch, columns, rows: window }) => {
  const { sram } = chip;
  const format = quantisedFormat(named);
  const { rows } = windowOf(queue, window);
  const { size, format: scaleFormat } = blockScales[scaling];
  const count = Math.ceil(columns / size);
  const values = new Float64Array(columns);
  const quantised = (): { readonly values: Float64Array; readonly scales: Float64Array } => {
    if (scaling === 'block') return quantiseBlocks(values, { format, pow2 });
    const { values: elements, codes } = quantiseMx(values, format);
    return { values: elements, scales: Float64Array.from(codes, decodeUe8m0) };
  };
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, values);
    const made = quantised();
    writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * outPitch, columns * formatBytes[format]), columns, made.values);
    writeElements[scaleFormat](sram.views, sram.writing(addressOf(queue, scales) + r * scalePitch, count * formatBytes[scaleFormat]), count, made.scales);
  }
};
