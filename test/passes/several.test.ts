import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { rowsToShare } from '../../passes/plan/matmul.ts';
import { partsMax, severalParts } from '../../passes/tile/parts.ts';

it('few rows are worked on in one part, a prompt of 2,048 in two, a step of two prompts of that too, longer ones in more', () => {
  expect([512, 1024, 2048, 4352, 8192, 32768].map((rows) => severalParts(rows, sohu))).toEqual([
    { parts: 1, partsMost: 1 }, { parts: 1, partsMost: 1 }, { parts: 2, partsMost: 2 }, { parts: 2, partsMost: 4 }, { parts: 4, partsMost: 7 }, { parts: 16, partsMost: 27 },
  ]);
});

it('parts have rows enough, and are no more than there may be', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 20 }), fc.constantFrom(sohu, tiny), (rows, machine) => {
    const { parts, partsMost } = severalParts(rows, machine);
    expect(parts).toBeGreaterThanOrEqual(1);
    expect(parts).toBeLessThanOrEqual(partsMost);
    expect(partsMost).toBeLessThanOrEqual(partsMax);
    if (parts > 1) expect(rows / partsMost).toBeGreaterThanOrEqual((4 / 5) * rowsToShare(machine));
  }));
});
