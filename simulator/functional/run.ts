import type { Token } from '../../isa-spec/instructions.ts';
import { openStepBlock } from '../../isa-spec/step-block.ts';
import { type Blocked, type FaultPlace, SimulationFault } from '../fault.ts';
import { advancePc } from './control.ts';
import type { MachineState } from './machine-state.ts';
import { weightFifoEntries } from './matrix.ts';
import type { Prepared, PreparedQueue } from './queue.ts';
import { roundRobin, type Schedule } from './schedule.ts';
import type { Chip, QueueState } from './state.ts';
import { offerOf } from './transfer.ts';

/** Told of every instruction after its effect, before its posts; `queue.pc` and `queue.I` are the instruction's. */
export type Observe = (chip: Chip, queue: QueueState) => void;

/** Events told to the host, by chip, and how many instructions ran. */
export type StepResult = { readonly events: readonly (readonly number[])[]; readonly instructions: number };

type Runner = { readonly chip: Chip; readonly queue: QueueState; readonly prepared: readonly Prepared[] };

const semaphoreMax = 15;

/**
 * Runs one step: `blocks[chip]` is the step-control block of a chip (one block serves all, if there is only one). SRAM, accumulators,
 * registers and semaphores start afresh; HBM keeps what earlier steps wrote. Throws SimulationFault, after which the state is not to be used.
 */
export const runStep = (state: MachineState, blocks: readonly Uint8Array[], schedule: Schedule = roundRobin, observe?: Observe): StepResult => {
  const opened = state.chips.map((_, rank) => openStepBlock((blocks[rank] ?? blocks[0])!));
  const entry = opened[0]!.entry;
  const code = state.codeOf(entry);
  const runners = state.chips.flatMap((chip, rank) => {
    begin(chip, opened[rank]!);
    return code[rank]!.map((queue): Runner => ({ chip, queue: queueState(queue), prepared: queue.code }));
  });
  const run = new Run(runners, observe, (id) => state.program.semaphores.find((semaphore) => semaphore.entry === entry && semaphore.id === id)?.purpose);
  runSchedule(run, runners, schedule);
  for (const chip of state.chips) checkBalance(chip);
  return { events: state.chips.map((chip) => [...chip.events]), instructions: run.instructions };
};

const begin = (chip: Chip, step: Chip['step']): void => {
  chip.step = step;
  chip.sram.reset();
  chip.accumulators.reset();
  chip.semaphores.fill(0);
  chip.weightFifo.length = 0;
  chip.events.length = 0;
  chip.attention = undefined;
};

const queueState = ({ name, code, strideSets }: PreparedQueue): QueueState => {
  const R = new Float64Array(32);
  R[0] = 2 ** 32 - 1;
  return { name, code: code.map(({ instruction }) => instruction), strideSets, I: [0, 0, 0, 0], R, frames: [], pc: 0, offer: undefined };
};

const runSchedule = (run: Run, runners: readonly Runner[], schedule: Schedule): void => {
  const count = runners.length;
  let last = 0;
  for (;;) {
    let at = schedule.from(last, count);
    let tries = 0;
    while (tries < count && !run.advance(runners[at]!)) {
      at = (at + schedule.step + count) % count;
      tries++;
    }
    if (tries === count) break;
    if (schedule.burst) while (run.advance(runners[at]!));
    last = at;
  }
  const blocked = runners.flatMap((runner) => run.waitsFor(runner));
  if (blocked.length > 0) throw new SimulationFault('deadlock', `${blocked.length} queues wait for ever`, undefined, blocked);
};

const checkBalance = (chip: Chip): void => {
  const left = [...chip.semaphores.entries()].filter(([, count]) => count > 0).map(([id, count]) => `semaphore ${id} holds ${count}`);
  if (chip.weightFifo.length > 0) left.push(`the weight FIFO holds ${chip.weightFifo.length} entries`);
  if (left.length > 0) throw new SimulationFault('unbalanced', `chip ${chip.rank} has ended its step and ${left.join(', ')}`);
};

const placeOf = ({ chip, queue }: Runner): FaultPlace => ({ chip: chip.rank, queue: queue.name, pc: queue.pc, op: queue.code[queue.pc]!.op, I: [...queue.I] });

/** A step being run. */
class Run {
  instructions = 0;
  readonly #runners: readonly Runner[];
  readonly #observe: Observe | undefined;
  readonly #purposeOf: (semaphore: number) => string | undefined;

  constructor(runners: readonly Runner[], observe: Observe | undefined, purposeOf: (semaphore: number) => string | undefined) {
    this.#runners = runners;
    this.#observe = observe;
    this.#purposeOf = purposeOf;
  }

  /** Runs the queue's next instruction, if it need not wait. A collective goes on twice: when its chip comes, and when all have. */
  advance(runner: Runner): boolean {
    const { chip, queue } = runner;
    const next = runner.prepared[queue.pc];
    if (next === undefined) return false;
    try {
      if (queue.offer !== undefined) return this.#meet();
      if (missing(chip, next) !== undefined || fifoBlocks(chip, next) !== undefined) return false;
      for (const { semaphore, count } of next.waits) chip.semaphores[semaphore]! -= count;
      if (next.instruction.op === 'coll') queue.offer = offerOf(chip, queue, next.instruction.fields);
      else this.#complete(runner, next);
      return true;
    } catch (error) {
      throw error instanceof SimulationFault ? error.at(placeOf(runner)) : error;
    }
  }

  #complete(runner: Runner, { run, posts }: Prepared): void {
    const { chip, queue } = runner;
    run(chip, queue);
    this.#observe?.(chip, queue);
    for (const token of posts) post(chip, token, this.#purposeOf);
    advancePc(queue);
    this.instructions++;
  }

  /** Completes the collective all chips have come to; false if one has not. */
  #meet(): boolean {
    const members = this.#runners.filter(({ queue }) => queue.name === 'col');
    const offers = members.flatMap(({ queue }) => queue.offer ?? []);
    if (offers.length < members.length) return false;
    for (const member of members) {
      member.chip.gathered = offers;
      member.queue.offer = undefined;
      try {
        this.#complete(member, member.prepared[member.queue.pc]!);
      } catch (error) {
        throw error instanceof SimulationFault ? error.at(placeOf(member)) : error;
      }
      member.chip.gathered = [];
    }
    return true;
  }

  /** What the queue waits for; nothing, if it has ended. */
  waitsFor(runner: Runner): readonly Blocked[] {
    const { chip, queue, prepared } = runner;
    const next = prepared[queue.pc];
    if (next === undefined) return [];
    const token = missing(chip, next);
    if (queue.offer !== undefined) {
      const absent = this.#runners.filter((other) => other.queue.name === 'col' && other.queue.offer === undefined).map((other) => other.chip.rank);
      return [{ ...placeOf(runner), waitsFor: `chip ${absent.join(', ')} to come to collective ${queue.offer.tag}` }];
    }
    if (token === undefined) return [{ ...placeOf(runner), waitsFor: fifoBlocks(chip, next) ?? 'nothing' }];
    const purpose = this.#purposeOf(token.semaphore);
    return [{ ...placeOf(runner), waitsFor: `semaphore ${token.semaphore}${purpose === undefined ? '' : ` (${purpose})`} to hold ${token.count}, it holds ${chip.semaphores[token.semaphore]}` }];
  }
}

/** The first wait that is not satisfied. */
const missing = (chip: Chip, { waits }: Prepared): Token | undefined => {
  for (const token of waits) if (chip.semaphores[token.semaphore]! < token.count) return token;
  return undefined;
};

const fifoBlocks = (chip: Chip, { instruction: { op } }: Prepared): string | undefined => {
  if (op === 'wld' && chip.weightFifo.length >= weightFifoEntries) return `room in the weight FIFO, which holds ${chip.weightFifo.length} entries`;
  if (op === 'mm' && chip.weightFifo.length === 0) return 'weights in the weight FIFO';
  return undefined;
};

const post = (chip: Chip, { semaphore, count }: Token, purposeOf: (semaphore: number) => string | undefined): void => {
  const sum = chip.semaphores[semaphore]! + count;
  if (sum > semaphoreMax) {
    const purpose = purposeOf(semaphore);
    throw new SimulationFault('semaphore', `semaphore ${semaphore}${purpose === undefined ? '' : ` (${purpose})`} would hold ${sum}, more than ${semaphoreMax}`);
  }
  chip.semaphores[semaphore] = sum;
};
