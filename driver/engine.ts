import { setFlagsFromString } from 'node:v8';

/**
 * How V8 runs a command: most are over within a second, in which optimising what has run a few thousand times costs a third of the CPU time and gains
 * nothing. Loops that matter are optimised all the same, milliseconds later. Collections are short: threads that wait for each other make them longer.
 * What is loaded takes the room for new objects to some megabytes at once, and `collectOften` leaves it there.
 */
export function tuneEngine(): void {
  for (const flag of ['--interrupt-budget=1000000', '--no-parallel-scavenge', '--semi-space-growth-factor=4']) setFlagsFromString(flag);
}

/** From here on the room for new objects stays as it is: what reading a model and its passes make would fill tens of megabytes before it is collected. */
export const collectOften = (): void => setFlagsFromString('--semi-space-growth-factor=1');

/** From here on most of what runs are loops over the instructions of programs, where there are no weights to pack: they are worth optimising sooner. */
export const optimiseSooner = (): void => setFlagsFromString('--interrupt-budget=300000');

/** For graphs of so many ops that collecting often takes longer. */
export function collectSeldomFor(ops: number): void {
  if (ops > manyOps) setFlagsFromString('--semi-space-growth-factor=2');
}
const manyOps = 2000;
