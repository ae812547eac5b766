import { callsMax, type Queue, queues } from '../../isa-spec/instructions.ts';
import { registerMax, scalars } from '../../isa-spec/scalars.ts';
import type { Standing } from './standing.ts';
import { actionCode, pathOf, type Stream } from './stream.ts';

/** Why a queue is not at work: it waits for a post of that queue, or one of these. */
export const stallReasons = [...queues, 'unposted', 'weights', 'fifo', 'hbm', 'join', 'finished'] as const;
export type StallReason = (typeof stallReasons)[number];
export const stallIndex = Object.fromEntries(stallReasons.map((reason, index) => [reason, index])) as { readonly [R in StallReason]: number };

export const queueIndex = Object.fromEntries(queues.map((queue, index) => [queue, index])) as { readonly [Q in Queue]: number };
export const laneState = { ready: 0, busy: 1, waiting: 2, joining: 3, finished: 4 } as const;

export const levels = 4;
const registers = 32;

/** One queue of one chip, while it runs. */
export class Lane {
  /** Index of its chip, of its queue, and of itself among all lanes. */
  readonly chip: number;
  readonly queue: number;
  readonly index: number;
  readonly stream: Stream;

  pc = 0;
  state: number = laneState.ready;
  /** When the state began. */
  since = 0;
  /** When the last instruction so far completes. */
  complete = 0;
  /** The semaphore waited for. */
  blockedOn = 0;
  /** Slot of costs of the instruction at work, -1 if it has none. */
  slot = -1;
  readonly registers = new Float64Array(registers).fill(0);
  readonly predicates = new Uint8Array(8);
  readonly indices = new Int32Array(levels);
  depth = 0;
  /** Iterations of outermost loops begun after their first. */
  turns = 0;
  readonly loopStart = new Int32Array(levels);
  readonly loopEnd = new Int32Array(levels);
  readonly loopCount = new Float64Array(levels);
  readonly loopLevel = new Int32Array(levels);
  /** Calls in force. Of each: where it goes on, the frame and path it was made in, and the loops open then. */
  calls = 0;
  readonly callBack = new Int32Array(callsMax);
  readonly callFrame = new Int32Array(callsMax);
  readonly callPath = new Int32Array(callsMax);
  readonly callDepth = new Int32Array(callsMax);
  /** Stride set n of an operand is set `frame + n`. */
  frame = 0;
  /** The calls in force as a number: equal ones are equal. */
  path = 0;

  issued = 0;
  readonly stalls = new Float64Array(stallReasons.length);
  /** Busy and stalled cycles by instruction. */
  readonly busyAt: Float64Array;
  readonly stalledAt: Float64Array;

  constructor(chip: number, queue: number, stream: Stream) {
    this.chip = chip;
    this.queue = queue;
    this.index = chip * queues.length + queue;
    this.stream = stream;
    this.registers[0] = registerMax;
    this.busyAt = new Float64Array(stream.length);
    this.stalledAt = new Float64Array(stream.length);
  }

  /** Begins its code anew at `now`. */
  begin(now: number): void {
    this.enter(laneState.ready, now);
    this.pc = 0;
    this.slot = -1;
    this.registers.fill(0);
    this.registers[0] = registerMax;
    this.predicates.fill(0);
  }

  enter(state: number, now: number): void {
    this.state = state;
    this.since = now;
  }

  get busy(): number {
    return this.busyAt.reduce((sum, cycles) => sum + cycles, 0);
  }

  work(cycles: number): void {
    this.busyAt[this.pc]! += cycles;
  }

  stall(reason: number, cycles: number): void {
    this.stalls[reason]! += cycles;
    this.stalledAt[this.pc]! += cycles;
  }

  /** Iteration of the outermost loop; -1 outside of loops. */
  get turn(): number {
    return this.depth === 0 ? -1 : this.indices[this.loopLevel[0]!]!;
  }

  /** All that decides what comes but since when: times from `now` on, the outermost loop's index from `turn` on. */
  standing(now: number, turn: number): Standing {
    const { depth, calls, indices } = this;
    const outer = depth === 0 ? -1 : this.loopLevel[0];
    return [
      this.pc, this.state, this.blockedOn, this.slot, depth, calls, this.frame, this.path, Math.max(0, this.complete - now),
      this.loopStart.subarray(0, depth), ...[this.callBack, this.callFrame, this.callPath, this.callDepth].map((column) => column.subarray(0, calls)), indices.map((index, level) => (level === outer ? index - turn : index)), this.registers, this.predicates,
    ];
  }

  /** Puts everything off by `cycles`. */
  postpone(cycles: number): void {
    this.since += cycles;
    this.complete += cycles;
  }

  /** R[register] <- value; R0 stays what it is. */
  setRegister(register: number, value: number): void {
    if (register !== 0) this.registers[register] = value;
  }

  /** Sets the register of the `salu` at `pc`. False if its result is not in the range it declares. */
  compute(pc: number): boolean {
    const instruction = this.stream.instructions[pc]!;
    if (instruction.op !== 'salu') return true;
    const { function: name, reg, a, b, value, least, most } = instruction.fields;
    const result = scalars[name](this.registers[a]!, b === 0 ? value : this.registers[b]!);
    this.setRegister(reg, result);
    return result >= least && result <= most;
  }

  /** Sets the predicate of the `setp` at `pc`. */
  compare(pc: number): void {
    const instruction = this.stream.instructions[pc]!;
    if (instruction.op !== 'setp') return;
    const { compare, target, reg, value } = instruction.fields;
    const order = Math.sign(this.registers[reg]! - value);
    this.predicates[target] = ({ eq: [0], ne: [-1, 1], lt: [-1], le: [-1, 0], gt: [1], ge: [0, 1] } as const satisfies Record<typeof compare, readonly number[]>)[compare].some((sign) => sign === order) ? 1 : 0;
  }

  /** Whether the instruction at `pc` has its effect. */
  acts(pc: number): boolean {
    const predicate = this.stream.predicate[pc]!;
    return predicate === 0 || this.predicates[predicate] === 1;
  }

  /** First row of the window of the instruction at `pc`. */
  firstRow(pc: number): number {
    return this.stream.rowsMax[pc]! * this.indices[this.stream.rowsLevel[pc]!]!;
  }

  /** Rows left in the window of the instruction at `pc`. */
  rows(pc: number): number {
    return Math.min(this.stream.rowsMax[pc]!, Math.max(0, this.registers[this.stream.rowsRegister[pc]!]! - this.firstRow(pc)));
  }

  /** Loops open outside of the subprogram being run. */
  get #outside(): number {
    return this.calls === 0 ? 0 : this.callDepth[this.calls - 1]!;
  }

  /** The instruction at the head, after closing the loops that end before it. */
  head(): number {
    const outside = this.#outside;
    while (this.depth > outside) {
      const top = this.depth - 1;
      if (this.pc !== this.loopEnd[top]) break;
      const level = this.loopLevel[top]!;
      if (++this.indices[level]! < this.loopCount[top]!) {
        this.pc = this.loopStart[top]!;
        if (top === 0) this.turns++;
        break;
      }
      this.indices[level] = 0;
      this.depth = top;
    }
    return this.pc;
  }

  /** Moves past the instruction at `pc`, which is issued and takes no unit: on, or where control leads. False if it leads nowhere. */
  goOn(action: number, pc: number): boolean {
    if (action === actionCode.loop) return this.#openLoop(pc);
    if (action === actionCode.call) return this.#call(pc);
    if (action === actionCode.return) return this.#return();
    this.pc = pc + 1;
    return true;
  }

  /** Goes from the call at `pc` to its subprogram. False if there is none, or too many calls are in force. */
  #call(pc: number): boolean {
    const { calls, stream } = this;
    const target = stream.a[pc]!;
    if (calls === callsMax || target >= stream.length) return false;
    this.callBack[calls] = pc + 1;
    this.callFrame[calls] = this.frame;
    this.callPath[calls] = this.path;
    this.callDepth[calls] = this.depth;
    this.calls = calls + 1;
    this.frame += stream.b[pc]!;
    this.path = pathOf(stream, this.path, pc);
    this.pc = target;
    return true;
  }

  /** Goes back to after the call in force, or to the end of the code. False inside a loop. */
  #return(): boolean {
    if (this.depth !== this.#outside) return false;
    const last = this.calls - 1;
    this.pc = last < 0 ? this.stream.length : this.callBack[last]!;
    if (last < 0) return true;
    this.calls = last;
    this.frame = this.callFrame[last]!;
    this.path = this.callPath[last]!;
    return true;
  }

  /** Enters the loop at `pc`. False if it nests too deep or its body runs past what is around it. */
  #openLoop(pc: number): boolean {
    const { depth, stream } = this;
    const end = pc + 1 + stream.b[pc]!;
    if (depth === levels || end > (depth === this.#outside ? stream.length : this.loopEnd[depth - 1]!)) return false;
    this.loopStart[depth] = pc + 1;
    this.loopEnd[depth] = end;
    this.loopCount[depth] = stream.a[pc]!;
    this.loopLevel[depth] = stream.level[pc]!;
    this.depth = depth + 1;
    this.pc = pc + 1;
    return true;
  }
}
