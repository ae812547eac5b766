import type { ScalarFunction } from './instructions.ts';

/** R0 of every queue, and the largest number a register holds. */
export const registerMax = 2 ** 32 - 1;

/**
 * What `salu` computes, of whole numbers from 0 to `registerMax`. A result that is no such number (NaN, Infinity, a larger one) is a fault
 * of the instruction. Each rises with a, or stays; with b, `falls` fall and the others rise, or stay.
 */
export const scalars: { readonly [F in ScalarFunction]: (a: number, b: number) => number } = {
  copy: (_a, b) => b,
  add: (a, b) => a + b,
  subtract: (a, b) => Math.max(0, a - b),
  multiply: (a, b) => a * b,
  ceildiv: (a, b) => Math.ceil(a / b),
  minimum: (a, b) => Math.min(a, b),
  maximum: (a, b) => Math.max(a, b),
  shift_left: (a, b) => (a === 0 ? 0 : a * 2 ** b),
  shift_right: (a, b) => Math.floor(a / 2 ** b),
};

export const falls: ReadonlySet<ScalarFunction> = new Set(['subtract', 'ceildiv', 'shift_right']);
