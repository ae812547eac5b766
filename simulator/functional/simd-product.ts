import { formatBytes } from '../../isa-spec/fields.ts';
import { e5m2Values } from '../../isa-spec/numerics-formats.ts';
import { e4m3Values, encodeBf16 } from '../../isa-spec/numerics.ts';
import type { MatrixFormat, Profile } from '../../isa-spec/profiles.ts';
import type { Engine } from '../wasm/engine.ts';
import { multiplyBf16 } from '../wasm/bf16.ts';
import { multiplyE4m3 } from '../wasm/e4m3.ts';
import type { Job } from '../wasm/job.ts';
import type { GroupRows } from './accumulators.ts';
import type { Chip, WeightEntry } from './state.ts';

/** The product of an `mm`. `line` and `pitch` are of the activations, in lines. */
type Product = {
  readonly format: MatrixFormat;
  readonly entry: WeightEntry;
  readonly kLast: number;
  readonly rows: number;
  readonly groups: readonly GroupRows[];
  readonly line: number;
  readonly pitch: number;
};

/** Codes, where row r of them starts, and how many elements rows are apart. */
type Codes = { readonly codes: Uint8Array | Uint16Array; readonly at: (r: number) => number };

/** BF16 codes of the values of 8-bit formats, all of which BF16 has. */
const asBf16: { readonly [F in Exclude<MatrixFormat, 'bf16'>]: Uint16Array } = { e4m3: Uint16Array.from(e4m3Values, encodeBf16), e5m2: Uint16Array.from(e5m2Values, encodeBf16) };

const widened = (format: Exclude<MatrixFormat, 'bf16'>, { codes, at }: Codes, rows: number, columns: number): Codes => {
  const table = asBf16[format];
  const wide = new Uint16Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let i = 0, from = at(r), to = r * columns; i < columns; i++) wide[to + i] = table[codes[from + i]!]!;
  return { codes: wide, at: (r) => r * columns };
};

/** The product by the SIMD kernels: exact sums of E4M3; chains of BF16, which other operands are widened to. */
export const multiplySimd = (chip: Chip, engine: Engine, profile: Extract<Profile, 'exact' | 'chained'>, product: Product): void => {
  const { sram, geometry: { lineBytes }, accumulators } = chip;
  const { format, entry: { format: weightFormat, size, kTiles, nTiles, rowBytes, memory }, kLast, rows, groups, line, pitch } = product;
  const k = (kTiles - 1) * size + kLast;
  const ready = (of: MatrixFormat, from: Codes, count: number, columns: number): Codes => (profile === 'exact' || of === 'bf16' ? from : widened(of, from, count, columns));
  const bytes = formatBytes[format];
  const x = ready(format, { codes: bytes === 1 ? sram.views.u8 : sram.views.u16, at: (r) => ((line + r * pitch) * lineBytes) / bytes }, rows, k);
  const weightBytes = formatBytes[weightFormat];
  const w = ready(weightFormat, { codes: weightBytes === 1 ? memory.u8 : memory.u16, at: (r) => (r * rowBytes) / weightBytes }, kTiles * nTiles * size, size);
  const job: Job = {
    size, kTiles, kLast, nTiles, rows,
    x: x.codes, xAt: x.at,
    tiles: w.codes, pitch: w.at(1),
    places: groups.map((group) => ({
      row: group.row, rows: group.rows, at: group.accumulatorRow * size,
      sums: (nt) => accumulators.of(group.firstArray + nt, group.accumulatorRow + group.rows),
    })),
  };
  (profile === 'exact' ? multiplyE4m3 : multiplyBf16)(engine, job);
};
