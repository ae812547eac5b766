import type { Token } from '../isa-spec/instructions.ts';
import type { ChipView } from './chip.ts';
import type { Conflict, Effects } from './effects.ts';
import { fifoEntries, patience } from './token-game.ts';
import { Cursor, type Indices, tokensOf } from './unroll.ts';

/**
 * An instruction as it is issued. `index` counts those of its queue. `clock`: by queue, how many of its instructions are sure
 * to have completed by now, whatever the timing. Both arrays change as the walk goes on.
 */
export type Instance = { readonly queue: number; readonly pc: number; readonly index: number; readonly I: Indices; readonly clock: Int32Array };

/** Where the walk stands when it asks whether it has been here before. */
export type Standing = {
  /** By queue: instructions issued; and the index of the first in the outermost loop it is in, Infinity if it is in none. */
  readonly played: Int32Array;
  readonly began: readonly number[];
  /** By queue: the level of that loop. */
  readonly level: readonly number[];
  /** The least index of those loops. */
  readonly base: number;
  /** By queue: who may still clash with it, or post to it, knows that all before this index have completed. */
  readonly floor: readonly number[];
};

/** Looks on as a chip's queues are played, and remembers what its rule needs. */
export type Watcher = {
  readonly issued?: (instance: Instance) => void;
  readonly waited?: (token: Token, instance: Instance) => void;
  readonly posted?: (token: Token, instance: Instance) => void;
  /** All that decides what it will find from here on, with loop indices counted from `base`. */
  readonly state?: (standing: Standing) => string;
  /** The outermost loops jump ahead by so many iterations: what it remembers of them moves along. */
  readonly skip?: (by: number, standing: Standing) => void;
};

type Player = { readonly cursor: Cursor; readonly waits: readonly (readonly Token[])[]; readonly posts: readonly (readonly Token[])[]; readonly fifo: Int8Array; readonly clock: Int32Array; began: number };
type Batch = { left: number; readonly clock: Int32Array };

/**
 * Plays a chip's queues against each other, with vector clocks. With one poster and one waiter a semaphore (V04), the k-th
 * token taken is the k-th given, in every schedule: so the clocks of this one run hold in all of them. The weight FIFO counts
 * as a semaphore of wld's for mxu; nothing is inferred from its being full.
 *
 * When a state of tokens, clocks and watchers comes again but for the indices of the outermost loops, what lies between repeats,
 * and the remaining repetitions are skipped. False if not every queue came to its end.
 */
export function walk(chip: ChipView, effects: Effects, conflicts: readonly Conflict[], watchers: readonly Watcher[]): boolean {
  const game = new Walk(chip, watchers);
  const repetition = new Repetition(chip, effects, conflicts);
  while (game.round()) repetition.skip(game);
  return game.done;
}

class Walk {
  readonly players: readonly Player[];
  readonly watchers: readonly Watcher[];
  readonly tokens: readonly Batch[][];
  readonly counts = new Uint32Array(256);
  readonly fifo: Int32Array[] = [];
  readonly played: Int32Array;
  #total = 0;

  constructor(chip: ChipView, watchers: readonly Watcher[]) {
    this.watchers = watchers;
    this.played = new Int32Array(chip.queues.length);
    this.tokens = Array.from({ length: 256 }, () => []);
    this.players = chip.queues.map(({ code }): Player => ({
      cursor: new Cursor(code), clock: new Int32Array(chip.queues.length), began: Infinity,
      waits: code.map((instruction) => tokensOf(instruction, 'waits')), posts: code.map((instruction) => tokensOf(instruction, 'posts')),
      fifo: Int8Array.from(code, ({ op }) => (op === 'wld' ? 1 : op === 'mm' ? -1 : 0)),
    }));
  }

  get done(): boolean {
    return this.players.every(({ cursor }) => cursor.done);
  }

  /** Moves every queue as far as it can, but no further than an iteration of its outermost loop. False if none moved. */
  round(): boolean {
    let moved = false;
    this.players.forEach((player, queue) => {
      while (!player.cursor.done && this.#may(player)) {
        moved = true;
        if (this.#issue(player, queue)) break;
      }
    });
    return moved && this.#total < patience;
  }

  #may({ cursor: { pc }, waits, fifo }: Player): boolean {
    for (const { semaphore, count } of waits[pc]!) if (this.counts[semaphore]! < count) return false;
    return fifo[pc] === 0 || (fifo[pc] === 1 ? this.fifo.length < fifoEntries : this.fifo.length > 0);
  }

  #issue(player: Player, queue: number): boolean {
    const { cursor, clock, waits, posts, fifo } = player;
    const { pc } = cursor;
    const index = this.played[queue]!;
    const instance: Instance = { queue, pc, index, I: cursor.I, clock };
    for (const token of waits[pc]!) {
      this.#take(token, clock);
      for (const watcher of this.watchers) watcher.waited?.(token, instance);
    }
    if (fifo[pc] === -1) merge(clock, this.fifo.shift()!);
    for (const watcher of this.watchers) watcher.issued?.(instance);
    this.played[queue] = index + 1;
    clock[queue] = index + 1;
    if (fifo[pc] === 1) this.fifo.push(clock.slice());
    if (posts[pc]!.length > 0) {
      const known = clock.slice();
      for (const token of posts[pc]!) {
        this.counts[token.semaphore]! += token.count;
        this.tokens[token.semaphore]!.push({ left: token.count, clock: known });
        for (const watcher of this.watchers) watcher.posted?.(token, instance);
      }
    }
    const outside = cursor.frames.length === 0;
    const turned = cursor.advance();
    if (cursor.frames.length === 0) player.began = Infinity;
    else if (outside) player.began = index + 1;
    this.#total++;
    return turned;
  }

  #take({ semaphore, count }: Token, clock: Int32Array): void {
    this.counts[semaphore]! -= count;
    const batches = this.tokens[semaphore]!;
    for (let left = count; left > 0; ) {
      const batch = batches[0]!;
      merge(clock, batch.clock);
      const taken = Math.min(left, batch.left);
      left -= taken;
      batch.left -= taken;
      if (batch.left === 0) batches.shift();
    }
  }
}

const merge = (clock: Int32Array, other: Int32Array): void => {
  for (let queue = 0; queue < clock.length; queue++) if (other[queue]! > clock[queue]!) clock[queue] = other[queue]!;
};

/** Finds out that the outermost loops repeat themselves, and skips what is left of them. */
class Repetition {
  /** By queue, then queue: the last pc of the first that can clash with the second, or posts to it. Before it has passed that, it matters what it knows. */
  readonly #until: readonly Int32Array[];
  readonly #conflicts: readonly Conflict[];
  readonly #possible: boolean;
  /** Iterations after which all rings moved by the outermost loops are back where they were. */
  readonly #turn: number;
  readonly #near = new Set<string>();
  readonly #seen = new Map<string, number>();

  constructor(chip: ChipView, effects: Effects, conflicts: readonly Conflict[]) {
    this.#conflicts = conflicts;
    const count = chip.queues.length;
    this.#until = Array.from({ length: count }, () => new Int32Array(count).fill(-1));
    const matters = (queue: number, to: number, pc: number): void => {
      this.#until[queue]![to] = Math.max(this.#until[queue]![to]!, pc);
    };
    for (const { a, aPc, b, bPc } of conflicts) {
      matters(a, b, aPc);
      matters(b, a, bPc);
    }
    const waiter = new Map<number, number>();
    chip.queues.forEach(({ code }, queue) => code.forEach((instruction) => tokensOf(instruction, 'waits').forEach(({ semaphore }) => waiter.set(semaphore, queue))));
    chip.queues.forEach(({ code }, queue) => code.forEach((instruction, pc) => tokensOf(instruction, 'posts').forEach(({ semaphore }) => {
      const to = waiter.get(semaphore);
      if (to !== undefined && to !== queue) matters(queue, to, pc);
    })));
    // Law: two accesses that an iteration of the outermost loops moves alike clash in all iterations or in none.
    this.#possible = conflicts.every(({ aEffect, bEffect }) => aEffect.outer === bEffect.outer);
    this.#turn = turnOf(chip, effects);
  }

  skip(game: Walk): void {
    if (!this.#possible || this.#turn > turnMax) return;
    const looping = game.players.flatMap(({ cursor }) => (cursor.frames.length === 0 ? [] : [{ cursor, level: cursor.frames[0]!.level as 0, count: cursor.frames[0]!.count }]));
    if (looping.length === 0) return;
    const base = Math.min(...looping.map(({ cursor, level }) => cursor.I[level]));
    const near = `${placesOf(game, base)};${base % this.#turn};${base === 0};${game.counts.join(' ')}`;
    if (!this.#near.has(near)) {
      this.#near.add(near);
      return;
    }
    const standing = this.#standing(game, base);
    if (standing === undefined) return;
    const state = `${near};${clocksOf(game, standing)};${game.watchers.map((watcher) => watcher.state?.(standing) ?? '').join(';')}`;
    const before = this.#seen.get(state);
    this.#seen.set(state, base);
    if (before === undefined || base <= before) return;
    const period = base - before;
    const by = Math.min(...looping.map(({ cursor, level, count }) => Math.floor((count - 1 - cursor.I[level]) / period))) * period;
    if (by > 0) {
      for (const watcher of game.watchers) watcher.skip?.(by, standing);
      for (const { cursor, level } of looping) cursor.I[level] += by;
    }
    this.#near.clear();
    this.#seen.clear();
  }

  /** Undefined while something from before a loop can still matter: then one turn of the loop is not like another. */
  #standing({ players, played }: Walk, base: number): Standing | undefined {
    const ahead = players.map(({ cursor }) => cursor.frames[0]?.begin ?? cursor.pc);
    const floor = players.map((_, queue) => {
      let least = played[queue]!;
      players.forEach(({ clock }, other) => {
        if (other !== queue && this.#until[other]![queue]! >= ahead[other]!) least = Math.min(least, clock[queue]!);
      });
      return least;
    });
    const began = players.map((player) => player.began);
    if (floor.some((least, queue) => began[queue]! !== Infinity && least < began[queue]!)) return undefined;
    const fixed = floor.map((least, queue) => began[queue] === Infinity && least < played[queue]!);
    if (this.#conflicts.some(({ a, b, aEffect, bEffect }) => (fixed[a]! && bEffect.outer !== 0) || (fixed[b]! && aEffect.outer !== 0))) return undefined;
    return { played, began, level: players.map(({ cursor }) => cursor.frames[0]?.level ?? 0), base, floor };
  }
}

/** Longest turn of rings worth waiting for. */
const turnMax = 1024;

function turnOf(chip: ChipView, effects: Effects): number {
  let turn = 1;
  effects.forEach((sites, queue) => {
    const { strideSets } = chip.queues[queue]!;
    for (const { instruction, loops } of sites) {
      const level = loops[0]?.level;
      if (level === undefined) continue;
      for (const value of Object.values(instruction.fields) as unknown[]) {
        if (typeof value !== 'object' || value === null || !('ss' in value)) continue;
        const ring = strideSets[value.ss as number]?.ring;
        if (ring !== undefined && ring.depth > 0) turn = lcm(turn, ring.depth / gcd(ring.depth, ring.steps[level]! % ring.depth));
        if (turn > turnMax) return;
      }
    }
  });
  return turn;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const lcm = (a: number, b: number): number => (a / gcd(a, b)) * b;

const placesOf = ({ players, fifo }: Walk, base: number): string =>
  `${players.map(({ cursor: { pc, I, frames } }) => `${pc} ${I.map((i, level) => (level === frames[0]?.level ? i - base : i)).join(' ')}`).join(';')};${fifo.length}`;

/** Clocks counted back from where each queue is. What nobody needs to know any more counts as known. */
function clocksOf({ players, tokens, fifo, played }: Walk, { floor }: Standing): string {
  const relative = (clock: Int32Array): string => {
    let text = '';
    for (let queue = 0; queue < clock.length; queue++) text += ` ${Math.max(clock[queue]!, floor[queue]!) - played[queue]!}`;
    return text;
  };
  const held = tokens.map((batches, semaphore) => (batches.length === 0 ? '' : `${semaphore}:${batches.map(({ left, clock }) => `${left}${relative(clock)}`).join(',')}`)).join('');
  return `${players.map(({ clock }) => relative(clock)).join(';')};${held};${fifo.map(relative).join(';')}`;
}
