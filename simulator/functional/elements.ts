import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { decodeUe8m0, e5m2Values, encodeE5m2, encodeUe8m0 } from '../../isa-spec/numerics-formats.ts';
import { e4m3Values, encodeBf16, encodeE4m3, roundTo } from '../../isa-spec/numerics.ts';
import { type Views, viewsOf } from '../memory.ts';

const chunk = 1024;
const wide = viewsOf(chunk * 4);

type Read = (memory: Views, offset: number, count: number, out: Float64Array, at?: number) => void;
type Write = (memory: Views, offset: number, count: number, values: Float64Array, at?: number) => void;

/** Bytes, by what each is worth. */
const bytesBy = (values: Float64Array): Read => ({ u8 }, offset, count, out, at = 0) => {
  const from = offset | 0;
  const to = at | 0;
  for (let i = 0; i < count; i++) out[to + i] = values[u8[from + i]!]!;
};

/** Of each format (addresses made 32-bit integers, as in kernel.ts): `count` elements from byte `offset` (aligned to an element) to `out[at..]`, as doubles. */
export const readElements: { readonly [F in Format]: Read } = {
  e4m3: bytesBy(e4m3Values),
  e5m2: bytesBy(e5m2Values),
  ue8m0: ({ u8 }, offset, count, out, at = 0) => {
    for (let i = 0; i < count; i++) out[at + i] = decodeUe8m0(u8[offset + i]!);
  },
  bf16: ({ u16 }, offset, count, out, at = 0) => {
    const first = offset >> 1;
    const to = at | 0;
    for (let done = 0; done < count; done += chunk) {
      const run = Math.min(chunk, count - done);
      for (let i = 0; i < run; i++) wide.u32[i] = u16[first + done + i]! << 16;
      for (let i = 0; i < run; i++) out[to + done + i] = wide.f32[i]!;
    }
  },
  f32: ({ f32 }, offset, count, out, at = 0) => {
    const from = offset >> 2;
    const to = at | 0;
    for (let i = 0; i < count; i++) out[to + i] = f32[from + i]!;
  },
  i32: ({ i32 }, offset, count, out, at = 0) => {
    for (let i = 0; i < count; i++) out[at + i] = i32[offset / 4 + i]!;
  },
};

/** Of each format: rounds `count` values from `values[at..]` and stores them from byte `offset`. NaN is the format's one canonical NaN. */
export const writeElements: { readonly [F in Format]: Write } = {
  e4m3: ({ u8 }, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) u8[(offset | 0) + i] = encodeE4m3(values[(at | 0) + i]!);
  },
  e5m2: ({ u8 }, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) u8[offset + i] = encodeE5m2(values[at + i]!, 'saturate');
  },
  ue8m0: ({ u8 }, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) u8[offset + i] = encodeUe8m0(values[at + i]!);
  },
  bf16: ({ u16 }, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) u16[(offset >> 1) + i] = encodeBf16(values[(at | 0) + i]!);
  },
  f32: (memory, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) writeSingle(memory, offset / 4 + i, values[at + i]!);
  },
  i32: ({ i32 }, offset, count, values, at = 0) => {
    for (let i = 0; i < count; i++) i32[offset / 4 + i] = roundTo('i32', values[at + i]!);
  },
};

/** Stores one FP32 value as word `index`. */
export const writeSingle = (memory: Views, index: number, x: number): void => {
  if (x !== x) memory.u32[index] = 0x7fc00000;
  else memory.f32[index] = x;
};

/** Lines that `count` elements take, starting on a line. */
export const linesOf = (format: Format, count: number, lineBytes: number): number => Math.ceil((count * formatBytes[format]) / lineBytes);
