import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addDims, divDims, equalDims, evaluateDim, mulDims, parseDim, sizeName, sizesOf, subDims, substituteDim } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';

const names = ['batch', 'past', 'sequence'] as const;
const dims: fc.Arbitrary<Dim> = fc
  .array(fc.tuple(fc.integer({ min: -5, max: 5 }), fc.array(fc.constantFrom(...names), { maxLength: 2 })), { maxLength: 4 })
  .map((terms) => terms.reduce<Dim>((total, [coefficient, of]) => addDims(total, of.reduce<Dim>(mulDims, coefficient)), 0));
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
        expect(equalDims(parseDim(String(a)), a)).toBe(true);
        if (b !== 0) expect(divDims(mulDims(a, b), b)).toBe(a);
      }),
    );
  });
});
