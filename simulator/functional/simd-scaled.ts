import { scaledTerm } from '../../isa-spec/numerics-dots.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { multiplyE4m3 } from '../wasm/e4m3.ts';
import type { Engine } from '../wasm/engine.ts';
import type { Job } from '../wasm/job.ts';
import type { Accumulators } from './accumulators.ts';
import { columnsOf, type Scaled } from './scaled.ts';

/** E4M3 codes of the activations; `at(r)`: where row r starts. */
type Codes = { readonly codes: Uint8Array; readonly at: (r: number) => number };

/** As `multiplyScaled`: the exact sums of each block by the SIMD kernels, then scaled and added to the accumulators one by one. */
export const multiplyScaledSimd = (accumulators: Accumulators, engine: Engine, { codes, at: codesAt }: Codes, product: Scaled): void => {
  const { entry: { size, nTiles, rowBytes, memory }, scales: { scaling, pitch, values }, k, groups, readScales } = product;
  const [depth, columns, term] = [blockScales[scaling].size, columnsOf(scaling), scaledTerm[scaling]];
  const rows = groups.reduce((sum, group) => sum + group.rows, 0);
  const scales = Array.from({ length: rows }, (_, r) => {
    const ofRow = new Float64Array(Math.ceil(k / depth));
    readScales(r, ofRow);
    return ofRow;
  });
  const parts = Array.from({ length: nTiles }, () => new Float64Array(rows * size));
  for (let block = 0, from = 0; from < k; block++, from += depth) {
    // Blocks are whole k-tiles, or lie within one.
    const [tile, within] = [Math.floor(from / size), from % size];
    const count = Math.min(depth, k - from);
    const kTiles = Math.ceil(count / size);
    const job: Job = {
      size, kTiles, kLast: count - (kTiles - 1) * size, nTiles, rows,
      x: codes, xAt: (r) => codesAt(r) + from, tiles: memory.u8.subarray((tile * nTiles * size + within) * rowBytes), pitch: rowBytes,
      places: [{ row: 0, rows, at: 0, sums: (nt) => parts[nt]! }],
    };
    for (const part of parts) part.fill(0);
    multiplyE4m3(engine, job);
    for (const { row: first, rows: count, accumulatorRow, firstArray } of groups) {
      parts.forEach((part, nt) => {
        const sums = accumulators.of(firstArray + nt, accumulatorRow + count);
        for (let r = 0; r < count; r++) {
          const [from, to, scale] = [(first + r) * size, (accumulatorRow + r) * size, scales[first + r]![block]!];
          for (let n = 0; n < size; n++) sums[to + n] = Math.fround(sums[to + n]! + term(part[from + n]!, scale, values[block * pitch + Math.floor((nt * size + n) / columns)]!));
        }
      });
    }
  }
};
