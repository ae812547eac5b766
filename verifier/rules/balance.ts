import { type ChipView, type Finding, nameOf, placeOf, semaphoreName } from '../chip.ts';
import type { Game } from '../token-game.ts';
import { usesOf } from './single-waiter.ts';

/** V06. A step ends as it began: no tokens, no weights in the FIFO. Otherwise the next step starts in another state than the first. */
export function balance(chip: ChipView, game: Game): readonly Finding[] {
  if (game.end !== 'done') return [];
  const [waits, posts] = [usesOf(chip, 'waits'), usesOf(chip, 'posts')];
  const left = [...game.counts].flatMap((count, id): readonly Finding[] => {
    if (count === 0) return [];
    const names = (uses: typeof waits, verb: string): readonly string[] => (uses.get(id) ?? []).map(({ queue, pc }) => `first ${verb} by ${nameOf(chip, queue, pc)}`);
    const notes = [...names(posts, 'posted'), ...names(waits, 'waited for')];
    return [{ rule: 'V06', place: placeOf(chip), message: `${semaphoreName(chip, id)} has ${count} ${count === 1 ? 'token' : 'tokens'} left at the end of a step`, notes: waits.has(id) ? notes : [...notes, 'nobody waits for it'] }];
  });
  const weights: readonly Finding[] = game.fifo === 0 ? [] : [{ rule: 'V06', place: placeOf(chip, 'wld'), message: `the weight FIFO has ${game.fifo} entries left at the end of a step`, notes: ['every wld needs its mm'] }];
  return [...left, ...weights];
}
