import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDims, divDims, equalDims, evaluateDim, floorDims, leastOf, minDims, mulDims, parseDim, sizeName, sizesOf, subDims, substituteDim } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';

const names = ['batch', 'past', 'sequence'] as const;
const polynomials: fc.Arbitrary<Dim> = fc
  .array(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.array(fc.constantFrom(...names), { maxLength: 2 })), { maxLength: 4 })
  .map((terms) => terms.reduce<Dim>((total, [coefficient, of]) => addDims(total, of.reduce<Dim>(mulDims, coefficient)), 0));
const dims: fc.Arbitrary<Dim> = fc.oneof(
  polynomials,
  fc.tuple(polynomials, polynomials, fc.integer({ min: -9, max: 9 })).map(([a, b, most]) => addDims(a, minDims(b, most))),
  fc.tuple(polynomials, polynomials, fc.integer({ min: 1, max: 6 })).map(([a, b, by]) => addDims(a, floorDims(b, by))),
);
const envs = fc.tuple(fc.nat(9), fc.nat(9), fc.nat(9)).map((sizes) => new Map(names.map((name, i) => [name as string, sizes[i] as number])));

describe('dims', () => {
  it('prints one canonical form', () => {
    expect(parseDim('past + sequence*2*batch')).toBe('2*batch*sequence + past');
    expect(parseDim('1 + 2*3')).toBe(7);
    expect(parseDim('a - a')).toBe(0);
    expect(parseDim('-(a - 3)')).toBe('-a + 3');
    expect(parseDim('b*a + a*b - 1')).toBe('2*a*b - 1');
    expect(() => parseDim('a + ')).toThrow('`a + ` is not a dimension');
    expect(() => parseDim('a / 2')).toThrow();
  });

  it('divides exactly or not at all', () => {
    expect(divDims('12*batch*sequence', '3*sequence')).toBe('4*batch');
    expect(divDims('batch*past + batch*sequence', 'past + sequence')).toBe('batch');
    expect(divDims('batch + 1', 2)).toBeUndefined();
    expect(divDims('batch', 0)).toBeUndefined();
    expect(divDims(0, 'batch')).toBe(0);
  });

  it('rounds quotients down, in one form', () => {
    expect(floorDims('samples - 10', 5)).toBe('floor(samples/5) - 2');
    expect(floorDims('2*batch + 3', 4)).toBe('floor((batch + 1)/2)');
    expect(floorDims('6*batch', 3)).toBe('2*batch');
    expect(floorDims('-batch', 2)).toBe('-batch + floor(batch/2)');
    expect(floorDims(addDims(floorDims('samples', 5), -1), 2)).toBe('floor((samples + 5)/10) - 1');
    expect(parseDim('floor((2*batch*past)/3)*batch')).toBe('batch*floor((2*batch*past)/3)');
    expect(evaluateDim('floor((samples + 5)/10) - 1', new Map([['samples', 24]]))).toBe(1);
    expect(substituteDim('floor(samples/5)', new Map([['samples', '5*batch + 7']]))).toBe('batch + 1');
    expect(sizesOf('floor((a*b)/5) + c')).toEqual(['a', 'b', 'c']);
    expect([leastOf('floor(samples/5) - 2'), leastOf('batch - past')]).toEqual([-2, -Infinity]);
    for (const text of ['floor(a/0)', 'floor(a)', 'floor(a/b)', 'floor(a/2']) expect(() => parseDim(text)).toThrow('is not a dimension');
  });

  it('keeps the lesser of a size and a number, in one form', () => {
    expect(minDims('past + 3', 5)).toBe('min(past/2) + 3');
    expect(minDims('past + 5', 5)).toBe(5);
    expect([minDims(minDims('past', 7), 9), minDims(minDims('past', 9), 7)]).toEqual(['min(past/7)', 'min(past/7)']);
    expect(evaluateDim('min(past/4095) + sequence', new Map([['past', 3], ['sequence', 2]]))).toBe(5);
    expect(substituteDim('min(past/4095)', new Map<string, Dim>([['past', 'batch + 5000']]))).toBe(4095);
    expect(substituteDim('min(past/4095)', new Map<string, Dim>([['min(past/4095)', 'past']]))).toBe('past');
    expect(sizesOf('min((a*b)/5)')).toEqual(['a', 'b']);
    for (const text of ['min(a)', 'min(a/b)', 'min(a/2']) expect(() => parseDim(text)).toThrow('is not a dimension');
  });

  it('evaluates, substitutes and lists sizes', () => {
    expect(evaluateDim('2*batch*sequence + past', new Map([['batch', 2], ['sequence', 3], ['past', 4]]))).toBe(16);
    expect(() => evaluateDim('batch', new Map())).toThrow('`batch`');
    expect(substituteDim('2*batch*sequence + past', new Map<string, Dim>([['batch', 1], ['past', 'total - sequence']]))).toBe('sequence + total');
    expect(sizesOf('2*batch*sequence + past')).toEqual(['batch', 'past', 'sequence']);
    expect(sizeName('past length+1')).toBe('past_length_1');
  });

  it('is a ring: evaluation commutes with + - * and division undoes multiplication', () => {
    fc.assert(
      fc.property(dims, dims, envs, (a, b, env) => {
        const at = (dim: Dim): number => evaluateDim(dim, env);
        expect(at(addDims(a, b))).toBe(at(a) + at(b));
        expect(at(subDims(a, b))).toBe(at(a) - at(b));
        expect(at(mulDims(a, b))).toBe(at(a) * at(b) + 0);
        expect(at(floorDims(a, 4))).toBe(Math.floor(at(a) / 4));
        expect(at(minDims(a, 4))).toBe(Math.min(at(a), 4));
        expect(at(a)).toBeGreaterThanOrEqual(leastOf(a));
        expect(equalDims(parseDim(String(a)), a)).toBe(true);
        if (b !== 0) expect(divDims(mulDims(a, b), b)).toBe(a);
      }),
    );
  });
});
