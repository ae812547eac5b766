/**
 * The order in which queues get their turn. Queues are numbered chip by chip, within a chip in the order of `queues`. A turn goes to
 * the first queue that can go on, from `from(last)` in steps of `step`; it runs one instruction, or (`burst`) until it must wait.
 * A correct program gives the same bits under all of them.
 */
export type Schedule = { readonly burst: boolean; readonly step: 1 | -1; readonly from: (last: number, count: number) => number };

/** Every queue in turn as far as it can go: the fewest changes. */
export const roundRobin: Schedule = { burst: true, step: 1, from: (last) => last };

/** Producers run as far ahead of consumers as semaphores let them: loads happen as early as possible. */
export const early: Schedule = { burst: false, step: 1, from: () => 0 };

/** Consumers first, so that everything is done as late as possible: only when nothing that waits for it can do without. */
export const late: Schedule = { burst: false, step: -1, from: (_last, count) => count - 1 };

/** Any queue that can go on, as the seed has it (Marsaglia's xorshift32). */
export const randomSchedule = (seed: number): Schedule => {
  let state = (seed >>> 0) + 1;
  const from = (_last: number, count: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % count;
  };
  return { burst: false, step: 1, from };
};
