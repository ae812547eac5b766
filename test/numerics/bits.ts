/** Codes and doubles, for tests that compare the two worlds. */
const view = new DataView(new ArrayBuffer(8));

export const singleBits = (x: number): number => {
  if (x !== x) return 0x7fc00000;
  view.setFloat32(0, x);
  return view.getUint32(0);
};
export const fromSingleBits = (code: number): number => {
  view.setUint32(0, code);
  return view.getFloat32(0);
};

/** A stream of unsigned 32-bit words from a seed (a linear congruence, whose high halves are taken). */
export const words = (seed: number): (() => number) => {
  let state = seed >>> 0;
  const half = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 16;
  return () => half() * 65536 + half();
};

/** FP32 codes where rounding is at its edges: zeros, subnormals, powers of two and their neighbours, the largest, infinities, NaN. */
export const edges: readonly number[] = [
  0, 1, 2, 3, 0x7ffffe, 0x7fffff, 0x800000, 0x800001, 0xffffff, 0x1000000, 0x33000000, 0x33800000, 0x337fffff, 0x33800001, 0x34000000,
  0x3effffff, 0x3f000000, 0x3f7ffffe, 0x3f7fffff, 0x3f800000, 0x3f800001, 0x3f800002, 0x3fc00000, 0x40000000, 0x40490fdb, 0x4b000000, 0x4b7fffff,
  0x4b800000, 0x4b800001, 0x4f000000, 0x5f000000, 0x7e800000, 0x7f000000, 0x7f7ffffe, 0x7f7fffff, 0x7f800000,
].flatMap((code) => [code, code + 0x80000000]).concat(0x7fc00000);
