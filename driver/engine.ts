import { setFlagsFromString } from 'node:v8';

/**
 * How V8 runs a command: most are over within a second, in which optimising what has run a few thousand times costs a third of the CPU time and gains
 * nothing. Loops that matter are optimised all the same, milliseconds later.
 */
setFlagsFromString('--interrupt-budget=1000000');
// Collections are short; threads that wait for each other make them longer.
setFlagsFromString('--no-parallel-scavenge');

/** Ops of a source graph up to which what passes make need not fill tens of megabytes before it is collected. */
const fewOps = 2000;

/** From here on the room for new objects stays as small as it is, unless a graph of so many ops is worked on. */
export function collectOften(ops: number): void {
  if (ops <= fewOps) setFlagsFromString('--semi-space-growth-factor=1');
}
