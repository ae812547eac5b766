import { queues } from '../../isa-spec/instructions.ts';
import type { Lane } from './lane.ts';

/** Why an instruction did not start before: nothing was before it, its queue was at the one before, it waited for a post, or for the other chips. */
export const links = ['beginning', 'order', 'data', 'join'] as const;
export type Link = (typeof links)[number];

/** An instruction once it is issued: where, in which layer, when its unit was taken and left, the cycles it needs undisturbed, and when it completed. `because`: the one it started after, -1 if none. */
type Started = { readonly lane: number; readonly pc: number; readonly layer: number; start: number; end: number; needs: number; completed: number; because: number; link: Link; turn: number };

const none = -1;

/** What every instruction of some steps started after. For whoever asks: without one the simulation does not stop to write. */
export class Recording {
  readonly started: Started[] = [];
  /** By chip, its loads of weights and its products, in order: the n-th product takes the n-th load. `turn` of an instruction is its place there. */
  readonly loads: number[][] = [];
  readonly products: number[][] = [];
  /** By lane: the instruction at its unit; what held its queue up last, and how; the one that completes last so far; posts under way, with whom they are by. */
  readonly #current: number[] = [];
  readonly #after: { readonly by: number; readonly link: Link }[] = [];
  readonly #completing: number[] = [];
  readonly #posts: { readonly pc: number; readonly by: number }[][] = [];
  /** What the step under way began after: the one that completed the step before. */
  #before = none;

  /** A step begins on all lanes. */
  begins(lanes: readonly Lane[]): void {
    this.#before = this.lastOf(lanes);
    this.#after.length = 0;
    this.#completing.length = 0;
  }

  issued(lane: Lane, now: number): void {
    const { by, link } = this.#after[lane.index] ?? { by: this.#before, link: 'beginning' };
    this.#current[lane.index] = this.started.length;
    this.started.push({ lane: lane.index, pc: lane.pc, layer: lane.indices[0]!, start: now, end: now, needs: 0, completed: now, because: by, link, turn: none });
  }

  /** The instruction at the unit, which takes `cycles` if nothing disturbs it. */
  needs({ index }: Lane, cycles: number): void {
    this.started[this.#current[index]!]!.needs = cycles;
  }

  /** The instruction at the unit is the next of `loads` or `products`. */
  takesTurn(of: number[][], { index, chip }: Lane): void {
    const turns = (of[chip] ??= []);
    this.started[this.#current[index]!]!.turn = turns.length;
    turns.push(this.#current[index]!);
  }

  /** The last of the lanes that join has come: all start now, after what it started after. */
  joined(lanes: readonly Lane[], last: Lane, now: number): void {
    const { because } = this.started[this.#current[last.index]!]!;
    for (const { index } of lanes) Object.assign(this.started[this.#current[index]!]!, { start: now, ...(index === last.index ? {} : { because, link: 'join' }) });
  }

  retired({ index }: Lane, now: number, latency: number): void {
    const own = this.#current[index]!;
    Object.assign(this.started[own]!, { end: now, completed: now + latency });
    this.#after[index] = { by: own, link: 'order' };
  }

  /** What the lane came to last is what its posts now wait for. */
  completes({ index }: Lane): void {
    this.#completing[index] = this.#after[index]?.by ?? this.#before;
  }

  posted({ index }: Lane, pc: number): void {
    (this.#posts[index] ??= []).push({ pc, by: this.#completing[index] ?? this.#before });
  }

  /** The posts of the instruction at `pc` are visible. Who they are by. */
  delivered({ index }: Lane, pc: number): number {
    const posts = this.#posts[index]!;
    return posts.splice(posts.findIndex((post) => post.pc === pc), 1)[0]!.by;
  }

  woken({ index }: Lane, by: number): void {
    this.#after[index] = { by, link: 'data' };
  }

  /** The last to complete in the step under way, or before it; -1 if none has. */
  lastOf(lanes: readonly Lane[]): number {
    const last = lanes.reduce((most, lane) => (lane.complete > most.complete ? lane : most));
    return this.#completing[last.index] ?? this.#before;
  }
}

/** What the time between two instructions of a path goes by: the unit at work, waiting for weights, for room in the FIFO, for its share of HBM; its result, then the news of it, on the way. */
export const pathCauses = ['work', 'weights', 'fifo', 'hbm', 'latency', 'synchronisation'] as const;
export type PathCause = (typeof pathCauses)[number];

/** Cycles `from` to `to` of the steps, which passed for the sake of an instruction; `instance` numbers its executions. */
export type Segment = { readonly lane: number; readonly pc: number; readonly layer: number; readonly from: number; readonly to: number; readonly cause: PathCause; readonly instance: number; readonly link: Link };

const heldBy: Readonly<Record<(typeof queues)[number], PathCause>> = { ctl: 'work', dma0: 'hbm', dma1: 'hbm', wld: 'fifo', mxu: 'weights', epi: 'work', att: 'hbm', vec: 'work', col: 'work' };

/**
 * The chain of instructions that makes steps as long as they are, from the end of the last back to the beginning of the first: each the last thing the one after
 * it waited for. The segments follow each other without a gap, so that they add up to all cycles.
 */
export function criticalPath({ started, loads, products }: Recording, last: number, cycles: number): readonly Segment[] {
  const segments: Segment[] = [];
  let at = cycles;
  const spend = (instance: number, from: number, cause: PathCause): void => {
    const { lane, pc, layer, link } = started[instance]!;
    if (from < at) segments.push({ lane, pc, layer, from, to: at, cause, instance, link });
    at = Math.min(at, from);
  };
  for (let instance = last; instance >= 0; ) {
    const own = started[instance]!;
    const queue = queues[own.lane % queues.length]!;
    const chip = Math.floor(own.lane / queues.length);
    spend(instance, own.completed, 'synchronisation');
    spend(instance, own.end, 'latency');
    if (queue === 'wld' && own.turn >= 0 && own.end - own.start > own.needs && at === own.end) {
      // Room in the FIFO comes of the product under way.
      const product = underWay(products[chip] ?? [], started, own.turn, at);
      if (product !== undefined) {
        instance = product;
        continue;
      }
    }
    const load = queue === 'mxu' && own.turn >= 0 ? started[loads[chip]![own.turn]!]! : own;
    // A product whose weights came late hangs on what those waited for.
    const from = load.start > own.start && load.start < at ? load : own;
    spend(instance, from.start + Math.max(0, at - from.start - own.needs), 'work');
    spend(instance, from.start, heldBy[queue]);
    // Posts of loops and counts are nobody's: the first step begins with them.
    if (from.because === none) spend(instance, 0, 'synchronisation');
    instance = from.because;
  }
  return segments.toReversed();
}

/** The last of the products up to that of a load that started before `time`. */
function underWay(products: readonly number[], started: readonly Started[], turn: number, time: number): number | undefined {
  for (let n = Math.min(turn, products.length - 1); n >= 0; n--) if (started[products[n]!]!.start < time) return products[n];
  return undefined;
}
