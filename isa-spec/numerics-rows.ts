import { encodeBf16 } from './numerics.ts';

/** Conversions of whole matrices, for packing: the same results as the scalar functions, a few times as fast. */

/** A matrix as it lies in memory: element (r, c) is `data[at + r * row + c * column]`. */
export type Grid<Data> = { readonly data: Data; readonly at: number; readonly row: number; readonly column: number };
type Numbers = Float32Array | Float64Array;

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** 2^14: an FP32 near it has ulp 2^-9, the distance of E4M3's subnormals, so adding it rounds to one. */
const subnormalRounder = 2 ** 14;
single[0] = subnormalRounder;
const subnormalRounderBits = bits[0] as number;

/** Bits of the FP32 values where E4M3 becomes normal (2^-6), where it saturates (464, halfway beyond 448), and of infinity. */
const [normalFrom, saturatesFrom, infinity] = [0x3c800000, 0x43e80000, 0x7f800000];
/** The FP32 exponent bias less E4M3's, in E4M3 codes: (127 - 7) * 8. */
const rebias = 960;

/** The largest magnitude of each row, as FP32. Elements are looked at in the order they lie in. */
export function amaxOfRows(from: Grid<Numbers>, rows: number, columns: number): Float32Array {
  const most = new Float32Array(rows);
  if (from.column <= from.row) for (let r = 0; r < rows; r++) most[r] = amaxOfRun(rowOf(from, r), columns);
  else for (let c = 0; c < columns; c++) raise(most, columnOf(from, c));
  return most;
}

function amaxOfRun({ data, at, step }: Run<Numbers>, count: number): number {
  let most = 0;
  for (let i = 0, place = at; i < count; i++, place += step) {
    const magnitude = Math.abs(data[place] as number);
    if (magnitude > most) most = magnitude;
  }
  return most;
}

/** most[i] = max(most[i], |element i|); rounding to FP32 keeps the order. */
function raise(most: Float32Array, { data, at, step }: Run<Numbers>): void {
  for (let i = 0, place = at; i < most.length; i++, place += step) {
    const magnitude = Math.abs(data[place] as number);
    if (magnitude > (most[i] as number)) most[i] = magnitude;
  }
}

/** to[r, c] = encodeE4m3(fround(fround(from[r, c]) / scales[r])). */
export function quantiseRows(from: Grid<Numbers>, scales: Float32Array, to: Grid<Uint8Array>, rows: number, columns: number): void {
  const isByRow = from.column <= from.row;
  for (let i = 0; i < (isByRow ? rows : columns); i++) {
    if (isByRow) quantiseRun(rowOf(from, i), { data: scales, at: i, step: 0 }, rowOf(to, i), columns);
    else quantiseRun(columnOf(from, i), { data: scales, at: 0, step: 1 }, columnOf(to, i), rows);
  }
}

/** Elements one after the other: the i-th is `data[at + i * step]`. */
type Run<Data> = { readonly data: Data; readonly at: number; readonly step: number };
const rowOf = <Data>({ data, at, row, column }: Grid<Data>, r: number): Run<Data> => ({ data, at: at + r * row, step: column });
const columnOf = <Data>({ data, at, row, column }: Grid<Data>, c: number): Run<Data> => ({ data, at: at + c * column, step: row });

/** Quotients of a run and their bits: two loops, each without a wait for the other, take half the time of one. */
let quotients = new Float32Array(0);
let quotientBits = new Int32Array(0);

function quantiseRun(from: Run<Numbers>, by: Run<Float32Array>, to: Run<Uint8Array>, count: number): void {
  if (quotients.length < count) {
    quotients = new Float32Array(count);
    quotientBits = new Int32Array(quotients.buffer);
  }
  const [values, step, scales, scaleStep, codes, codeStep] = [from.data, from.step, by.data, by.step, to.data, to.step];
  for (let i = 0, at = from.at, scale = by.at; i < count; i++, at += step, scale += scaleStep) quotients[i] = Math.fround(values[at] as number) / (scales[scale] as number);
  for (let i = 0, at = to.at; i < count; i++, at += codeStep) {
    const b = quotientBits[i] as number;
    const magnitude = b & 0x7fffffff;
    const sign = (b >>> 24) & 0x80;
    codes[at] = magnitude >= normalFrom && magnitude < saturatesFrom ? sign | (((magnitude + 0x7ffff + ((magnitude >>> 20) & 1)) >>> 20) - rebias) : unusual(sign, magnitude);
  }
}

/** The code of a sign and a magnitude's bits that are no normal number of E4M3. NaN has no sign. */
function unusual(sign: number, magnitude: number): number {
  if (magnitude > infinity) return 0x7f;
  if (magnitude >= saturatesFrom) return sign | 0x7e;
  bits[0] = magnitude;
  single[0] = (single[0] as number) + subnormalRounder;
  return sign | ((bits[0] as number) - subnormalRounderBits);
}

/** to[r, c] = encodeBf16(from[r, c]). */
export function bf16Rows(from: Grid<Numbers>, to: Grid<Uint16Array>, rows: number, columns: number): void {
  for (let r = 0; r < rows; r++) {
    let [s, at] = [from.at + r * from.row, to.at + r * to.row];
    for (let c = 0; c < columns; c++, s += from.column, at += to.column) to.data[at] = encodeBf16(from.data[s] as number);
  }
}
