import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instruction, type InstructionOf, type ScalarFunction, scalarFunctions, stepCounts } from '../../isa-spec/instructions.ts';
import { falls, registerMax, scalars } from '../../isa-spec/scalars.ts';
import { registersOf } from '../../verifier/registers.ts';
import { ins, runProgram } from '../simulator/functional/harness.ts';

/** The same on integers of any size; undefined: none. */
const exact: { readonly [F in ScalarFunction]: (a: bigint, b: bigint) => bigint | undefined } = {
  copy: (_a, b) => b,
  add: (a, b) => a + b,
  subtract: (a, b) => (a > b ? a - b : 0n),
  multiply: (a, b) => a * b,
  ceildiv: (a, b) => (b === 0n ? undefined : (a + b - 1n) / b),
  minimum: (a, b) => (a < b ? a : b),
  maximum: (a, b) => (a > b ? a : b),
  shift_left: (a, b) => (a === 0n ? 0n : b > 64n ? undefined : a << b),
  shift_right: (a, b) => (b > 64n ? 0n : a >> b),
};

const most = 2 ** 32 - 1;
const u32 = fc.oneof(fc.nat({ max: 40 }), fc.integer({ min: 0, max: most }), fc.constantFrom(most, most - 1, 2 ** 31, 65536, 65535));
const name = fc.constantFrom(...scalarFunctions);

describe('scalar functions', () => {
  it('are those of whole numbers, wherever the result is one a register holds', () => {
    fc.assert(
      fc.property(name, u32, u32, (fn, a, b) => {
        const [result, wanted] = [scalars[fn](a, b), exact[fn](BigInt(a), BigInt(b))];
        if (wanted === undefined || wanted > BigInt(most)) expect(result >= 0 && result <= most).toBe(false);
        else expect(result).toBe(Number(wanted));
      }),
      { numRuns: 4000 },
    );
  });

  it('rise and fall as is said of them', () => {
    fc.assert(
      fc.property(name, u32, u32, u32, (fn, a, b, c) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        const inA = [scalars[fn](low, c), scalars[fn](high, c)] as const;
        const inB = (falls.has(fn) ? [high, low] : [low, high]).map((second) => scalars[fn](c, second));
        for (const [less, more] of [inA, inB]) if (!Number.isNaN(less) && !Number.isNaN(more)) expect(less).toBeLessThanOrEqual(more!);
      }),
      { numRuns: 4000 },
    );
  });
});

type Salu = InstructionOf<'salu'>['fields'];
const salu = (fields: Partial<Salu> & Pick<Salu, 'function'>): Instruction => ins('salu', { reg: 1, a: 0, b: 0, value: 0, least: 0, most, ...fields });

/** R1 to R3 from the step's counts, then whatever is drawn: of registers that are set. */
const bounds = { tokens: 60, sequences: 7, samples: 1, memory: 5 };
const counts = fc.record({ tokens: fc.nat({ max: 60 }), sequences: fc.nat({ max: 7 }), samples: fc.nat({ max: 1 }), memory: fc.nat({ max: 5 }) });
const registers = fc.integer({ min: 1, max: 8 });
const drawn = fc.array(fc.record({ function: name, reg: registers, a: registers, b: fc.oneof(fc.constant(0), registers), value: fc.nat({ max: 20 }) }), { minLength: 1, maxLength: 8 });

it('the range the verifier works out has what the simulator computes, and is no wider than it says', () => {
  let [narrow, sure] = [0, 0];
  fc.assert(
    fc.property(drawn, fc.array(counts, { minLength: 1, maxLength: 4 }), (some, steps) => {
      const known = new Set([1, 2, 3]);
      const computing = some.flatMap((fields) => {
        if (!known.has(fields.a) || (fields.b !== 0 && !known.has(fields.b))) return [];
        known.add(fields.reg);
        return [salu({ ...fields, a: fields.function === 'copy' ? 0 : fields.a, value: fields.b === 0 ? fields.value : 0 })];
      });
      const code = [...stepCounts.map((count, i) => ins('sreg', { reg: i + 1, count })), ...computing, ins('nop', {})];
      const { before, problems } = registersOf(code, bounds);
      // What may be out of range is not proved; up to there the code is.
      const end = problems[0]?.at ?? code.length;
      if (problems.length === 0) sure++;
      for (const step of steps) {
        runProgram([{ vec: code.slice(0, end) }], {}, { counts: step }, undefined, (_chip, queue) => {
          for (const [register, { least, most: top }] of before[queue.pc]!) {
            const value = register === 0 ? registerMax : queue.R[register]!;
            // The observer sees the instruction's own result already.
            const at = queue.code[queue.pc]!;
            if ((at.op === 'salu' || at.op === 'sreg') && at.fields.reg === register) continue;
            expect(value).toBeGreaterThanOrEqual(least);
            expect(value).toBeLessThanOrEqual(top);
            if (least === top) narrow++;
          }
        });
      }
    }),
    { numRuns: 1000 },
  );
  expect(Math.min(narrow, sure)).toBeGreaterThan(100);
});
