import { describe, expect, it } from 'vitest';
import type { Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { createMachineState, imageSource } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import { prove } from '../../verifier/verify.ts';
import { emptyStep, faultOf } from '../simulator/functional/harness.ts';
import { programOf } from '../verifier/programs.ts';

const vec = (code: string): Program => programOf(`.queue vec\n${code}\n`);
const texts = (program: Program): readonly string[] => prove(program).findings.flatMap(({ rule, message, notes }) => [`${rule} ${message}`, ...notes.map((note) => `  ${note}`)]);
const block = (tokens: number): Uint8Array => encodeStepBlock({ ...emptyStep, counts: { tokens, sequences: 1, samples: 1, memory: 0 } });
const run = (program: Program, tokens: number): unknown => runStep(createMachineState(program, [imageSource(new Uint8Array(4096))]), [block(tokens)]);
const assertion = (reg: number, value: number): string => `trace kind=assert tag=${value} reg=${reg} least=${value} most=${value}`;
const fill = (rows: string): string => `vmap function=copy xFormat=f32 yFormat=f32 format=f32 x=@0 xPitch=1 y=@0 yPitch=0 out=@512+ss1 outPitch=1 columns=2 rows=${rows}`;

/** Row tiles of eight, and the rows the last of them has. */
const tiles = `sreg reg=1 count=tokens
salu function=ceildiv reg=2 a=1 value=8 most=3
salu function=shift_left reg=3 a=2 value=3 most=24
salu function=subtract reg=4 a=3 b=1 most=24
salu function=subtract reg=5 a=4 value=7 most=17
salu function=maximum reg=6 a=5 b=2 most=17
salu function=copy reg=7 b=6 most=17
salu function=multiply reg=8 a=7 b=2 most=51`;

describe('salu', () => {
  it.each([[0, 0, 0, 0, 0], [1, 1, 8, 7, 1], [8, 1, 8, 0, 1], [17, 3, 24, 7, 9]])('of %i tokens', (tokens, tile, rows, missing, product) => {
    const program = vec([tiles, assertion(2, tile), assertion(3, rows), assertion(4, missing), assertion(8, product)].join('\n'));
    expect(run(program, tokens)).toMatchObject({ instructions: 12 });
    expect(texts(program)).toEqual([]);
  });

  it('shortens windows: the rows and cycles of the step at hand', () => {
    const program = (reg: number): Program => vec(`.ss 1 [0, 64, 0, 0]\nsreg reg=1 count=tokens\nsalu function=shift_right reg=2 a=1 value=1 most=10\nloop level=1 count=3 body=1\n${fill(`8:R${reg}@1`).replace('columns=2', 'columns=16').replaceAll('Pitch=1', 'Pitch=8')}`);
    expect(texts(program(2))).toEqual([]);
    const cycles = (reg: number, tokens: number): number => {
      const result = simulateTiming(program(reg), [block(tokens)]);
      if (result.kind !== 'timing') throw new Error(result.fault.message);
      return result.cycles;
    };
    expect(cycles(2, 20)).toBe(cycles(1, 10));
    expect(cycles(2, 20)).toBeLessThan(cycles(1, 20));
  });

  it('V10: what is computed bounds what is accessed', () => {
    // 20 tokens: two halves of ten rows; a line beyond the last of SRAM if they were eleven.
    const program = (rows: string, most: number): Program => vec(`.ss 1 [0, 0, 0, 0]\nsreg reg=1 count=tokens\nsalu function=ceildiv reg=2 a=1 value=2 most=${most}\n${fill(rows).replace('@512', '@1014')}`);
    expect(texts(program('16:R2@0', 10))).toEqual([]);
    expect(texts(program('16:R2@0', 4000))).toEqual([]);
    expect(texts(program('16:R1@0', 10))).toEqual(['V10 vec:2: `out` ends at 1030 of 1024 lines of SRAM', expect.stringContaining('`vmap'), '  a step has at most 20 tokens']);
    expect(texts(vec(`.ss 1 [0, 0, 0, 0]\nsreg reg=1 count=tokens\nsalu function=add reg=2 a=1 value=1 most=21\n${fill('32:R2@0').replace('@512', '@1004')}`))).toEqual([
      'V10 vec:2: `out` ends at 1025 of 1024 lines of SRAM', expect.stringContaining('`vmap'), '  add(tokens, 1) is at most 21',
    ]);
  });

  it('V03: ranges that are declared and may be left, divisors that may be 0', () => {
    expect(texts(vec('sreg reg=1 count=tokens\nsalu function=add reg=2 a=1 value=1 least=2 most=21'))).toEqual(['V03 vec:1: `add(tokens, 1)` may be 1 to 21; it is declared to be 2 to 21']);
    expect(texts(vec('sreg reg=1 count=tokens\nsalu function=multiply reg=2 a=1 b=1 most=399'))).toEqual(['V03 vec:1: `multiply(tokens, tokens)` may be 0 to 400; it is declared to be 0 to 399']);
    expect(texts(vec('sreg reg=1 count=tokens\nsalu function=ceildiv reg=2 a=1 b=1 most=20'))).toEqual(['V03 vec:1: `ceildiv(tokens, tokens)` may divide by 0, or be too large a number; it is declared to be 0 to 20']);
    expect(texts(vec('sreg reg=1 count=tokens\nsalu function=maximum reg=2 a=1 value=1 least=1 most=20\nsalu function=ceildiv reg=3 a=1 b=2 most=20'))).toEqual([]);
    expect(texts(vec('salu function=copy reg=2 value=9 most=8'))).toEqual(['V03 vec:0: `9` may be 9; it is declared to be 0 to 8']);
  });

  it('V03: registers nothing has set, and those that differ from turn to turn', () => {
    expect(texts(vec('salu function=add reg=2 a=1 b=3 most=21'))).toEqual(['V03 vec:0: computes with R1, which nothing has set', 'V03 vec:0: computes with R3, which nothing has set']);
    const counting = 'sreg reg=1 count=tokens\nloop level=2 count=3 body=1\nsalu function=subtract reg=1 a=1 value=8 most=20';
    expect(texts(vec(counting))).toEqual(['V03 vec:2: computes with R1, which is set later in the loop that counts I2: it differs from turn to turn']);
    const late = `.ss 1 [0, 0, 0, 0]\nsreg reg=1 count=tokens\nloop level=0 count=2 body=3\nloop level=2 count=2 body=1\n${fill('8:R1@1')}\nsreg reg=1 count=samples`;
    expect(texts(vec(late))[0]).toBe('V03 vec:3: `rows` is shortened by R1, which is set later in the loop that counts I0: it differs from turn to turn');
    // Set anew in each turn before it is used: the same in every one.
    expect(texts(vec(`.ss 1 [0, 0, 0, 0]\nloop level=0 count=2 body=3\nsreg reg=1 count=tokens\nsalu function=minimum reg=1 a=1 value=5 most=5\n${fill('8:R1@1')}`))).toEqual([]);
    // And where a subprogram sets what its caller uses.
    expect(texts(vec(`.ss 1 [0, 0, 0, 0]\nloop level=0 count=2 body=2\ncall target=half\n${fill('8:R2@1')}\nret\nhalf: sreg reg=1 count=tokens\nsalu function=shift_right reg=2 a=1 value=1 most=10\nret`))).toEqual([]);
  });

  it('V03: terms that are too long to compare', () => {
    const doubled = (times: number): string => `sreg reg=1 count=tokens\n${'salu function=minimum reg=1 a=1 b=1 most=20\n'.repeat(times)}`;
    expect(texts(vec(doubled(5)))).toEqual([]);
    expect(texts(vec(doubled(60)))[0]).toMatch(/^V03 vec:\d+: not proved: what it computes is too long a term of the step's counts: minimum\(minimum\(.*\.\.\.$/);
  });

  it('faults of the run: out of the range declared', () => {
    const program = vec('sreg reg=1 count=tokens\nsalu function=add reg=2 a=1 value=1 least=2 most=21');
    expect(faultOf(() => run(program, 0)).message).toBe('assert: R2 would be 1, not from 2 to 21 at chip 0 vec[1] salu (I = 0, 0, 0, 0)');
    expect(run(program, 1)).toMatchObject({ instructions: 2 });
    expect(simulateTiming(program, [block(0)])).toMatchObject({ kind: 'fault', fault: { kind: 'register', queue: 'vec', pc: 1 } });
    expect(faultOf(() => run(vec('sreg reg=1 count=tokens\nsalu function=ceildiv reg=2 a=1 b=1 most=21'), 0)).reason).toBe('R2 would be NaN, not from 0 to 21');
  });
});

it('V18: chips that shorten a collective by other numbers do not come to the same', () => {
  const col = (compute: string): string => `.queue col\nsreg reg=1 count=tokens\n${compute}coll kind=allgather src=@0 srcPitch=1 out=@64 outPitch=2 bytes=8 tag=1 rows=8:R2@0`;
  const both = (a: string, b: string): Program => {
    const [first, second] = [programOf(col(a)), programOf(col(b))];
    return { ...first, chips: 2, entries: first.entries.map((entry) => ({ ...entry, chips: [0, 1] })), machine: { ...first.machine, chips: 2 }, code: [[first.code[0]![0]!, second.code[0]![0]!]] };
  };
  const half = 'salu function=shift_right reg=2 a=1 value=1 most=10\n';
  const same = 'salu function=copy reg=3 value=1 most=1\nsalu function=copy reg=2 b=1 most=20\n';
  expect(prove(both(half, `nop\n${half}`)).findings.filter(({ rule }) => rule === 'V18')).toEqual([]);
  expect(prove(both(half, same)).findings.find(({ rule }) => rule === 'V18')?.message).toMatch(/of 8 rows \(of shift_right\(tokens, 1\), by I0\).*of 8 rows \(of tokens, by I0\)/);
});
