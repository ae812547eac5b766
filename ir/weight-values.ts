import { cosSin, decodeBf16, decodeE4m3, encodeBf16 } from '../isa-spec/numerics.ts';
import { amaxOfRow, quantiseRow } from '../isa-spec/numerics-rows.ts';
import { scaleOf } from '../isa-spec/numerics-scales.ts';
import { copyBox, describe, isSharded, offsetOf, type Region, shapeOfExpr, sizeAt, volume } from './weight-expr.ts';
import type { DType } from './types.ts';
import type { TensorStore, Weight, WeightExpr } from './weights.ts';

/** Which data of a weight: an iteration of the loop that uses it, and the chip whose share it is. */
export type Part = { readonly instance: number; readonly rank: number };

/** Elements as memory holds them: E4M3 codes, BF16 bits, FP32, i32. */
export type Elements = Uint8Array | Uint16Array | Float32Array | Int32Array;

/**
 * The values of weights, read from the source as they are asked for. A row is all that one index of the first axis holds.
 * Of source tensors at most three are kept in memory (a quantised one has a scale and a zero point), and only those read across their rows.
 */
export class WeightValues {
  readonly store: TensorStore;
  /** Chips a `shard` is divided over. */
  readonly tp: number;
  /** Scales of rows already quantised, 0 where not: the column parameters are packed after the tiles they belong to. */
  readonly #keptScales = new Map<string, Float32Array>();
  readonly #kept = new Map<string, Float32Array | Float64Array>();

  constructor(store: TensorStore, tp: number) {
    this.store = store;
    this.tp = tp;
  }

  /** Source values of rows `start` to `start + count`, nothing rounded. Throws when the weight's shape is not its expression's. */
  rowsOf(weight: Weight, part: Part, start: number, count: number): Float64Array {
    const expr = instanceOf(weight, part.instance);
    const shape = shapeOfExpr(expr, this.store);
    if (shape.length !== weight.shape.length || shape.some((size, i) => size !== weight.shape[i])) {
      throw new Error(`weight \`${weight.name}\` is [${weight.shape.join(', ')}], but its source is [${shape.join(', ')}]`);
    }
    return this.#rows(expr, part.rank, start, count);
  }

  /** E4M3 codes of rows, and the FP32 scale of each: amax/448 (1 if 0) of the FP32 values. */
  quantisedRows(weight: Weight, part: Part, start: number, count: number): { readonly codes: Uint8Array; readonly scales: Float32Array } {
    const rows = this.rowsOf(weight, part, start, count);
    const scales = scalesOf(rows, count);
    const width = rows.length / count;
    const codes = new Uint8Array(rows.length);
    for (let row = 0; row < count; row++) quantiseRow(rows.subarray(row * width, (row + 1) * width), scales[row] as number, codes.subarray(row * width, (row + 1) * width));
    this.#remember(weight, part, start, scales);
    return { codes, scales };
  }

  /** Rows as memory holds them: rounded once to the weight's dtype; e4m3 divided by the row's scale first. */
  encodedRows(weight: Weight, part: Part, start: number, count: number): Elements {
    if (isScale(weight, this.store)) return this.#scales(weight, part, start, count);
    if (weight.dtype === 'e4m3') return this.quantisedRows(weight, part, start, count).codes;
    const rows = this.rowsOf(weight, part, start, count);
    switch (weight.dtype) {
      case 'bf16':
        return encoded(rows, new Uint16Array(rows.length), encodeBf16);
      case 'f32':
        return new Float32Array(rows);
      case 'i32':
        return new Int32Array(rows);
      default:
        throw new Error(`weight \`${weight.name}\` has dtype ${weight.dtype}, which memory does not hold`);
    }
  }

  /** The values of `encodedRows`. */
  storedRows(weight: Weight, part: Part, start: number, count: number): Float64Array {
    const elements = this.encodedRows(weight, part, start, count);
    if (elements instanceof Uint8Array) return Float64Array.from(elements, decodeE4m3);
    if (elements instanceof Uint16Array) return Float64Array.from(elements, decodeBf16);
    return Float64Array.from(elements);
  }

  /** An f32 weight `<w>.scale` with the expressions of matrix w is the scales of w's rows: kept since w was read, or computed. */
  #scales(weight: Weight, part: Part, start: number, count: number): Float32Array {
    const kept = this.#keptScales.get(scaleKey(weight.name, part));
    if (kept?.subarray(start, start + count).every((scale) => scale > 0) === true) return kept.slice(start, start + count);
    return scalesOf(this.#rows(instanceOf(weight, part.instance), part.rank, start, count), count);
  }

  #remember(weight: Weight, part: Part, start: number, scales: Float32Array): void {
    const key = scaleKey(`${weight.name}.scale`, part);
    const kept = this.#keptScales.get(key) ?? new Float32Array(weight.shape[0] as number);
    this.#keptScales.set(key, kept);
    kept.set(scales, start);
  }

  #rows(expr: WeightExpr, rank: number, start: number, count: number): Float64Array {
    const shape = shapeOfExpr(expr, this.store);
    return this.#region(expr, rank, { start: shape.map((_, i) => (i === 0 ? start : 0)), size: shape.map((size, i) => (i === 0 ? count : size)) });
  }

  #region(expr: WeightExpr, rank: number, { start, size }: Region): Float64Array {
    switch (expr.kind) {
      case 'tensor':
        return this.#read(expr.name, { start, size });
      case 'values': {
        const data = new Float64Array(volume(size));
        if (expr.values.length === 1) return data.fill(expr.values[0] as number);
        copyBox({ data: expr.values, shape: expr.shape, start }, { data, shape: size, start: size.map(() => 0) }, size);
        return data;
      }
      case 'transpose': {
        const inner = this.#region(expr.of, rank, { start: start.toReversed(), size: size.toReversed() });
        return size.length === 2 ? transposed(inner, size[1] as number, size[0] as number) : size.length < 2 ? inner : reversed(inner, size);
      }
      case 'reshape':
        return this.#reshaped(expr, rank, { start, size });
      case 'slice':
        return this.#region(expr.of, rank, { start: start.with(expr.axis, (start[expr.axis] as number) + expr.start), size });
      case 'concat':
        return this.#concatenated(expr, rank, { start, size });
      case 'scale':
        return this.#region(expr.of, rank, { start, size }).map((value) => value * expr.by);
      case 'unpack':
        return this.#unpacked(expr, rank, { start, size });
      case 'dequantise':
        return this.#dequantised(expr, rank, { start, size });
      case 'shard': {
        const whole = sizeAt(shapeOfExpr(expr.of, this.store), expr.axis);
        const first = Math.floor((rank * expr.parts) / this.tp) * (whole / expr.parts);
        return this.#region(expr.of, rank, { start: start.with(expr.axis, (start[expr.axis] as number) + first), size });
      }
      case 'rope': {
        const rows = Array.from({ length: size[0] as number }, (_, i) => ropeRow(expr.frequencies, (start[0] as number) + i, expr.amplitude));
        const data = new Float64Array(volume(size));
        rows.forEach((row, i) => data.set(row.subarray(start[1], (start[1] as number) + (size[1] as number)), i * (size[1] as number)));
        return data;
      }
    }
  }

  /** The rows a region touches are read whole; a region of all rows and few columns keeps the tensor for the next such call. */
  #read(name: string, { start, size }: Region): Float64Array {
    const { dtype, shape } = describe(name, this.store);
    const rowSize = volume(shape.slice(1));
    const first = start[0] ?? 0;
    const rows = size[0] ?? 1;
    const whole = size.every((length, i) => i === 0 || length === shape[i]);
    if (whole) return this.store.read(name, first * rowSize, rows * rowSize);
    const source = rows === shape[0] ? this.#keep(name, dtype, rows * rowSize) : this.store.read(name, first * rowSize, rows * rowSize);
    const data = new Float64Array(volume(size));
    copyBox({ data: source, shape: shape.with(0, rows), start: start.with(0, 0) }, { data, shape: size, start: size.map(() => 0) }, size);
    return data;
  }

  #keep(name: string, dtype: DType, elements: number): Float32Array | Float64Array {
    const known = this.#kept.get(name);
    if (known !== undefined) return known;
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= 3 && oldest !== undefined) this.#kept.delete(oldest);
    const read = this.store.read(name, 0, elements);
    const data = singles.has(dtype) ? Float32Array.from(read) : read;
    this.#kept.set(name, data);
    return data;
  }

  #unpacked({ of, bits }: Extract<WeightExpr, { kind: 'unpack' }>, rank: number, { start, size }: Region): Float64Array {
    const last = size.length - 1;
    const parts = 8 / bits;
    const [from, width] = [start[last] as number, size[last] as number];
    const first = Math.floor(from / parts);
    const across = Math.ceil((from + width) / parts) - first;
    const bytes = this.#region(of, rank, { start: start.with(last, first), size: size.with(last, across) });
    const data = new Float64Array(volume(size));
    for (let at = 0; at < data.length; at++) {
      const place = from + (at % width);
      const byte = bytes[Math.floor(at / width) * across + Math.floor(place / parts) - first] as number;
      data[at] = (byte >> (bits * (place % parts))) & ((1 << bits) - 1);
    }
    return data;
  }

  #dequantised({ of, scale, zeroPoint, block }: Extract<WeightExpr, { kind: 'dequantise' }>, rank: number, { start, size }: Region): Float64Array {
    const codes = this.#region(of, rank, { start, size });
    const first = start.map((at, axis) => Math.floor(at / sizeAt(block, axis)));
    const blocks = { start: first, size: size.map((length, axis) => Math.max(0, Math.ceil(((start[axis] as number) + length) / sizeAt(block, axis)) - (first[axis] as number))) };
    const [scales, zeros] = [scale, zeroPoint].map((part) => (part === undefined ? undefined : this.#region(part, rank, blocks)));
    const at = blockIndex({ start, size }, blocks, block);
    return codes.map((code, i) => (code - (zeros?.[at[i] as number] ?? 0)) * (scales?.[at[i] as number] as number));
  }

  /** A region of a reshaped tensor lies within one run of elements, and that within some rows of the tensor. */
  #reshaped(expr: Extract<WeightExpr, { kind: 'reshape' }>, rank: number, { start, size }: Region): Float64Array {
    const inner = shapeOfExpr(expr.of, this.store);
    if (volume(inner) !== volume(expr.shape)) throw new Error(`[${inner.join(', ')}] cannot be reshaped to [${expr.shape.join(', ')}]`);
    if (volume(size) === 0) return new Float64Array(0);
    const from = offsetOf(start, expr.shape);
    const to = offsetOf(start.map((at, i) => at + (size[i] as number) - 1), expr.shape) + 1;
    const rowSize = volume(inner.slice(1));
    const firstRow = Math.floor(from / rowSize);
    const rows = this.#rows(expr.of, rank, firstRow, Math.ceil(to / rowSize) - firstRow);
    const run = rows.subarray(from - firstRow * rowSize, to - firstRow * rowSize);
    if (run.length === volume(size)) return run;
    const data = new Float64Array(volume(size));
    copyBox({ data: run, shape: expr.shape, start: start.map(() => 0) }, { data, shape: size, start: start.map(() => 0) }, size);
    return data;
  }

  #concatenated(expr: Extract<WeightExpr, { kind: 'concat' }>, rank: number, { start, size }: Region): Float64Array {
    const { axis } = expr;
    const data = new Float64Array(volume(size));
    const from = start[axis] as number;
    const to = from + (size[axis] as number);
    let base = 0;
    for (const part of expr.of) {
      const length = sizeAt(shapeOfExpr(part, this.store), axis);
      const first = Math.max(from, base);
      const last = Math.min(to, base + length);
      if (first < last) {
        const partSize = size.with(axis, last - first);
        const piece = this.#region(part, rank, { start: start.with(axis, first - base), size: partSize });
        copyBox({ data: piece, shape: partSize, start: size.map(() => 0) }, { data, shape: size, start: size.map((_, i) => (i === axis ? first - from : 0)) }, partSize);
      }
      base += length;
    }
    return data;
  }
}

/** For each element of a region, in row-major order, the place among the region's blocks of the one it is in. */
function blockIndex({ start, size }: Region, blocks: Region, block: readonly number[]): Int32Array {
  let places = Int32Array.of(0);
  size.forEach((length, axis) => {
    const next = new Int32Array(places.length * length);
    const within = Int32Array.from({ length }, (_, i) => Math.floor(((start[axis] as number) + i) / (block[axis] as number)) - (blocks.start[axis] as number));
    for (let at = 0; at < places.length; at++) for (let i = 0; i < length; i++) next[at * length + i] = (places[at] as number) * (blocks.size[axis] as number) + (within[i] as number);
    places = next;
  });
  return places;
}

/** The expression of one instance; a weight with one serves every iteration. */
function instanceOf(weight: Weight, instance: number): WeightExpr {
  const expr = weight.instances[weight.instances.length === 1 ? 0 : instance];
  if (expr === undefined) throw new Error(`weight \`${weight.name}\` has no instance ${instance}`);
  return expr;
}

/** Whether the weight is the column scales of the matrix its expressions make. */
export const isScale = (weight: Weight, store: TensorStore): boolean =>
  weight.name.endsWith('.scale') && weight.shape.length === 1 && shapeOfExpr(instanceOf(weight, 0), store).length === 2;

export const isShardedWeight = (weight: Weight): boolean => weight.instances.some(isSharded);

/** FP32 cosines then sines of `position * f`, each times the amplitude and rounded again. */
export function ropeRow(frequencies: readonly number[], position: number, amplitude: number): Float64Array {
  const row = new Float64Array(2 * frequencies.length);
  frequencies.forEach((frequency, i) => {
    const [cos, sin] = cosSin(position * frequency);
    row[i] = Math.fround(cos * amplitude);
    row[i + frequencies.length] = Math.fround(sin * amplitude);
  });
  return row;
}

/** Dtypes whose values single precision holds exactly. */
const singles: ReadonlySet<DType> = new Set(['f32', 'f16', 'bf16', 'e4m3', 'e5m2', 'e4m3fnuz', 'e5m2fnuz', 'e2m1', 'e8m0', 'i16', 'i8', 'i4', 'i2', 'u16', 'u8', 'u4', 'u2', 'bool']);

function scalesOf(rows: Float64Array, count: number): Float32Array {
  const width = rows.length / count;
  return Float32Array.from({ length: count }, (_, row) => {
    return scaleOf(amaxOfRow(rows.subarray(row * width, (row + 1) * width)));
  });
}

/** `TypedArray.from` with a function takes ten times as long as a loop. */
function encoded<E extends Elements>(values: Float64Array, codes: E, encode: (value: number) => number): E {
  for (let i = 0; i < values.length; i++) codes[i] = encode(values[i] as number);
  return codes;
}

const scaleKey = (name: string, { instance, rank }: Part): string => `${instance} ${rank} ${name}`;

/** Row-major [rows, columns] to [columns, rows]. */
function transposed(data: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = data[row * columns + column] as number;
  }
  return result;
}

/** Row-major data of shape `size` reversed, with its axes reversed. */
function reversed(data: Float64Array, size: readonly number[]): Float64Array {
  const result = new Float64Array(data.length);
  const index = size.map(() => 0);
  const shape = size.toReversed();
  for (let at = 0; at < result.length; at++) {
    result[at] = data[offsetOf(index.toReversed(), shape)] as number;
    for (let axis = size.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (size[axis] as number)) break;
      index[axis] = 0;
    }
  }
  return result;
}
