import { type Format, formatBytes, type SramOperand } from '../../isa-spec/fields.ts';
import type { InstructionOf, OperandKind, VectorFunction } from '../../isa-spec/instructions.ts';
import { microOperation, takesOperand } from '../../isa-spec/numerics-vector.ts';
import { linesOf, readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, type QueueState, windowOf } from './state.ts';

/** An operand's elements of row r of the window, in `values` after `read(r)`. */
type Operand = { readonly values: Float64Array; readonly read: (r: number) => void };
type Given = { readonly is: OperandKind; readonly format: Format; readonly at: SramOperand; readonly pitch: number; readonly columns: number; readonly first: number };

const operandOf = (chip: Chip, queue: QueueState, { is, format, at, pitch, columns, first }: Given): Operand => {
  const { sram, geometry: { lineBytes } } = chip;
  const line = addressOf(queue, at);
  const values = new Float64Array(columns);
  const bytes = formatBytes[format];
  switch (is) {
    case 'matrix':
      return { values, read: (r) => readElements[format](sram.views, sram.at(line + r * pitch, columns * bytes), columns, values) };
    case 'vector':
      return { values, read: () => readElements[format](sram.views, sram.at(line, columns * bytes), columns, values) };
    case 'list':
      return { values, read: (r) => void values.fill(sram.views.f32[sram.range(line * lineBytes + 4 * (first + r), 4) / 4]!) };
    case 'number':
      return {
        values,
        read: () => {
          readElements[format](sram.views, sram.at(line, bytes), 1, values);
          values.fill(values[0]!);
        },
      };
  }
};

type Step = { readonly apply: (t: number, operand: number) => number; readonly operand: Operand | undefined };

/** The micro-operations with the operand each takes: those of two take the operands in turn, the last of them again when there are no more. */
const stepsOf = (functions: readonly VectorFunction[], operands: readonly Operand[]): readonly Step[] => {
  let taken = 0;
  return functions.filter((name) => name !== 'copy').map((name) => ({ apply: microOperation(name), operand: takesOperand(name) ? operands[Math.min(taken++, operands.length - 1)] : undefined }));
};

type Row = { readonly rows: number; readonly x: Operand; readonly steps: readonly Step[]; readonly store: (r: number, values: Float64Array) => void };

const mapRows = ({ rows, x, steps, store }: Row): void => {
  const { values } = x;
  for (let r = 0; r < rows; r++) {
    x.read(r);
    for (const { apply, operand } of steps) {
      operand?.read(r);
      for (let i = 0; i < values.length; i++) values[i] = apply(values[i]!, operand === undefined ? 0 : operand.values[i]!);
    }
    store(r, values);
  }
};

const storing = (chip: Chip, queue: QueueState, { format, out, columns }: InstructionOf<'vmap' | 'vmap3'>['fields'], pitch: number): Row['store'] => {
  const line = addressOf(queue, out);
  return (r, values) => writeElements[format](chip.sram.views, chip.sram.writing(line + r * pitch, columns * formatBytes[format]), columns, values);
};

/** A chain of micro-operations on each element, each rounded to FP32. */
export const vmap: Execute<'vmap'> = (chip, queue, fields) => {
  const { function: head, second = 'copy', third = 'copy', xFormat, yFormat, yIs = 'matrix', x, xPitch, y, yPitch, outPitch, columns, rows: window } = fields;
  const { first, rows } = windowOf(queue, window);
  const steps = stepsOf([head, second, third], [operandOf(chip, queue, { is: yIs, format: yFormat, at: y, pitch: yPitch, columns, first })]);
  mapRows({ rows, x: operandOf(chip, queue, { is: 'matrix', format: xFormat, at: x, pitch: xPitch, columns, first }), steps, store: storing(chip, queue, fields, outPitch) });
};

/** As `vmap`, with rows that follow one another. */
export const vmap3: Execute<'vmap3'> = (chip, queue, fields) => {
  const { function: head, second = 'copy', third = 'copy', xFormat, yFormat, zFormat, format, yIs = 'matrix', zIs = 'matrix', x, y, z, columns, rows: window } = fields;
  const { first, rows } = windowOf(queue, window);
  const pitch = (of: Format): number => linesOf(of, columns, chip.geometry.lineBytes);
  const operand = (is: OperandKind, of: Format, at: SramOperand): Operand => operandOf(chip, queue, { is, format: of, at, pitch: pitch(of), columns, first });
  const steps = stepsOf([head, second, third], [operand(yIs, yFormat, y), operand(zIs, zFormat, z)]);
  mapRows({ rows, x: operand('matrix', xFormat, x), steps, store: storing(chip, queue, fields, pitch(format)) });
};
