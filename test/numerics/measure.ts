import { createHash } from 'node:crypto';
import type { Errors } from '../../isa-spec/accuracy.ts';
import { decodeBf16 } from '../../isa-spec/numerics.ts';
import { singleBits } from './bits.ts';
import { type Fixed, fixedOf, scaled } from './oracle-functions.ts';
import { exact } from './oracle.ts';

/** The distance of an FP32 result from a number, in units of the number's last place, to 2^-50 of a unit. */
const distance = (got: number, want: Fixed): number => {
  const value = exact(singleBits(got));
  if (value.kind !== 'finite') return Infinity;
  // 2^-230 is beyond anything the least unit, 2^-149, can show to 2^-50.
  const difference = scaled(fixedOf(value) - want, 230);
  const magnitude = scaled(want < 0n ? -want : want, 230);
  const exponent = Math.max(magnitude.toString(2).length - 1, 230 - 126);
  const parts = ((difference < 0n ? -difference : difference) << 50n) >> BigInt(exponent - 23);
  return Number(parts) / 2 ** 50;
};

/** The largest error of `f` over the inputs whose exact result FP32 can hold, and how many results are not the nearest. */
export const measure = (inputs: Iterable<number>, f: (x: number) => number, truth: (x: Fixed) => Fixed): Errors => {
  let ulps = 0;
  let worst = 0;
  let misrounded = 0;
  let compared = 0;
  for (const x of inputs) {
    const value = exact(singleBits(x));
    const got = f(x);
    if (value.kind !== 'finite' || !Number.isFinite(got)) continue;
    const error = distance(got, truth(fixedOf(value)));
    compared++;
    if (error > 0.5) misrounded++;
    if (error > ulps) [ulps, worst] = [error, x];
  }
  return { ulps: Math.ceil(ulps * 1e6) / 1e6, worst: `0x${singleBits(worst).toString(16).padStart(8, '0')}`, misrounded, compared };
};

export const everyBf16: readonly number[] = Array.from({ length: 65536 }, (_, code) => decodeBf16(code));

/** SHA-256 of the FP32 results, little-endian, NaN 0x7FC00000. */
export const hashOf = (inputs: Iterable<number>, f: (x: number) => number): string => {
  const hash = createHash('sha256');
  let codes: number[] = [];
  for (const x of inputs) {
    codes.push(singleBits(f(x)));
    if (codes.length === 65536) {
      hash.update(Uint32Array.from(codes));
      codes = [];
    }
  }
  return hash.update(Uint32Array.from(codes)).digest('hex');
};
