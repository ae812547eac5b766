import type { Watched } from '../memory.ts';
import { Tokens } from './tokens.ts';

/** A range and what it would hold: swapped with what it holds to show the write, and again to hide it. */
type Write = { readonly memory: Watched; readonly first: number; readonly count: number; bytes: Uint8Array };
type Unseen = { readonly turn: number; readonly writes: readonly Write[] };

const swap = (write: Write): void => {
  const now = write.memory.copy(write.first, write.count);
  write.memory.put(write.first, write.bytes);
  write.bytes = now;
};

/**
 * Writes nobody but their own queue sees until they must be seen: when a token posted after them is taken, or all queues meet. Queues are
 * numbered. A queue's instructions complete in order, so its token makes all it wrote before visible.
 */
export class LateWrites {
  readonly #unseen: Unseen[][];
  readonly #turns: number[];
  readonly #tokens = new Tokens<{ readonly queue: number; readonly turn: number }>();
  #writes: Write[] = [];

  constructor(queues: number) {
    this.#unseen = Array.from({ length: queues }, () => []);
    this.#turns = Array.from({ length: queues }, () => 0);
  }

  /** The queue is about to run an instruction: it sees its own writes. */
  show(queue: number): void {
    for (const { writes } of this.#unseen[queue]!) writes.forEach(swap);
    this.#writes = [];
  }

  /** The instruction is about to write. */
  write(memory: Watched, first: number, count: number): void {
    if (count <= 0) return;
    this.#writes.push({ memory, first, count, bytes: memory.copy(first, count) });
  }

  /** The instruction is done: what the queue wrote is hidden. */
  hide(queue: number): void {
    const unseen = this.#unseen[queue]!;
    const turn = ++this.#turns[queue]!;
    if (this.#writes.length > 0) unseen.push({ turn, writes: this.#writes });
    for (const { writes } of unseen.toReversed()) writes.toReversed().forEach(swap);
    this.#writes = [];
  }

  post(queue: number, key: number, count: number): void {
    this.#tokens.give(key, count, { queue, turn: this.#turns[queue]! });
  }

  take(key: number, count: number): void {
    for (const { queue, turn } of this.#tokens.take(key, count)) this.reveal(queue, turn);
  }

  /** All may see what the queue has written up to a turn. */
  reveal(queue: number, turn = Infinity): void {
    const unseen = this.#unseen[queue]!;
    while (unseen[0] !== undefined && unseen[0].turn <= turn) unseen.shift()!.writes.forEach(swap);
  }

  /** The step has ended. */
  revealAll(): void {
    this.#unseen.forEach((_, queue) => this.reveal(queue));
  }
}
