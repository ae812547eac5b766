import type { DType } from './types.ts';

/**
 * How a weight of the program is made from the source's tensors. `shard` stands for the part of the chip at hand: part
 * `floor(rank * parts / tp)` of `parts` equal slices, so every chip runs the same code on its own data.
 */
export type WeightExpr =
  | { readonly kind: 'tensor'; readonly name: string }
  /** A single value fills the shape. */
  | { readonly kind: 'values'; readonly shape: readonly number[]; readonly values: readonly number[] }
  | { readonly kind: 'transpose'; readonly of: WeightExpr }
  | { readonly kind: 'reshape'; readonly of: WeightExpr; readonly shape: readonly number[] }
  | { readonly kind: 'slice'; readonly of: WeightExpr; readonly axis: number; readonly start: number; readonly end: number }
  | { readonly kind: 'concat'; readonly axis: number; readonly of: readonly WeightExpr[] }
  | { readonly kind: 'scale'; readonly of: WeightExpr; readonly by: number }
  /** Each byte is 8 / bits unsigned numbers, from its low end on: the last axis grows by as much. */
  | { readonly kind: 'unpack'; readonly of: WeightExpr; readonly bits: number }
  /** (of - zeroPoint) * scale, all of one rank: `block[i]` neighbours along axis i share an element of `scale` and `zeroPoint`. */
  | { readonly kind: 'dequantise'; readonly of: WeightExpr; readonly scale: WeightExpr; readonly zeroPoint: WeightExpr | undefined; readonly block: readonly number[] }
  | { readonly kind: 'shard'; readonly of: WeightExpr; readonly axis: number; readonly parts: number }
  /** Row p: cos(p*f) then sin(p*f) for each inverse frequency f, times `amplitude`; `positions` rows. */
  | { readonly kind: 'rope'; readonly frequencies: readonly number[]; readonly positions: number; readonly amplitude: number };

/**
 * A weight of a module. `instances` has one expression, or one for each iteration of the loop whose body uses it.
 * `shape` is that of one instance.
 */
export type Weight = { readonly name: string; readonly dtype: DType; readonly shape: readonly number[]; readonly instances: readonly WeightExpr[] };

/** The source's tensors, read lazily: nothing is loaded before `read` is called. */
export type TensorStore = {
  /** Type of a tensor, or undefined if the source has none of that name. */
  readonly describe: (name: string) => { readonly dtype: DType; readonly shape: readonly number[] } | undefined;
  /** `count` elements from element `start` on, widened to singles if these hold all values of the dtype, or to doubles. They may lie in `room`. */
  readonly read: (name: string, start: number, count: number, room?: Room) => Numbers;
  readonly names: () => readonly string[];
};

/** Memory of so many bytes, whatever they are: for what is read from a file or written to one. */
export type Room = (bytes: number) => Uint8Array;

/** Memory taken anew. */
export const newRoom: Room = (bytes) => new Uint8Array(bytes);

/** The same memory each time, as far as it is enough. */
export function sameRoom(take: Room = newRoom): Room {
  let all: Uint8Array = new Uint8Array(0);
  return (bytes) => {
    if (all.length < bytes) all = take(bytes);
    return all.subarray(0, bytes);
  };
}

export type Numbers = Float32Array | Float64Array;

/** Dtypes whose values single precision holds exactly. */
const singles: ReadonlySet<DType> = new Set(['f32', 'f16', 'bf16', 'e4m3', 'e5m2', 'e4m3fnuz', 'e5m2fnuz', 'e2m1', 'e8m0', 'i16', 'i8', 'i4', 'i2', 'u16', 'u8', 'u4', 'u2', 'bool']);

/** Room for `count` elements of a dtype, exactly. */
export const numbersFor = (dtype: DType, count: number): Numbers => (singles.has(dtype) ? new Float32Array(count) : new Float64Array(count));
