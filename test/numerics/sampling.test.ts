import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { philox, uniformAt, type Words2 } from '../../isa-spec/numerics-philox.ts';
import { greedy, sample, type Sampling } from '../../isa-spec/numerics-sampling.ts';
import { fromSingleBits, singleBits, words } from './bits.ts';
import { naivePhilox, naiveSample } from './oracle-sampling.ts';

describe('Philox4x32-10', () => {
  const f = 0xffffffff;

  // Random123's kat_vectors, philox4x32 10.
  it.each([
    { counter: [0, 0, 0, 0], key: [0, 0], words: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    { counter: [f, f, f, f], key: [f, f], words: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd] },
    { counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], key: [0xa4093822, 0x299f31d0], words: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1] },
  ] as const)('known answer for counter $counter.0', ({ counter, key, words: answer }) => {
    expect(philox(counter, key)).toEqual(answer);
    expect(naivePhilox(counter, key)).toEqual(answer);
  });

  it('is the naive one on any counter and key', () => {
    const next = words(61);
    for (let i = 0; i < 3000; i++) {
      const counter = [next(), next(), next(), next()] as const;
      const key = [next(), next()] as const;
      expect(philox(counter, key)).toEqual(naivePhilox(counter, key));
    }
  });

  it('uniforms are multiples of 2^-24 below 1, even over bins', () => {
    const bins = new Uint32Array(16);
    for (let position = 0; position < 16000; position++) {
      const u = uniformAt([1, 2], position);
      if (!(u >= 0 && u < 1 && Number.isInteger(u * 2 ** 24))) expect.fail(`${u}`);
      bins[Math.floor(u * 16)]!++;
    }
    expect(Math.max(...bins) - Math.min(...bins)).toBeLessThan(200);
  });
});

const seed: Words2 = [7, 9];
const plain: Sampling = { temperature: 1, topK: 0, topP: 1, seed };

const logit = fc.float({ noNaN: true, noDefaultInfinity: true, min: -30, max: 30 });
const row = fc.array(fc.oneof(logit, fc.constantFrom(0, 1, 5)), { minLength: 1, maxLength: 40 });
const sampling = fc.record({
  temperature: fc.float({ noNaN: true, min: Math.fround(0.05), max: 4 }),
  topK: fc.integer({ min: 0, max: 45 }),
  topP: fc.float({ noNaN: true, min: Math.fround(0.01), max: 1 }),
  seed: fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff)),
});
const position = fc.nat(100_000);

describe('sampling', () => {
  it('is the rule, on FP32 codes and rationals', () => {
    fc.assert(fc.property(row, sampling, position, (logits, how, at) => sample(logits, how, at) === naiveSample(logits.map(singleBits), how, at)), { numRuns: 300 });
  });

  it('of temperature 0, of one candidate and of a tiny top-p is greedy; ties go to the lowest id', () => {
    expect(greedy([1, 3, 3, 2])).toBe(1);
    expect(greedy([-0, 0])).toBe(0);
    fc.assert(
      fc.property(row, sampling, position, (logits, how, at) => {
        const best = greedy(logits);
        expect(best).toBe(logits.indexOf(Math.max(...logits)));
        expect(sample(logits, { ...how, temperature: 0 }, at)).toBe(best);
        expect(sample(logits, { ...how, topK: 1 }, at)).toBe(best);
        expect(sample(logits, { ...how, topP: 1e-9 }, at)).toBe(best);
      }),
    );
  });

  it('draws from the candidates alone', () => {
    fc.assert(
      fc.property(row, sampling, position, (logits, how, at) => {
        const drawn = sample(logits, how, at);
        const before = logits.filter((x, id) => x > logits[drawn]! || (x === logits[drawn]! && id < drawn)).length;
        if (how.topK > 0) expect(before).toBeLessThan(how.topK);
        const mass = (x: number): number => Math.exp((x - Math.max(...logits)) / how.temperature);
        const ahead = logits.filter((x, id) => x > logits[drawn]! || (x === logits[drawn]! && id < drawn)).reduce((sum, x) => sum + mass(x), 0);
        expect(ahead).toBeLessThan(how.topP * logits.reduce((sum, x) => sum + mass(x), 0) * (1 + 1e-5) + 1e-6);
      }),
    );
  });

  it('is of its own sequence: what else is in the batch, and in which order, changes nothing', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(row, sampling, position), { minLength: 2, maxLength: 6 }), (batch) => {
        const draw = (rows: typeof batch): number[] => rows.map(([logits, how, at]) => sample(logits, how, at));
        expect(draw(batch.toReversed()).toReversed()).toEqual(draw(batch));
        batch.forEach((one, i) => expect(draw([one])[0]).toBe(draw(batch)[i]));
      }),
      { numRuns: 50 },
    );
  });

  /** A position where the number drawn is as wanted. */
  const positionWhere = (holds: (u: number) => boolean): number => {
    for (let at = 0; at < 1_000_000; at++) if (holds(uniformAt(seed, at))) return at;
    throw new Error('no such position');
  };

  it('takes the next candidate where the number drawn is just the sum so far', () => {
    const at = positionWhere((u) => u > 0 && Number.isInteger(4096 * u));
    expect(sample(new Float32Array(4096), plain, at)).toBe(4096 * uniformAt(seed, at));
  });

  it('sums in FP32: a thousand weights of 2^-25 after 1 are nothing', () => {
    const logits = Float32Array.from({ length: 1001 }, (_, id) => (id === 0 ? 0 : -25));
    expect(sample(logits, { ...plain, temperature: 1.4426950408889634 }, positionWhere((u) => u > 1 - 2 ** -16))).toBe(0);
  });

  it('subtracts in FP32: a difference beyond its range weighs nothing', () => {
    expect(sample([3e38, -3e38], { ...plain, temperature: 1e38 }, positionWhere((u) => u > 1 - 2 ** -16))).toBe(0);
  });

  it('does not change its logits, nor what a candidate below all weight is', () => {
    const logits = Float32Array.of(1, -500, 2, 0);
    const draws = Array.from({ length: 200 }, (_, at) => sample(logits, plain, at));
    expect([...logits]).toEqual([1, -500, 2, 0]);
    expect(draws).not.toContain(1);
    expect(Array.from({ length: 200 }, (_, at) => sample([...logits, -600], plain, at))).toEqual(draws);
  });

  it('draws in proportion', () => {
    const counts = new Uint32Array(3);
    for (let at = 0; at < 8000; at++) counts[sample([Math.fround(Math.log(5)), 0, Math.fround(Math.log(2))], plain, at)]!++;
    expect([...counts].map((n) => Math.round((8 * n) / 8000))).toEqual([5, 1, 2]);
  });

  it('NaN is never drawn while there is anything else; infinity always is', () => {
    for (let at = 0; at < 50; at++) {
      expect([1, 2]).toContain(sample([NaN, 1, 2, NaN, -Infinity], plain, at));
      expect(sample([1, Infinity, Infinity], plain, at)).toBe(1);
    }
    expect(sample([NaN, NaN], plain, 0)).toBe(0);
    expect(sample([-Infinity, -Infinity], plain, 0)).toBe(0);
    expect(sample([3, fromSingleBits(0x7f7fffff)], { ...plain, temperature: 1e-45 }, 0)).toBe(1);
  });

  it.each([{ temperature: -1 }, { temperature: NaN }, { temperature: Infinity }, { topK: -1 }, { topK: 1.5 }, { topP: 0 }, { topP: 1.1 }, { topP: NaN }])('refuses %o', (wrong) => {
    expect(() => sample([1], { ...plain, ...wrong }, 0)).toThrow(RangeError);
  });

  it('refuses no logits', () => expect(() => sample([], plain, 0)).toThrow(RangeError));
});
