import { callsMax, type InstructionOf } from '../../isa-spec/instructions.ts';
import { scalars } from '../../isa-spec/scalars.ts';
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

export const salu: Execute<'salu'> = (_chip, queue, { function: name, reg, a, b, value, least, most }) => {
  if (reg === 0) throw new SimulationFault('operand', 'writes R0');
  const result = scalars[name](queue.R[a]!, b === 0 ? value : queue.R[b]!);
  if (!(result >= least && result <= most)) throw new SimulationFault('assert', `R${reg} would be ${result}, not from ${least} to ${most}`);
  queue.R[reg] = result;
};

const comparisons = {
  eq: (a: number, b: number) => a === b, ne: (a: number, b: number) => a !== b, lt: (a: number, b: number) => a < b,
  le: (a: number, b: number) => a <= b, gt: (a: number, b: number) => a > b, ge: (a: number, b: number) => a >= b,
} as const satisfies Record<InstructionOf<'setp'>['fields']['compare'], (a: number, b: number) => boolean>;

export const setp: Execute<'setp'> = (_chip, queue, { compare, target, reg, value }) => {
  queue.P[target] = comparisons[compare](queue.R[reg]!, value) ? 1 : 0;
};

/** Where they lead is `advancePc`'s to say. */
export const loop: Execute<'loop'> = () => {};
export const call: Execute<'call'> = () => {};
export const ret: Execute<'ret'> = () => {};

const malformed = (reason: string): SimulationFault => new SimulationFault('control', reason);

/** Moves a queue past the instruction it is at: on, into a subprogram or out of it, or back to where a loop begins that is not done. */
export const advancePc = (queue: QueueState): void => {
  const { pc, code } = queue;
  const at = code[pc]!;
  const next = at.op === 'call' ? enter(queue, at.fields) : at.op === 'ret' ? leave(queue) : pc + 1;
  if (at.op === 'loop') open(queue, at.fields);
  const to = turn(queue, next);
  if (to >= code.length && queue.calls.length > 0) throw malformed('the code ends within a subprogram');
  queue.pc = to;
};

/** Opens a loop of the `body` instructions that follow. */
const open = ({ pc, code, loops, calls, I }: QueueState, { level, count, body }: InstructionOf<'loop'>['fields']): void => {
  const begin = pc + 1;
  const end = begin + body;
  const around = loops.length > (calls.at(-1)?.loops ?? 0) ? loops.at(-1)!.end : code.length;
  if (end > around) throw malformed(`the loop's body ends at ${end}, what is around it at ${around}`);
  if (loops.some((one) => one.level === level)) throw malformed(`a loop of level ${level} inside another`);
  I[level as 0] = 0;
  loops.push({ level, begin, end, count });
};

/** Makes a call; where it leads. */
const enter = (queue: QueueState, { target, frame }: InstructionOf<'call'>['fields']): number => {
  const { pc, code, calls, loops } = queue;
  if (target >= code.length) throw malformed(`calls instruction ${target} of ${code.length}`);
  if (calls.length === callsMax) throw malformed(`calls ${target} with ${callsMax} calls in force`);
  calls.push({ at: pc, frame: queue.frame, loops: loops.length });
  queue.frame += frame;
  return target;
};

/** Ends the call in force, or the queue's step; where that leads. */
const leave = (queue: QueueState): number => {
  const { code, calls, loops } = queue;
  const call = calls.at(-1);
  if (loops.length > (call?.loops ?? 0)) throw malformed(`returns from the loop of instructions ${loops.at(-1)!.begin} to ${loops.at(-1)!.end - 1}`);
  if (call === undefined) return code.length;
  calls.pop();
  queue.frame = call.frame;
  // The call itself may be the last of a loop.
  return call.at + 1;
};

/** Where a queue that comes to `pc` goes on: there, or where the loop begins again that ends there. */
const turn = ({ loops, calls, I }: QueueState, pc: number): number => {
  const outside = calls.at(-1)?.loops ?? 0;
  for (let loop = loops.at(-1); loop !== undefined && loops.length > outside && pc === loop.end; loop = loops.at(-1)) {
    const level = loop.level as 0;
    if (++I[level] < loop.count) return loop.begin;
    I[level] = 0;
    loops.pop();
  }
  return pc;
};
