import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';
import type { Instance, Watcher } from '../walk.ts';

/**
 * V06, of the host: when it is told that a step is done, every instruction that touches memory has completed. From then on it reads
 * results and hands over the next step's tables, in whatever time that takes.
 */
export class Told implements Watcher {
  readonly #chip: ChipView;
  /** By queue: the last that touches memory; index -1 if there is none. */
  readonly #last: { pc: number; index: number }[];
  #told: { readonly pc: number; readonly clock: Readonly<Int32Array> } | undefined;

  constructor(chip: ChipView) {
    this.#chip = chip;
    this.#last = chip.queues.map(() => ({ pc: -1, index: -1 }));
  }

  issued({ queue, pc, index, clock }: Instance): void {
    if (this.#chip.queues[queue]!.code[pc]!.op === 'event') {
      this.#told = { pc, clock: clock.slice() };
      return;
    }
    const last = this.#last[queue]!;
    last.pc = pc;
    last.index = index;
  }

  get findings(): readonly Finding[] {
    const told = this.#told;
    if (told === undefined) return [];
    const open = this.#last.flatMap((last, q) => (last.index < told.clock[q]! ? [] : [nameOf(this.#chip, this.#chip.queues[q]!.queue, last.pc)]));
    if (open.length === 0) return [];
    const event = nameOf(this.#chip, 'ctl', told.pc);
    return [{ rule: 'V06', place: placeOf(this.#chip, 'ctl', told.pc), message: `${event} tells the host that the step is done, and ${open[0]} may still be under way`, notes: [...open.slice(1).map((name) => `and ${name}`), 'ctl must wait for them, or for who has waited for them'] }];
  }
}
