import type { Token } from '../isa-spec/instructions.ts';
import type { ChipView } from './chip.ts';
import { type Conflict, type Effect, type Effects, gcd, type Site } from './effects.ts';
import { fifoEntries, type Game } from './token-game.ts';
import { Records } from './records.ts';
import { Cursor, type Indices, tokensOf } from './unroll.ts';

/**
 * An instruction as it is issued. `index` counts those of its queue. `clock`: by queue, how many of its instructions are sure
 * to have completed by now, whatever the timing. All of it is a queue's, and changes as the walk goes on.
 */
export type Instance = { readonly queue: number; readonly pc: number; readonly index: number; readonly I: Indices; readonly clock: Readonly<Int32Array> };

/** Where the walk stands when it asks whether it has been here before. */
export type Standing = {
  /** By queue: instructions issued; and the index of the first in the outermost loop it is in, Infinity if it is in none. */
  readonly played: readonly number[];
  readonly began: readonly number[];
  /** By queue: the level of that loop. */
  readonly level: readonly number[];
  /** The least index of those loops. */
  readonly base: number;
  /** By queue: who may still clash with it, or post to it, knows that all before this index have completed. */
  readonly floor: readonly number[];
};

/** Looks on as a chip's queues are played, and remembers what its rule needs. Who sees posts sees waits. */
export type Watcher = {
  /** Whether it looks at an instruction; at all, if it does not say. */
  readonly sees?: (queue: number, pc: number) => boolean;
  /** An instruction that touches memory, or tells the host. */
  readonly issued?: (instance: Instance) => void;
  readonly waited?: (token: Token, instance: Instance) => void;
  readonly posted?: (token: Token, instance: Instance) => void;
  /** All that decides what it will find from here on, with loop indices counted from `base`. */
  readonly state?: (standing: Standing) => string;
  /** The outermost loops jump ahead by so many iterations: what it remembers of them moves along. */
  readonly skip?: (by: number, standing: Standing) => void;
};

/** Instructions to walk before giving up: no compiled program comes near. */
const instructionsMax = 5_000_000;

type Player = { readonly cursor: Cursor; readonly waits: readonly (readonly Token[])[]; readonly posts: readonly (readonly Token[])[]; readonly fifo: Int8Array; readonly seenBy: readonly (readonly Watcher[])[]; readonly clock: Int32Array; readonly instance: { -readonly [Key in keyof Instance]: Instance[Key] }; began: number };

/**
 * Plays a chip's queues against each other, with vector clocks. With one poster and one waiter a semaphore (V04), the k-th
 * token taken is the k-th given, in every schedule: so the clocks of this one run hold in all of them. The weight FIFO counts
 * as a semaphore of wld's for mxu; nothing is inferred from its being full.
 *
 * When a state of tokens, clocks and watchers comes again but for the indices of the outermost loops, what lies between repeats,
 * and the remaining repetitions are skipped. Undefined if not every queue came to its end: the token game says why.
 */
export function walk(chip: ChipView, effects: Effects, conflicts: readonly Conflict[], watchers: readonly Watcher[]): Game | undefined {
  const game = new Walk(chip, effects, watchers);
  const repetition = new Repetition(chip, effects, conflicts);
  while (game.round()) repetition.skip(game);
  return game.done ? { end: 'done', counts: game.counts, fifo: game.fifo.length, blocked: [], lastPost: new Map() } : undefined;
}

class Walk {
  readonly players: readonly Player[];
  readonly watchers: readonly Watcher[];
  readonly #ofTokens: readonly Watcher[];
  /** By semaphore, and of the weight FIFO: what has been given and not yet taken, a record each time: how many, and the clock of who gave them. */
  readonly tokens: readonly Records[];
  readonly fifo: Records;
  readonly counts = new Uint32Array(256);
  /** Iterations of outermost loops begun or ended. */
  turns = 0;
  #total = 0;

  constructor(chip: ChipView, effects: Effects, watchers: readonly Watcher[]) {
    this.watchers = watchers;
    const seenBy = ({ effects: touches, instruction }: Site, queue: number, pc: number): readonly Watcher[] =>
      touches.length > 0 || instruction.op === 'event' ? watchers.filter((watcher) => watcher.issued !== undefined && watcher.sees?.(queue, pc) !== false) : [];
    this.#ofTokens = watchers.filter(({ posted }) => posted !== undefined);
    const width = 1 + chip.queues.length;
    this.tokens = Array.from({ length: 256 }, () => new Records(width));
    this.fifo = new Records(width);
    this.players = chip.queues.map(({ code }, queue): Player => {
      const cursor = new Cursor(code);
      const clock = new Int32Array(chip.queues.length);
      return {
        cursor, clock, instance: { queue, pc: 0, index: 0, I: cursor.I, clock }, began: Infinity,
        waits: code.map((instruction) => tokensOf(instruction, 'waits')), posts: code.map((instruction) => tokensOf(instruction, 'posts')),
        fifo: Int8Array.from(code, ({ op }) => (op === 'wld' ? 1 : op === 'mm' ? -1 : 0)), seenBy: effects[queue]!.map((site, pc) => seenBy(site, queue, pc)),
      };
    });
  }

  /** By queue: instructions issued. A queue knows them all of itself. */
  get played(): readonly number[] {
    return this.players.map(({ clock }, queue) => clock[queue]!);
  }

  get done(): boolean {
    return this.players.every(({ cursor }) => cursor.done);
  }

  /** Moves every queue as far as it can, but no further than an iteration of its outermost loop. False if none moved. */
  round(): boolean {
    let moved = false;
    for (let queue = 0; queue < this.players.length; queue++) {
      const player = this.players[queue]!;
      while (!player.cursor.done && this.#total < instructionsMax && this.#may(player)) {
        moved = true;
        if (this.#issue(player, queue)) break;
      }
    }
    return moved && this.#total < instructionsMax;
  }

  #may({ cursor: { pc }, waits, fifo }: Player): boolean {
    const wanted = waits[pc]!;
    for (let i = 0; i < wanted.length; i++) if (this.counts[wanted[i]!.semaphore]! < wanted[i]!.count) return false;
    return fifo[pc] === 0 || (fifo[pc] === 1 ? this.fifo.length < fifoEntries : this.fifo.length > 0);
  }

  #issue(player: Player, queue: number): boolean {
    const { cursor: { pc }, clock, fifo, instance } = player;
    instance.pc = pc;
    instance.index = clock[queue]!;
    this.#take(player.waits[pc]!, instance, clock);
    if (fifo[pc] === -1) take(this.fifo, 1, clock);
    const seenBy = player.seenBy[pc]!;
    for (let w = 0; w < seenBy.length; w++) seenBy[w]!.issued!(instance);
    clock[queue]!++;
    if (fifo[pc] === 1) give(this.fifo, 1, clock);
    this.#give(player.posts[pc]!, instance, clock);
    this.#total++;
    return this.#advance(player, clock[queue]!);
  }

  #advance(player: Player, next: number): boolean {
    const { cursor } = player;
    const outside = cursor.frames.length === 0;
    const turned = cursor.advance();
    if (turned) this.turns++;
    if (cursor.frames.length === 0) player.began = Infinity;
    else if (outside) player.began = next;
    return turned;
  }

  #take(taken: readonly Token[], instance: Instance, clock: Int32Array): void {
    for (let i = 0; i < taken.length; i++) {
      const token = taken[i]!;
      this.counts[token.semaphore]! -= token.count;
      take(this.tokens[token.semaphore]!, token.count, clock);
      for (let w = 0; w < this.#ofTokens.length; w++) this.#ofTokens[w]!.waited!(token, instance);
    }
  }

  #give(given: readonly Token[], instance: Instance, clock: Readonly<Int32Array>): void {
    for (let i = 0; i < given.length; i++) {
      const token = given[i]!;
      this.counts[token.semaphore]! += token.count;
      give(this.tokens[token.semaphore]!, token.count, clock);
      for (let w = 0; w < this.#ofTokens.length; w++) this.#ofTokens[w]!.posted!(token, instance);
    }
  }
}

function give(held: Records, count: number, clock: Readonly<Int32Array>): void {
  const at = held.add();
  held.numbers[at] = count;
  for (let queue = 0; queue < clock.length; queue++) held.numbers[at + 1 + queue] = clock[queue]!;
}

/** Takes so many, oldest first: who takes them knows from now on what those who gave them did. */
function take(held: Records, count: number, clock: Int32Array): void {
  const { numbers, width } = held;
  for (let wanted = count; wanted > 0; ) {
    const at = held.first * width;
    for (let queue = 0; queue < clock.length; queue++) if (numbers[at + 1 + queue]! > clock[queue]!) clock[queue] = numbers[at + 1 + queue]!;
    const some = Math.min(wanted, numbers[at]!);
    wanted -= some;
    numbers[at]! -= some;
    if (numbers[at] === 0) held.first++;
  }
}

/** The outermost loops queues are in, and what an iteration of them does to memory. */
type Loops = {
  /** Two accesses in them that may clash are moved alike: then they clash in all iterations or in none. */
  readonly alike: boolean;
  /** Iterations after which all rings they turn are back where they were. */
  readonly turn: number;
};

/** Finds out that the outermost loops repeat themselves, and skips what is left of them. */
class Repetition {
  readonly #effects: Effects;
  readonly #conflicts: readonly Conflict[];
  /** By queue, then queue: the last pc of the first that can clash with the second, or posts to it. Before it has passed that, it matters what it knows. */
  readonly #until: readonly Int32Array[];
  readonly #loops = new Map<string, Loops>();
  /** Where it looked last: once an iteration is enough. */
  #last = 0;
  #turns = 0;
  /** A state that may come again. */
  #before: { readonly near: string; readonly base: number; readonly state: string } | undefined;

  constructor(chip: ChipView, effects: Effects, conflicts: readonly Conflict[]) {
    this.#effects = effects;
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
  }

  skip(game: Walk): void {
    if (game.turns === this.#turns) return;
    this.#turns = game.turns;
    const looping = game.players.flatMap(({ cursor }) => (cursor.frames.length === 0 ? [] : [{ cursor, level: cursor.frames[0]!.level as 0, count: cursor.frames[0]!.count }]));
    if (looping.length === 0) return;
    const base = Math.min(...looping.map(({ cursor, level }) => cursor.I[level]));
    const left = Math.min(...looping.map(({ cursor, level, count }) => count - 1 - cursor.I[level]));
    // The first iteration is like no other: products that overwrite in it add in the rest. After the last there is nothing to skip.
    if (base === 0 || left === 0 || base === this.#last) return;
    this.#last = base;
    const near = `${placesOf(game, base)};${heldText(game.counts)}`;
    const before = this.#before;
    const again = before !== undefined && before.near === near && base > before.base;
    if (again) {
      const { alike, turn } = this.#loopsOf(game);
      if (!alike || turn > turnMax || (base - before.base) % turn !== 0) return;
    } else if (before !== undefined && base >= before.base && base <= before.base + patience) return;
    const standing = this.#standing(game, base);
    if (standing === undefined) return;
    const state = `${clocksOf(game, standing)};${game.watchers.map((watcher) => watcher.state?.(standing) ?? '').join(';')}`;
    this.#before = { near, base, state };
    if (!again || before.state !== state) return;
    const period = base - before.base;
    const by = Math.floor(left / period) * period;
    if (by > 0) {
      for (const watcher of game.watchers) watcher.skip?.(by, standing);
      for (const { cursor, level } of looping) cursor.I[level] += by;
    }
    this.#before = undefined;
  }

  #loopsOf({ players }: Walk): Loops {
    const key = players.map(({ cursor: { frames } }) => frames[0]?.begin ?? '').join(' ');
    const known = this.#loops.get(key);
    if (known !== undefined) return known;
    const inside = insideLoops(players);
    const loops: Loops = {
      alike: this.#conflicts.every(({ a, aPc, aEffect, b, bPc, bEffect }) => aEffect.outer === bEffect.outer || !inside(a, aPc) || !inside(b, bPc)),
      turn: turnOf(this.#effects, inside),
    };
    this.#loops.set(key, loops);
    return loops;
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
    const inside = insideLoops(players);
    const nears = (queue: number, other: number, pc: number, { outer }: Effect): boolean => fixed[queue]! && outer !== 0 && inside(other, pc);
    if (fixed.includes(true) && this.#conflicts.some(({ a, aPc, aEffect, b, bPc, bEffect }) => nears(a, b, bPc, bEffect) || nears(b, a, aPc, aEffect))) return undefined;
    return { played, began, level: players.map(({ cursor }) => cursor.frames[0]?.level ?? 0), base, floor };
  }
}

/** Whether an instruction is in the outermost loop its queue is in now. */
function insideLoops(players: readonly Player[]): (queue: number, pc: number) => boolean {
  const outer = players.map(({ cursor: { frames } }) => frames[0]);
  return (queue, pc) => outer[queue] !== undefined && pc >= outer[queue].begin && pc < outer[queue].end;
}

/** Longest turn of rings worth waiting for; and how long to wait for a state to come again. */
const turnMax = 1024;
const patience = 32;

function turnOf(effects: Effects, inside: (queue: number, pc: number) => boolean): number {
  let turn = 1;
  effects.forEach((sites, queue) => sites.forEach(({ effects: ofSite }, pc) => {
    for (const one of ofSite) if (one.turn > 1 && turn <= turnMax && inside(queue, pc)) turn = (turn / gcd(turn, one.turn)) * one.turn;
  }));
  return turn;
}

/** The counts of the semaphores that have any. */
const heldText = (counts: Uint32Array): string => {
  let text = '';
  for (let semaphore = 0; semaphore < counts.length; semaphore++) if (counts[semaphore]! > 0) text += `${semaphore}:${counts[semaphore]} `;
  return text;
};

const placesOf = ({ players, fifo }: Walk, base: number): string =>
  `${players.map(({ cursor: { pc, I, frames } }) => `${pc} ${I.map((i, level) => (level === frames[0]?.level ? i - base : i)).join(' ')}`).join(';')};${fifo.length}`;

/** Clocks counted back from where each queue is. What nobody needs to know any more counts as known. */
function clocksOf({ players, tokens, fifo, played }: Walk, { floor }: Standing): string {
  const relative = (clock: ArrayLike<number>, from = 0): string => {
    let text = '';
    for (let queue = 0; queue < played.length; queue++) text += ` ${Math.max(clock[from + queue]!, floor[queue]!) - played[queue]!}`;
    return text;
  };
  const held = ({ numbers, width, first, end }: Records): string => Array.from({ length: end - first }, (_, nth) => `${numbers[(first + nth) * width]}${relative(numbers, (first + nth) * width + 1)}`).join(',');
  return `${players.map(({ clock }) => relative(clock)).join(';')};${tokens.map((of, semaphore) => (of.length === 0 ? '' : `${semaphore}:${held(of)}`)).join('')};${held(fifo)}`;
}
