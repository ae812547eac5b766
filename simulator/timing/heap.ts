import type { Standing } from './standing.ts';

/** Events ordered by time: a queue becomes free (`pc` -1), or the posts of the instruction at `pc` of a queue become visible. */
export class EventHeap {
  #times = new Float64Array(256);
  #queues = new Int32Array(256);
  #pcs = new Int32Array(256);
  #size = 0;
  /** Queue and instruction of the event `pop` took last. */
  queue = 0;
  pc = 0;

  /** Time of the next event, Infinity if there is none. */
  get next(): number {
    return this.#size === 0 ? Infinity : this.#times[0]!;
  }

  push(time: number, queue: number, pc: number): void {
    if (this.#size === this.#times.length) this.#grow();
    const times = this.#times, queues = this.#queues, pcs = this.#pcs;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent]! <= time) break;
      times[at] = times[parent]!;
      queues[at] = queues[parent]!;
      pcs[at] = pcs[parent]!;
      at = parent;
    }
    times[at] = time;
    queues[at] = queue;
    pcs[at] = pc;
  }

  /** Takes the next event: its time, the rest in `queue` and `pc`. */
  pop(): number {
    const times = this.#times, queues = this.#queues, pcs = this.#pcs;
    const time = times[0]!;
    this.queue = queues[0]!;
    this.pc = pcs[0]!;
    const last = --this.#size;
    const moved = times[last]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= moved) break;
      times[at] = times[child]!;
      queues[at] = queues[child]!;
      pcs[at] = pcs[child]!;
      at = child;
    }
    times[at] = moved;
    queues[at] = queues[last]!;
    pcs[at] = pcs[last]!;
    return time;
  }

  /** All events, in the order that decides which of one time comes first; times from `now` on. */
  standing(now: number): Standing {
    const standing: number[] = [];
    for (let at = 0; at < this.#size; at++) standing.push(this.#times[at]! - now, this.#queues[at]!, this.#pcs[at]!);
    return standing;
  }

  /** Puts everything off by `cycles`. */
  postpone(cycles: number): void {
    for (let at = 0; at < this.#size; at++) this.#times[at]! += cycles;
  }

  #grow(): void {
    const size = 2 * this.#times.length;
    const times = new Float64Array(size), queues = new Int32Array(size), pcs = new Int32Array(size);
    times.set(this.#times);
    queues.set(this.#queues);
    pcs.set(this.#pcs);
    this.#times = times;
    this.#queues = queues;
    this.#pcs = pcs;
  }
}
