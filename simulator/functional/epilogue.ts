import { activate } from '../../isa-spec/numerics.ts';
import { SimulationFault } from '../fault.ts';
import { placeRows } from './accumulators.ts';
import { linesOf, readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, type QueueState, windowOf } from './state.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';

type Fields = InstructionOf<'epi'>['fields'];

/** Column scales and biases of nTiles*A columns, those present. */
const readParams = (chip: Chip, queue: QueueState, { params, nTiles, scale, bias }: Fields): { readonly scales: Float64Array; readonly biases: Float64Array } => {
  const { size, lineBytes } = chip.geometry;
  const columns = nTiles * size;
  let line = addressOf(queue, params);
  const next = (): Float64Array => {
    const values = new Float64Array(columns);
    readElements.f32(chip.sram.views, chip.sram.at(line, columns * 4), columns, values);
    line += linesOf('f32', columns, lineBytes);
    return values;
  };
  return { scales: scale ? next() : new Float64Array(0), biases: bias ? next() : new Float64Array(0) };
};

/**
 * Per element, an FP32 operation each, those present: sum rounded to FP32 (a zero sum is +0), x row scale, x column scale, + bias,
 * activation (gated: act(tile j) x tile nTiles/2 + j), + residual; one rounding to the format. The residual has the format and pitch of the output.
 */
export const epi: Execute<'epi'> = (chip, queue, fields) => {
  const { geometry, sram } = chip;
  const { size, lineBytes } = geometry;
  const { format, activation, scale, bias, residual, gated, split, acc, out, pitch, residualAt, rowScale, nTiles, nLast, rows: window } = fields;
  if (nLast > size) throw new SimulationFault('operand', `nLast ${nLast} of a tile of ${size}`);
  if (gated && nTiles % 2 !== 0) throw new SimulationFault('operand', `gated with ${nTiles} tiles`);
  const { first, rows } = windowOf(queue, window);
  const groups = placeRows(geometry, addressOf(queue, acc), nTiles, split, { max: window.max, rows });
  if (rows === 0) return;
  chip.accumulators.touch('read', groups, nTiles);
  const outTiles = gated ? nTiles / 2 : nTiles;
  const columns = (outTiles - 1) * size + nLast;
  const { scales, biases } = readParams(chip, queue, fields);
  const rowScales = new Float64Array(rows);
  if (scale) readElements.f32(sram.views, sram.range(rowScale * lineBytes + 4 * first, 4 * rows), rows, rowScales);

  const rowBytes = linesOf(format, columns, lineBytes) * lineBytes;
  const values = new Float64Array(outTiles * size);
  const added = new Float64Array(columns);
  for (const group of groups) {
    const end = group.accumulatorRow + group.rows;
    for (let i = 0; i < group.rows; i++) {
      const r = group.row + i;
      const finish = (y: number, column: number): number => {
        const scaled = scale ? Math.fround(Math.fround(y * rowScales[r]!) * scales[column]!) : y;
        return bias ? Math.fround(scaled + biases[column]!) : scaled;
      };
      for (let t = 0; t < outTiles; t++) {
        const sums = chip.accumulators.of(group.firstArray + t, end);
        const gate = gated ? chip.accumulators.of(group.firstArray + outTiles + t, end) : undefined;
        const at = (group.accumulatorRow + i) * size;
        const used = t === outTiles - 1 ? nLast : size;
        for (let n = 0; n < used; n++) {
          const column = t * size + n;
          const y = activate(activation, finish(Math.fround(sums[at + n]!) + 0, column));
          values[column] = gate === undefined ? y : Math.fround(y * finish(Math.fround(gate[at + n]!) + 0, outTiles * size + column));
        }
      }
      if (residual) {
        readElements[format](sram.views, sram.at(addressOf(queue, residualAt) + r * pitch, rowBytes), columns, added);
        for (let n = 0; n < columns; n++) values[n] = Math.fround(values[n]! + added[n]!);
      }
      writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * pitch, rowBytes), columns, values);
    }
  }
};
