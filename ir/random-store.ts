import { toBf16, toE4M3 } from '../isa-spec/numerics.ts';
import type { DType } from './types.ts';
import { numbersFor, type Numbers, type TensorStore } from './weights.ts';

/**
 * A source of made-up tensors: each element depends on the seed, its tensor's name and its index alone, so that any part
 * can be read in any order. Roughly normal with deviation 0.02; 1-D gains of norms are around 1.
 */
export function randomStore(shapes: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }>, seed: number): TensorStore {
  const read = (name: string, start: number, count: number): Numbers => {
    const type = shapes.get(name);
    if (type === undefined) throw new Error(`the source has no tensor \`${name}\``);
    const key = nameKey(name, seed);
    const mean = type.shape.length === 1 && /norm|ln|gamma/i.test(name) && !/bias|beta/i.test(name) ? 1 : 0;
    const round = rounders[type.dtype] ?? Math.round;
    const data = numbersFor(type.dtype, count);
    for (let i = 0; i < count; i++) data[i] = round(mean + 0.02 * normal(key, start + i));
    return data;
  };
  return { describe: (name) => shapes.get(name), read, names: () => [...shapes.keys()] };
}

/** Sum of four uniform 16-bit fractions, centred and scaled to deviation 1: bell-shaped, exact in any engine. */
function normal(key: number, index: number): number {
  const low = index >>> 0;
  const high = Math.floor(index / 0x100000000);
  const a = mix(mix(key ^ low) + high);
  const b = mix(a ^ 0x9e3779b9);
  const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16);
  return (sum / 65536 - 2 + 2 / 65536) * 1.7320508075688772;
}

/** A 32-bit finaliser (the constants are those of MurmurHash3). */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const nameKey = (name: string, seed: number): number => [...name].reduce((key, character) => mix(Math.imul(key, 31) + (character.codePointAt(0) as number)), mix(seed));

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** Nearest f16 of a small value: 13 mantissa bits of FP32 fewer, or below 2^-14 a multiple of 2^-24. */
const toF16 = (x: number): number => {
  if (Math.abs(x) < 2 ** -14) return Math.round(x * 2 ** 24) / 2 ** 24;
  single[0] = x;
  const b = bits[0] as number;
  bits[0] = (b + 0xfff + ((b >>> 13) & 1)) & ~0x1fff;
  return single[0];
};

const rounders: Partial<Record<DType, (x: number) => number>> = { f64: (x) => x, f32: Math.fround, bf16: toBf16, f16: toF16, e4m3: toE4M3 };
