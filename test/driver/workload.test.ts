import fc from 'fast-check';
import { expect, it } from 'vitest';
import { steadyStep } from '../../driver/workload.ts';

it('a step later every sequence has gone on by a token, those at their end have made room for as many that had started, and as many start', () => {
  fc.assert(fc.property(fc.record({ isl: fc.integer({ min: 1, max: 50 }), osl: fc.integer({ min: 2, max: 20 }), lots: fc.integer({ min: 1, max: 3 }) }), fc.integer({ min: 0, max: 30 }), ({ isl, osl, lots }, nth) => {
    const [now, next] = [nth, nth + 1].map((n) => steadyStep({ isl, osl, batch: osl * lots }, 1, false, n));
    const end = isl + osl - 2;
    const later = (now ?? []).flatMap(({ past, rows }) => (past === 0 ? [isl] : past === end ? [0] : [past + rows]));
    const ascending = (pasts: readonly number[]): readonly number[] => pasts.toSorted((a, b) => a - b);
    expect(ascending((next ?? []).map(({ past }) => past))).toEqual(ascending(later));
    expect((next ?? []).filter(({ past }, i) => past !== 0 && past !== (now ?? [])[i]!.past + 1).every(({ past }) => past === isl)).toBe(true);
  }));
});
