import { type FaultPlace, placeText, SimulationFault } from '../fault.ts';
import { Tokens } from './tokens.ts';

/** Grains a page of shadow covers. */
const pageGrains = 4096;

/** Of each grain: the instruction that wrote it last, and by queue of the chip the one that read it last; 0: none. */
type Page = { readonly writer: Int32Array; readonly readers: (Int32Array | undefined)[] };

/** Shadow of a memory. A grain is `grain` of its units; `linesOf` names grains from first to last. */
export type Shadow = { readonly grain: number; readonly linesOf: (first: number, last: number) => string; readonly pages: Map<number, Page> };

export const shadowOf = (grain: number, linesOf: Shadow['linesOf']): Shadow => ({ grain, linesOf, pages: new Map() });

/** When something was: by queue, how many of its instructions came before. */
type Clock = Float64Array;

type Describe = (queue: number, pc: number, I: readonly number[], calls: readonly number[]) => FaultPlace;

/**
 * Finds accesses to the same memory that nothing orders, one of them a write. What orders instructions: their queue; a token, from its
 * post to its wait (the k-th taken is the k-th posted); weights, from their push to the product that takes them; a collective, of whose
 * members each comes before all others go on. Room in the weight FIFO orders nothing: its size is the machine's.
 *
 * Happens-before is tracked with vector clocks (Fidge 1988, Mattern 1989), accesses as in FastTrack (Flanagan and Freund 2009). Where every
 * semaphore has one poster and one waiter the order is the program's, not the schedule's: one run without a race proves all.
 */
export class Races {
  readonly #perChip: number;
  readonly #clocks: readonly Clock[];
  readonly #tokens = new Tokens<Clock>();
  /** Of each instruction begun, from 1: its queue, how many of the queue's it was, and pc and I, five numbers. */
  readonly #queueOf = [0];
  readonly #clockOf = [0];
  readonly #placeOf = [0, 0, 0, 0, 0];
  readonly #callsOf: (readonly number[])[] = [[]];
  /** By queue, the number of its instruction. */
  readonly #current: number[];
  readonly #describe: Describe;
  #active = 0;

  constructor(queues: number, perChip: number, describe: Describe) {
    this.#perChip = perChip;
    this.#describe = describe;
    this.#clocks = Array.from({ length: queues }, () => new Float64Array(queues));
    this.#current = Array.from({ length: queues }, () => 0);
  }

  /** The queue begins an instruction, whose tokens it then takes. `calls`: those in force. */
  begin(queue: number, pc: number, I: readonly number[], calls: readonly number[]): void {
    this.#active = queue;
    this.#current[queue] = this.#queueOf.length;
    this.#queueOf.push(queue);
    this.#clockOf.push(++this.#clocks[queue]![queue]!);
    this.#placeOf.push(pc, ...I);
    this.#callsOf.push(calls);
  }

  /** The queue goes on with the instruction it has begun. */
  resume(queue: number): void {
    this.#active = queue;
  }

  post(key: number, count: number): void {
    this.#tokens.give(key, count, this.#clocks[this.#active]!.slice());
  }

  take(key: number, count: number): void {
    for (const clock of this.#tokens.take(key, count)) join(this.#clocks[this.#active]!, clock);
  }

  /** All these queues have come to the same point. */
  meet(queues: readonly number[]): void {
    const all = new Float64Array(this.#clocks.length);
    for (const queue of queues) join(all, this.#clocks[queue]!);
    for (const queue of queues) join(this.#clocks[queue]!, all);
  }

  access(shadow: Shadow, access: 'read' | 'write', first: number, count: number): void {
    if (count <= 0) return;
    const last = Math.floor((first + count - 1) / shadow.grain);
    for (let at = Math.floor(first / shadow.grain); at <= last; ) {
      const number = Math.floor(at / pageGrains);
      const from = at - number * pageGrains;
      const to = Math.min(pageGrains, from + last - at + 1);
      const page = shadow.pages.get(number) ?? { writer: new Int32Array(pageGrains), readers: [] };
      shadow.pages.set(number, page);
      this.#mark(shadow, page, access, [number * pageGrains, from, to]);
      at += to - from;
    }
  }

  #mark(shadow: Shadow, page: Page, access: 'read' | 'write', [base, from, to]: readonly [number, number, number]): void {
    const here = access === 'write' ? 'written' : 'read';
    const against = (marks: Int32Array, there: 'written' | 'read'): void => {
      const at = this.#unordered(marks, from, to);
      if (at < 0) return;
      let end = at;
      while (end + 1 < to && marks[end + 1] === marks[at]) end++;
      throw this.#race(marks[at]!, `${shadow.linesOf(base + at, base + end)}: ${here} here, ${there}`);
    };
    against(page.writer, 'written');
    const own = this.#active % this.#perChip;
    const mine = this.#current[this.#active]!;
    if (access === 'write') {
      page.readers.forEach((marks, queue) => {
        if (queue !== own && marks !== undefined) against(marks, 'read');
      });
      page.writer.fill(mine, from, to);
    } else {
      (page.readers[own] ??= new Int32Array(pageGrains)).fill(mine, from, to);
    }
  }

  /** The first grain whose mark is of an instruction not known to be before this one, or -1. */
  #unordered(marks: Int32Array, from: number, to: number): number {
    const clock = this.#clocks[this.#active]!;
    let ordered = 0;
    for (let at = from; at < to; at++) {
      const mark = marks[at]!;
      if (mark === ordered || mark === 0) continue;
      const queue = this.#queueOf[mark]!;
      if (queue !== this.#active && clock[queue]! < this.#clockOf[mark]!) return at;
      ordered = mark;
    }
    return -1;
  }

  #race(other: number, what: string): SimulationFault {
    const [pc, ...I] = this.#placeOf.slice(5 * other, 5 * other + 5) as [number, ...number[]];
    const place = this.#describe(this.#queueOf[other]!, pc, I, this.#callsOf[other]!);
    return new SimulationFault('race', `${what} by ${placeText(place)}, and nothing orders the two`, undefined, [], place);
  }
}

const join = (into: Clock, from: Clock): void => {
  for (let i = 0; i < into.length; i++) if (from[i]! > into[i]!) into[i] = from[i]!;
};
