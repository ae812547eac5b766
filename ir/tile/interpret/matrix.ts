import type { Format } from '../../../isa-spec/fields.ts';
import { activate, roundTo } from '../../../isa-spec/numerics.ts';
import { blockScales } from '../../../isa-spec/numerics-scales.ts';
import type { TileAttrs } from '../ops.ts';
import type { View, Window } from './memory.ts';

const { fround } = Math;

/** An entry of the weight FIFO: `kTiles` x `nTiles` tiles, k-tiles outermost, each `side` rows (k) of `side` columns (n); if blocks have scales, a row of them for each block of k. */
export type WeightEntry = { readonly format: Format; readonly kTiles: number; readonly nTiles: number; readonly split: number; readonly kSplit: number; readonly tiles: readonly Float64Array[]; readonly scales: readonly Float64Array[] | undefined };

export function readWeights({ kTiles, nTiles, split, kSplit }: TileAttrs['weights'], from: View, scales: View | undefined): WeightEntry {
  const tile = (from.rows * from.columns) / (kTiles * nTiles);
  const perRow = from.columns / tile;
  return {
    format: from.format, kTiles, nTiles, split, kSplit,
    tiles: Array.from({ length: kTiles * nTiles }, (_, i) => from.row(Math.floor(i / perRow)).slice((i % perRow) * tile, ((i % perRow) + 1) * tile)),
    scales: scales === undefined ? undefined : Array.from({ length: scales.rows }, (_, i) => scales.row(i).slice()),
  };
}

/**
 * acc (+)= a x entry, k ascending. e4m3: sums of products are exact in double. bf16: every addition rounds to FP32, going on
 * from what the accumulator holds. With scales of blocks, blocks ascending: the exact sum of a block, rounded to FP32, times both its scales, is added in FP32. A sum starts at +0.
 */
export function multiply({ kTiles, kLast, nTiles, split, kSplit }: TileAttrs['multiply'], entry: WeightEntry, { a, scales, acc }: { readonly a: View; readonly scales: View | undefined; readonly acc: View }, { count, overwrite }: { readonly count: number; readonly overwrite: boolean }): void {
  if (entry.kTiles !== kTiles || entry.nTiles !== nTiles || entry.split !== split || entry.kSplit !== kSplit || entry.format !== a.format || (entry.scales === undefined) !== (scales === undefined))
    throw new Error(`a ${a.format} product of ${kTiles} x ${nTiles} tiles, split ${split} and ${kSplit}, meets ${entry.format} weights of ${entry.kTiles} x ${entry.nTiles} tiles, split ${entry.split} and ${entry.kSplit}`);
  const side = Math.sqrt(entry.tiles[0]!.length);
  const k = (kTiles - 1) * side + kLast;
  for (let i = 0; i < count; i++) {
    const sums = acc.row(i);
    if (overwrite) sums.fill(0, 0, nTiles * side);
    const xs = a.row(i);
    if (scales !== undefined && entry.scales !== undefined) {
      addBlocks(sums, xs.subarray(0, k), entry, side, { x: scales.row(i), w: entry.scales });
      continue;
    }
    for (let e = 0; e < k; e++) {
      for (let t = 0; t < nTiles; t++) {
        const tile = entry.tiles[Math.floor(e / side) * nTiles + t]!;
        const from = (e % side) * side;
        if (a.format === 'e4m3') for (let c = 0; c < side; c++) sums[t * side + c]! += xs[e]! * tile[from + c]!;
        else for (let c = 0; c < side; c++) sums[t * side + c] = fround(sums[t * side + c]! + xs[e]! * tile[from + c]!);
      }
    }
  }
}

/** Adds a row's products with an entry to its sums, block by block of k. */
function addBlocks(sums: Float64Array, xs: Float64Array, { tiles, nTiles }: WeightEntry, side: number, scales: { readonly x: Float64Array; readonly w: readonly Float64Array[] }): void {
  const { size } = blockScales.block;
  scales.x.forEach((scale, block) => {
    for (let c = 0; c < nTiles * side; c++) {
      let sum = 0;
      for (let e = block * size; e < Math.min(xs.length, (block + 1) * size); e++) sum += xs[e]! * tiles[Math.floor(e / side) * nTiles + Math.floor(c / side)]![(e % side) * side + (c % side)]!;
      sums[c] = fround(sums[c]! + fround(fround(sum) * fround(scale * scales.w[block]![Math.floor(c / size)]!)));
    }
  });
}

/** What a drain reads and writes besides its attributes. `lineElements`: FP32 elements of a line, which column parameters are padded to. */
export type DrainViews = { readonly acc: View; readonly params: View | undefined; readonly residual: View | undefined; readonly rowScale: View | undefined; readonly out: View; readonly lineElements: number };

/**
 * y = fround(acc), then in this order those asked for: * row scale, * column scale, + bias, activation (gated: act(gate) * up),
 * + residual; each an FP32 operation, then one rounding to the format of `out`.
 */
export function drain(attrs: TileAttrs['drain'], views: DrainViews, { first, count }: Window): void {
  const { acc, residual, out, lineElements } = views;
  const columns = acc.columns;
  const padded = Math.ceil(columns / lineElements) * lineElements;
  const params = views.params?.row(0);
  const scales = attrs.scale ? params!.subarray(0, columns) : undefined;
  const biasAt = attrs.scale ? padded : 0;
  const biases = attrs.bias ? params!.subarray(biasAt, biasAt + columns) : undefined;
  const half = columns / 2;
  for (let i = 0; i < count; i++) {
    const sums = acc.row(i);
    const rowScale = attrs.scale ? views.rowScale!.row(0)[first + i]! : 1;
    const value = (c: number): number => {
      let y = fround(sums[c]!);
      if (scales !== undefined) y = fround(fround(y * rowScale) * scales[c]!);
      return biases === undefined ? y : fround(y + biases[c]!);
    };
    const to = out.row(i);
    const extra = residual?.row(i);
    for (let c = 0; c < to.length; c++) {
      const y = attrs.gated ? fround(activate(attrs.activation, value(c)) * value(half + c)) : activate(attrs.activation, value(c));
      to[c] = roundTo(out.format, extra === undefined ? y : fround(y + extra[c]!));
    }
  }
}
