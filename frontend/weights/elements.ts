import type { DType } from '../../ir/types.ts';

/** Bytes of one stored element. */
export const elementBytes: Readonly<Record<DType, number>> = { f64: 8, f32: 4, f16: 2, bf16: 2, e4m3: 1, e5m2: 1, i64: 8, i32: 4, i16: 2, i8: 1, u64: 8, u32: 4, u16: 2, u8: 1, bool: 1 };

/** Little-endian elements widened to doubles: exact, but for 64-bit integers beyond 2^53, which round. */
export function decodeElements(dtype: DType, bytes: Uint8Array): Float64Array {
  const count = bytes.length / elementBytes[dtype];
  const out = new Float64Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = readers[dtype];
  for (let i = 0; i < count; i++) out[i] = read(view, i);
  return out;
}

const bits = new DataView(new ArrayBuffer(4));

const readers: Readonly<Record<DType, (view: DataView, index: number) => number>> = {
  f64: (view, i) => view.getFloat64(8 * i, true),
  f32: (view, i) => view.getFloat32(4 * i, true),
  // A bf16 is the upper half of an FP32.
  bf16: (view, i) => {
    bits.setUint32(0, view.getUint16(2 * i, true) * 65536);
    return bits.getFloat32(0);
  },
  f16: (view, i) => small(view.getUint16(2 * i, true), 5, 10, 'ieee'),
  e5m2: (view, i) => small(view.getUint8(i), 5, 2, 'ieee'),
  e4m3: (view, i) => small(view.getUint8(i), 4, 3, 'finite'),
  i64: (view, i) => Number(view.getBigInt64(8 * i, true)),
  u64: (view, i) => Number(view.getBigUint64(8 * i, true)),
  i32: (view, i) => view.getInt32(4 * i, true),
  u32: (view, i) => view.getUint32(4 * i, true),
  i16: (view, i) => view.getInt16(2 * i, true),
  u16: (view, i) => view.getUint16(2 * i, true),
  i8: (view, i) => view.getInt8(i),
  u8: (view, i) => view.getUint8(i),
  bool: (view, i) => (view.getUint8(i) === 0 ? 0 : 1),
};

/** A float of `e` exponent and `m` mantissa bits. `ieee`: the top exponent is infinity and NaN; `finite` (FN): only all ones is NaN. */
function small(code: number, e: number, m: number, kind: 'ieee' | 'finite'): number {
  const mantissa = code & ((1 << m) - 1);
  const exponent = (code >> m) & ((1 << e) - 1);
  const sign = (code >> (e + m)) & 1 ? -1 : 1;
  const top = (1 << e) - 1;
  const bias = (1 << (e - 1)) - 1;
  if (exponent === top && kind === 'ieee') return mantissa === 0 ? sign * Infinity : NaN;
  if (exponent === top && mantissa === (1 << m) - 1) return NaN;
  return exponent === 0 ? sign * mantissa * 2 ** (1 - bias - m) : sign * (1 + mantissa * 2 ** -m) * 2 ** (exponent - bias);
}
