import { setFlagsFromString } from 'node:v8';

/**
 * How V8 runs a command: most are over within a second, in which optimising what has run a few thousand times costs a third of the CPU time and gains
 * nothing. Loops that matter are optimised all the same, milliseconds later.
 */
setFlagsFromString('--interrupt-budget=1000000');
