import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assemble } from '../../isa-spec/assembly.ts';
import { AssemblyError } from '../../isa-spec/assembly-words.ts';
import { readContainer, writeContainer } from '../../isa-spec/container.ts';
import { disassemble, printInstruction } from '../../isa-spec/disassembly.ts';
import { encodeAll, still } from '../../isa-spec/encoding.ts';
import { strideSetMax } from '../../isa-spec/fields.ts';
import { type Instruction, type Queue, queues } from '../../isa-spec/instructions.ts';
import type { ChipCode, Program } from '../../isa-spec/program.ts';
import { anyInstruction, anyStrideSet } from './arbitrary.ts';
import { sampleProgram } from './sample-program.ts';

const text = disassemble(sampleProgram);

/** A program of one entry on one chip. */
const programOf = (code: readonly { readonly instruction: Instruction; readonly queue: Queue }[], sets: Program['code'][number][number]['vec']['strideSets']): Program => ({
  ...sampleProgram,
  chips: 1,
  entries: sampleProgram.entries.slice(0, 1),
  code: [
    [
      Object.fromEntries(
        queues.map((queue) => [queue, { words: encodeAll(code.filter((each) => each.queue === queue).map(({ instruction }) => instruction), queue), strideSets: queue === 'vec' ? sets : [] }]),
      ) as ChipCode,
    ],
  ],
});

describe('assembly', () => {
  it('reads as it should', () => {
    const mm: Instruction = {
      op: 'mm',
      waits: [{ semaphore: 3, count: 1 }],
      posts: [{ semaphore: 4, count: 1 }, { semaphore: 5, count: 2 }],
      fields: { format: 'e4m3', accumulate: 'first', split: 3, a: { addr: 0x1a0, ss: 3 }, pitch: 64, acc: { addr: 0, ss: 4 }, kTiles: 8, kLast: 256, nTiles: 8, rows: { max: 2175, reg: 1, level: 1 } },
    };
    expect(printInstruction(mm)).toBe('mm format=e4m3 accumulate=first split=3 a=@0x1a0+ss3 pitch=64 acc=0+ss4 kTiles=8 kLast=256 nTiles=8 rows=2175:R1@1 wait(s3) post(s4, s5*2)');
    expect(text).toMatchSnapshot();
  });

  it('assemble(disassemble(bytes)) = bytes', () => {
    expect(assemble(text)).toEqual(sampleProgram);
    const bytes = writeContainer(sampleProgram);
    expect(writeContainer(assemble(disassemble(readContainer(bytes))))).toEqual(bytes);
  });

  it('assemble(disassemble(p)) = p, drawn from the records', () => {
    fc.assert(
      fc.property(fc.array(anyInstruction, { maxLength: 30 }), fc.array(anyStrideSet, { maxLength: 2 * strideSetMax }), fc.jsonValue({ maxDepth: 3 }), (code, sets, life) => {
        const program = { ...programOf(code, sets.length === 0 ? [] : [still, ...sets]), life: life as Program['life'] };
        expect(writeContainer(assemble(disassemble(program)))).toEqual(writeContainer(program));
      }),
      { numRuns: 100 },
    );
  });

  it('names subprograms by their label and place, and takes any name', () => {
    const call = (target: number): Instruction => ({ op: 'call', waits: [], posts: [], fields: { target, frame: 0 } });
    const bare = (op: 'nop' | 'ret'): Instruction => ({ op, waits: [], posts: [], fields: {} });
    const code = [call(4), call(6), call(99), bare('ret'), bare('nop'), bare('ret'), bare('ret')].map((instruction) => ({ instruction, queue: 'vec' as const }));
    const program = programOf(code, []);
    const [entry] = program.debugMap.entries;
    const labelled: Program = { ...program, debugMap: { labels: [{ label: '4.linear "x"', sources: [] }, { label: 'x', sources: [] }], entries: [{ ...entry!, vec: [1, 1, 1, 1, 0, 0] }] } };
    const printed = disassemble(labelled);
    expect(printed.slice(printed.indexOf('.queue vec'))).toBe(`.queue vec
  call target=sub_4_linear_x_4  ; x
  call target=sub_6  ; x
  call target=99  ; x
  ret  ; x
sub_4_linear_x_4:
  nop  ; 4.linear "x"
  ret  ; 4.linear "x"
sub_6:
  ret
`);
    for (const name of ['loop', 'a', 'vec', 'sub1', '_']) expect(writeContainer(assemble(printed.replaceAll('sub_4_linear_x_4', name)))).toEqual(writeContainer(labelled));
  });

  it('takes spaces, lines and comments anywhere', () => {
    const loose = text.replaceAll(/ (?=\w+=)/g, '\n\t ').replaceAll('\n.queue', ' ; note\r\n.queue');
    expect(assemble(loose)).toEqual(sampleProgram);
  });

  it('damaged text is an AssemblyError or another program', () => {
    fc.assert(
      fc.property(fc.nat({ max: text.length - 1 }), fc.nat({ max: 6 }), fc.constantFrom('', ' ', '9', '"', '.ss', 'rows=', '@', ']', 'dst', '\u{1f600}'), (at, length, patch) => {
        try {
          writeContainer(assemble(text.slice(0, at) + patch + text.slice(at + length)));
        } catch (error) {
          if (!(error instanceof AssemblyError)) throw error;
          if (!(error.line >= 1 && error.column >= 1)) throw error;
        }
      }),
      { numRuns: 150 },
    );
  });

  const one = disassemble(programOf([], []));
  const head = one.slice(0, one.indexOf('.entry'));
  const body = (code: string): string => `${head}.entry 0\n.chip 0\n.queue ${code}`;
  const line = head.split('\n').length + 2; // that of `.queue`
  it.each([
    ['vec\n  loop level=4 count=1 body=1', line + 1, 14, '4 is not an integer from 0 to 3'],
    ['vec\n  loop level=0 count=0 body=1', line + 1, 22, '0 is not an integer from 1 to 1048576'],
    ['vec\n  loop level=0 body=1', line + 1, 16, 'expected `count`, found `body`'],
    ['vec\n  lop level=0', line + 1, 3, 'expected an instruction or a directive, found `lop`'],
    ['vec\n  event tag=1', line + 1, 3, 'event cannot be in queue vec'],
    ['ctl\n  event tag=1 wait(s256)', line + 1, 20, 's256 is not one of s1 to s255'],
    ['ctl\n  event tag=1 wait(s1, s2, s3)', line + 1, 28, 'a word has room for two'],
    ['ctl\n  event tag=1 wait()', line + 1, 20, 'expected a semaphore'],
    ['vec\n  call target=here\n  ret', line + 1, 15, 'no instruction of the queue stands under `here:`'],
    ['vec\n  call target=here\nhere: nop\nhere: ret', line + 3, 1, 'another instruction of the queue stands under `here:`'],
    ['vec\n  call target=16777216', line + 1, 15, '16777216 is not an integer from 0 to 16777215'],
    ['vec\n  call target=1 frame=65536', line + 1, 23, '65536 is not an integer from 0 to 65535'],
    ['ctl\n.ss 2 [0, 0, 0, 0]', line + 1, 5, '2 is not an integer from 1 to 1'],
    ['ctl\n.queue ctl', line + 1, 8, 'queue ctl of chip 0 is there already'],
    ['ctl\n  event tag=', line + 1, 13, 'expected a number, found the end of the text'],
    ['ctl\n  event tag=$', line + 1, 13, '`$` starts nothing known'],
    ['vec\n  sreg reg=1 count=rows', line + 1, 20, 'expected `tokens` or `sequences` or `samples` or `memory`, found `rows`'],
    ['ctl\n  hostw table=ids dst=@0x1000000 bytes=4', line + 1, 24, 'is not a line from 0 to 16777215'],
  ])('%j: line and column', (code, at, column, reason) => {
    try {
      assemble(body(code));
      expect.fail('assembled');
    } catch (error) {
      if (!(error instanceof AssemblyError)) throw error;
      expect(error.message).toContain(reason);
      expect([error.line, error.column]).toEqual([at, column]);
    }
  });

  it('says what is wrong with a section at its directive', () => {
    expect(() => assemble(text.replace('"base":"weights"', '"base":"weighs"'))).toThrow(/line \d+, column 1: `regions\[0\].base` must be one of weights, kv, scratch, io, is "weighs"/);
  });
});
