import type { DType } from '../../ir/types.ts';
import { numbersFor, type Numbers } from '../../ir/weights.ts';

/** Bits of one stored element. */
export const elementBits: Readonly<Record<DType, number>> = {
  f64: 64, f32: 32, f16: 16, bf16: 16, e4m3: 8, e5m2: 8, e4m3fnuz: 8, e5m2fnuz: 8, e2m1: 4, e8m0: 8,
  i64: 64, i32: 32, i16: 16, i8: 8, i4: 4, i2: 2, u64: 64, u32: 32, u16: 16, u8: 8, u4: 4, u2: 2, bool: 8,
};

/** `count` elements of a tensor from `start` on, widened. `read` gives bytes of it, which elements under 8 bits share. */
export function readElements(dtype: DType, start: number, count: number, read: (offset: number, length: number) => Uint8Array): Numbers {
  const bits = elementBits[dtype];
  const offset = Math.floor((start * bits) / 8);
  const values = decodeElements(dtype, read(offset, Math.ceil(((start + count) * bits) / 8) - offset));
  const first = start - (offset * 8) / bits;
  return first === 0 && values.length === count ? values : values.subarray(first, first + count);
}

/**
 * Little-endian elements, those under 8 bits from the low end of each byte, widened: exact, but for 64-bit integers beyond 2^53, which round.
 * FP32 is what the bytes are already.
 */
export function decodeElements(dtype: DType, bytes: Uint8Array): Numbers {
  const count = Math.floor((bytes.length * 8) / elementBits[dtype]);
  if (dtype === 'f32') return bytes.byteOffset % 4 === 0 ? new Float32Array(bytes.buffer, bytes.byteOffset, count) : new Float32Array(new Uint8Array(bytes).buffer, 0, count);
  const out = numbersFor(dtype, count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = readers[dtype];
  for (let i = 0; i < count; i++) out[i] = read(view, i);
  return out;
}

const bits = new DataView(new ArrayBuffer(4));

const readers: Readonly<Record<Exclude<DType, 'f32'>, (view: DataView, index: number) => number>> = {
  f64: (view, i) => view.getFloat64(8 * i, true),
  // A bf16 is the upper half of an FP32.
  bf16: (view, i) => {
    bits.setUint32(0, view.getUint16(2 * i, true) * 65536);
    return bits.getFloat32(0);
  },
  f16: (view, i) => small(view.getUint16(2 * i, true), 5, 10, 'ieee'),
  e5m2: (view, i) => small(view.getUint8(i), 5, 2, 'ieee'),
  e4m3: (view, i) => small(view.getUint8(i), 4, 3, 'finite'),
  e5m2fnuz: (view, i) => small(view.getUint8(i), 5, 2, 'unsignedZero'),
  e4m3fnuz: (view, i) => small(view.getUint8(i), 4, 3, 'unsignedZero'),
  e2m1: (view, i) => small(part(view, i, 4), 2, 1, 'whole'),
  e8m0: (view, i) => (view.getUint8(i) === 255 ? NaN : 2 ** (view.getUint8(i) - 127)),
  i64: (view, i) => Number(view.getBigInt64(8 * i, true)),
  u64: (view, i) => Number(view.getBigUint64(8 * i, true)),
  i32: (view, i) => view.getInt32(4 * i, true),
  u32: (view, i) => view.getUint32(4 * i, true),
  i16: (view, i) => view.getInt16(2 * i, true),
  u16: (view, i) => view.getUint16(2 * i, true),
  i8: (view, i) => view.getInt8(i),
  u8: (view, i) => view.getUint8(i),
  i4: (view, i) => (part(view, i, 4) << 28) >> 28,
  u4: (view, i) => part(view, i, 4),
  i2: (view, i) => (part(view, i, 2) << 30) >> 30,
  u2: (view, i) => part(view, i, 2),
  bool: (view, i) => (view.getUint8(i) === 0 ? 0 : 1),
};

/** Element `i` of those that share bytes. */
const part = (view: DataView, i: number, width: number): number => (view.getUint8((i * width) >> 3) >> ((i * width) & 7)) & ((1 << width) - 1);

/**
 * A float of `e` exponent and `m` mantissa bits. `ieee`: the top exponent is infinity and NaN; `finite` (FN): only all ones is NaN;
 * `unsignedZero` (FNUZ): only what would be -0 is, and the bias is one more; `whole`: nothing is.
 */
function small(code: number, e: number, m: number, kind: 'ieee' | 'finite' | 'unsignedZero' | 'whole'): number {
  const mantissa = code & ((1 << m) - 1);
  const exponent = (code >> m) & ((1 << e) - 1);
  const sign = (code >> (e + m)) & 1 ? -1 : 1;
  const top = (1 << e) - 1;
  const bias = (1 << (e - 1)) - (kind === 'unsignedZero' ? 0 : 1);
  if (kind === 'unsignedZero' && code === 1 << (e + m)) return NaN;
  if (exponent === top && kind === 'ieee') return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === top && mantissa === (1 << m) - 1 && kind === 'finite') return NaN;
  return exponent === 0 ? sign * mantissa * 2 ** (1 - bias - m) : sign * (1 + mantissa * 2 ** -m) * 2 ** (exponent - bias);
}
