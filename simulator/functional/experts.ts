import { binsOf } from '../../isa-spec/bins.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import { SimulationFault } from '../fault.ts';
import { readElements, writeElements } from './elements.ts';
import type { Execute } from './execute.ts';
import { addressOf, type Chip, windowOf } from './state.ts';

const { fround } = Math;

const wordsAt = ({ sram, geometry }: Chip, line: number, count: number): Int32Array => {
  const at = sram.range(line * geometry.lineBytes, 4 * count) / 4;
  return sram.views.i32.slice(at, at + count);
};

/** Pairs of one expert after the other, to bins that have places for no other expert. */
export const bin: Execute<'bin'> = (chip, queue, { indices, offsets, inverse = false, sources, targets, owners, experts, k, size, group = 1, rows: window }) => {
  const { rows } = windowOf(queue, window);
  const pairs = rows * k;
  const bins = binsOf({ max: window.max, k, experts, size, group });
  const [sourceOf, targetOf] = [new Int32Array(bins * size).fill(-1), new Int32Array(inverse ? window.max * k : bins * size).fill(-1)];
  const own = experts / group;
  const first = (chip.rank % group) * own;
  const ownerOf = new Int32Array(bins).fill(-1);
  if (rows > 0) {
    const index = wordsAt(chip, indices, pairs);
    const starts = wordsAt(chip, offsets, experts + 1);
    if (starts[0] !== 0 || starts[experts] !== pairs || starts.some((start, e) => e > 0 && start < starts[e - 1]!)) throw new SimulationFault('table', `offsets do not ascend from 0 to ${pairs}`);
    let next = 0;
    for (let e = first; e < first + own; e++) {
      for (let from = starts[e]!; from < starts[e + 1]!; from += size, next++) {
        if (next >= bins) throw new SimulationFault('table', `an expert has more than the ${rows} rows there are`);
        ownerOf[next] = e - first;
        for (let j = from; j < Math.min(from + size, starts[e + 1]!); j++) {
          const pair = index[j]!;
          if (!(pair >= 0 && pair < pairs)) throw new SimulationFault('table', `index ${j} is ${pair}, which is no pair of 0 to ${pairs - 1}`);
          const place = next * size + j - from;
          sourceOf[place] = Math.floor(pair / k);
          if (inverse) targetOf[pair] = place;
          else targetOf[place] = pair;
        }
      }
    }
  }
  for (const [line, list] of [[sources, sourceOf], [targets, targetOf], [owners, ownerOf]] as const) chip.sram.views.i32.set(list, chip.sram.writing(line, 4 * list.length) / 4);
};

/** Sums of k weighted rows each, in order, an FP32 operation at a time. */
export const mix: Execute<'mix'> = (chip, queue, { xFormat, format, x, xPitch, weights, out, outPitch, columns, k, rows: window }) => {
  const { sram } = chip;
  const { rows } = windowOf(queue, window);
  if (rows === 0) return;
  const weightAt = sram.at(addressOf(queue, weights), 4 * rows * k) / 4;
  const share = sram.views.f32.slice(weightAt, weightAt + rows * k);
  const values = new Float64Array(columns);
  const sums = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    sums.fill(0);
    for (let pair = r * k; pair < (r + 1) * k; pair++) {
      readElements[xFormat](sram.views, sram.at(addressOf(queue, x) + pair * xPitch, columns * formatBytes[xFormat]), columns, values);
      for (let c = 0; c < columns; c++) sums[c] = fround(sums[c]! + fround(share[pair]! * values[c]!));
    }
    writeElements[format](sram.views, sram.writing(addressOf(queue, out) + r * outPitch, columns * formatBytes[format]), columns, sums);
  }
};
