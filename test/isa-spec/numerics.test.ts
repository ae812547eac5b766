import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { activations, type Activation } from '../../isa-spec/instructions.ts';
import { activate, cosSin, decodeBf16, decodeE4m3, e4m3Values, encodeBf16, encodeE4m3, exp2f, roundTo, toBf16, toE4M3 } from '../../isa-spec/numerics.ts';

/** The value of `codes` nearest to x, ties to the even code: a search that shares nothing with the conversions. */
const nearest = (values: readonly number[], x: number): number => {
  let low = 0;
  let high = values.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= x) low = middle;
    else high = middle;
  }
  const below = x - values[low]!;
  const above = values[high]! - x;
  return below < above || (below === above && low % 2 === 0) ? low : high;
};

/** Distance of two FP32 values in units of the last place of `want`. */
const ulps = (got: number, want: number): number => {
  if (Object.is(got, want) || got === want) return 0;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(want))));
  return Math.abs(got - want) / 2 ** (exponent - 23);
};

const allBf16 = Array.from({ length: 65536 }, (_, code) => decodeBf16(code));

describe('e4m3', () => {
  const positive = Array.from({ length: 0x7f }, (_, code) => decodeE4m3(code));

  it('has the values of the published table', () => {
    expect(e4m3Values[0x01]).toBe(2 ** -9);
    expect(e4m3Values[0x07]).toBe(7 * 2 ** -9);
    expect(e4m3Values[0x08]).toBe(2 ** -6);
    expect(e4m3Values[0x38]).toBe(1);
    expect(e4m3Values[0x7e]).toBe(448);
    expect(e4m3Values[0xfe]).toBe(-448);
    expect(e4m3Values[0x7f]).toBeNaN();
    expect(e4m3Values[0xff]).toBeNaN();
    expect(Object.is(e4m3Values[0x80], -0)).toBe(true);
  });

  it('encodes every value back to its code', () => {
    for (let code = 0; code < 256; code++) {
      if ((code & 0x7f) === 0x7f) continue;
      expect(encodeE4m3(decodeE4m3(code))).toBe(code);
      expect(Object.is(toE4M3(decodeE4m3(code)), decodeE4m3(code))).toBe(true);
    }
    expect(encodeE4m3(NaN)).toBe(0x7f);
  });

  it('rounds every bf16 value, both signs, to the nearest, ties to even', () => {
    for (const x of allBf16) {
      if (!(x > 0)) continue;
      const code = nearest(positive, Math.min(x, 448));
      if (encodeE4m3(x) !== code || encodeE4m3(-x) !== (code | 0x80) || toE4M3(x) !== positive[code]) expect.fail(`${x}`);
    }
  });

  it('rounds just beside every midpoint, by double and by single steps', () => {
    for (let code = 0; code < 0x7e; code++) {
      const middle = (positive[code]! + positive[code + 1]!) / 2;
      expect(encodeE4m3(middle)).toBe(code + (code & 1));
      for (const step of [2 ** -24, 2 ** -52]) {
        expect(encodeE4m3(middle * (1 + step))).toBe(code + 1);
        expect(encodeE4m3(middle * (1 - step))).toBe(code);
      }
    }
    expect(encodeE4m3(Infinity)).toBe(0x7e);
    expect(encodeE4m3(-1e300)).toBe(0xfe);
    expect(encodeE4m3(-1e-300)).toBe(0x80);
  });
});

describe('bf16', () => {
  it('encodes every value back to its code', () => {
    allBf16.forEach((x, code) => {
      if (x !== x) return;
      if (encodeBf16(x) !== code || !Object.is(toBf16(x), x)) expect.fail(`${code}`);
    });
    expect(encodeBf16(NaN)).toBe(0x7fc0);
    expect(toBf16(NaN)).toBeNaN();
  });

  it('rounds once: midpoints to even, a double beside a midpoint to its side', () => {
    for (let code = 0; code < 0x7f7f; code++) {
      const low = decodeBf16(code);
      const high = decodeBf16(code + 1);
      const middle = (low + high) / 2;
      const ok =
        encodeBf16(middle) === code + (code & 1) &&
        encodeBf16(middle + (high - low) * 2 ** -40) === code + 1 &&
        encodeBf16(-(middle - (high - low) * 2 ** -40)) === (code | 0x8000);
      if (!ok) expect.fail(`${code}`);
    }
    expect(toBf16(3.4e38)).toBe(Infinity);
    expect(toBf16(-1e300)).toBe(-Infinity);
    expect(toBf16(3.39e38)).toBe(decodeBf16(0x7f7f));
  });
});

describe('roundTo', () => {
  it('rounds to each format', () => {
    expect(roundTo('f32', 0.1)).toBe(Math.fround(0.1));
    expect(roundTo('bf16', 0.1)).toBe(0.10009765625);
    expect(roundTo('e4m3', 0.1)).toBe(0.1015625);
    expect([2.5, 3.5, -2.5, 1e30, -1e30, NaN].map((x) => roundTo('i32', x))).toEqual([2, 4, -2, 2147483647, -2147483648, 0]);
  });
});

const erfc = (z: number): number => {
  // Simpson's rule on (0, 1] of erfc(z) = 2/sqrt(pi) e^(-z^2) int_0^inf e^(-t^2-2zt) dt, t = u/(1-u).
  const steps = 2000;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const u = i / steps;
    const t = u / (1 - u);
    sum += (i === 0 ? 1 : i % 2 === 1 ? 4 : 2) * (Math.exp(-t * t - 2 * z * t) / (1 - u) ** 2);
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * (sum / (3 * steps));
};

const truths: Readonly<Record<Activation, (x: number) => number>> = {
  none: (x) => x,
  relu: (x) => Math.max(x, 0),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x < 0 ? (x / 2) * erfc(-x / Math.SQRT2) : x * (1 - erfc(x / Math.SQRT2) / 2)),
  gelu_tanh: (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

describe('functions of one value', () => {
  const samples = allBf16.filter((x, code) => Number.isFinite(x) && Math.abs(x) < 200 && code % 7 === 0);

  it.each(activations.map((fn) => [fn]))('%s is within one unit of the last place', (fn) => {
    const every = fn === 'gelu' ? 8 : 1;
    let worst = 0;
    samples.forEach((x, i) => {
      if (i % every === 0) worst = Math.max(worst, ulps(activate(fn, x), Math.fround(truths[fn](x))));
    });
    expect(worst).toBeLessThanOrEqual(1);
  });

  it('exp2f is within one unit, exact at integers, and monotonic', () => {
    let worst = 0;
    for (let x = -150; x < 128; x += 0.00613) worst = Math.max(worst, ulps(exp2f(Math.fround(x)), Math.fround(2 ** Math.fround(x))));
    expect(worst).toBeLessThanOrEqual(1);
    for (let k = -149; k < 128; k++) expect(exp2f(k)).toBe(2 ** k);
    for (let x = -2; x < 2; x += 2 ** -14) expect(exp2f(x + 2 ** -14)).toBeGreaterThanOrEqual(exp2f(x));
    expect([exp2f(128), exp2f(Infinity), exp2f(-151), exp2f(-Infinity)]).toEqual([Infinity, Infinity, 0, 0]);
    expect(exp2f(NaN)).toBeNaN();
  });

  it('keeps NaN and reaches its limits', () => {
    for (const fn of activations) expect(activate(fn, NaN)).toBeNaN();
    expect(activations.map((fn) => activate(fn, Infinity))).toEqual([Infinity, Infinity, Infinity, Infinity, Infinity, 1, 1]);
    expect(activations.map((fn) => activate(fn, -Infinity))).toEqual([-Infinity, 0, -0, -0, -0, -1, 0]);
  });

  it('cos and sin are right to FP32 for angles up to a million', () => {
    let worst = 0;
    for (let i = 0; i < 200_000; i++) {
      const angle = (i - 100_000) * 10.000123456789;
      const [cos, sin] = cosSin(angle);
      worst = Math.max(worst, Math.abs(cos - Math.fround(Math.cos(angle))), Math.abs(sin - Math.fround(Math.sin(angle))));
    }
    expect(worst).toBeLessThanOrEqual(2 ** -24);
    expect(cosSin(0)).toEqual([1, 0]);
    expect(cosSin(1e9)).toEqual([NaN, NaN]);
  });

  it('has the bits it always had', () => {
    const hash = createHash('sha256');
    for (const fn of activations) hash.update(Float32Array.from(allBf16, (x) => (Number.isNaN(x) ? 0 : activate(fn, x))));
    hash.update(Float32Array.from(allBf16, (x) => (Number.isNaN(x) ? 0 : exp2f(x))));
    hash.update(Float32Array.from({ length: 20000 }, (_, i) => cosSin(i * 0.137)[i & 1]!));
    expect(hash.digest('hex')).toMatchInlineSnapshot(`"8982b5afb28b89e821bf32673b224db04e2efc151c1e64b613022189cae218d3"`);
  });
});
