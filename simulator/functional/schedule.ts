/**
 * The order in which queues get their turn. Queues are numbered chip by chip, within a chip in the order of `queues`. A turn goes to
 * the first queue that can go on, from `from(last)` in steps of `step`; it runs one instruction, or (`burst`) until it must wait.
 * Writes are `visible` to other queues at once, or when they must be: when a token posted after them is taken, or the step ends.
 * A correct program gives the same bits under all of them.
 */
export type Schedule = { readonly burst: boolean; readonly step: 1 | -1; readonly from: (last: number, count: number) => number; readonly visible: 'at once' | 'when awaited' };

/** Every queue in turn as far as it can go: the fewest changes. */
export const roundRobin: Schedule = { burst: true, step: 1, from: (last) => last, visible: 'at once' };

/** Producers run as far ahead of consumers as semaphores let them: what is overwritten is overwritten as early as possible. */
export const early: Schedule = { burst: false, step: 1, from: () => 0, visible: 'at once' };

/** Consumers first, and what is written is seen as late as possible: who reads without waiting reads what was there before. */
export const late: Schedule = { burst: false, step: -1, from: (_last, count) => count - 1, visible: 'when awaited' };

/** Any queue that can go on, as the seed has it (Marsaglia's xorshift32). */
export const randomSchedule = (seed: number): Schedule => {
  let state = (seed >>> 0) + 1;
  const from = (_last: number, count: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % count;
  };
  return { burst: false, step: 1, from, visible: 'at once' };
};

/** A schedule by name: `roundRobin`, `early`, `late`, `random:SEED`. Undefined if there is none of that name. */
export const scheduleNamed = (name: string): Schedule | undefined => {
  const seed = /^random:(\d{1,9})$/.exec(name)?.[1];
  if (seed !== undefined) return randomSchedule(Number(seed));
  return name === 'roundRobin' ? roundRobin : name === 'early' ? early : name === 'late' ? late : undefined;
};
