import type { Instruction, Queue } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, nameOf, placeOf, semaphoreName } from '../chip.ts';
import { tokensOf } from '../unroll.ts';

/** Tokens of one semaphore a stretch of code gives or takes in a pass: outside of loops, and in its loops, in order. */
type Tally = { here: number; readonly loops: { readonly pc: number; readonly count: number; readonly tally: Tally }[] };

/**
 * V08. Loops are neutral: what the poster of a semaphore gives in an iteration of a loop, its waiter takes in an iteration of
 * a loop of its own that is repeated as often, and the same outside of all loops. So an iteration ends with the tokens it began
 * with, and the state in which the walk skips repetitions comes again.
 */
export function neutral(chip: ChipView): readonly Finding[] {
  const sides = (['posts', 'waits'] as const).map((side) => {
    const all = new Map<number, { readonly queue: Queue; readonly tally: Tally }>();
    for (const { queue, code } of chip.queues) for (const [semaphore, tally] of tallyOf(code, 0, code.length, side)) all.set(semaphore, { queue, tally });
    return all;
  });
  const [posts, waits] = sides as [typeof sides[0], typeof sides[0]];
  return [...posts].flatMap(([semaphore, { queue, tally }]): readonly Finding[] => {
    const taken = waits.get(semaphore);
    const problem = taken === undefined ? undefined : difference(chip, tally, taken.tally, queue, taken.queue);
    return problem === undefined ? [] : [{ rule: 'V08', place: placeOf(chip, queue), message: `${semaphoreName(chip, semaphore)}: ${problem}`, notes: ['loops that exchange tokens must go together, turn by turn'] }];
  });
}

function tallyOf(code: readonly Instruction[], begin: number, end: number, side: 'posts' | 'waits'): ReadonlyMap<number, Tally> {
  const all = new Map<number, Tally>();
  const of = (semaphore: number): Tally => {
    const known = all.get(semaphore) ?? { here: 0, loops: [] };
    all.set(semaphore, known);
    return known;
  };
  for (let pc = begin; pc < end; pc++) {
    const instruction = code[pc]!;
    for (const { semaphore, count } of tokensOf(instruction, side)) of(semaphore).here += count;
    if (instruction.op !== 'loop') continue;
    const { count, body } = instruction.fields;
    for (const [semaphore, tally] of tallyOf(code, pc + 1, pc + 1 + body, side)) of(semaphore).loops.push({ pc, count, tally });
    pc += body;
  }
  return all;
}

function difference(chip: ChipView, gives: Tally, takes: Tally, poster: Queue, waiter: Queue): string | undefined {
  if (gives.here !== takes.here) return `${poster} gives ${gives.here} in a turn, ${waiter} takes ${takes.here}`;
  if (gives.loops.length !== takes.loops.length) return `${poster} gives it in ${gives.loops.length} loops, ${waiter} takes it in ${takes.loops.length}`;
  for (const [i, give] of gives.loops.entries()) {
    const take = takes.loops[i]!;
    const [a, b] = [nameOf(chip, poster, give.pc), nameOf(chip, waiter, take.pc)];
    if (give.count !== take.count) return `${a} is repeated ${give.count} times, ${b} ${take.count} times`;
    const inside = difference(chip, give.tally, take.tally, poster, waiter);
    if (inside !== undefined) return `${inside}, in ${a} and ${b}`;
  }
  return undefined;
}
