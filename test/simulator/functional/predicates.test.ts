import { describe, expect, test } from 'vitest';
import type { Instruction, InstructionOf } from '../../../isa-spec/instructions.ts';
import { printInstruction } from '../../../isa-spec/disassembly.ts';
import { decode, encode } from '../../../isa-spec/encoding.ts';
import { illegalities } from '../../../isa-spec/legal.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { codeOf, done, make, rows, stepOf, time } from '../timing/build.ts';
import { ins, runProgram, token } from './harness.ts';

const under = (predicate: number, instruction: Instruction): Instruction => ({ ...instruction, predicate });
type Compare = InstructionOf<'setp'>['fields']['compare'];
const event = (tag: number): Instruction => ins('event', { tag });

describe('setp and predicates', () => {
  test.each([
    ['eq', [false, true, false]], ['ne', [true, false, true]], ['lt', [true, false, false]], ['le', [true, true, false]], ['gt', [false, false, true]], ['ge', [false, true, true]],
  ] as const satisfies readonly (readonly [Compare, readonly boolean[]])[])('%s', (compare, wanted) => {
    [6, 7, 8].forEach((tokens, i) => {
      const ctl = [ins('sreg', { reg: 4, count: 'tokens' }), ins('setp', { compare, target: 3, reg: 4, value: 7 }), under(3, event(1)), under(2, event(2)), event(3)];
      expect(runProgram([{ ctl }], {}, { counts: { tokens, sequences: 0, samples: 0, memory: 0 } }).result.events).toEqual([wanted[i] ? [1, 3] : [3]]);
    });
  });

  test('without its effect an instruction still waits and posts', () => {
    const off = under(1, ins('event', { tag: 9 }, [token(1)], [token(2)]));
    expect(runProgram([{ ctl: [off], vec: [ins('nop', {}, [], [token(1)]), ins('nop', {}, [token(2)])] }]).result.events).toEqual([[]]);
    expect(() => runProgram([{ ctl: [off] }])).toThrow('waits for semaphore 1');
  });

  test('are in bits 14 to 12', () => {
    const word = encode(under(5, event(1)), 'ctl');
    expect((word[1]! >> 4) & 7).toBe(5);
    expect(decode(word, 0, 'ctl')).toEqual(under(5, event(1)));
    expect(() => encode(under(8, event(1)), 'ctl')).toThrow('the predicate of event is 8');
  });

  test('read as they are written', () => {
    expect(printInstruction(under(5, ins('event', { tag: 1 }, [token(3)])))).toBe('event tag=1 if P5 wait(s3)');
  });

  test('are not for what others rely on', () => {
    expect(illegalities(under(1, ins('loop', { level: 0, count: 1, body: 1 })), tiny)).toEqual(['loop must be one that has no predicate']);
    expect(illegalities(under(1, event(1)), tiny)).toEqual([]);
  });

  test('an instruction without its effect takes no time', () => {
    const work = under(2, make('vmap', { columns: 40, rows: rows(3) }));
    const cycles = (value: number): number => done(time(tiny, codeOf({ vec: [make('sreg'), make('setp', { compare: 'ge', target: 2, reg: 1, value }), work, make('sync')] }), stepOf(64))).cycles;
    expect(cycles(65)).toBe(1);
    expect(cycles(64)).toBe(8 + 32);
  });
});
