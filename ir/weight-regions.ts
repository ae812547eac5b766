import { cosSin } from '../isa-spec/numerics.ts';
import { reused } from './packing-room.ts';
import { describe, offsetOf, type Region, shapeOfExpr, sizeAt, volume } from './weight-expr.ts';
import type { Numbers, Room, TensorStore, WeightExpr } from './weights.ts';

/** Elements of a tensor where they lie: that of an index is `data[at + index . steps]`. */
type View = { readonly data: Numbers; readonly at: number; readonly steps: readonly number[] };

/**
 * What expressions of weights make, a region at a time, nothing rounded. What only moves elements copies none.
 * Of source tensors at most three are kept in memory (a quantised one has a scale and a zero point), and only those read across their rows.
 */
export class WeightRegions {
  readonly #store: TensorStore;
  readonly #tp: number;
  readonly #kept = new Map<string, { readonly data: Numbers; readonly room: Room }>();
  readonly #passing = reused();

  constructor(store: TensorStore, tp: number) {
    this.#store = store;
    this.#tp = tp;
  }

  /** Rows `start` to `start + count`. They are there until the next are asked for. */
  rows(expr: WeightExpr, rank: number, start: number, count: number): View {
    const shape = shapeOfExpr(expr, this.#store);
    return this.#view(expr, rank, { start: shape.map((_, i) => (i === 0 ? start : 0)), size: shape.map((size, i) => (i === 0 ? count : size)) });
  }

  #view(expr: WeightExpr, rank: number, { start, size }: Region): View {
    switch (expr.kind) {
      case 'tensor':
        return this.#read(expr.name, { start, size });
      case 'values':
        if (expr.values.length === 1) return { data: Float64Array.from(expr.values), at: 0, steps: size.map(() => 0) };
        return { data: Float64Array.from(expr.values), at: offsetOf(start, expr.shape), steps: stepsOf(expr.shape) };
      case 'transpose': {
        const { steps, ...view } = this.#view(expr.of, rank, { start: start.toReversed(), size: size.toReversed() });
        return { ...view, steps: steps.toReversed() };
      }
      case 'reshape':
        return this.#reshaped(expr, rank, { start, size });
      case 'slice':
        return this.#view(expr.of, rank, { start: start.with(expr.axis, (start[expr.axis] as number) + expr.start), size });
      case 'concat':
        return this.#concatenated(expr, rank, { start, size });
      case 'scale':
        return inRows(this.#doubles(expr.of, rank, { start, size }).map((value) => value * expr.by), size);
      case 'unpack':
        return inRows(this.#unpacked(expr, rank, { start, size }), size);
      case 'dequantise':
        return inRows(this.#dequantised(expr, rank, { start, size }), size);
      case 'shard': {
        const whole = sizeAt(shapeOfExpr(expr.of, this.#store), expr.axis);
        const first = Math.floor((rank * expr.parts) / this.#tp) * (whole / expr.parts);
        return this.#view(expr.of, rank, { start: start.with(expr.axis, (start[expr.axis] as number) + first), size });
      }
      case 'rope': {
        const rows = Array.from({ length: size[0] as number }, (_, i) => ropeRow(expr.frequencies, (start[0] as number) + i, expr.amplitude));
        const data = new Float64Array(volume(size));
        rows.forEach((row, i) => data.set(row.subarray(start[1], (start[1] as number) + (size[1] as number)), i * (size[1] as number)));
        return inRows(data, size);
      }
    }
  }

  /** The rows a region touches are read whole; a region of all rows and few columns keeps the tensor for the next such call. */
  #read(name: string, { start, size }: Region): View {
    const { shape } = describe(name, this.#store);
    const rowSize = volume(shape.slice(1));
    const first = start[0] ?? 0;
    const rows = size[0] ?? 1;
    const isAcross = rows === shape[0] && size.some((length, i) => i > 0 && length !== shape[i]);
    const data = isAcross ? this.#keep(name, rows * rowSize) : this.#store.read(name, first * rowSize, rows * rowSize, this.#passing);
    return { data, at: offsetOf(start, shape) - first * rowSize, steps: stepsOf(shape) };
  }

  #keep(name: string, elements: number): Numbers {
    const known = this.#kept.get(name);
    if (known !== undefined) return known.data;
    const [oldest] = this.#kept;
    const room = this.#kept.size >= 3 && oldest !== undefined ? oldest[1].room : reused();
    if (oldest?.[1].room === room) this.#kept.delete(oldest[0]);
    const data = this.#store.read(name, 0, elements, room);
    this.#kept.set(name, { data, room });
    return data;
  }

  #doubles(expr: WeightExpr, rank: number, region: Region): Float64Array {
    const data = packed(this.#view(expr, rank, region), region.size);
    return data instanceof Float64Array ? data : new Float64Array(data);
  }

  #unpacked({ of, bits }: Extract<WeightExpr, { kind: 'unpack' }>, rank: number, { start, size }: Region): Float64Array {
    const last = size.length - 1;
    const parts = 8 / bits;
    const [from, width] = [start[last] as number, size[last] as number];
    const first = Math.floor(from / parts);
    const across = Math.ceil((from + width) / parts) - first;
    const bytes = this.#doubles(of, rank, { start: start.with(last, first), size: size.with(last, across) });
    const data = new Float64Array(volume(size));
    for (let at = 0; at < data.length; at++) {
      const place = from + (at % width);
      const byte = bytes[Math.floor(at / width) * across + Math.floor(place / parts) - first] as number;
      data[at] = (byte >> (bits * (place % parts))) & ((1 << bits) - 1);
    }
    return data;
  }

  #dequantised({ of, scale, zeroPoint, block }: Extract<WeightExpr, { kind: 'dequantise' }>, rank: number, { start, size }: Region): Float64Array {
    const codes = this.#doubles(of, rank, { start, size });
    const first = start.map((at, axis) => Math.floor(at / sizeAt(block, axis)));
    const blocks = { start: first, size: size.map((length, axis) => Math.max(0, Math.ceil(((start[axis] as number) + length) / sizeAt(block, axis)) - (first[axis] as number))) };
    const [scales, zeros] = [scale, zeroPoint].map((part) => (part === undefined ? undefined : this.#doubles(part, rank, blocks)));
    const at = blockIndex({ start, size }, blocks, block);
    return codes.map((code, i) => (code - (zeros?.[at[i] as number] ?? 0)) * (scales?.[at[i] as number] as number));
  }

  /** A region of a reshaped tensor lies within one run of elements, and that within some rows of the tensor. */
  #reshaped(expr: Extract<WeightExpr, { kind: 'reshape' }>, rank: number, { start, size }: Region): View {
    const inner = shapeOfExpr(expr.of, this.#store);
    if (volume(inner) !== volume(expr.shape)) throw new Error(`[${inner.join(', ')}] cannot be reshaped to [${expr.shape.join(', ')}]`);
    if (volume(size) === 0) return inRows(new Float64Array(0), size);
    const from = offsetOf(start, expr.shape);
    const to = offsetOf(start.map((at, i) => at + (size[i] as number) - 1), expr.shape) + 1;
    const rowSize = volume(inner.slice(1));
    const firstRow = Math.floor(from / rowSize);
    const count = Math.ceil(to / rowSize) - firstRow;
    const data = packed(this.rows(expr.of, rank, firstRow, count), inner.length === 0 ? [] : inner.with(0, count));
    return { data, at: from - firstRow * rowSize, steps: stepsOf(expr.shape) };
  }

  #concatenated(expr: Extract<WeightExpr, { kind: 'concat' }>, rank: number, { start, size }: Region): View {
    const { axis } = expr;
    const from = start[axis] as number;
    const to = from + (size[axis] as number);
    let end = 0;
    const parts = expr.of.map((of) => {
      const base = end;
      end += sizeAt(shapeOfExpr(of, this.#store), axis);
      return { of, base, end };
    });
    const whole = parts.find((part) => part.base <= from && to <= part.end);
    if (whole !== undefined) return this.#view(whole.of, rank, { start: start.with(axis, from - whole.base), size });
    const target = inRows(new Float64Array(volume(size)), size);
    for (const part of parts) {
      const [first, last] = [Math.max(from, part.base), Math.min(to, part.end)];
      if (first >= last) continue;
      const piece = { start: start.with(axis, first - part.base), size: size.with(axis, last - first) };
      copy(this.#view(part.of, rank, piece), { ...target, at: (first - from) * (target.steps[axis] as number) }, piece.size);
    }
    return target;
  }
}

/** Steps of row-major elements of a shape. */
const stepsOf = (shape: readonly number[]): readonly number[] => shape.map((_, axis) => volume(shape.slice(axis + 1)));

const inRows = (data: Numbers, size: readonly number[]): View => ({ data, at: 0, steps: stepsOf(size) });

/** Elements in row-major order: copied unless they lie so. */
export function packed(view: View, size: readonly number[]): Numbers {
  const count = volume(size);
  const steps = stepsOf(size);
  if (size.every((length, axis) => length === 1 || view.steps[axis] === steps[axis])) return view.data.subarray(view.at, view.at + count);
  const data = view.data instanceof Float32Array ? new Float32Array(count) : new Float64Array(count);
  copy(view, { data, at: 0, steps }, size);
  return data;
}

function copy(from: View, to: View, size: readonly number[]): void {
  const last = size.length - 1;
  const along = (axis: number, source: number, target: number): void => {
    const [step, targetStep, length] = [from.steps[axis] ?? 1, to.steps[axis] ?? 1, size[axis] ?? 1];
    for (let i = 0, s = source, t = target; i < length; i++, s += step, t += targetStep) {
      if (axis < last) along(axis + 1, s, t);
      else to.data[t] = from.data[s] as number;
    }
  };
  along(0, from.at, to.at);
}

/** FP32 cosines then sines of `position * f`, each times the amplitude and rounded again. */
export function ropeRow(frequencies: readonly number[], position: number, amplitude: number): Float64Array {
  const row = new Float64Array(2 * frequencies.length);
  for (let i = 0; i < frequencies.length; i++) {
    const [cos, sin] = cosSin(position * (frequencies[i] as number));
    row[i] = Math.fround(cos * amplitude);
    row[i + frequencies.length] = Math.fround(sin * amplitude);
  }
  return row;
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
