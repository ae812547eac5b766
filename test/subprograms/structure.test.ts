import { describe, expect, it } from 'vitest';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import type { Program } from '../../isa-spec/program.ts';
import { createMachineState, imageSource } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import { prove } from '../../verifier/verify.ts';
import { emptyStep, faultOf } from '../simulator/functional/harness.ts';
import { programOf } from '../verifier/programs.ts';

const vec = (code: string): Program => programOf(`.queue vec\n${code}\n`);
const block = encodeStepBlock(emptyStep);
const texts = (program: Program): readonly string[] => prove(program).findings.flatMap(({ rule, message, notes }) => [`${rule} ${message}`, ...notes.map((note) => `  ${note}`)]);
const run = (program: Program): unknown => runStep(createMachineState(program, [imageSource(new Uint8Array(4096))]), [block], undefined, undefined, { races: false, instructions: 10_000 });
const timed = (program: Program): string | undefined => {
  const result = simulateTiming(program, [block], { full: false, budget: 10_000 });
  return result.kind === 'fault' ? `${result.fault.queue}:${result.fault.pc} ${result.fault.kind}: ${result.fault.message}` : undefined;
};
const copy = (x: string): string => `vmap function=copy xFormat=f32 yFormat=f32 format=f32 x=${x} xPitch=1 y=@0 yPitch=0 out=@512 outPitch=1 columns=2 rows=1`;

/** Subprograms a to the last letter, each calling the next. */
const chain = (letters: string): string => ['call target=a', 'ret', ...[...letters].flatMap((letter, i) => [`${letter}:`, ...(i + 1 < letters.length ? [`call target=${letters[i + 1]!}`] : ['nop']), 'ret'])].join('\n');

describe('V03 proves that calls return', () => {
  it.each([
    ['a call of nothing', 'call target=9\nret', ['V03 vec:0: calls instruction 9; vec has 2']],
    ['a subprogram without a return', 'call target=a\nret\na: nop', ['V03 vec:2: the subprogram at 2 does not end in a ret, and the code ends with it']],
    ['one that falls into the next', 'call target=a\ncall target=b\nret\na: nop\nb: nop\nret', ['V03 vec:3: the subprogram at 3 does not end in a ret, and falls into the subprogram at 4']],
    ['code that falls into its first subprogram', 'call target=a\na: nop\nret', ['V03 vec:0: the code before the first subprogram does not end in a ret, and falls into the subprogram at 1']],
    ['a call into the middle of a subprogram', 'call target=a\ncall target=b\nret\na: nop\nb: nop\nret', ['V03 vec:3: the subprogram at 3 does not end in a ret, and falls into the subprogram at 4']],
    ['code nobody calls', 'nop\nret\nnop\nret', ['V03 vec:1: returns, and nothing calls vec:2 after it']],
    ['a loop over the end of a subprogram', 'call target=a\nret\na: loop level=0 count=2 body=2\nnop\nret', ["V03 vec:2: the loop's 2 instructions end at 5, the subprogram at 2 at 4"]],
    ['a loop over the beginning of one', 'loop level=0 count=2 body=3\ncall target=a\nret\na: nop\nret', ["V03 vec:0: the loop's 3 instructions end at 4, the code before the first subprogram at 2"]],
    ['a loop that counts what a loop around the call counts', 'loop level=1 count=2 body=1\ncall target=a\nret\na: call target=b\nret\nb: loop level=1 count=2 body=1\nnop\nret', [
      'V03 vec:1: the loop at 5 of what it calls counts I1, and so does the loop at 0 around the call', '  vec:1 calls vec:3',
    ]],
    ['a subprogram that calls itself', 'call target=a\nret\na: nop\ncall target=a\nret', ['V03 vec:3: the subprogram at 2 calls itself', '  vec:3 calls vec:2']],
    ['subprograms that call each other', 'call target=a\nret\na: call target=b\nret\nb: call target=a\nret', ['V03 vec:4: the subprogram at 2 calls itself through 1 other', '  vec:2 calls vec:4', '  vec:4 calls vec:2']],
    ['calls five deep', chain('abcde'), [
      'V03 vec:8: is one call more in force than the 4 there may be',
      '  vec:0 calls vec:2', '  vec:2 calls vec:4', '  vec:4 calls vec:6', '  vec:6 calls vec:8', '  vec:8 calls vec:10',
    ]],
    ['a frame with too few sets', `.ss 1 [0, 0, 0, 0]\ncall target=a\ncall target=a frame=1\nret\na: ${copy('@0+ss1')}\nret`, ['V03 vec:3 (called at 1): `x` is moved by stride set 1 of frame 1, which is not defined']],
    ['a register set in no caller', `call target=a\nret\na: ${copy('@0').replace('rows=1', 'rows=1:R3@0')}\nret`, ['V03 vec:2 (called at 0): `rows` is shortened by R3, which nothing has set']],
  ])('%s', (_, code, expected) => {
    expect(texts(vec(code))).toEqual(expected);
  });

  it('and passes what does: four calls deep, registers set by the caller, a return at the end of it all', () => {
    expect(texts(vec(chain('abcd')))).toEqual([]);
    expect(texts(vec('nop\nret'))).toEqual([]);
    expect(texts(vec(`sreg reg=3 count=tokens\ncall target=a\nret\na: ${copy('@0').replace('rows=1', 'rows=1:R3@0')}\nret`))).toEqual([]);
    expect(texts(vec(`loop level=0 count=2 body=1\ncall target=a\nloop level=1 count=2 body=2\ncall target=a\ncall target=b\nret\na: nop\nret\nb: loop level=0 count=2 body=1\ncall target=a\nret`))).toEqual([]);
  });

  it('gives up on what would be too long to write out', () => {
    const doubling = (names: string): string => [...names].map((name, i) => `${name}:\n${`call target=${names[i + 1] ?? 'z'}\n`.repeat(100)}ret`).join('\n');
    expect(texts(vec(`call target=a\nret\n${doubling('abc')}\nz: nop\nret`))[0]).toBe('V03 vec:0: not proved: with subprograms written out where they are called, vec has 3020203 instructions');
  });

  it('reads whatever the words are to the end: long chains, many calls of one, circles of thousands', () => {
    const chained = (count: number, last: string): string => Array.from({ length: count }, (_, i) => `s_${i}: ${i + 1 < count ? `call target=s_${i + 1}` : last}\nret`).join('\n');
    expect(texts(vec(`call target=s_0\nret\n${chained(3000, 'nop')}`))[0]).toBe('V03 vec:8: is one call more in force than the 4 there may be');
    expect(texts(vec(`call target=s_0\nret\n${chained(3000, 'call target=s_0')}`))[0]).toBe('V03 vec:8: is one call more in force than the 4 there may be');
    expect(texts(vec(`${'call target=s\n'.repeat(3000)}ret\ns: nop\nret`))).toEqual([]);
    // By another way a call deeper.
    expect(texts(vec('call target=b\ncall target=a\nret\na: call target=b\nret\nb: call target=c\nret\nc: call target=d\nret\nd: call target=e\nret\ne: nop\nret'))[0]).toBe('V03 vec:9: is one call more in force than the 4 there may be');
  });

  it('V01: calls and returns are made whatever predicates say, and never the whole code', () => {
    expect(texts(vec('call target=0 if P1\nret if P2'))).toEqual([
      'V01 vec:0: call must be one that has no predicate', 'V01 vec:0: call must be one that calls what comes after the start of the code: target > 0', 'V01 vec:1: ret must be one that has no predicate',
    ]);
  });
});

describe('the simulators stop at what V03 refuses, or run to its end', () => {
  it.each([
    ['call target=9\nret', 'control: calls instruction 9 of 2 at chip 0 vec[0] call (I = 0, 0, 0, 0)', 'vec:0 control: a call leads beyond the code, or is one too many in force'],
    ['call target=a\nret\na: nop', 'control: the code ends within a subprogram at chip 0 vec[2] nop (I = 0, 0, 0, 0, called at 0)', 'vec:3 control: the code ends within a subprogram'],
    ['call target=a\nret\na: loop level=0 count=2 body=2\nnop\nret', 'control: returns from the loop of instructions 3 to 4 at chip 0 vec[4] ret (I = 0, 0, 0, 0, called at 0)', 'vec:4 control: a subprogram returns from inside a loop'],
    ['call target=a\nret\na: nop\ncall target=a\nret', 'control: calls 2 with 4 calls in force at chip 0 vec[3] call (I = 0, 0, 0, 0, called at 3, at 3, at 3, at 0)', 'vec:3 control: a call leads beyond the code, or is one too many in force'],
  ])('%j', (code, fault, timing) => {
    expect(faultOf(() => run(vec(code))).message).toBe(fault);
    expect(timed(vec(code))).toBe(timing);
  });

  it('a frame without the set', () => {
    expect(faultOf(() => run(vec(`.ss 1 [0, 0, 0, 0]\ncall target=a frame=3\nret\na: ${copy('@0+ss1')}\nret`))).reason).toBe('stride set 1 of frame 3 is not defined');
  });

  it('endless calls of calls end at the limit', () => {
    const wide = (names: string): string => [...names].map((name, i) => `${name}:\n${`call target=${names[i + 1] ?? 'z'}\n`.repeat(60)}ret`).join('\n');
    const program = vec(`call target=a\nret\n${wide('abc')}\nz: nop\nret`);
    expect(faultOf(() => run(program)).kind).toBe('limit');
    expect(timed(program)).toMatch(/budget: more than 10000 instructions$/);
  });
});
