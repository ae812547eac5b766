import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeAll, move, still } from '../../isa-spec/encoding.ts';
import { type Instruction, type StrideSet } from '../../isa-spec/instructions.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { addressOf } from '../../simulator/functional/state.ts';
import { createMachineState, imageSource } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import { writtenOut } from '../../verifier/calls.ts';
import { Cursor } from '../../verifier/unroll.ts';
import { emptyStep, ins, programOf } from '../simulator/functional/harness.ts';

/** What subprograms are made of: a copy by a stride set, a loop, a call of a later one. A subprogram loops by its own number: no two in force by one. */
type Part = { readonly kind: 'copy'; readonly ss: number } | { readonly kind: 'loop'; readonly count: number; readonly body: readonly Part[] } | { readonly kind: 'call'; readonly routine: number; readonly frame: number };
type Routine = readonly Part[];

const routines = 5;
const setsPerFrame = 4;
const sets: readonly StrideSet[] = Array.from({ length: 40 }, (_, i): StrideSet => ({ strides: [i % 3, i % 5, i % 2, 7], ring: { stride: 3 * i, depth: 2, base: 1, steps: [0, 0, 0, 0] } }));

const part = (routine: number, inLoop: boolean): fc.Arbitrary<Part> => fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('copy' as const), ss: fc.nat({ max: setsPerFrame }) }) },
  ...(inLoop || routine === routines - 1 ? [] : [{ weight: 1, arbitrary: fc.record({ kind: fc.constant('loop' as const), count: fc.integer({ min: 1, max: 3 }), body: fc.array(part(routine, true), { minLength: 1, maxLength: 3 }) }) }]),
  ...(routine === routines - 1 ? [] : [{ weight: 2, arbitrary: fc.record({ kind: fc.constant('call' as const), routine: fc.integer({ min: routine + 1, max: routines - 1 }), frame: fc.nat({ max: 8 }) }) }]),
);
const program: fc.Arbitrary<readonly Routine[]> = fc.tuple(...Array.from({ length: routines }, (_, routine) => fc.array(part(routine, false), { minLength: 1, maxLength: 4 })));

const copy = (ss: number): Instruction => ins('vmap', { function: 'copy', xFormat: 'f32', yFormat: 'f32', format: 'f32', x: { addr: 4, ss }, xPitch: 1, y: { addr: 0, ss: 0 }, yPitch: 0, out: { addr: 1000, ss: 0 }, outPitch: 1, columns: 1, rows: { max: 1, reg: 0, level: 0 } });
const lengthOf = (parts: readonly Part[]): number => parts.reduce((sum, one) => sum + 1 + (one.kind === 'loop' ? lengthOf(one.body) : 0), 0);

/** The routines one after the other, each ending in its return. Those nobody calls are called at the end. */
function codeOf(drawn: readonly Routine[]): readonly Instruction[] {
  const callsOf = (parts: readonly Part[]): readonly number[] => parts.flatMap((one) => (one.kind === 'call' ? [one.routine] : one.kind === 'loop' ? callsOf(one.body) : []));
  const called = new Set(drawn.flatMap(callsOf));
  const all = drawn.map((parts, number) => (number === 0 ? [...parts, ...drawn.flatMap((_, other): readonly Part[] => (other === 0 || called.has(other) ? [] : [{ kind: 'call', routine: other, frame: 0 }]))] : parts));
  const begins = all.map((_, number) => all.slice(0, number).reduce((sum, parts) => sum + lengthOf(parts) + 1, 0));
  const emit = (parts: readonly Part[], level: number): readonly Instruction[] => parts.flatMap((one): readonly Instruction[] => {
    if (one.kind === 'copy') return [copy(one.ss)];
    if (one.kind === 'call') return [ins('call', { target: begins[one.routine]!, frame: one.frame })];
    return [ins('loop', { level, count: one.count, body: lengthOf(one.body) }), ...emit(one.body, level)];
  });
  return all.flatMap((parts, number) => [...emit(parts, number), ins('ret', {})]);
}

/** What is copied from where, in order: the simplest thing that could be meant. */
function meant(code: readonly Instruction[]): readonly string[] {
  const seen: string[] = [];
  const run = (pc: number, end: number, frame: number, I: number[]): void => {
    for (; pc < end; pc++) {
      const at = code[pc]!;
      if (at.op === 'ret') return;
      if (at.op === 'vmap') seen.push(`${pc} ${I.join(' ')} ${4 + (at.fields.x.ss === 0 ? 0 : move(sets[frame + at.fields.x.ss - 1]!, I))}`);
      if (at.op === 'call') run(at.fields.target, code.length, frame + at.fields.frame, I);
      if (at.op !== 'loop') continue;
      for (I[at.fields.level] = 0; I[at.fields.level]! < at.fields.count; I[at.fields.level]!++) run(pc + 1, pc + 1 + at.fields.body, frame, I);
      I[at.fields.level] = 0;
      pc += at.fields.body;
    }
  };
  run(0, code.length, 0, [0, 0, 0, 0]);
  return seen;
}

it('simulators and verifier go through calls, loops and frames as they are meant', () => {
  let deep = 0;
  fc.assert(
    fc.property(program, (drawn) => {
      const code = codeOf(drawn);
      const wanted = meant(code);
      const made = programOf([{ vec: code }], { strideSets: { vec: sets } });
      const ran: string[] = [];
      const result = runStep(createMachineState(made, [imageSource(new Uint8Array(0))]), [encodeStepBlock(emptyStep)], undefined, (_chip, queue) => {
        const at = queue.code[queue.pc]!;
        if (queue.calls.length === 4) deep++;
        if (at.op === 'vmap') ran.push(`${queue.pc} ${queue.I.join(' ')} ${addressOf(queue, at.fields.x)}`);
      });
      expect(ran).toEqual(wanted);

      const written = writtenOut({ queue: 'vec', code, strideSets: [still, ...sets] });
      const walked: string[] = [];
      for (const cursor = new Cursor(written.code); !cursor.done; cursor.advance()) {
        const { instruction: at, I } = cursor;
        if (at.op === 'vmap') walked.push(`${written.from?.places[cursor.pc]!.pc ?? cursor.pc} ${I.join(' ')} ${4 + move(at.fields.x.ss === 0 ? still : written.strideSets[at.fields.x.ss]!, I)}`);
      }
      expect(walked).toEqual(wanted);

      const timing = simulateTiming(made, [encodeStepBlock(emptyStep)]);
      if (timing.kind !== 'timing') throw new Error(timing.fault.message);
      expect(timing.instructions).toBe(result.instructions);
      expect(timing.perChip[0]!.queues.find(({ queue }) => queue === 'vec')!.busy).toBe(wanted.length);
      expect(encodeAll(code, 'vec').length).toBe(32 * code.length);
    }),
    { numRuns: 300 },
  );
  expect(deep).toBeGreaterThan(50);
});
