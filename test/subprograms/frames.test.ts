import fc from 'fast-check';
import { expect, it } from 'vitest';
import { inFrames, type Word } from '../../backend-sohu/frames.ts';
import { still, withoutRoom } from '../../isa-spec/encoding.ts';
import { strideSetMax } from '../../isa-spec/fields.ts';
import type { Instruction, StrideSet } from '../../isa-spec/instructions.ts';
import { writtenOut } from '../../verifier/calls.ts';
import { ins } from '../simulator/functional/harness.ts';

const setOf = (i: number): StrideSet => ({ strides: [i, 0, 0, 0], ring: still.ring });
const copy = (ss: number): Instruction => ins('vmap', { function: 'copy', xFormat: 'f32', yFormat: 'f32', format: 'f32', x: { addr: 4, ss }, xPitch: 1, y: { addr: 0, ss: 0 }, yPitch: 0, out: { addr: 1000, ss: 0 }, outPitch: 1, columns: 1, rows: { max: 1, reg: 0, level: 0 } });
const loop = (level: number, body: readonly Instruction[]): readonly Instruction[] => [ins('loop', { level, count: 2, body: body.length }), ...body];

const most = 200;
const copies = fc.array(fc.nat({ max: most }).map(copy), { minLength: 1, maxLength: 12 });
const nodes = fc.array(fc.oneof(copies, copies.map((body) => loop(1, [...body, ...loop(2, body)]))), { maxLength: 25 }).map((all) => all.flat());
const program = fc.tuple(nodes, nodes, nodes).map(([before, body, after]) => [ins('sreg', { reg: 1, count: 'tokens' }), ...before, ...loop(0, [copy(1), ...body]), ...after]);

const wordsOf = (code: readonly Instruction[]): readonly Word[] => code.map((instruction, i) => ({ instruction, label: String(i) }));
const isCalling = ({ op }: Instruction): boolean => op === 'call' || op === 'ret';
/** What is run, in order: loops by what is in them, operands by how they are moved. */
function meant(code: readonly Instruction[], sets: readonly StrideSet[]): readonly unknown[] {
  const of = (begin: number, end: number): readonly unknown[] => {
    const seen: unknown[] = [];
    for (let pc = begin; pc < end; pc++) {
      const at = code[pc] as Instruction;
      if (isCalling(at)) continue;
      if (at.op === 'loop') {
        seen.push([at.fields.level, at.fields.count, of(pc + 1, pc + 1 + at.fields.body)]);
        pc += at.fields.body;
      } else seen.push(at.op === 'vmap' ? sets[at.fields.x.ss] : at.op);
    }
    return seen;
  };
  return of(0, code.length);
}

it('code in frames is the code that was, and its operands have room for the sets they name', () => {
  let called = 0;
  fc.assert(
    fc.property(program, (code) => {
      const all = Array.from({ length: most }, (_, i) => setOf(i + 1));
      const { words, strideSets, ops } = inFrames(wordsOf(code), all);
      const framed = words.map(({ instruction }) => instruction);
      expect(framed.flatMap(withoutRoom)).toEqual([]);
      const { code: written, strideSets: sets } = writtenOut({ queue: 'vec', code: framed, strideSets });
      expect(meant(written, sets)).toEqual(meant(code, [still, ...all]));
      expect(ops.map((pc) => written[pc]?.op)).toEqual(code.filter(({ op }) => op === 'vmap').map(({ op }) => op));
      expect(words.filter(({ instruction }) => !isCalling(instruction)).map(({ label }) => label)).toEqual(expect.arrayContaining(wordsOf(code).map(({ label }) => label)));
      called += framed.filter(({ op }) => op === 'call').length > 2 ? 1 : 0;
    }),
    { numRuns: 200 },
  );
  expect(called).toBeGreaterThan(50);
});

it('code that names few sets stays as it is', () => {
  const code = wordsOf([copy(1), ...loop(0, [copy(2), copy(0)]), copy(strideSetMax)]);
  const sets = Array.from({ length: strideSetMax }, (_, i) => setOf(i));
  expect(inFrames(code, sets)).toEqual({ words: code, strideSets: [still, ...sets], ops: [0, 2, 3, 4] });
  expect(inFrames([], [])).toEqual({ words: [], strideSets: [], ops: [] });
});

it('a loop over tiles that names more alone has no room', () => {
  const body = Array.from({ length: strideSetMax + 1 }, (_, i) => copy(i + 1));
  const { words } = inFrames(wordsOf(loop(1, body)), body.map((_, i) => setOf(i)));
  expect(words.flatMap(({ instruction }) => withoutRoom(instruction))).not.toEqual([]);
});
