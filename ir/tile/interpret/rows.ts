import { roundTo } from '../../../isa-spec/numerics.ts';
import { blockScales, scaleOf } from '../../../isa-spec/numerics-scales.ts';
import { microOperation } from '../../../isa-spec/numerics-vector.ts';
import type { TileAttrs } from '../ops.ts';
import type { View, Window } from './memory.ts';

const { fround } = Math;

/** Row i of `out` <- row i of `from`. */
export function copyRows(from: View, out: View, count: number): void {
  for (let i = 0; i < count; i++) out.row(i).set(from.row(i));
}

/** Row i of `out` <- row `index[first + i]` of `table`; with `skip`, zeros of a row below 0. */
export function gatherRows(skip: boolean, table: View, index: View, out: View, { first, count }: Window): void {
  for (let i = 0; i < count; i++) {
    const row = index.row(0)[first + i]!;
    if (skip && row < 0) out.row(i).fill(0);
    else out.row(i).set(table.row(row));
  }
}

/** Row `index[first + i]` of `out` <- row i of `from`; with `skip`, none of a row below 0. */
export function scatterRows(skip: boolean, from: View, index: View, out: View, { first, count }: Window): void {
  for (let i = 0; i < count; i++) {
    const row = index.row(0)[first + i]!;
    if (!skip || row >= 0) out.row(row).set(from.row(i));
  }
}

/** out <- function(x, y) in FP32, rounded once. */
export function mapRows(name: TileAttrs['map']['function'], x: View, other: (row: number) => Float64Array, out: View, count: number): void {
  const of = microOperation(name);
  for (let i = 0; i < count; i++) {
    const [xs, ys, to] = [x.row(i), other(i), out.row(i)];
    for (let c = 0; c < to.length; c++) to[c] = roundTo(out.format, of(xs[c]!, ys[c]!));
  }
}

/** Sum by the machine's order: lane j of 16 adds elements j, j+16, ... from +0, then lanes fold 8, 4, 2, 1. */
export function laneSum(values: Float64Array): number {
  const lanes = new Float64Array(16);
  for (let i = 0; i < values.length; i++) lanes[i % 16] = fround(lanes[i % 16]! + values[i]!);
  for (const half of [8, 4, 2, 1]) for (let j = 0; j < half; j++) lanes[j] = fround(lanes[j]! + lanes[j + half]!);
  return lanes[0]!;
}

const inverseRoot = (mean: number, epsilon: number): number => fround(1 / fround(Math.sqrt(fround(mean + epsilon))));

/**
 * RMS or layer norm of each group of each row. `params` is one row: eps on a line of its own, then gamma, then (layer) beta, each padded to
 * lines of `lineElements` FP32 elements.
 */
export function normRows({ norm, groups, lineElements }: TileAttrs['norm'] & { readonly lineElements: number }, x: View, params: View, out: View, count: number): void {
  const n = x.columns;
  const packed = params.row(0);
  const epsilon = packed[0]!;
  const gamma = packed.subarray(lineElements, lineElements + n);
  const betaAt = lineElements + Math.ceil(n / lineElements) * lineElements;
  const beta = packed.subarray(betaAt, betaAt + n);
  const size = n / groups;
  for (let i = 0; i < count; i++) {
    const to = out.row(i);
    for (let start = 0; start < n; start += size) {
      const from = x.row(i).subarray(start, start + size);
      if (norm === 'rms') {
        const r = inverseRoot(fround(laneSum(from.map((v) => fround(v * v))) / size), epsilon);
        for (let c = 0; c < size; c++) to[start + c] = roundTo(out.format, fround(fround(from[c]! * r) * gamma[start + c]!));
        continue;
      }
      const mean = fround(laneSum(from) / size);
      const centred = from.map((v) => fround(v - mean));
      const r = inverseRoot(fround(laneSum(centred.map((d) => fround(d * d))) / size), epsilon);
      for (let c = 0; c < size; c++) to[start + c] = roundTo(out.format, fround(fround(fround(centred[c]! * r) * gamma[start + c]!) + beta[start + c]!));
    }
  }
}

/** Rotates the first `rotary` elements of each head by the row's angles (`table`: cosines, then sines); copies the rest. */
export function ropeRows({ interleaved, headDim, rotary, heads }: TileAttrs['rope'], x: View, table: View, out: View, count: number): void {
  const half = rotary / 2;
  for (let i = 0; i < count; i++) {
    const angles = table.row(i);
    const from = x.row(i).slice();
    const to = out.row(i);
    for (let head = 0; head < heads; head++) {
      const start = head * headDim;
      for (let p = 0; p < half; p++) {
        const first = start + (interleaved ? 2 * p : p);
        const second = start + (interleaved ? 2 * p + 1 : p + half);
        const [a, b, c, s] = [from[first]!, from[second]!, angles[p]!, angles[half + p]!];
        to[first] = roundTo(out.format, fround(fround(a * c) - fround(b * s)));
        to[second] = roundTo(out.format, fround(fround(b * c) + fround(a * s)));
      }
      for (let d = start + rotary; d < start + headDim; d++) to[d] = roundTo(out.format, from[d]!);
    }
  }
}

/** rowScale <- amax/448 (1 if 0), out <- e4m3(x / rowScale). */
export function quantiseRows(x: View, out: View, rowScale: View, { first, count }: Window): void {
  const scales = rowScale.row(0);
  for (let i = 0; i < count; i++) {
    const from = x.row(i);
    const to = out.row(i);
    const amax = from.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    const scale = scaleOf(amax);
    scales[first + i] = scale;
    for (let c = 0; c < to.length; c++) to[c] = roundTo(out.format, fround(from[c]! / scale));
  }
}

/** Each block of a row (128 elements, the last maybe fewer): its scale <- amax/448 (1 if 0), out <- e4m3(x / scale). */
export function quantiseRowBlocks(x: View, out: View, scales: View, count: number): void {
  const { size } = blockScales.block;
  for (let i = 0; i < count; i++) {
    const [from, to, found] = [x.row(i), out.row(i), scales.row(i)];
    for (let block = 0; block < found.length; block++) found[block] = scaleOf(from.subarray(block * size, (block + 1) * size).reduce((most, v) => Math.max(most, Math.abs(v)), 0));
    for (let c = 0; c < to.length; c++) to[c] = roundTo(out.format, fround(from[c]! / found[Math.floor(c / size)]!));
  }
}
