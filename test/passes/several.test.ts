import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { rowsToShare } from '../../passes/plan/matmul.ts';
import { partsMax, severalParts } from '../../passes/tile/parts.ts';

it('few rows are worked on in one part, a prompt of 2,048 in two, a step of two prompts of that too, longer ones in more', () => {
  expect([512, 1024, 2048, 4352, 8192, 32768].map((rows) => severalParts(rows, sohu, 2 ** 27))).toEqual([
    { parts: 1, partsMost: 1 }, { parts: 1, partsMost: 1 }, { parts: 2, partsMost: 2 }, { parts: 2, partsMost: 4 }, { parts: 4, partsMost: 7 }, { parts: 16, partsMost: 27 },
  ]);
});

it('by weights that SRAM holds, few rows are worked on in several parts too', () => {
  expect([256, 512, 1024, 2048, 4352, 8192].map((rows) => severalParts(rows, sohu, 2 ** 25).parts)).toEqual([1, 2, 3, 3, 3, 4]);
});

it('parts have rows enough, and are no more than there may be', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 20 }), fc.constantFrom(sohu, tiny), fc.constantFrom(2 ** 10, 2 ** 25, 2 ** 30), (rows, machine, layerBytes) => {
    const { parts, partsMost } = severalParts(rows, machine, layerBytes);
    expect(parts).toBeGreaterThanOrEqual(1);
    expect(parts).toBeLessThanOrEqual(partsMost);
    expect(partsMost).toBeLessThanOrEqual(partsMax);
    if (parts > 1) expect(rows / partsMost).toBeGreaterThanOrEqual(Math.min((4 / 5) * rowsToShare(machine), machine.arrays.size.value));
  }));
});
