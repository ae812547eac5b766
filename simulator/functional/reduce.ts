import { formatBytes } from '../../isa-spec/fields.ts';
import { type InstructionOf, samplingBytes } from '../../isa-spec/instructions.ts';
import { greedy, sample as draw, type Sampling } from '../../isa-spec/numerics-sampling.ts';
import { SimulationFault } from '../fault.ts';
import { readElements, writeSingle } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, windowOf } from './state.ts';

type Reduce = InstructionOf<'vred'>['fields']['reduce'];
type Fold = { readonly from: number; readonly of: (x: number) => number; readonly with: (a: number, b: number) => number };

const itself = (x: number): number => x;
const add = (a: number, b: number): number => Math.fround(a + b);
/** What a lane starts from, what it makes of an element, and how two become one. `Math.max` and `min` give NaN for NaN and order zeros. */
const folds: { readonly [R in Reduce]: Fold } = {
  sum: { from: 0, of: itself, with: add },
  max: { from: -Infinity, of: itself, with: Math.max },
  min: { from: Infinity, of: itself, with: Math.min },
  amax: { from: 0, of: Math.abs, with: Math.max },
  meanSquare: { from: 0, of: (x) => Math.fround(x * x), with: add },
};

const lanes = new Float64Array(16);
const reduced = (x: Float64Array, fold: Fold): number => {
  lanes.fill(fold.from);
  for (let i = 0; i < x.length; i++) lanes[i & 15] = fold.with(lanes[i & 15]!, fold.of(x[i]!));
  for (let half = 8; half >= 1; half >>= 1) for (let j = 0; j < half; j++) lanes[j] = fold.with(lanes[j]!, lanes[j + half]!);
  return lanes[0]!;
};

/** One FP32 number a row, in a row list. */
export const vred: Execute<'vred'> = (chip, queue, { reduce, xFormat, x, xPitch, out, columns, rows: window }) => {
  const { sram, geometry } = chip;
  const { first, rows } = windowOf(queue, window);
  const numbers = sram.writingRange(out * geometry.lineBytes + 4 * first, 4 * rows);
  const values = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, values);
    const y = reduced(values, folds[reduce]);
    writeSingle(sram.views, numbers / 4 + r, reduce === 'meanSquare' ? Math.fround(y / columns) : y);
  }
};

/** A row of sampling parameters: temperature f32, topK u32, topP f32, seed u64, position u32. */
const samplingAt = (chip: Chip, line: number): { readonly sampling: Sampling; readonly position: number } => {
  const at = chip.sram.at(line, samplingBytes) / 4;
  const { f32, u32 } = chip.sram.views;
  return { sampling: { temperature: f32[at]!, topK: u32[at + 1]!, topP: f32[at + 2]!, seed: [u32[at + 3]!, u32[at + 4]!] }, position: u32[at + 5]! };
};

const drawn = (logits: Float64Array, { sampling, position }: ReturnType<typeof samplingAt>): number => {
  try {
    return draw(logits, sampling, position);
  } catch (error) {
    throw error instanceof RangeError ? new SimulationFault('table', error.message) : error;
  }
};

/** The token of each row of logits, in an i32 row list. */
export const sample: Execute<'sample'> = (chip, queue, { mode, xFormat, x, xPitch, params, out, columns, rows: window }) => {
  const { sram, geometry } = chip;
  const { first, rows } = windowOf(queue, window);
  const ids = sram.writingRange(out * geometry.lineBytes + 4 * first, 4 * rows) / 4;
  const pitch = Math.ceil(samplingBytes / geometry.lineBytes);
  const logits = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, columns * formatBytes[xFormat]), columns, logits);
    sram.views.i32[ids + r] = mode === 'greedy' ? greedy(logits) : drawn(logits, samplingAt(chip, addressOf(queue, params) + r * pitch));
  }
};
