import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  decodeE5m2, decodeUe8m0, encodeE5m2, encodeUe8m0, type Overflow, toE5M2, toInt8, ue8m0NaN,
} from '../../isa-spec/numerics-formats.ts';
import { powerOfTwo } from '../../isa-spec/powers.ts';
import { decodeBf16, decodeE4m3, encodeBf16, encodeE4m3, roundTo, toBf16, toE4M3 } from '../../isa-spec/numerics.ts';
import { edges, fromSingleBits, singleBits, words } from './bits.ts';
import { fromDouble } from './oracle-ops.ts';
import { bf16, compare, decode, e4m3, e5m2, e5m2Infinite, encode, exact, f32, type Layout, product, single, ue8m0, type Value } from './oracle.ts';

type Pair = { readonly layout: Layout; readonly codes: number; readonly encode: (x: number) => number; readonly decode: (code: number) => number; readonly round: (x: number) => number };
const e5m2With = (overflow: Overflow) => ({ codes: 256, encode: (x: number) => encodeE5m2(x, overflow), decode: decodeE5m2, round: (x: number) => toE5M2(x, overflow) });
const pairs: Readonly<Record<string, Pair>> = {
  bf16: { layout: bf16, codes: 65536, encode: encodeBf16, decode: decodeBf16, round: toBf16 },
  e4m3: { layout: e4m3, codes: 256, encode: encodeE4m3, decode: decodeE4m3, round: toE4M3 },
  e5m2: { layout: e5m2, ...e5m2With('saturate') },
  'e5m2 with infinities': { layout: e5m2Infinite, ...e5m2With('infinity') },
};

const same = (x: number, value: Value): boolean => singleBits(x) === single(value);

describe.each(Object.entries(pairs))('%s', (_, { layout, codes, encode: encoded, decode: decoded, round }) => {
  const check = (x: number, value: Value): void => {
    const want = Number(encode(layout, value));
    if (encoded(x) !== want) expect.fail(`${x} is ${encoded(x).toString(16)}, not ${want.toString(16)}`);
    if (!same(round(x), decode(layout, BigInt(want)))) expect.fail(`${x} rounds to ${round(x)}`);
  };

  it('every code has the value the oracle gives it, and is the code of that value', () => {
    for (let code = 0; code < codes; code++) {
      const value = decode(layout, BigInt(code));
      if (!same(decoded(code), value)) expect.fail(`${code} is ${decoded(code)}`);
      if (value.kind !== 'nan' && encoded(decoded(code)) !== Number(encode(layout, value))) expect.fail(`${code}`);
    }
  });

  it('every midpoint of two codes, and the FP32 values beside it, both signs', () => {
    const singles = new Set<number>();
    for (let code = 0; code < codes / 2 - 1; code++) {
      const [low, high] = [decoded(code), decoded(code + 1)];
      if (!Number.isFinite(low)) continue;
      const middle = Number.isFinite(high) ? singleBits((low + high) / 2) : singleBits(low * (1 + powerOfTwo(-layout.mantissa - 2)));
      for (const near of [singleBits(low), middle]) for (const step of [-1, 0, 1]) singles.add(Math.max(0, near + step));
    }
    // Halfway to what would follow the largest, where the format has a number or an infinity there.
    for (const edge of [448, 464, 480, 512, 57344, 61440, 65536, fromSingleBits(0x7f7f8000)]) for (const step of [-1, 0, 1]) singles.add(singleBits(edge) + step);
    for (const s of singles) {
      const value = exact(s);
      check(fromSingleBits(s), value);
      if (value.kind === 'finite') check(-fromSingleBits(s), { ...value, negative: true });
    }
  });

  it('doubles that FP32 would round onto a midpoint go to their own side', () => {
    for (let code = 0, step = Math.max(1, codes >> 11); code < codes / 2 - 1; code += step) {
      const middle = (decoded(code) + decoded(code + 1)) / 2;
      if (!Number.isFinite(middle)) continue;
      for (const side of [-1, 1]) for (const k of [-30, -52]) {
        const x = middle + side * middle * powerOfTwo(k);
        check(x, fromDouble(x));
      }
    }
    for (const x of [1e-300, -1e-300, 5e-324, 1e300, -1e300]) check(x, fromDouble(x));
  });

  it('random FP32 codes', () => {
    const next = words(7);
    for (let i = 0; i < 40_000; i++) {
      const code = next();
      check(fromSingleBits(code), exact(code));
    }
    for (const code of edges) check(fromSingleBits(code), exact(code));
  });

  it('encoding keeps order', () => {
    const next = words(9);
    const magnitude = (): number => fromSingleBits(next() % 0x7f800000);
    for (let i = 0; i < 20_000; i++) {
      const [a, b] = [magnitude(), magnitude()];
      if (a <= b !== encoded(a) <= encoded(b) && encoded(a) !== encoded(b)) expect.fail(`${a} ${b}`);
    }
  });
});

describe('fp32', () => {
  it('of doubles beside every kind of midpoint', () => {
    const next = words(11);
    for (let i = 0; i < 20_000; i++) {
      const code = next() % 0x7f7fffff;
      const middle = (fromSingleBits(code) + fromSingleBits(code + 1)) / 2;
      for (const x of [middle, middle * (1 + powerOfTwo(-52)), -middle * (1 - powerOfTwo(-53))]) {
        if (singleBits(roundTo('f32', x)) !== Number(encode(f32, fromDouble(x)))) expect.fail(`${x}`);
      }
    }
  });
});

describe('ue8m0', () => {
  it('has 255 powers of two and a NaN, each the code of its value', () => {
    for (let code = 0; code < 255; code++) {
      if (!same(decodeUe8m0(code), ue8m0(code)) || encodeUe8m0(decodeUe8m0(code)) !== code) expect.fail(`${code}`);
    }
    expect(decodeUe8m0(255)).toBeNaN();
    expect([NaN, Infinity, -Infinity, 0, -0, -1].map(encodeUe8m0)).toEqual(Array(6).fill(ue8m0NaN));
  });

  it('takes the power of two below: of every midpoint and neighbour', () => {
    for (let code = 0; code < 254; code++) {
      const x = decodeUe8m0(code);
      for (const factor of [1, 1.5, 2 - powerOfTwo(-23)]) expect(encodeUe8m0(x * factor)).toBe(code);
      expect(compare(product(ue8m0(code), ue8m0(128)), ue8m0(code + 1))).toBe(0);
    }
    expect([encodeUe8m0(1e300), encodeUe8m0(1e-300)]).toEqual([254, 0]);
  });
});

describe('int8', () => {
  it('every half and quarter from -200 to 200: to nearest, ties to even, saturating', () => {
    for (let quarters = -800; quarters <= 800; quarters++) {
      const whole = Math.floor(quarters / 4);
      const part = quarters - 4 * whole;
      const up = part > 2 || (part === 2 && whole % 2 !== 0);
      expect(toInt8(quarters / 4)).toBe(Math.max(-128, Math.min(127, whole + (up ? 1 : 0))));
    }
    expect([NaN, Infinity, -Infinity, -0.5].map(toInt8)).toEqual([0, 127, -128, 0]);
  });
});

/** Hashes of the codes ml_dtypes 0.5.4 gives (NumPy's astype), where it has the same rule: its e4m3fn does not saturate but makes NaN from 464 on. */
describe('ml_dtypes gives the same codes', () => {
  const singles = Array.from({ length: 65536 }, (_, i) => fromSingleBits(i * 65537)).filter((x) => !Number.isNaN(x));
  const wide = Array.from({ length: 65536 }, (_, code) => decodeBf16(code)).filter((x) => !Number.isNaN(x));
  const small = (values: readonly number[]): number[] => values.filter((x) => Math.abs(x) < 464);
  const hash = (codes: Uint8Array | Uint16Array): string => createHash('sha256').update(codes).digest('hex');
  const infinite = (x: number): number => encodeE5m2(x, 'infinity');

  it('of every 65,537th FP32 code', () => {
    expect(hash(Uint16Array.from(singles, encodeBf16))).toBe('77144e216c7e8308b9c89a36fd7b5683300820d69ef394888916307f4da7fa1b');
    expect(hash(Uint8Array.from(singles, infinite))).toBe('d88c8ff510faf0ab8dcf9c2689ead87fbb6119734c073fd5038a2f66599b95e0');
    expect(hash(Uint8Array.from(small(singles), encodeE4m3))).toBe('a4eb8eecbd6e6f3c5c624f5c415b02ca50996caa6c456f24cf56984d45660815');
  });

  it('of every BF16 code, among which are all ties', () => {
    expect(hash(Uint8Array.from(wide, infinite))).toBe('80576b9609bc275a50efdf78238b736a1891c735a41e27bed0198eff48c2fed3');
    expect(hash(Uint8Array.from(small(wide), encodeE4m3))).toBe('2704cf4227fe622b633a0ffec593328030ec8a7843ddfc904772f18180d58864');
  });
});
