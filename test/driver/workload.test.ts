import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isDecoding } from '../../ir/step.ts';
import { dealt, steadyStep } from '../../driver/workload.ts';

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

it('of two parts of a step the first has as many more decoding rows as lead, of all contexts, and each as many prompts', () => {
  fc.assert(fc.property(fc.record({ prompts: fc.integer({ min: 0, max: 3 }), decoding: fc.integer({ min: 1, max: 60 }), more: fc.nat(60) }), ({ prompts, decoding, more }) => {
    const all = [...Array.from({ length: 2 * prompts }, (_, id) => ({ id, rows: 100, past: 0 })), ...Array.from({ length: decoding }, (_, i) => ({ id: 2 * prompts + i, rows: 1, past: 100 + i }))];
    const leading = Math.min(more, decoding);
    const step = dealt(all, { parts: 2, leading });
    expect(step.toSorted((a, b) => a.id - b.id)).toEqual(all);
    const first = Math.ceil((decoding + leading) / 2);
    const [before, after] = [step.slice(0, first), step.slice(first + 2 * prompts)];
    expect([before.every(isDecoding), step.slice(first, first + 2 * prompts).some(isDecoding), after.every(isDecoding)]).toEqual([true, false, true]);
    // Between two of the second part lie as many of the first as anywhere else, or one more.
    const ids = after.map(({ id }) => id);
    const apart = ids.slice(1).map((id, i) => id - (ids[i] as number));
    expect(Math.max(0, ...apart) - Math.min(Infinity, ...apart)).toBeLessThanOrEqual(1);
  }));
});
