import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { SimulationFault } from '../fault.ts';
import type { Execute } from './execute.ts';
import type { QueueState } from './state.ts';

/** Its tokens are all there is to it. */
export const nop: Execute<'nop'> = () => {};

/** Timestamps are the timing simulator's; here an assertion is checked. */
export const trace: Execute<'trace'> = (_chip, queue, { kind, tag, reg, least, most }) => {
  const value = queue.R[reg]!;
  if (kind === 'assert' && (value < least || value > most)) throw new SimulationFault('assert', `assertion ${tag}: R${reg} is ${value}, not from ${least} to ${most}`);
};

/** All a sync does is take and make its tokens. */
export const sync: Execute<'sync'> = () => {};

export const sreg: Execute<'sreg'> = (chip, queue, { reg, count }) => {
  if (reg === 0) throw new SimulationFault('operand', 'writes R0');
  queue.R[reg] = chip.step.counts[count];
};

const comparisons = {
  eq: (a: number, b: number) => a === b, ne: (a: number, b: number) => a !== b, lt: (a: number, b: number) => a < b,
  le: (a: number, b: number) => a <= b, gt: (a: number, b: number) => a > b, ge: (a: number, b: number) => a >= b,
} as const satisfies Record<InstructionOf<'setp'>['fields']['compare'], (a: number, b: number) => boolean>;

export const setp: Execute<'setp'> = (_chip, queue, { compare, target, reg, value }) => {
  queue.P[target] = comparisons[compare](queue.R[reg]!, value) ? 1 : 0;
};

/** Opens a frame of the `body` instructions that follow. */
export const loop: Execute<'loop'> = (_chip, queue, { level, count, body }) => {
  const begin = queue.pc + 1;
  const end = begin + body;
  const enclosing = queue.frames.at(-1)?.end ?? queue.code.length;
  if (end > enclosing) throw new SimulationFault('control', `the loop's body ends at ${end}, what is around it at ${enclosing}`);
  if (queue.frames.some((frame) => frame.level === level)) throw new SimulationFault('control', `a loop of level ${level} inside another`);
  queue.I[level] = 0;
  queue.frames.push({ level, begin, end, count });
};

/** Moves a queue past the instruction it is at: on, or back to where a loop begins that is not done. */
export const advancePc = (queue: QueueState): void => {
  queue.pc++;
  for (let frame = queue.frames.at(-1); frame !== undefined && queue.pc === frame.end; frame = queue.frames.at(-1)) {
    const level = frame.level as 0 | 1 | 2 | 3;
    if (++queue.I[level] < frame.count) {
      queue.pc = frame.begin;
      return;
    }
    queue.I[level] = 0;
    queue.frames.pop();
  }
};
