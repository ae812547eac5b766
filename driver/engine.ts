import { setFlagsFromString } from 'node:v8';

/**
 * How V8 runs a command: most are over within a second, in which optimising what has run a few thousand times costs a third of the CPU time and gains
 * nothing. Loops that matter are optimised all the same, milliseconds later.
 */
setFlagsFromString('--interrupt-budget=1000000');
// The room for new objects stays small: what a compile of a few thousand ops makes would fill tens of megabytes before anything is collected.
setFlagsFromString('--semi-space-growth-factor=1');

/** For graphs so large that collecting often would take longer. */
export const collectSeldom = (): void => setFlagsFromString('--semi-space-growth-factor=2');

/** Ops of a source graph from which on it does. */
export const manyOps = 2000;
