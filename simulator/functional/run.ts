import { firstOf } from '../../isa-spec/groups.ts';
import { queues, type Token } from '../../isa-spec/instructions.ts';
import { openStepBlock } from '../../isa-spec/step-block.ts';
import { type Blocked, type FaultPlace, SimulationFault } from '../fault.ts';
import type { Watched } from '../memory.ts';
import { advancePc } from './control.ts';
import { LateWrites } from './late.ts';
import type { MachineState } from './machine-state.ts';
import { weightFifoEntries } from './matrix.ts';
import { type Prepared, queueState } from './queue.ts';
import { Races, type Shadow, shadowOf } from './races.ts';
import { roundRobin, type Schedule } from './schedule.ts';
import type { Chip, Offer, QueueState } from './state.ts';
import { offerOf } from './collective.ts';

/** Told of every instruction after its effect, before its posts; `queue.pc` and `queue.I` are the instruction's. */
export type Observe = (chip: Chip, queue: QueueState) => void;

/** Events told to the host, by chip, and how many instructions ran. */
export type StepResult = { readonly events: readonly (readonly number[])[]; readonly instructions: number };

/** What a run looks out for: races of every access (slow), and more instructions than it may take. */
export type Checks = { readonly races: boolean; readonly instructions: number };
export const noChecks: Checks = { races: false, instructions: Infinity };

/** A queue of a chip, in the order of chips and queues. */
export type Runner = { readonly index: number; readonly chip: Chip; readonly queue: QueueState; readonly prepared: readonly Prepared[] };

const semaphoreMax = 15;

/**
 * Runs one step: `blocks[chip]` is the step-control block of a chip (one block serves all, if there is only one), which says the entry it runs. SRAM, accumulators,
 * registers and semaphores start afresh; HBM keeps what earlier steps wrote. Throws SimulationFault, after which the state is not to be used.
 */
export const runStep = (state: MachineState, blocks: readonly Uint8Array[], schedule: Schedule = roundRobin, observe?: Observe, checks: Checks = noChecks): StepResult => {
  const run = new StepRun(state, blocks, schedule, observe, checks);
  while (run.advance());
  return run.finish();
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

const checkBalance = (chip: Chip): void => {
  const left = [...chip.semaphores.entries()].filter(([, count]) => count > 0).map(([id, count]) => `semaphore ${id} holds ${count}`);
  if (chip.weightFifo.length > 0) left.push(`the weight FIFO holds ${chip.weightFifo.length} entries`);
  if (left.length > 0) throw new SimulationFault('unbalanced', `chip ${chip.rank} has ended its step and ${left.join(', ')}`);
};

/** The semaphores of a chip, among those of all. */
const keyOf = (chip: Chip, semaphore: number): number => chip.rank * 256 + semaphore;

/** A step under way, an instruction at a time. See `runStep`. */
export class StepRun {
  instructions = 0;
  readonly runners: readonly Runner[];
  readonly #state: MachineState;
  readonly #schedule: Schedule;
  readonly #observe: Observe | undefined;
  readonly #limit: number;
  readonly #races: Races | undefined;
  readonly #late: LateWrites | undefined;
  #last = 0;
  #picked: Runner | undefined;

  constructor(state: MachineState, blocks: readonly Uint8Array[], schedule: Schedule, observe: Observe | undefined, checks: Checks) {
    const opened = state.chips.map((_, rank) => openStepBlock((blocks[rank] ?? blocks[0])!));
    this.#state = state;
    this.#schedule = schedule;
    this.#observe = observe;
    this.#limit = checks.instructions;
    this.runners = state.chips.flatMap((chip, rank) => {
      begin(chip, opened[rank]!);
      if (!(state.program.entries[chip.step.entry]?.chips.includes(rank) ?? true)) throw new RangeError(`chip ${rank} is to run entry ${chip.step.entry}, which is not its own`);
      return state.codeOf(chip.step.entry)[rank]!.map((queue, i): Runner => ({ index: rank * queues.length + i, chip, queue: queueState(queue), prepared: queue.code }));
    });
    this.#races = checks.races ? new Races(this.runners.length, queues.length, (index, pc, I, calls) => this.#placeAt(this.runners[index]!, pc, I, calls)) : undefined;
    this.#late = schedule.visible === 'when awaited' ? new LateWrites(this.runners.length) : undefined;
    for (const chip of state.chips) watchMemories(chip, this.#races, this.#late);
  }

  /** The queue whose turn it is: the first that can go on, as the schedule has it. Undefined if none can. */
  next(): Runner | undefined {
    if (this.#picked !== undefined) return this.#picked;
    const { burst, step, from } = this.#schedule;
    const { runners } = this;
    const count = runners.length;
    if (burst && this.#canGo(runners[this.#last]!)) return (this.#picked = runners[this.#last]);
    let at = from(this.#last, count);
    for (let tries = 0; tries < count; tries++) {
      if (this.#canGo(runners[at]!)) return (this.#picked = runners[at]);
      at = (at + step + count) % count;
    }
    return undefined;
  }

  /** Runs the next instruction of the queue whose turn it is; false if none can go on. A collective goes on twice: when its chip comes, and when all have. */
  advance(): boolean {
    const runner = this.next();
    if (runner === undefined) return false;
    this.#picked = undefined;
    this.#last = runner.index;
    const { chip, queue, prepared, index } = runner;
    const next = prepared[queue.pc]!;
    try {
      if (queue.offer !== undefined) {
        this.#meet(runner);
        return true;
      }
      this.#races?.begin(index, queue.pc, queue.I, callsOf(queue));
      for (const { semaphore, count } of next.waits) {
        chip.semaphores[semaphore]! -= count;
        this.#races?.take(keyOf(chip, semaphore), count);
        this.#late?.take(keyOf(chip, semaphore), count);
      }
      if (next.instruction.op === 'coll') {
        this.#late?.show(index);
        queue.offer = offerOf(chip, queue, next.instruction.fields, this.#state.chips.length);
        this.#late?.hide(index);
      } else this.#complete(runner, next);
      return true;
    } catch (error) {
      throw error instanceof SimulationFault ? error.at(this.placeOf(runner)) : error;
    }
  }

  /** Ends the step. Throws SimulationFault if queues wait, or tokens are left. */
  finish(): StepResult {
    const blocked = this.waiting();
    if (blocked.length > 0) throw new SimulationFault('deadlock', `${blocked.length} queues wait for ever`, undefined, blocked);
    this.#late?.revealAll();
    for (const chip of this.#state.chips) {
      for (const memory of memoriesOf(chip)) memory.witness = undefined;
      checkBalance(chip);
    }
    return { events: this.#state.chips.map((chip) => [...chip.events]), instructions: this.instructions };
  }

  /** What each queue that has not ended waits for: `nothing`, if it can go on. */
  waiting(): readonly Blocked[] {
    return this.runners.flatMap((runner) => this.#waitsFor(runner));
  }

  /** The instruction a queue is at. */
  placeOf({ index, queue }: Runner): FaultPlace {
    return this.#placeAt(this.runners[index]!, queue.pc, queue.I, callsOf(queue));
  }

  #placeAt({ chip, queue }: Runner, pc: number, I: readonly number[], calls: readonly number[]): FaultPlace {
    const { labels, entries } = this.#state.program.debugMap;
    const label = labels[entries[chip.step.entry]?.[queue.name]?.[pc] ?? -1]?.label;
    return { chip: chip.rank, queue: queue.name, pc, op: queue.code[pc]!.op, I: [...I], calls, ...(label === undefined ? {} : { label }) };
  }

  #purposeOf(chip: Chip, semaphore: number): string | undefined {
    return this.#state.program.semaphores.find(({ entry, id }) => entry === chip.step.entry && id === semaphore)?.purpose;
  }

  #canGo({ chip, queue, prepared }: Runner): boolean {
    const next = prepared[queue.pc];
    if (next === undefined) return false;
    if (queue.offer !== undefined) return this.#membersOf(chip, queue.offer).every((member) => hasCome(member, queue.offer!));
    return missing(chip, next) === undefined && fifoBlocks(chip, next) === undefined;
  }

  #complete({ chip, queue, index }: Runner, { run, posts, instruction: { op } }: Prepared): void {
    if (this.instructions >= this.#limit) throw new SimulationFault('limit', `the step takes more than ${this.#limit} instructions`);
    if (op === 'mm') this.#races?.take(keyOf(chip, weightFifoKey), 1);
    this.#late?.show(index);
    run(chip, queue);
    this.#observe?.(chip, queue);
    this.#late?.hide(index);
    if (op === 'wld') this.#races?.post(keyOf(chip, weightFifoKey), 1);
    for (const token of posts) {
      this.#post(chip, token);
      this.#races?.post(keyOf(chip, token.semaphore), token.count);
      this.#late?.post(index, keyOf(chip, token.semaphore), token.count);
    }
    advancePc(queue);
    this.instructions++;
  }

  /** The queues that meet in the collective a chip has come to. */
  #membersOf({ rank }: Chip, { members }: Offer): readonly Runner[] {
    return this.runners.filter(({ chip, queue }) => queue.name === 'col' && firstOf(chip.rank, members) === firstOf(rank, members));
  }

  /** Completes the collective a queue and all that meet it have come to. */
  #meet({ chip, queue }: Runner): void {
    const members = this.#membersOf(chip, queue.offer!);
    const offers = members.map(({ queue }) => queue.offer!);
    this.#races?.meet(members.map(({ index }) => index));
    for (const { index } of members) this.#late?.reveal(index);
    for (const member of members) {
      member.chip.gathered = offers;
      member.queue.offer = undefined;
      this.#races?.resume(member.index);
      try {
        this.#complete(member, member.prepared[member.queue.pc]!);
      } catch (error) {
        throw error instanceof SimulationFault ? error.at(this.placeOf(member)) : error;
      }
      member.chip.gathered = [];
    }
  }

  #post(chip: Chip, { semaphore, count }: Token): void {
    const sum = chip.semaphores[semaphore]! + count;
    if (sum > semaphoreMax) throw new SimulationFault('semaphore', `semaphore ${semaphore}${inBrackets(this.#purposeOf(chip, semaphore))} would hold ${sum}, more than ${semaphoreMax}`);
    chip.semaphores[semaphore] = sum;
  }

  #waitsFor(runner: Runner): readonly Blocked[] {
    const { chip, queue, prepared } = runner;
    const next = prepared[queue.pc];
    if (next === undefined) return [];
    const place = this.placeOf(runner);
    if (queue.offer !== undefined) {
      const absent = this.#membersOf(chip, queue.offer).filter((other) => !hasCome(other, queue.offer!)).map((other) => other.chip.rank);
      return [{ ...place, waitsFor: absent.length === 0 ? 'nothing' : `chip ${absent.join(', ')} to come to collective ${queue.offer.tag}` }];
    }
    const token = missing(chip, next);
    if (token === undefined) return [{ ...place, waitsFor: fifoBlocks(chip, next) ?? 'nothing' }];
    return [{ ...place, waitsFor: `semaphore ${token.semaphore}${inBrackets(this.#purposeOf(chip, token.semaphore))} to hold ${token.count}, it holds ${chip.semaphores[token.semaphore]}` }];
  }
}

/** The calls in force, by their pc. */
const noCalls: readonly number[] = [];
const callsOf = ({ calls }: QueueState): readonly number[] => (calls.length === 0 ? noCalls : calls.map(({ at }) => at));

const inBrackets = (purpose: string | undefined): string => (purpose === undefined ? '' : ` (${purpose})`);

/** Stands for the weight FIFO among the semaphores, of which 0 is none. */
const weightFifoKey = 0;

const memoriesOf = ({ sram, accumulators, hbm }: Chip): readonly Watched[] => [sram, accumulators, ...Object.values(hbm)];

/** Has the accesses of a chip's memories told to who wants to know. */
const watchMemories = ({ sram, accumulators, hbm, geometry: { lineBytes, accumulatorRows } }: Chip, races: Races | undefined, late: LateWrites | undefined): void => {
  const watch = (memory: Watched, shadow: Shadow): void => {
    memory.witness = (access, first, count) => {
      races?.access(shadow, access, first, count);
      if (access === 'write') late?.write(memory, first, count);
    };
    if (races === undefined && late === undefined) memory.witness = undefined;
  };
  const lines = (first: number, last: number): string => fromTo('line', Math.floor((first * wordBytes) / lineBytes), Math.floor((last * wordBytes) / lineBytes));
  watch(sram, shadowOf(wordBytes, (first, last) => `SRAM ${lines(first, last)}`));
  for (const [name, region] of Object.entries(hbm)) watch(region, shadowOf(wordBytes, (first, last) => `HBM \`${name}\` ${lines(first, last)}`));
  watch(accumulators, shadowOf(1, (first, last) => `array ${Math.floor(first / accumulatorRows)} accumulator ${fromTo('row', first % accumulatorRows, first % accumulatorRows + last - first)}`));
};

/** Row lists share lines between windows, so races are looked for word by word. */
const wordBytes = 4;
const fromTo = (unit: string, first: number, last: number): string => (first === last ? `${unit} ${first}` : `${unit}s ${first} to ${last}`);

/** Whether a queue waits for as many chips as `offer` does: groups lie within one another, so it is for the same. */
const hasCome = ({ queue }: Runner, { members }: Offer): boolean => queue.offer?.members === members;

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
