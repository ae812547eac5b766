import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Box, overlap } from '../../verifier/boxes.ts';

const box: fc.Arbitrary<Box> = fc.record({ space: fc.constant(0), start: fc.integer({ min: 0, max: 60 }), rows: fc.integer({ min: 0, max: 5 }), pitch: fc.integer({ min: 0, max: 12 }), units: fc.integer({ min: 0, max: 6 }) });

const unitsOf = ({ start, rows, pitch, units }: Box): Set<number> => new Set(Array.from({ length: rows }, (_, row) => Array.from({ length: units }, (__, i) => start + row * pitch + i)).flat());

it('boxes overlap if they have a unit in common', () => {
  fc.assert(
    fc.property(box, box, (a, b) => {
      const units = unitsOf(a);
      expect(overlap(a, b)).toBe([...unitsOf(b)].some((unit) => units.has(unit)));
    }),
    { numRuns: 5000 },
  );
});

it('not across memories', () => {
  const one: Box = { space: 0, start: 0, rows: 1, pitch: 0, units: 8 };
  expect(overlap(one, { ...one, space: 1 })).toBe(false);
});
