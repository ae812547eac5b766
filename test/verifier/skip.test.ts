import fc from 'fast-check';
import { expect, it } from 'vitest';
import { move } from '../../isa-spec/encoding.ts';
import type { Instruction, StrideSet } from '../../isa-spec/instructions.ts';
import type { ChipView, QueueView } from '../../verifier/chip.ts';
import { conflictsOf, effectsOf } from '../../verifier/effects.ts';
import { Counts } from '../../verifier/rules/counts.ts';
import { Races } from '../../verifier/rules/races.ts';
import { walk } from '../../verifier/walk.ts';
import { programOf } from './programs.ts';

const still: StrideSet = { strides: [0, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } };
const token = (semaphore: number, count = 1) => ({ semaphore, count });
const sync = (waits: Instruction['waits'], posts: Instruction['posts']): Instruction => ({
  op: 'sync', waits, posts,
  fields: { wait2: 0, wait3: 0, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0, waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0 },
});
const rows = { max: 1, reg: 0, level: 0 };
const copy = (from: number, to: number, waits: Instruction['waits'], posts: Instruction['posts']): Instruction =>
  ({ op: 'vmap', waits, posts, fields: { function: 'copy', xFormat: 'f32', yFormat: 'f32', format: 'f32', x: { addr: from, ss: 1 }, xPitch: 1, y: { addr: 0, ss: 0 }, yPitch: 0, out: { addr: to, ss: 2 }, outPitch: 1, columns: 2, rows } });
const load = (to: number, waits: Instruction['waits'], posts: Instruction['posts']): Instruction =>
  ({ op: 'dld', waits, posts, fields: { src: { base: 1, off: 0, ss: 0 }, srcPitch: 1, dst: { addr: to, ss: 1 }, dstPitch: 1, lines: 1, rows } });
const store = (from: number, waits: Instruction['waits'], posts: Instruction['posts'], ss = 1): Instruction =>
  ({ op: 'dst', waits, posts, fields: { src: { addr: from, ss }, srcPitch: 1, dst: { base: 2, off: 0, ss: 0 }, dstPitch: 1, lines: 1, rows } });

/**
 * A pipeline load -> copy -> store through two rings, as long as its loops: how far ahead each may go, how deep the rings are, how far an iteration goes on.
 * `table`: what a fourth queue writes before the loops and a second loop reads after them. It may lie where what creeps comes to, and be waited for or not.
 */
type Shape = { readonly count: number; readonly ahead: readonly [number, number]; readonly depths: readonly [number, number]; readonly strides: readonly [number, number]; readonly before: number; readonly late: boolean; readonly table?: undefined | { readonly at: number; readonly isAwaited: boolean } };

function pipeline({ count, ahead, depths, strides, before, late, table }: Shape): readonly QueueView[] {
  const set = (which: 0 | 1): StrideSet => ({ strides: [strides[which], 0, 0, 0], ring: { stride: 1, depth: depths[which], base: 0, steps: [1, 0, 0, 0] } });
  const loop = (body: readonly Instruction[], times = count): readonly Instruction[] => [{ op: 'loop', waits: [], posts: [], fields: { level: 0, count: times, body: body.length } }, ...body];
  const [first, second] = [0, 200];
  const lookups = table === undefined ? [] : [...(table.isAwaited ? [sync([token(5)], [])] : []), ...loop([store(table.at, [], [], 3)], tableLines), ...(table.isAwaited ? [] : [sync([token(5)], [])])];
  const lines: StrideSet = { ...still, strides: [1, 0, 0, 0] };
  return [
    { queue: 'dma0', strideSets: [still, set(0)], code: [...Array.from({ length: before }, () => load(first, [], [])), ...loop([load(first, [token(2)], [token(1)])]), sync([token(2, ahead[0])], [])] },
    { queue: 'vec', strideSets: [still, set(0), set(1), lines], code: [sync([], [token(2, ahead[0])]), ...loop(late ? [sync([token(1), token(4)], []), copy(first, second, [], [token(2), token(3)])] : [copy(first, second, [token(1), token(4)], [token(2), token(3)])]), sync([token(4, ahead[1])], []), ...lookups] },
    { queue: 'dma1', strideSets: [still, set(1)], code: [sync([], [token(4, ahead[1])]), ...loop([store(second, [token(3)], [token(4)])])] },
    ...(table === undefined ? [] : [{ queue: 'ctl', strideSets: [still, lines], code: [...loop([load(table.at, [], [])], tableLines), sync([], [token(5)])] } as const]),
  ];
}

const tableLines = 3;

/** The same without loops: every instruction written out at the place it is in its iteration. */
function unrolled({ queue, code, strideSets }: QueueView): QueueView {
  const out: Instruction[] = [];
  const at = (instruction: Instruction, I: readonly number[]): Instruction => {
    const fields = Object.entries(instruction.fields).map(([name, value]: [string, unknown]) => {
      if (typeof value !== 'object' || value === null || !('ss' in value) || !('addr' in value)) return [name, value];
      return [name, { addr: (value.addr as number) + move(strideSets[value.ss as number]!, I), ss: 0 }];
    });
    return { ...instruction, fields: Object.fromEntries(fields) } as Instruction;
  };
  for (let pc = 0; pc < code.length; pc++) {
    const instruction = code[pc]!;
    if (instruction.op !== 'loop') {
      out.push(at(instruction, [0, 0, 0, 0]));
      continue;
    }
    const body = code.slice(pc + 1, pc + 1 + instruction.fields.body);
    for (let i = 0; i < instruction.fields.count; i++) out.push(...body.map((one) => at(one, [i, 0, 0, 0])));
    pc += instruction.fields.body;
  }
  return { queue, code: out, strideSets: [] };
}

const program = programOf('');

function judged(queues: readonly QueueView[]): { readonly done: boolean; readonly races: boolean; readonly full: readonly string[]; readonly issued: number } {
  const chip: ChipView = { program, entry: 0, chips: [0], queues };
  const effects = effectsOf(chip, undefined);
  const conflicts = conflictsOf(effects);
  const [races, counts] = [new Races(chip, conflicts), new Counts(chip)];
  let issued = 0;
  const done = walk(chip, effects, conflicts, [races, counts, { issued: () => void issued++ }]) !== undefined;
  return { done, races: races.findings.length > 0, full: counts.findings.map(({ message }) => message), issued };
}

const shape: fc.Arbitrary<Shape> = fc.record({
  count: fc.integer({ min: 1, max: 60 }), ahead: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })), depths: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
  strides: fc.tuple(fc.constantFrom(0, 0, 0, 1), fc.constantFrom(0, 0, 0, 1)), before: fc.integer({ min: 0, max: 2 }), late: fc.boolean(),
  table: fc.constantFrom(undefined, { at: 400, isAwaited: true }, { at: 400, isAwaited: false }, { at: 30, isAwaited: true }),
});

it('what is skipped adds nothing: races and counts are those of the program without loops', () => {
  let [racy, sound, saved] = [0, 0, 0];
  fc.assert(
    fc.property(shape, (drawn) => {
      const queues = pipeline(drawn);
      const [looped, straight] = [judged(queues), judged(queues.map(unrolled))];
      expect(looped.done).toBe(straight.done);
      expect(looped.races).toBe(straight.races);
      expect(looped.full.length).toBe(straight.full.length);
      if (looped.races) racy++;
      else sound++;
      if (looped.issued < straight.issued) saved++;
    }),
    { numRuns: 600 },
  );
  expect(Math.min(racy, sound, saved)).toBeGreaterThan(50);
});

it('what lies still during the loops, and is looked up after them, does not keep them from being skipped', () => {
  const shape: Shape = { count: 300, ahead: [2, 2], depths: [2, 2], strides: [0, 0], before: 0, late: false };
  const [awaited, early, inTheWay] = [{ at: 400, isAwaited: true }, { at: 400, isAwaited: false }, { at: 30, isAwaited: true }].map((table) => judged(pipeline({ ...shape, strides: table.at === 30 ? [1, 0] : [0, 0], table })));
  expect(awaited).toMatchObject({ done: true, races: false });
  expect(awaited!.issued).toBeLessThan(100);
  expect(early).toMatchObject({ done: true, races: true });
  expect(inTheWay).toMatchObject({ done: true, races: true });
});

it('a race that comes late is not skipped over', () => {
  // The copy's second ring moves on by a line an iteration and runs into the first one.
  const [dma0, vec, dma1] = pipeline({ count: 300, ahead: [2, 2], depths: [2, 2], strides: [0, 0], before: 0, late: false }) as [QueueView, QueueView, QueueView];
  const creeping = { ...vec, strideSets: vec.strideSets.map((set, i) => (i === 2 ? { ...set, strides: [-1, 0, 0, 0] as const } : set)) };
  expect(judged([dma0, vec, dma1]).races).toBe(false);
  expect(judged([dma0, creeping, dma1]).races).toBe(true);
});
