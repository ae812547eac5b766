import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Claim, firstFit, meet } from '../../../ir/tile/first-fit.ts';

const span = fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 6 })).map(([from, length]) => ({ from, to: from + length }));
const claim: fc.Arbitrary<Claim> = fc.record({ size: fc.integer({ min: 1, max: 9 }), spans: fc.array(span, { minLength: 1, maxLength: 2 }) });

/** Units in use at a time. */
const together = (claims: readonly Claim[], at: number): number => claims.reduce((sum, { size, spans }) => sum + (spans.some(({ from, to }) => from <= at && at <= to) ? size : 0), 0);

describe('first fit', () => {
  it('gives claims of the same time memory of their own, and all of it is there', () => {
    fc.assert(fc.property(fc.array(claim, { minLength: 1, maxLength: 10 }), fc.integer({ min: 5, max: 40 }), (claims, capacity) => {
      const found = firstFit(claims, capacity);
      if ('failed' in found) return;
      for (let at = 0; at <= 20; at++) expect(together(claims, at)).toBeLessThanOrEqual(capacity);
      claims.forEach((a, i) => {
        expect(found.addresses[i]! + a.size).toBeLessThanOrEqual(capacity);
        claims.slice(i + 1).forEach((b, k) => {
          const [x, y] = [found.addresses[i]!, found.addresses[i + 1 + k]!];
          if (meet(a.spans, b.spans)) expect(x + a.size <= y || y + b.size <= x).toBe(true);
        });
      });
    }));
  });

  it('finds room where the largest first would be in the way of another', () => {
    const claims = ([[3, 1, 2], [3, 1, 3], [2, 3, 4], [2, 3, 3]] as const).map(([size, from, to]): Claim => ({ size, spans: [{ from, to }] }));
    expect(Math.max(...[1, 2, 3, 4].map((at) => together(claims, at)))).toBe(7);
    expect(firstFit(claims, 7)).toEqual({ addresses: [0, 4, 0, 2] });
    expect(firstFit(claims, 6)).toHaveProperty('failed');
  });
});
