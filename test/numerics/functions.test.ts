import { describe, expect, it } from 'vitest';
import { accuracy, type TableFunction } from '../../isa-spec/accuracy.ts';
import { activate, cosSin, exp2f, expf } from '../../isa-spec/numerics.ts';
import { fromSingleBits } from './bits.ts';
import { everyBf16, hashOf, measure } from './measure.ts';
import { exp2, exponential, type Fixed, gelu, geluTanh, sigmoid, silu, tanh, turn } from './oracle-functions.ts';

const functions: { readonly [F in TableFunction]: { readonly f: (x: number) => number; readonly truth: (x: Fixed) => Fixed; readonly engine?: (x: number) => number } } = {
  exp2: { f: exp2f, truth: exp2, engine: (x) => 2 ** x },
  exp: { f: expf, truth: exponential, engine: Math.exp },
  sigmoid: { f: (x) => activate('sigmoid', x), truth: sigmoid, engine: (x) => 1 / (1 + Math.exp(-x)) },
  silu: { f: (x) => activate('silu', x), truth: silu, engine: (x) => x / (1 + Math.exp(-x)) },
  gelu: { f: (x) => activate('gelu', x), truth: gelu },
  gelu_tanh: { f: (x) => activate('gelu_tanh', x), truth: geluTanh, engine: (x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) },
  tanh: { f: (x) => activate('tanh', x), truth: tanh, engine: Math.tanh },
  cos: { f: (x) => cosSin(x)[0], truth: (x) => turn(x).cos, engine: Math.cos },
  sin: { f: (x) => cosSin(x)[1], truth: (x) => turn(x).sin, engine: Math.sin },
};
const named = Object.entries(functions) as readonly (readonly [TableFunction, (typeof functions)[TableFunction]])[];

/** Every `step`th FP32 code, from 0. */
function* singles(step: number): Generator<number> {
  for (let code = 0; code < 2 ** 32; code += step) yield fromSingleBits(code);
}

/** An order of FP32 values in which neighbours differ by 1. */
const rank = (x: number): number => {
  const code = new Int32Array(Float32Array.of(x).buffer)[0]!;
  return code < 0 ? -(code & 0x7fffffff) : code;
};

/** isa-spec/accuracy.ts states what is measured here; a failure prints the row it should have. */
describe.each(named)('%s', (name, { f, truth, engine }) => {
  it('has the errors and the bits that are published', () => {
    expect({ bf16: measure(everyBf16, f, truth), f32: measure(singles(65537), f, truth), bf16Sha256: hashOf(everyBf16, f), f32Sha256: hashOf(singles(4097), f) }).toEqual(accuracy[name]);
  });

  it.skipIf(engine === undefined)('is within one unit of this engine\'s own function, rounded', () => {
    for (const x of everyBf16) {
      const got = f(x);
      const want = Math.fround((engine as (x: number) => number)(x));
      if (!Number.isFinite(got) || !Number.isFinite(want)) continue;
      if (Math.abs(rank(got) - rank(want)) > 1) expect.fail(`${name}(${x}) is ${got}, not ${want}`);
    }
  });
});

describe('limits', () => {
  const { infinity, ...at } = { infinity: Infinity, zero: 0, minusZero: -0 };

  it('NaN gives NaN, without exception', () => {
    for (const [name, { f }] of named) expect(f(NaN), name).toBeNaN();
  });

  it('zeros keep their sign where the function is odd', () => {
    for (const name of ['silu', 'gelu', 'gelu_tanh', 'tanh', 'sin'] as const) expect([functions[name].f(at.zero), functions[name].f(at.minusZero)], name).toEqual([0, -0]);
    for (const name of ['exp', 'exp2', 'cos'] as const) expect([functions[name].f(at.zero), functions[name].f(at.minusZero)], name).toEqual([1, 1]);
    expect(functions.sigmoid.f(at.minusZero)).toBe(0.5);
  });

  it('infinities give the limit, or NaN where there is none', () => {
    expect(Object.fromEntries(named.map(([name, { f }]) => [name, [f(infinity), f(-infinity)]]))).toEqual({
      exp: [Infinity, 0], exp2: [Infinity, 0], sigmoid: [1, 0], silu: [Infinity, -0], gelu: [Infinity, -0], gelu_tanh: [Infinity, -0], tanh: [1, -1], cos: [NaN, NaN], sin: [NaN, NaN],
    });
  });

  it('exp2 passes from the subnormals to zero, and to infinity, at the midpoints', () => {
    expect([exp2f(-149), exp2f(-149.5), exp2f(-150), exp2f(-149.99999), exp2f(-150.00001)]).toEqual([2 ** -149, 2 ** -149, 0, 2 ** -149, 0]);
    expect([exp2f(fromSingleBits(0x42ffffff)), exp2f(128)]).toEqual([Math.fround(2 ** fromSingleBits(0x42ffffff)), Infinity]);
  });
});

describe('order', () => {
  const ascending = [...everyBf16.slice(0x8000, 0xff80).toReversed(), ...everyBf16.slice(0, 0x7f81)];

  it.each(['exp2', 'sigmoid', 'tanh'] as const)('%s never decreases', (name) => {
    const { f } = functions[name];
    let last = -Infinity;
    for (const x of ascending) {
      const y = f(x);
      if (y < last) expect.fail(`${name}(${x}) is ${y} after ${last}`);
      last = y;
    }
  });

  it.each(['tanh', 'sin'] as const)('%s is odd, and cos even', (name) => {
    for (const x of ascending) {
      if (!Object.is(functions[name].f(-x), -functions[name].f(x)) || !Object.is(functions.cos.f(-x), functions.cos.f(x))) expect.fail(`${x}`);
    }
  });
});
