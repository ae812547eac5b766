/** Conversions of whole rows, for packing: the same results as the scalar functions, a few times as fast. */

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

/** The largest magnitude of FP32(row). */
export function amaxOfRow(values: Float64Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i] as number);
    if (magnitude > most) most = magnitude;
  }
  return Math.fround(most);
}

/** `codes[i] = encodeE4m3(fround(fround(values[i]) / scale))` of every value. */
export function quantiseRow(values: Float64Array, scale: number, codes: Uint8Array): void {
  for (let i = 0; i < values.length; i++) {
    single[0] = Math.fround(values[i] as number) / scale;
    const b = bits[0] as number;
    const magnitude = b & 0x7fffffff;
    const sign = (b >>> 24) & 0x80;
    if (magnitude >= normalFrom && magnitude < saturatesFrom) codes[i] = sign | (((magnitude + 0x7ffff + ((magnitude >>> 20) & 1)) >>> 20) - rebias);
    else if (magnitude > infinity) codes[i] = 0x7f;
    else if (magnitude >= saturatesFrom) codes[i] = sign | 0x7e;
    else {
      single[0] = Math.abs(single[0] as number) + subnormalRounder;
      codes[i] = sign | ((bits[0] as number) - subnormalRounderBits);
    }
  }
}
