import type { StrideSet } from '../../isa-spec/instructions.ts';
import type { Chip } from './chip.ts';
import type { EventHeap } from './heap.ts';
import { type Lane, queueIndex } from './lane.ts';
import { numbersOf } from './standing.ts';

/** A moment at which all that goes on may come again: what decides what comes, and what has added up. */
type Moment = {
  readonly now: number;
  readonly turn: number;
  readonly instructions: number;
  readonly standing: Float64Array;
  readonly lanes: readonly { readonly since: number; readonly issued: number }[];
  readonly chips: readonly { readonly columns: readonly Float64Array[]; readonly totals: Chip['totals']; readonly busy: number }[];
};

/** What lies between two such moments: cycles and instructions. It comes again at most so many `times`. */
export type Period = { readonly cycles: number; readonly instructions: number; readonly times: number };

/**
 * Finds out that the chips repeat themselves in the iterations of their outermost loops. Layers are alike, and what a chip does depends on times only by their
 * differences: where all comes again but for the loops' indices and the hour, all that follows does. An iteration is not like the first, in which weights are read for the first
 * time; and is like no other where windows of rows move with it. What has added up is whole numbers, so the sum of as many is their product.
 */
export class Repetition {
  readonly #chips: readonly Chip[];
  readonly #lanes: readonly Lane[];
  readonly #events: EventHeap;
  readonly #lead: Lane;
  /** Turns and instructions of all lanes when it looked last. */
  #turns = 0;
  #instructions = 0;
  #before: Moment | undefined;
  #found: Moment | undefined;

  constructor(chips: readonly Chip[], events: EventHeap) {
    this.#chips = chips;
    this.#lanes = chips.flatMap(({ lanes }) => lanes);
    this.#events = events;
    this.#lead = chips[0]!.lanes[queueIndex.mxu]!;
  }

  /** Whether a turn of the loop has begun in which everything may be as it was in one before. */
  get isDue(): boolean {
    return this.#lead.turns !== this.#turns;
  }

  /** Looks whether it is. What lies between may then be repeated. */
  look(now: number, instructions: number): Period | undefined {
    const isWorthIt = instructions - this.#instructions >= leastInstructions && this.#chips.every(isPastFirst);
    this.#turns = this.#lead.turns;
    this.#instructions = instructions;
    if (!isWorthIt) {
      this.#before = undefined;
      return undefined;
    }
    const before = this.#before;
    const turns = before === undefined ? 0 : this.#lead.turn - before.turn;
    if (before === undefined || turns <= 0 || turns > patience) {
      this.#before = this.#moment(now, instructions);
      return undefined;
    }
    if (!this.#lanes.every((lane) => isAlike(lane, turns))) return undefined;
    const here = this.#moment(now, instructions);
    if (!this.#isAgain(before, here)) return undefined;
    const times = this.#lanes.reduce((least, { depth, turn, loopCount }) => (depth === 0 ? least : Math.min(least, Math.floor((loopCount[0]! - 1 - turn) / turns))), Infinity);
    this.#found = here;
    return { cycles: now - before.now, instructions: instructions - before.instructions, times };
  }

  /** Puts everything where it is after what was found has come `times` times more. */
  repeat(times: number): void {
    const [before, here] = [this.#before!, this.#found!];
    const cycles = times * (here.now - before.now);
    this.#chips.forEach((chip, index) => {
      const then = before.chips[index]!;
      sumsOf(chip).forEach((column, c) => column.forEach((sum, at) => (column[at] = sum + times * (sum - then.columns[c]![at]!))));
      for (const name of Object.keys(chip.totals) as (keyof Chip['totals'])[]) chip.totals[name] += times * (chip.totals[name] - then.totals[name]);
      chip.hbm.busy += times * (chip.hbm.busy - then.busy);
      chip.postpone(cycles);
    });
    this.#lanes.forEach((lane, index) => {
      const issued = lane.issued - before.lanes[index]!.issued;
      if (issued === 0) return;
      lane.issued += times * issued;
      if (lane.depth > 0) lane.indices[lane.loopLevel[0]!]! += times * (here.turn - before.turn);
      lane.postpone(cycles);
    });
    this.#events.postpone(cycles);
    this.#instructions += times * (here.instructions - before.instructions);
    this.#before = this.#found = undefined;
  }

  #moment(now: number, instructions: number): Moment {
    const { turn } = this.#lead;
    return {
      now, turn, instructions,
      standing: numbersOf([...this.#chips.flatMap((chip) => chip.standing(now)), ...this.#lanes.flatMap((lane) => lane.standing(now, turn)), ...this.#events.standing(now)]),
      lanes: this.#lanes.map(({ since, issued }) => ({ since, issued })),
      chips: this.#chips.map((chip) => ({ columns: sumsOf(chip).map((column) => column.slice()), totals: { ...chip.totals }, busy: chip.hbm.busy })),
    };
  }

  /** Whether all is as it was but for the indices and the hour; lanes that have issued nothing are as they were altogether. */
  #isAgain(before: Moment, here: Moment): boolean {
    if (here.standing.length !== before.standing.length || here.standing.some((value, at) => value !== before.standing[at])) return false;
    const isTimely = here.lanes.every(({ since, issued }, index) => {
      const then = before.lanes[index]!;
      return since - then.since === (issued === then.issued ? 0 : here.now - before.now);
    });
    return isTimely && [before, here].every(({ chips }) => chips.every(({ columns, totals }) => columns.every((column) => column.every(Number.isInteger)) && Object.values(totals).every(Number.isInteger)));
  }
}

/** Instructions in a turn that are more work than to look whether it is another's like; turns to wait for a moment to come again. */
const leastInstructions = 256;
const patience = 4;

const sumsOf = ({ idle, unattended, regionBytes, lanes }: Chip): readonly Float64Array[] => [idle, unattended, regionBytes, ...lanes.flatMap(({ stalls, busyAt, stalledAt }) => [stalls, busyAt, stalledAt])];

/** Whether no queue is in the first turn of a loop for which it matters: it reads weights for the first time, or overwrites accumulators. */
const isPastFirst = ({ lanes }: Chip): boolean => [queueIndex.dma0, queueIndex.dma1, queueIndex.mxu].every((queue) => lanes[queue]!.turn !== 0);

/** Whether every turn of a lane's outermost loop but the first is like that `turns` before: what the loop moves counts for nothing, or is where it was. */
function isAlike({ stream, depth, loopLevel, loopStart, loopEnd }: Lane, turns: number): boolean {
  if (depth === 0) return true;
  const level = loopLevel[0]!;
  const isBack = ({ strides, ring }: StrideSet): boolean => strides[level] === 0 && (ring.depth < 2 || (turns * ring.steps[level]!) % ring.depth === 0);
  // What is called may be anywhere, and in any frame.
  const calls = stream.paths.size > 0;
  for (let pc = calls ? 0 : loopStart[0]!; pc < (calls ? stream.length : loopEnd[0]!); pc++) {
    if (stream.rowsMax[pc]! > 0 && stream.rowsLevel[pc] === level) return false;
    const ss = stream.accStride[pc]!;
    if (ss !== 0 && !(calls ? stream.strideSets : [stream.strideSets[ss]!]).every(isBack)) return false;
  }
  return true;
}
