import type { Standing } from './standing.ts';

/** A flow ends at the first whole cycle at or after its last byte, less this for rounding. */
const tolerance = 1e-6;

/**
 * One chip's HBM as a fluid: flows share the rate max-min fairly, none above its own cap. Work is in bytes at peak: a flow of b bytes in runs
 * that reach a fraction e of the peak has work b / e. Times are whole cycles.
 */
export class SharedHbm {
  readonly #capacity: number;
  readonly #remaining: Float64Array;
  readonly #cap: Float64Array;
  readonly #rate: Float64Array;
  readonly #slots: number;
  #clock = 0;
  #active = 0;
  /** When the next flow ends, Infinity if there is none. */
  next = Infinity;
  /** Cycles with at least one flow. */
  busy = 0;

  constructor(bytesPerCycle: number, slots: number) {
    this.#capacity = bytesPerCycle;
    this.#slots = slots;
    this.#remaining = new Float64Array(slots);
    this.#cap = new Float64Array(slots);
    this.#rate = new Float64Array(slots);
  }

  /** Starts a flow; `cap` is the highest rate its engine can take (bytes at peak a cycle). */
  begin(slot: number, now: number, work: number, cap: number): void {
    this.#settle(now);
    this.#remaining[slot] = work;
    this.#cap[slot] = cap;
    this.#active++;
    this.#share();
  }

  /** Ends one flow that is done at `now`: its slot, or -1 when none is left. */
  end(now: number): number {
    this.#settle(now);
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#cap[slot] === 0 || this.#remaining[slot]! > Math.max(tolerance, this.#rate[slot]! * 2 * tolerance)) continue;
      this.#cap[slot] = 0;
      this.#active--;
      this.#share();
      return slot;
    }
    this.#share();
    return -1;
  }

  /** Whether others keep the flow in `slot` from its cap. */
  starved(slot: number): boolean {
    return this.#cap[slot]! > 0 && this.#rate[slot]! < this.#cap[slot]! * (1 - 1e-9);
  }

  /** All that decides what comes: the flows, and since when they run. */
  standing(now: number): Standing {
    return [this.#remaining, this.#cap, this.#rate, this.#active === 0 ? 0 : now - this.#clock];
  }

  /** Puts everything off by `cycles`. */
  postpone(cycles: number): void {
    this.#clock += cycles;
    this.next += cycles;
  }

  /** Moves the flows on to `now`. One that ends within a cycle leaves what is left of it to the others. */
  #settle(now: number): void {
    let left = now - this.#clock;
    this.#clock = now;
    if (left === 0 || this.#active === 0) return;
    this.busy += left;
    const rate = this.#rate, remaining = this.#remaining;
    for (;;) {
      let step = left;
      for (let slot = 0; slot < this.#slots; slot++) if (rate[slot]! * step > remaining[slot]!) step = remaining[slot]! / rate[slot]!;
      for (let slot = 0; slot < this.#slots; slot++) remaining[slot] = Math.max(0, remaining[slot]! - rate[slot]! * step);
      left -= step;
      if (this.#active === 1 || left <= tolerance) return;
      this.#divide();
    }
  }

  /** Water-filling: flows capped below the fair share take their cap, the rest share what is left. Those with nothing left take none. */
  #divide(): void {
    const rate = this.#rate, cap = this.#cap;
    let left = this.#capacity;
    let open = 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      const wanting = cap[slot]! > 0 && this.#remaining[slot]! > tolerance;
      rate[slot] = wanting ? -1 : 0;
      if (wanting) open++;
    }
    for (let settled = true; settled && open > 0; ) {
      settled = false;
      const fair = left / open;
      for (let slot = 0; slot < this.#slots; slot++) {
        if (rate[slot] !== -1 || cap[slot]! > fair) continue;
        rate[slot] = cap[slot]!;
        left -= cap[slot]!;
        open--;
        settled = true;
      }
    }
    for (let slot = 0; slot < this.#slots; slot++) if (rate[slot] === -1) rate[slot] = left / open;
  }

  #share(): void {
    this.next = Infinity;
    if (this.#active === 0) return;
    if (this.#active === 1) return this.#alone();
    this.#divide();
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.#cap[slot] === 0) continue;
      const rate = this.#rate[slot]!;
      const end = this.#clock + (rate === 0 ? 0 : Math.max(0, Math.ceil(this.#remaining[slot]! / rate - tolerance)));
      if (end < this.next) this.next = end;
    }
  }

  /** The usual case: one flow has it all. */
  #alone(): void {
    for (let slot = 0; slot < this.#slots; slot++) {
      const cap = this.#cap[slot]!;
      const rate = Math.min(cap, this.#capacity);
      this.#rate[slot] = rate;
      if (cap > 0) this.next = this.#clock + Math.max(0, Math.ceil(this.#remaining[slot]! / rate - tolerance));
    }
  }
}
