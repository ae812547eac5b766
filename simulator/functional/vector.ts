import { formatBytes } from '../../isa-spec/fields.ts';
import { linesOf, readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, windowOf } from './state.ts';

const lanes = new Float64Array(16);

/** Lane j of 16 sums elements j, j + 16, ... in FP32 from +0; then lanes j and j + 8, 4, 2, 1. */
export const laneSum = (x: Float64Array): number => {
  lanes.fill(0);
  for (let i = 0; i < x.length; i++) lanes[i & 15] = Math.fround(lanes[i & 15]! + x[i]!);
  for (let half = 8; half >= 1; half >>= 1) for (let j = 0; j < half; j++) lanes[j] = Math.fround(lanes[j]! + lanes[j + half]!);
  return lanes[0]!;
};

/** 1 / sqrt(sum of squares / n + eps), an FP32 operation each. */
const inverseRoot = (x: Float64Array, epsilon: number): number => {
  const squares = x.map((value) => Math.fround(value * value));
  const mean = Math.fround(laneSum(squares) / x.length);
  return Math.fround(1 / Math.fround(Math.sqrt(Math.fround(mean + epsilon))));
};

export const vnorm: Execute<'vnorm'> = (chip, queue, { xFormat, format, kind, x, xPitch, params, out, outPitch, columns, rows: window, groups = 1 }) => {
  const { sram, geometry } = chip;
  const { rows } = windowOf(queue, window);
  if (rows === 0) return;
  const line = addressOf(queue, params);
  const perRow = linesOf('f32', columns, geometry.lineBytes);
  const readParam = (at: number, count: number): Float64Array => {
    const values = new Float64Array(count);
    readElements.f32(sram.views, sram.at(at, 4 * count), count, values);
    return values;
  };
  const epsilon = readParam(line, 1)[0]!;
  const gamma = readParam(line + 1, columns);
  const beta = kind === 'layer' ? readParam(line + 1 + perRow, columns) : new Float64Array(0);
  const values = new Float64Array(columns);
  const size = columns / groups;
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, values);
    for (let start = 0; start < columns; start += size) {
      const group = values.subarray(start, start + size);
      if (kind === 'layer') {
        const mean = Math.fround(laneSum(group) / size);
        for (let i = 0; i < size; i++) group[i] = Math.fround(group[i]! - mean);
      }
      const scale = inverseRoot(group, epsilon);
      for (let i = 0; i < size; i++) {
        const y = Math.fround(Math.fround(group[i]! * scale) * gamma[start + i]!);
        group[i] = kind === 'layer' ? Math.fround(y + beta[start + i]!) : y;
      }
    }
    writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * outPitch, columns * formatBytes[format]), columns, values);
  }
};

/** Pairs (i, i + rotary/2) of a head, or interleaved (2i, 2i + 1): a c - b s, b c + a s. */
export const vrope: Execute<'vrope'> = (chip, queue, { xFormat, format, interleaved, x, xPitch, table, out, outPitch, headDim, rotary, heads, rows: window }) => {
  const { sram, geometry } = chip;
  const { rows } = windowOf(queue, window);
  const columns = heads * headDim;
  const tablePitch = linesOf('f32', rotary, geometry.lineBytes);
  const half = rotary / 2;
  const values = new Float64Array(columns);
  const angles = new Float64Array(rotary);
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, values);
    readElements.f32(sram.views, sram.at(addressOf(queue, table) + r * tablePitch, 4 * rotary), rotary, angles);
    for (let head = 0; head < columns; head += headDim) {
      for (let i = 0; i < half; i++) {
        const [at, bt] = interleaved ? [head + 2 * i, head + 2 * i + 1] : [head + i, head + i + half];
        const [a, b, c, s] = [values[at]!, values[bt]!, angles[i]!, angles[half + i]!];
        values[at] = Math.fround(Math.fround(a * c) - Math.fround(b * s));
        values[bt] = Math.fround(Math.fround(b * c) + Math.fround(a * s));
      }
    }
    writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * outPitch, columns * formatBytes[format]), columns, values);
  }
};
