import type { Program } from '../isa-spec/program.ts';
import { type ChipView, type Finding, groupChips, type RuleId, viewOf } from './chip.ts';
import { balance } from './rules/balance.ts';
import { bounds } from './rules/bounds.ts';
import { deadlock } from './rules/deadlock.ts';
import { legal } from './rules/legal.ts';
import { singleWaiter } from './rules/single-waiter.ts';
import { type Game, play } from './token-game.ts';

/** A rule over decoded code and the end of one run of it. */
type ProgramRule = { readonly id: Exclude<RuleId, 'V01'>; readonly check: (chip: ChipView, game: Game) => readonly Finding[] };

/** What is proved of a program, in this order; the rules after V01 hold of legal code only. */
export const rules: { readonly [id in RuleId]: string } = {
  V01: 'every word is an instruction its queue and machine can run',
  V04: 'every semaphore has one poster and one waiter',
  V05: 'every queue comes to its end, whatever the timing',
  V06: 'a step ends as it began: no tokens and no weights left',
  V10: 'nothing is accessed outside SRAM, accumulators and HBM regions',
};

const programRules: readonly ProgramRule[] = [
  { id: 'V04', check: singleWaiter },
  { id: 'V05', check: deadlock },
  { id: 'V06', check: balance },
  { id: 'V10', check: bounds },
];

/**
 * Proves a program safe to run on every chip and for every step within its entries' bounds, from its bytes alone; what it
 * finds says why it could not. Chips that run the same code are proved once.
 */
export function verify(program: Program): readonly Finding[] {
  return program.entries.flatMap((_, entry) =>
    groupChips(program, entry).flatMap((raw) => {
      const illegal = legal(raw);
      if (illegal.length > 0) return illegal;
      const chip = viewOf(raw);
      const game = play(chip);
      return programRules.flatMap(({ check }) => check(chip, game));
    }),
  );
}
