import { formatBytes } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { blocksOf, type Profile, profileOf } from '../../isa-spec/profiles.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf } from '../chip.ts';
import type { Effects, Site } from '../effects.ts';
import type { Instance, Watcher } from '../walk.ts';

/** Sums in the accumulators: who began them, of what shape, where the operand of the next product must start, and whether they have been drained. */
type Sum = { readonly pc: number; readonly shape: string; readonly profile: Profile; readonly start: number; readonly units: number; next: number | undefined; drained: boolean };

/**
 * V15. Sums begin with a product that overwrites, go on through k without gap and in order, are drained once when they are
 * complete, and only then make room for others.
 */
export class Sums implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #effects: Effects;
  readonly #sums = new Map<number, Sum>();
  readonly #reported = new Set<string>();

  constructor(chip: ChipView, effects: Effects) {
    this.#chip = chip;
    this.#effects = effects;
  }

  sees(queue: number, pc: number): boolean {
    const { op } = this.#effects[queue]![pc]!.instruction;
    return op === 'mm' || op === 'epi';
  }

  issued({ queue, pc, I }: Instance): void {
    const site = this.#effects[queue]![pc]!;
    const instruction = site.instruction as InstructionOf<'mm' | 'epi'>;
    const { start, units } = boxOf(site, 'acc', I);
    const { nTiles, split, rows } = instruction.fields;
    const shape = `${rows.max} rows in ${nTiles} x ${2 ** split} arrays`;
    const known = this.#sums.get(start);
    const problem = (text: string): void => this.#report(queue, pc, I, text);
    if (instruction.op === 'epi') {
      if (known === undefined || known.drained) return problem(`drains accumulator row ${start}, where there is no sum`);
      if (known.shape !== shape) problem(`drains ${shape}; ${this.#name('mxu', known.pc)} began ${known.shape}`);
      known.drained = true;
      return;
    }
    const { accumulate, format, kTiles, kLast } = instruction.fields;
    const { lineBytes, side } = site.sizes;
    const a = boxOf(site, 'a', I).start;
    const profile = profileOf(instruction.fields);
    const blocks = blocksOf(instruction.fields);
    const whole = kLast === side && (blocks === undefined || (kTiles * side) % blockScales[blocks].size === 0);
    const next = whole ? a + (kTiles * side * formatBytes[format]) / lineBytes : undefined;
    if (accumulate === 'no' || (accumulate === 'first' && I[3] === 0)) {
      for (const [at, sum] of this.#sums) {
        if (sum.start >= start + units || start >= sum.start + sum.units) continue;
        if (!sum.drained) problem(`overwrites the sum at accumulator row ${at} that ${this.#name('mxu', sum.pc)} began and nobody has drained`);
        this.#sums.delete(at);
      }
      this.#sums.set(start, { pc, shape, profile, start, units, next, drained: false });
      return;
    }
    if (known === undefined || known.drained) return problem(`adds to accumulator row ${start}, where there is no sum`);
    if (known.shape !== shape) problem(`adds to ${shape}; ${this.#name('mxu', known.pc)} began ${known.shape}`);
    if (known.profile !== profile) problem(`adds ${profile} products to a sum of ${known.profile} ones`);
    if (known.next === undefined) problem(blocks === undefined ? 'adds to a sum whose last k-tile was not full' : 'adds to a sum whose last block was not full');
    else if (known.next !== a) problem(`goes on with k at line ${a} of its operand; the sum has come to line ${known.next}`);
    known.next = next;
  }

  state(): string {
    return [...this.#sums.values()].map(({ pc, start, next, drained }) => `${pc} ${start} ${next} ${drained}`).toSorted().join(',');
  }

  /** What is left when all queues have ended. */
  left(): readonly Finding[] {
    return [...this.#sums.values()].filter(({ drained }) => !drained).map(({ pc, start }) => ({ rule: 'V15', place: placeOf(this.#chip, 'mxu', pc), message: `the sum ${this.#name('mxu', pc)} began at accumulator row ${start} is never drained`, notes: [] }));
  }

  #name(queue: 'mxu' | 'epi', pc: number): string {
    return nameOf(this.#chip, queue, pc);
  }

  #report(queue: number, pc: number, I: ArrayLike<number>, text: string): void {
    const { queue: name } = this.#chip.queues[queue]!;
    if (this.#reported.has(`${queue} ${pc}`)) return;
    this.#reported.add(`${queue} ${pc}`);
    this.findings.push({ rule: 'V15', place: placeOf(this.#chip, name, pc), message: `${nameOf(this.#chip, name, pc)}${iterationText(I)} ${text}`, notes: [] });
  }
}

const boxOf = (site: Site, field: string, I: ArrayLike<number>) => site.effects.find((effect) => effect.field === field)!.box(I);
