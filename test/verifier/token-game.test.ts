import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Instruction, Queue, Token } from '../../isa-spec/instructions.ts';
import type { ChipView } from '../../verifier/chip.ts';
import { play } from '../../verifier/token-game.ts';
import { programOf } from './programs.ts';

/** Code of three queues: nested loops of token instructions, semaphores with one waiter each. */
const players = ['dma0', 'vec', 'epi'] as const;
const sync = { wait2: 0, wait3: 0, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0, waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0 };

const token = (ids: readonly number[], often: number): fc.Arbitrary<readonly Token[]> => fc.option(fc.record({ semaphore: fc.constantFrom(...ids), count: fc.integer({ min: 1, max: 2 }) }), { freq: often }).map((made) => (made === null ? [] : [made]));
const instruction = (queue: number): fc.Arbitrary<Instruction> =>
  fc.record({ waits: token([1, 2].map((s) => 10 * queue + s), 1), posts: token([0, 1, 2].flatMap((q) => [1, 2].map((s) => 10 * q + s)), 8) }).map(({ waits, posts }) => ({ op: 'sync', waits, posts, fields: sync }));

const block = (queue: number, depth: number): fc.Arbitrary<readonly Instruction[]> =>
  fc.array(depth > 2 ? instruction(queue).map((one) => [one]) : fc.oneof({ weight: 3, arbitrary: instruction(queue).map((one) => [one]) }, loop(queue, depth)), { minLength: 1, maxLength: 3 }).map((parts) => parts.flat());
const loop = (queue: number, level: number): fc.Arbitrary<readonly Instruction[]> =>
  fc.tuple(fc.integer({ min: 1, max: level === 0 ? 40 : 3 }), block(queue, level + 1)).map(([count, body]): readonly Instruction[] => [{ op: 'loop', waits: [], posts: [], fields: { level, count, body: body.length } }, ...body]);

/** Every instruction in the order a queue issues them, written out. */
function expand(code: readonly Instruction[]): readonly Instruction[] {
  const out: Instruction[] = [];
  for (let pc = 0; pc < code.length; pc++) {
    const at = code[pc]!;
    out.push(at);
    if (at.op !== 'loop') continue;
    const body = expand(code.slice(pc + 1, pc + 1 + at.fields.body));
    for (let i = 0; i < at.fields.count; i++) out.push(...body);
    pc += at.fields.body;
  }
  return out;
}

/** The tokens left when nobody can move, one instruction at a time. */
function naive(queues: readonly (readonly Instruction[])[]): { readonly left: readonly (readonly [number, number])[]; readonly done: boolean } {
  const counts = new Map<number, number>();
  const at = queues.map(() => 0);
  for (let moved = true; moved; ) {
    moved = false;
    queues.forEach((code, q) => {
      const next = code[at[q]!];
      if (next === undefined || next.waits.some(({ semaphore, count }) => (counts.get(semaphore) ?? 0) < count)) return;
      for (const { semaphore, count } of next.waits) counts.set(semaphore, counts.get(semaphore)! - count);
      for (const { semaphore, count } of next.posts) counts.set(semaphore, (counts.get(semaphore) ?? 0) + count);
      at[q]!++;
      moved = true;
    });
  }
  return { left: [...counts].filter(([, count]) => count > 0).toSorted(([a], [b]) => a - b), done: queues.every((code, q) => at[q] === code.length) };
}

const program = programOf('');

it('comes to the same end as playing every instruction, repetitions skipped or not', () => {
  let finished = 0;
  fc.assert(
    fc.property(fc.tuple(block(0, 0), block(1, 0), block(2, 0)), (codes) => {
      const chip: ChipView = { program, entry: 0, chips: [0], queues: codes.map((code, q) => ({ queue: players[q] as Queue, code, strideSets: [] })) };
      const game = play(chip);
      const slow = naive(codes.map(expand));
      if (slow.done) finished++;
      expect(game.end === 'done').toBe(slow.done);
      expect([...game.counts.entries()].filter(([, count]) => count > 0)).toEqual(slow.left);
    }),
    { numRuns: 500 },
  );
  expect(finished).toBeGreaterThan(20);
});
