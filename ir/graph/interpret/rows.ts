import { toE4M3 } from '../../../isa-spec/numerics.ts';
import { blockScales, quantiseBlocks, scaleOf } from '../../../isa-spec/numerics-scales.ts';
import type { GraphAttrs } from '../ops.ts';
import type { Numbers } from './numbers.ts';
import { extent, map, type Operand, rowsAt, type Tensor } from './tensor.ts';

/** Sums as the vector unit does: 16 lanes, lane j the elements j, j + 16, ... ascending from +0, then a tree over halves. */
export function laneSum(count: number, element: (i: number) => number, single: Numbers['single']): number {
  const lanes = new Float64Array(16);
  for (let i = 0; i < count; i++) lanes[i & 15] = single((lanes[i & 15] as number) + element(i));
  for (let half = 8; half >= 1; half /= 2) {
    for (let j = 0; j < half; j++) lanes[j] = single((lanes[j] as number) + (lanes[j + half] as number));
  }
  return lanes[0] as number;
}

export function norm(x: Tensor, parameters: readonly Tensor[], attrs: GraphAttrs['norm'], { single }: Numbers): Tensor {
  const [, width] = extent(x);
  const n = width / attrs.groups;
  const [gamma, beta] = parameters;
  const epsilon = single(attrs.epsilon);
  const data = new Float64Array(x.data.length);
  for (let start = 0; start < data.length; start += n) {
    const values = x.data.subarray(start, start + n);
    const column = start % width;
    const mean = attrs.norm === 'layer' ? single(laneSum(n, (i) => values[i] as number, single) / n) : 0;
    const centred = attrs.norm === 'layer' ? values.map((value) => single(value - mean)) : values;
    const squares = laneSum(n, (i) => single((centred[i] as number) ** 2), single);
    const r = single(1 / single(Math.sqrt(single(single(squares / n) + epsilon))));
    for (let i = 0; i < n; i++) {
      let y = single((centred[i] as number) * r);
      if (gamma !== undefined) y = single(y * (gamma.data[column + i] as number));
      if (beta !== undefined) y = single(y + (beta.data[column + i] as number));
      data[start + i] = y;
    }
  }
  return { shape: x.shape, data };
}

/** Pair (a, b), turned by (cos, sin): (a cos - b sin, b cos + a sin). */
export function rope(x: Tensor, positions: Tensor, attrs: GraphAttrs['rope'], { single, turn }: Numbers): Tensor {
  const { headDim, frequencies, interleaved, amplitude } = attrs;
  const [rows, width] = extent(x);
  const pairs = frequencies.length;
  const data = x.data.slice();
  for (let row = 0; row < rows; row++) {
    const angles = turn(frequencies, positions.data[row] as number, amplitude);
    for (let head = row * width; head < (row + 1) * width; head += headDim) {
      for (let i = 0; i < pairs; i++) {
        const at = interleaved ? head + 2 * i : head + i;
        const other = interleaved ? at + 1 : at + pairs;
        const a = x.data[at] as number;
        const b = x.data[other] as number;
        const cos = angles[i] as number;
        const sin = angles[i + pairs] as number;
        data[at] = single(single(a * cos) - single(b * sin));
        data[other] = single(single(b * cos) + single(a * sin));
      }
    }
  }
  return { shape: x.shape, data };
}

/** Table rows by id; throws on an id beyond the table. */
export function embed(ids: Tensor, table: Operand): Tensor {
  const [entries, width] = extent(table);
  const data = new Float64Array(ids.data.length * width);
  ids.data.forEach((id, row) => {
    if (!(id >= 0 && id < entries)) throw new Error(`id ${id} is not in a table of ${entries}`);
    data.set(rowsAt(table, id, 1), row * width);
  });
  return { shape: [ids.data.length, width], data };
}

/** E4M3 rows with a scale each, or for each of their blocks; in real numbers x itself and scales of 1. */
export function quantise(x: Tensor, { blocks }: GraphAttrs['quantise'], arithmetic: 'real' | 'normative'): readonly [Tensor, Tensor] {
  const [rows, n] = extent(x);
  if (blocks) return inBlocks(x, arithmetic);
  const scales = new Float64Array(rows).fill(1);
  if (arithmetic === 'real') return [x, { shape: [rows], data: scales }];
  for (let row = 0; row < rows; row++) {
    const amax = x.data.subarray(row * n, (row + 1) * n).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    scales[row] = scaleOf(amax);
  }
  const codes = map(x, (value, i) => toE4M3(Math.fround(value / (scales[Math.floor(i / n)] as number))));
  return [codes, { shape: [rows], data: scales }];
}

function inBlocks(x: Tensor, arithmetic: 'real' | 'normative'): readonly [Tensor, Tensor] {
  const [rows, n] = extent(x);
  const count = Math.ceil(n / blockScales.block.size);
  const scales = new Float64Array(rows * count).fill(1);
  if (arithmetic === 'real') return [x, { shape: [rows, count], data: scales }];
  const codes = new Float64Array(x.data.length);
  for (let row = 0; row < rows; row++) {
    const quantised = quantiseBlocks(rowsAt(x, row, 1), { format: 'e4m3', pow2: false });
    codes.set(quantised.values, row * n);
    scales.set(quantised.scales, row * count);
  }
  return [{ shape: x.shape, data: codes }, { shape: [rows, count], data: scales }];
}

export function columns(x: Tensor, { start, end }: GraphAttrs['columns']): Tensor {
  const [rows, width] = extent(x);
  const data = new Float64Array(rows * (end - start));
  for (let row = 0; row < rows; row++) data.set(x.data.subarray(row * width + start, row * width + end), row * (end - start));
  return { shape: [rows, end - start], data };
}

export function pickRows(x: Tensor, picked: readonly number[]): Tensor {
  const [, width] = extent(x);
  const data = new Float64Array(picked.length * width);
  picked.forEach((row, i) => data.set(rowsAt(x, row, 1), i * width));
  return { shape: [picked.length, width], data };
}

/** Matrices side by side. */
export function sideBySide(parts: readonly Tensor[]): Tensor {
  const rows = extent(parts[0] as Tensor)[0];
  const width = parts.reduce((sum, part) => sum + extent(part)[1], 0);
  const data = new Float64Array(rows * width);
  let column = 0;
  for (const part of parts) {
    for (let row = 0; row < rows; row++) data.set(rowsAt(part, row, 1), row * width + column);
    column += extent(part)[1];
  }
  return { shape: [rows, width], data };
}
