import type { Box } from '../boxes.ts';
import { endOf, overlap } from '../boxes.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf } from '../chip.ts';
import { type Conflict, type Effect, spaceNames } from '../effects.ts';
import { Records } from '../records.ts';
import type { Indices } from '../unroll.ts';
import type { Instance, Standing, Watcher } from '../walk.ts';

type Pair = { readonly mine: Effect; readonly theirs: Effect };
/** By queue and pc: for every other queue, by its pc, what the two may clash over. */
type Pairs = readonly (readonly (readonly { readonly other: number; readonly byPc: readonly (readonly Pair[] | undefined)[] }[] | undefined)[])[];
/** Of an instruction issued: its pc, its index, and the indices of its loops from here on. */
const issuedWidth = 6;
const issuedI = 2;

/**
 * V11. Two accesses of the same memory, one of them a write, are ordered by tokens. Every instruction is held against those of
 * other queues that were issued before it and that it does not know to have completed: no schedule can bring others together
 * with it, as clocks are the same in all.
 */
export class Races implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #pairs: Pairs;
  /** By queue: what has been issued that others may clash with and do not all know of. */
  readonly #issued: readonly Records[];
  /** The loop indices of the one looked at. */
  readonly #there: Indices = [0, 0, 0, 0];
  readonly #reported = new Set<string>();

  constructor(chip: ChipView, conflicts: readonly Conflict[]) {
    this.#chip = chip;
    this.#pairs = pairsOf(chip, conflicts);
    this.#issued = chip.queues.map(() => new Records(issuedWidth));
  }

  sees(queue: number, pc: number): boolean {
    return this.#pairs[queue]![pc] !== undefined;
  }

  issued({ queue, pc, index, I, clock }: Instance): void {
    const sites = this.#pairs[queue]![pc]!;
    for (let s = 0; s < sites.length; s++) {
      const { other, byPc } = sites[s]!;
      const { numbers, first, end } = this.#issued[other]!;
      const known = clock[other]!;
      for (let at = (end - 1) * issuedWidth; at >= first * issuedWidth && numbers[at + 1]! >= known; at -= issuedWidth) {
        const pairs = byPc[numbers[at]!];
        if (pairs === undefined) continue;
        for (let level = 0; level < 4; level++) this.#there[level] = numbers[at + issuedI + level]!;
        for (let p = 0; p < pairs.length; p++) {
          const { mine, theirs } = pairs[p]!;
          const here = mine.box(I);
          const there = theirs.box(this.#there);
          if (overlap(here, there)) this.#report({ queue, pc, I }, { queue: other, pc: numbers[at]!, I: this.#there }, { mine, theirs, here, there });
        }
      }
    }
    const issued = this.#issued[queue]!;
    const at = issued.add();
    issued.numbers[at] = pc;
    issued.numbers[at + 1] = index;
    for (let level = 0; level < 4; level++) issued.numbers[at + issuedI + level] = I[level]!;
  }

  state({ floor }: Standing): string {
    this.#issued.forEach((issued, queue) => {
      while (issued.first < issued.end && issued.numbers[issued.first * issuedWidth + 1]! < floor[queue]!) issued.first++;
    });
    return '';
  }

  skip(by: number, { began, level }: Standing): void {
    this.#issued.forEach(({ numbers, first, end }, queue) => {
      for (let at = first * issuedWidth; at < end * issuedWidth; at += issuedWidth) if (numbers[at + 1]! >= began[queue]!) numbers[at + issuedI + level[queue]!]! += by;
    });
  }

  #report(mine: At, theirs: At, { mine: effect, theirs: other, here, there }: Pair & { readonly here: Box; readonly there: Box }): void {
    const key = [mine.queue, mine.pc, theirs.queue, theirs.pc].join(' ');
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    const [queue, from] = [this.#chip.queues[mine.queue]!.queue, this.#chip.queues[theirs.queue]!.queue];
    const [name, first] = [nameOf(this.#chip, queue, mine.pc), nameOf(this.#chip, from, theirs.pc)];
    this.findings.push({
      rule: 'V11', place: placeOf(this.#chip, queue, mine.pc),
      message: `${name} ${verb(effect)} ${spaceNames[effect.hull.space]} that ${first} ${verb(other)}, in either order`,
      notes: [
        `${name}${iterationText(mine.I)} \`${effect.field}\`: ${linesOf(here)}`,
        `${first}${iterationText(theirs.I)} \`${other.field}\`: ${linesOf(there)}`,
        `missing: a token ${from} posts after ${first}, and ${queue} waits for before ${name} (or the other way round)`,
      ],
    });
  }
}

type At = { readonly queue: number; readonly pc: number; readonly I: ArrayLike<number> };

const verb = ({ reads, writes }: Effect): string => (writes ? (reads ? 'updates' : 'writes') : 'reads');

/** `lines 16 to 23`, `3 rows of 8 lines, 32 apart, from 16`. */
const linesOf = (box: Box): string => {
  const unit = box.space === 1 ? 'rows' : 'lines';
  if (box.rows <= 1 || box.pitch === box.units) return `${unit} ${box.start} to ${endOf(box) - 1}`;
  return `${box.rows} rows of ${box.units} ${unit}, ${box.pitch} apart, from ${box.start}`;
};

function pairsOf(chip: ChipView, conflicts: readonly Conflict[]): Pairs {
  const table = chip.queues.map(({ code }) => code.map((): { other: number; byPc: (Pair[] | undefined)[] }[] | undefined => undefined));
  const add = (queue: number, pc: number, other: number, otherPc: number, pair: Pair): void => {
    const sites = (table[queue]![pc] ??= []);
    let site = sites.find((one) => one.other === other);
    if (site === undefined) sites.push((site = { other, byPc: chip.queues[other]!.code.map(() => undefined) }));
    const pairs = site.byPc[otherPc];
    if (pairs === undefined) site.byPc[otherPc] = [pair];
    else pairs.push(pair);
  };
  for (const { a, aPc, aEffect, b, bPc, bEffect } of conflicts) {
    add(a, aPc, b, bPc, { mine: aEffect, theirs: bEffect });
    add(b, bPc, a, aPc, { mine: bEffect, theirs: aEffect });
  }
  return table;
}
