import { formatBytes } from '../../isa-spec/fields.ts';
import { activate, exp2f } from '../../isa-spec/numerics.ts';
import { SimulationFault } from '../fault.ts';
import { readElements, writeElements, writeSingle } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, windowOf } from './state.ts';
import { laneSum } from './vector.ts';

const { fround } = Math;
const log2e = fround(1.4426950408889634);

/** Base-2 softmax of a row of logits, in place; the sum in lanes. */
const softmax = (x: Float64Array): void => {
  const most = Math.max(...x);
  for (let e = 0; e < x.length; e++) x[e] = exp2f(fround(fround(x[e]! - most) * log2e));
  const sum = laneSum(x);
  for (let e = 0; e < x.length; e++) x[e] = fround(x[e]! / sum);
};

/** Expert numbers by `score` descending, equal ones ascending, NaN last. */
const ranking = (score: Float64Array): number[] => {
  const value = (e: number): number => (score[e]! !== score[e]! ? -Infinity : score[e]!);
  const lost = (e: number): number => (score[e]! !== score[e]! ? 1 : 0);
  return Array.from(score, (_, e) => e).sort((a, b) => lost(a) - lost(b) || (value(a) === value(b) ? a - b : value(b) - value(a)));
};

/** Scores of experts, the choice of each row, and pairs of row and choice in a stable counting sort by expert. */
export const route: Execute<'route'> = (chip, queue, { scores, normalise, bias, xFormat, x, xPitch, biases, indices, weights, offsets, experts, k, rows: window }) => {
  const { sram } = chip;
  const { rows } = windowOf(queue, window);
  const pairs = rows * k;
  const score = new Float64Array(experts);
  const added = new Float64Array(experts);
  if (bias && rows > 0) readElements.f32(sram.views, sram.at(biases, 4 * experts), experts, added);
  const chosen = new Int32Array(pairs);
  const weightAt = sram.writing(weights, 4 * pairs) / 4;
  for (let r = 0; r < rows; r++) {
    readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + r * xPitch, experts * formatBytes[xFormat]), experts, score);
    if (scores === 'softmax') softmax(score);
    else for (let e = 0; e < experts; e++) score[e] = activate('sigmoid', score[e]!);
    const best = ranking(bias ? score.map((s, e) => fround(s + added[e]!)) : score).slice(0, k);
    const sum = normalise ? best.reduce((total, e) => fround(total + score[e]!), 0) : 1;
    best.forEach((e, i) => {
      chosen[r * k + i] = e;
      writeSingle(sram.views, weightAt + r * k + i, fround(score[e]! / (sum === 0 ? 1 : sum)));
    });
  }
  const starts = new Int32Array(experts + 1);
  for (const e of chosen) starts[e + 1]!++;
  for (let e = 0; e < experts; e++) starts[e + 1]! += starts[e]!;
  sram.views.i32.set(starts, sram.writing(offsets, 4 * (experts + 1)) / 4);
  const indexAt = sram.writing(indices, 4 * pairs) / 4;
  chosen.forEach((e, pair) => (sram.views.i32[indexAt + starts[e]!++] = pair));
};

/** A list that has each of 0 to `pairs` - 1 once. */
const permutation = (chip: Chip, line: number, pairs: number): Int32Array => {
  const at = chip.sram.range(line * chip.geometry.lineBytes, 4 * pairs) / 4;
  const list = chip.sram.views.i32.slice(at, at + pairs);
  const seen = new Uint8Array(pairs);
  list.forEach((pair, j) => {
    if (!(pair >= 0 && pair < pairs) || seen[pair] === 1) throw new SimulationFault('table', `index ${j} is ${pair}, which is no pair of 0 to ${pairs - 1} or there already`);
    seen[pair] = 1;
  });
  return list;
};

/** Rows to the order of a `route`, back, or back and added up. */
export const perm: Execute<'perm'> = (chip, queue, { direction, xFormat, format, x, xPitch, out, outPitch, indices, weights, columns, k, rows: window }) => {
  const { sram, geometry } = chip;
  const { rows } = windowOf(queue, window);
  const list = permutation(chip, indices, rows * k);
  const values = new Float64Array(columns);
  const read = (row: number): void => readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + row * xPitch, columns * formatBytes[xFormat]), columns, values);
  const write = (row: number, from: Float64Array): void => writeElements[format](sram.views, sram.writing(addressOf(queue, out) + row * outPitch, columns * formatBytes[format]), columns, from);
  if (direction !== 'combine') {
    list.forEach((pair, j) => {
      read(direction === 'permute' ? Math.floor(pair / k) : j);
      write(direction === 'permute' ? j : pair, values);
    });
    return;
  }
  const weightAt = sram.range(weights * geometry.lineBytes, 4 * list.length) / 4;
  const rowOf = new Int32Array(list.length);
  list.forEach((pair, j) => (rowOf[pair] = j));
  const sums = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let pair = r * k; pair < (r + 1) * k; pair++) {
      read(rowOf[pair]!);
      const weight = sram.views.f32[weightAt + pair]!;
      for (let c = 0; c < columns; c++) sums[c] = fround(sums[c]! + fround(weight * values[c]!));
    }
    write(r, sums);
  }
};
