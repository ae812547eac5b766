import type { Queue, Token } from '../isa-spec/instructions.ts';
import type { ChipView } from './chip.ts';
import { Cursor } from './unroll.ts';
import { tokensOf } from './unroll.ts';

/** Entries the weight FIFO of a chip holds: one being multiplied by, one coming. */
export const fifoEntries = 2;
/** Instructions to play before giving up: no compiled program comes near, a hostile one does. */
const patience = 20_000_000;

/** Why a queue cannot go on. */
export type Want = { readonly kind: 'token'; readonly semaphore: number; readonly has: number; readonly needs: number } | { readonly kind: 'room' } | { readonly kind: 'weights' };
export type Blocked = { readonly queue: Queue; readonly pc: number; readonly I: readonly number[]; readonly wants: readonly Want[] };

/** The end of a run. `counts`: tokens left of each semaphore; `fifo`: weights left. `lastPost`: who gave a semaphore's last token. */
export type Game = {
  readonly end: 'done' | 'stuck' | 'unknown';
  readonly counts: Uint32Array;
  readonly fifo: number;
  readonly blocked: readonly Blocked[];
  readonly lastPost: ReadonlyMap<number, { readonly queue: Queue; readonly pc: number }>;
};

type Step = { readonly waits: readonly Token[]; readonly posts: readonly Token[]; readonly fifo: -1 | 0 | 1 };
type Player = { readonly queue: Queue; readonly cursor: Cursor; readonly steps: readonly Step[] };

/**
 * Plays a chip's queues against each other until all are done or none can move. One run decides for all timings as long as
 * every semaphore has one waiter (V04): then nothing one queue does can take away what another could do.
 *
 * Queues move in rounds, at most one iteration of their outermost loop each. When a round ends like an earlier one but for
 * the index of that loop, what lies between will repeat, and the remaining repetitions are skipped.
 */
export function play(chip: ChipView): Game {
  const players = chip.queues.map(({ queue, code }): Player => ({
    queue, cursor: new Cursor(code),
    steps: code.map((instruction) => ({ waits: tokensOf(instruction, 'waits'), posts: tokensOf(instruction, 'posts'), fifo: instruction.op === 'wld' ? 1 : instruction.op === 'mm' ? -1 : 0 })),
  }));
  const table = new Table();
  const seen = new Map<string, number>();
  for (;;) {
    let moved = 0;
    for (const player of players) moved += table.run(player);
    if (players.every(({ cursor }) => cursor.done)) return table.end('done', []);
    if (moved === 0) return table.end('stuck', players);
    if (table.played > patience) return table.end('unknown', players);
    skip(players, table, seen);
  }
}

/** Tokens and weights on the table. */
class Table {
  readonly counts = new Uint32Array(256);
  fifo = 0;
  played = 0;
  readonly #last = new Map<number, { readonly queue: Queue; readonly pc: number }>();

  /** Moves a queue until it must wait, is done, or has finished an iteration of its outermost loop. How far it came. */
  run({ queue, cursor, steps }: Player): number {
    let moved = 0;
    while (!cursor.done) {
      const { pc } = cursor;
      const step = steps[pc]!;
      if (!this.#may(step)) break;
      for (const { semaphore, count } of step.waits) this.counts[semaphore]! -= count;
      this.fifo += step.fifo;
      for (const { semaphore, count } of step.posts) {
        this.counts[semaphore]! += count;
        this.#last.set(semaphore, { queue, pc });
      }
      moved++;
      if (cursor.advance() || moved > patience) break;
    }
    this.played += moved;
    return moved;
  }

  #may({ waits, fifo }: Step): boolean {
    for (const { semaphore, count } of waits) if (this.counts[semaphore]! < count) return false;
    return fifo === 0 || (fifo === 1 ? this.fifo < fifoEntries : this.fifo > 0);
  }

  wants({ waits, fifo }: Step): readonly Want[] {
    const lacking = waits.filter(({ semaphore, count }) => this.counts[semaphore]! < count).map(({ semaphore, count }): Want => ({ kind: 'token', semaphore, has: this.counts[semaphore]!, needs: count }));
    if (fifo === 1 && this.fifo >= fifoEntries) return [...lacking, { kind: 'room' }];
    return fifo === -1 && this.fifo === 0 ? [...lacking, { kind: 'weights' }] : lacking;
  }

  end(end: Game['end'], players: readonly Player[]): Game {
    const blocked = players.filter(({ cursor }) => !cursor.done).map(({ queue, cursor, steps }): Blocked => ({ queue, pc: cursor.pc, I: [...cursor.I], wants: this.wants(steps[cursor.pc]!) }));
    return { end, counts: this.counts, fifo: this.fifo, blocked, lastPost: this.#last };
  }
}

/** Skips what is known to repeat. Law: queues see tokens, the FIFO and their own place, never the index of an outermost loop. */
function skip(players: readonly Player[], table: Table, seen: Map<string, number>): void {
  const looping = players.filter(({ cursor }) => cursor.frames.length > 0).map(({ cursor }) => ({ cursor, level: cursor.frames[0]!.level as 0, count: cursor.frames[0]!.count }));
  if (looping.length === 0) return;
  const base = Math.min(...looping.map(({ cursor, level }) => cursor.I[level]));
  const places = players.map(({ cursor }) => {
    const outer = cursor.frames[0]?.level;
    return `${cursor.pc} ${cursor.I.map((i, level) => (level === outer ? i - base : i)).join(' ')}`;
  });
  const state = `${places.join(';')};${table.fifo};${table.counts.join(' ')}`;
  const before = seen.get(state);
  seen.set(state, base);
  if (before === undefined || base <= before) return;
  const period = base - before;
  const times = Math.min(...looping.map(({ cursor, level, count }) => Math.floor((count - 1 - cursor.I[level]) / period)));
  for (const { cursor, level } of looping) cursor.I[level] += times * period;
  seen.clear();
}
