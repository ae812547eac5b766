import type { Queue } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, nameOf, placeOf, semaphoreName } from '../chip.ts';
import { tokensOf } from '../unroll.ts';

type Use = { readonly queue: Queue; readonly pc: number };

/** The first use of each semaphore by each queue. */
export function usesOf(chip: ChipView, side: 'waits' | 'posts'): ReadonlyMap<number, readonly Use[]> {
  const uses = new Map<number, Use[]>();
  for (const { queue, code } of chip.queues) {
    code.forEach((instruction, pc) => {
      for (const { semaphore } of tokensOf(instruction, side)) {
        const known = uses.get(semaphore) ?? [];
        uses.set(semaphore, known);
        if (known.every((use) => use.queue !== queue)) known.push({ queue, pc });
      }
    });
  }
  return uses;
}

/**
 * V04. A semaphore has one queue that waits for it and one that posts it, those it is declared with. Without this the order
 * of tokens depends on timing, and no single run says anything about the others.
 */
export function singleWaiter(chip: ChipView): readonly Finding[] {
  const declared = chip.program.semaphores.filter(({ entry }) => entry === chip.entry);
  return (['waits', 'posts'] as const).flatMap((side) => {
    const verb = side === 'waits' ? 'waited for' : 'posted';
    return [...usesOf(chip, side)].flatMap(([id, uses]): readonly Finding[] => {
      const notes = uses.map(({ queue, pc }) => `${verb} by ${nameOf(chip, queue, pc)}`);
      const place = placeOf(chip, uses[0]!.queue, uses[0]!.pc);
      if (uses.length > 1) return [{ rule: 'V04', place, message: `${semaphoreName(chip, id)} is ${verb} by ${uses.length} queues: ${uses.map(({ queue }) => queue).join(', ')}`, notes: [...notes, `give each of them a semaphore of its own`] }];
      const promised = declared.find((semaphore) => semaphore.id === id)?.[side === 'waits' ? 'waiter' : 'poster'];
      if (promised === undefined || promised === uses[0]!.queue) return [];
      return [{ rule: 'V04', place, message: `${semaphoreName(chip, id)} is declared to be ${verb} by ${promised}`, notes }];
    });
  });
}
