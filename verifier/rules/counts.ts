import type { Token } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf, semaphoreName } from '../chip.ts';
import { Records } from '../records.ts';
import { tokensOf } from '../unroll.ts';
import type { Instance, Watcher } from '../walk.ts';

/** What a semaphore can hold: a count in a word has four bits. */
const most = 15;

/** A semaphore's account. `taken`: waits not yet known to the poster, oldest first: index and count of each. */
type Account = { given: number; readonly taken: Records; readonly waiter: number };

/**
 * V07. No semaphore ever holds more than 15, in any schedule. Its poster is as far ahead of its waiter as it can be: at each
 * post, only those tokens are taken for sure whose wait the poster knows to have been passed; the others may all be there still.
 */
export class Counts implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #accounts = new Map<number, Account>();
  readonly #reported = new Set<number>();

  constructor(chip: ChipView) {
    this.#chip = chip;
    chip.queues.forEach(({ code }, queue) => code.forEach((instruction) => tokensOf(instruction, 'waits').forEach(({ semaphore }) => {
      if (!this.#accounts.has(semaphore)) this.#accounts.set(semaphore, { given: 0, taken: new Records(2), waiter: queue });
    })));
  }

  waited({ semaphore, count }: Token, { index }: Instance): void {
    const { taken } = this.#accounts.get(semaphore)!;
    const at = taken.add();
    taken.numbers[at] = index;
    taken.numbers[at + 1] = count;
  }

  posted({ semaphore, count }: Token, { queue, pc, I, clock }: Instance): void {
    const account = this.#accounts.get(semaphore);
    if (account === undefined) return; // nobody waits for it: V06 sees what is left
    account.given += count;
    const known = clock[account.waiter]!;
    const { taken } = account;
    for (; taken.first < taken.end && taken.numbers[2 * taken.first]! < known; taken.first++) account.given -= taken.numbers[2 * taken.first + 1]!;
    if (account.given <= most || this.#reported.has(semaphore)) return;
    this.#reported.add(semaphore);
    const [poster, waiter] = [this.#chip.queues[queue]!.queue, this.#chip.queues[account.waiter]!];
    const first = waiter.code.findIndex((instruction) => tokensOf(instruction, 'waits').some((token) => token.semaphore === semaphore));
    this.findings.push({
      rule: 'V07', place: placeOf(this.#chip, poster, pc), message: `${semaphoreName(this.#chip, semaphore)} may hold ${account.given} tokens, more than ${most}`,
      notes: [
        `${nameOf(this.#chip, poster, pc)}${iterationText(I)} posts it while ${waiter.queue} may still be held up before ${nameOf(this.#chip, waiter.queue, first)}`,
        `${poster} must wait for ${waiter.queue} before it posts so often`,
      ],
    });
  }

  state(): string {
    return [...this.#accounts.values()].map(({ given, taken: { numbers, first, end } }) => `${given} ${numbers.subarray(2 * first, 2 * end).filter((_, at) => at % 2 === 1).join(' ')}`).join(',');
  }
}
