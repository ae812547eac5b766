import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { decided, deciding, noted, NotThePlan, type Question, type Questions } from '../../passes/plan/decisions.ts';
import { pieceSizes, ringMost } from '../../passes/plan/matmul.ts';

const size = (most: number): fc.Arbitrary<number> => fc.integer({ min: 1, max: most });
const format = fc.constantFrom('e4m3' as const, 'bf16' as const);
const machines = fc.constantFrom(sohu, tiny);

/** What lowering may ask, of every kind. */
const questions: { readonly [Q in Question]: fc.Arbitrary<Questions[Q]['of']> } = {
  rows: fc.record({ rows: size(20000), bytesPerRow: fc.oneof(fc.constant(0), size(100000)) }),
  mix: fc.record({ rows: size(20000), k: size(8), words: fc.constantFrom(4, 16), bytesPerRow: size(400000) }),
  product: machines.chain((machine) =>
    fc.record({
      rows: size(20000), k: size(30000), columns: size(130000), gated: fc.boolean(), format, chunkBytes: fc.option(fc.constant(2 ** 22), { nil: undefined }),
      stagedBytesPerRow: fc.oneof(fc.constant(0), size(100000)), stagedBytesPerRowAndColumn: fc.integer({ min: 0, max: 8 }),
      chunkTiles: fc.option(fc.constantFrom(...pieceSizes(machine)).map((columns) => columns / machine.arrays.size.value), { nil: undefined }), groupStep: fc.constantFrom(1, 2, 4, 8),
      beside: fc.constantFrom(undefined, 'begins' as const, 'goes on' as const),
    }),
  ),
  bins: fc.record({ rows: size(9000), experts: size(32).map((half) => 2 * half), k: size(8), width: size(8192), inner: size(4096).map((half) => 8 * half), out: size(8192), group: fc.constantFrom(1, 2), parts: fc.constantFrom(1, 2, 8), format, bytesPerRow: size(200000) }),
};
const where = { op: 'layer.1.op', what: 'it' };

describe.each(Object.keys(questions) as readonly Question[])('%s', (kind) => {
  const asked = fc.tuple(machines, questions[kind], fc.record({ stageBytes: size(2 ** 26), ringDepth: size(ringMost) }));

  it('what the planner settles the machine can do', () => {
    let settled = 0;
    fc.assert(
      fc.property(asked, ([machine, of, staging]) => {
        const { settle, decisions } = noted(deciding(machine, staging));
        const answer = settle(kind, where, of);
        if (answer !== undefined) settled++;
        expect(decided(decisions, machine)(kind, where, of)).toEqual(answer);
      }),
      { numRuns: 400 },
    );
    expect(settled).toBeGreaterThan(100);
  });

  it('no number of an answer may be nothing, half a thing, or beyond all', () => {
    fc.assert(
      fc.property(asked, fc.constantFrom(-1, 0.5, 2 ** 40), fc.nat(), ([machine, of, staging], wrong, which) => {
        const answer = deciding(machine, staging)(kind, where, of) as Readonly<Record<string, unknown>> | undefined;
        if (answer === undefined) return;
        const numbers = Object.keys(answer).filter((name) => typeof answer[name] === 'number');
        const name = numbers[which % numbers.length] as string;
        const changed = [{ ...where, kind, settled: { ...answer, [name]: wrong } as never }];
        expect(() => decided(changed, machine)(kind, where, of), name).toThrow(NotThePlan);
      }),
      { numRuns: 200 },
    );
  });
});

it('a thing is settled once, and is one thing', () => {
  const { settle, decisions } = noted(deciding(sohu, { stageBytes: 2 ** 20, ringDepth: 3 }));
  const of = { rows: 100, bytesPerRow: 64 };
  expect(settle('rows', where, { ...of })).toBe(settle('rows', where, { ...of }));
  expect(decisions).toHaveLength(1);
  expect(() => settle('rows', where, { ...of, rows: 101 })).toThrow('internal: it of `layer.1.op` are two things');
});
