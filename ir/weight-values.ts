import { decodeBf16, decodeE4m3 } from '../isa-spec/numerics.ts';
import type { Grid } from '../isa-spec/numerics-rows.ts';
import { scaleOf } from '../isa-spec/numerics-scales.ts';
import { amaxOf, bf16From, quantiseFrom } from './packing-room.ts';
import { isSharded, shapeOfExpr, volume } from './weight-expr.ts';
import { packed, WeightRegions } from './weight-regions.ts';
import { newRoom, type Numbers, type Room, type TensorStore, type Weight, type WeightExpr } from './weights.ts';

/** Which data of a weight: an iteration of the loop that uses it, and the chip whose share it is. */
export type Part = { readonly instance: number; readonly rank: number };

/** Elements as memory holds them: E4M3 codes, BF16 bits, FP32, i32. */
export type Elements = Uint8Array | Uint16Array | Float32Array | Int32Array;

/** The values of weights, read from the source as they are asked for. A row is all that one index of the first axis holds. */
export class WeightValues {
  readonly store: TensorStore;
  /** Chips a `shard` is divided over. */
  readonly tp: number;
  readonly #regions: WeightRegions;
  /** Scales of rows already quantised, 0 where not: the column parameters are packed after the tiles they belong to. */
  readonly #keptScales = new Map<string, Float32Array>();

  constructor(store: TensorStore, tp: number) {
    this.store = store;
    this.tp = tp;
    this.#regions = new WeightRegions(store, tp);
  }

  /** Source values of rows `start` to `start + count`, nothing rounded. Throws when the weight's shape is not its expression's. */
  rowsOf(weight: Weight, part: Part, start: number, count: number): Float64Array {
    const { expr, shape } = this.#source(weight, part.instance);
    const rows = this.#regions.rows(expr, part.rank, start, count);
    return new Float64Array(packed(rows, shape.length === 0 ? [] : shape.with(0, count)));
  }

  /** The same of a matrix, where they lie until the next are asked for. */
  gridOf(weight: Weight, part: Part, start: number, count: number): Grid<Numbers> {
    return this.#grid(this.#source(weight, part.instance), part.rank, start, count);
  }

  /** A matrix's rows and the FP32 scale of each: amax/448 (1 if 0) of the FP32 values. */
  scaledGrid(weight: Weight, part: Part, start: number, count: number): { readonly grid: Grid<Numbers>; readonly scales: Float32Array } {
    const grid = this.gridOf(weight, part, start, count);
    const scales = scalesOf(grid, count, volume(weight.shape.slice(1)));
    this.#remember(weight, part, start, scales);
    return { grid, scales };
  }

  /** E4M3 codes of rows, and the scale of each. */
  quantisedRows(weight: Weight, part: Part, start: number, count: number, room = newRoom): { readonly codes: Uint8Array; readonly scales: Float32Array } {
    const { grid, scales } = this.scaledGrid(weight, part, start, count);
    const columns = volume(weight.shape.slice(1));
    const codes = room(count * columns);
    quantiseFrom(grid, scales, { data: codes, at: 0, row: columns, column: 1 }, count, columns);
    return { codes, scales };
  }

  /** Rows as memory holds them: rounded once to the weight's dtype; e4m3 divided by the row's scale first. A matrix's codes lie in `room`. */
  encodedRows(weight: Weight, part: Part, start: number, count: number, room: Room = newRoom): Elements {
    if (isScale(weight, this.store)) return this.#scales(weight, part, start, count);
    switch (weight.dtype) {
      case 'e4m3':
        return this.quantisedRows(weight, part, start, count, room).codes;
      case 'bf16':
        return this.#rounded(weight, part, start, count, room);
      case 'f32':
        return new Float32Array(this.rowsOf(weight, part, start, count));
      case 'i32':
        return new Int32Array(this.rowsOf(weight, part, start, count));
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

  #rounded(weight: Weight, part: Part, start: number, count: number, room: Room): Uint16Array {
    const columns = volume(weight.shape.slice(1));
    const bytes = room(2 * count * columns);
    const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, count * columns);
    bf16From(this.gridOf(weight, part, start, count), { data: codes, at: 0, row: columns, column: 1 }, count, columns);
    return codes;
  }

  #source(weight: Weight, instance: number): { readonly expr: WeightExpr; readonly shape: readonly number[] } {
    const expr = instanceOf(weight, instance);
    const shape = shapeOfExpr(expr, this.store);
    if (shape.length !== weight.shape.length || shape.some((size, i) => size !== weight.shape[i])) {
      throw new Error(`weight \`${weight.name}\` is [${weight.shape.join(', ')}], but its source is [${shape.join(', ')}]`);
    }
    return { expr, shape };
  }

  /** An f32 weight `<w>.scale` with the expressions of matrix w is the scales of w's rows: kept since w was read, or computed. */
  #scales(weight: Weight, part: Part, start: number, count: number): Float32Array {
    const kept = this.#keptScales.get(scaleKey(weight.name, part));
    if (kept?.subarray(start, start + count).every((scale) => scale > 0) === true) return kept.slice(start, start + count);
    const expr = instanceOf(weight, part.instance);
    const shape = shapeOfExpr(expr, this.store);
    return scalesOf(this.#grid({ expr, shape }, part.rank, start, count), count, volume(shape.slice(1)));
  }

  /** Rows of a matrix, or of what has more axes as if it were one. */
  #grid({ expr, shape }: { readonly expr: WeightExpr; readonly shape: readonly number[] }, rank: number, start: number, count: number): Grid<Numbers> {
    const rows = this.#regions.rows(expr, rank, start, count);
    const [row, column] = rows.steps;
    if (shape.length === 2) return { data: rows.data, at: rows.at, row: row as number, column: column as number };
    return { data: packed(rows, shape.length === 0 ? [] : shape.with(0, count)), at: 0, row: volume(shape.slice(1)), column: 1 };
  }

  #remember(weight: Weight, part: Part, start: number, scales: Float32Array): void {
    const key = scaleKey(`${weight.name}.scale`, part);
    const kept = this.#keptScales.get(key) ?? new Float32Array(weight.shape[0] as number);
    this.#keptScales.set(key, kept);
    kept.set(scales, start);
  }
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

const scalesOf = (grid: Grid<Numbers>, rows: number, columns: number): Float32Array => amaxOf(grid, rows, columns).map((amax) => scaleOf(amax));

const scaleKey = (name: string, { instance, rank }: Part): string => `${instance} ${rank} ${name}`;
