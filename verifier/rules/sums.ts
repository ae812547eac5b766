import { formatBytes } from '../../isa-spec/fields.ts';
import type { InstructionOf } from '../../isa-spec/instructions.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { blocksOf, type Profile, profileOf } from '../../isa-spec/profiles.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf } from '../chip.ts';
import { type Effect, effectOf, type Effects, type Site } from '../effects.ts';
import type { Instance, Watcher } from '../walk.ts';

/** Sums in the accumulators: who began them, of what shape, where the operand of the next product must start, and whether they have been drained. */
type Sum = { readonly pc: number; readonly shape: string; readonly profile: Profile; readonly start: number; readonly units: number; next: number | undefined; drained: boolean };

/** What a product or a drain does to sums. `lines`: of the operand a product takes of each row; undefined if the next cannot go on behind them. */
type Step = { readonly acc: Effect; readonly shape: string } & (
  | { readonly drains: true }
  | { readonly drains: false; readonly a: Effect; readonly accumulate: InstructionOf<'mm'>['fields']['accumulate']; readonly profile: Profile; readonly part: 'k-tile' | 'block'; readonly lines: number | undefined });

/**
 * V15. Sums begin with a product that overwrites, go on through k without gap and in order, are drained once when they are
 * complete, and only then make room for others.
 */
export class Sums implements Watcher {
  readonly findings: Finding[] = [];
  readonly #chip: ChipView;
  readonly #steps: readonly (readonly (Step | undefined)[])[];
  readonly #sums = new Map<number, Sum>();
  readonly #reported = new Set<string>();

  constructor(chip: ChipView, effects: Effects) {
    this.#chip = chip;
    this.#steps = effects.map((sites) => sites.map(stepOf));
  }

  sees(queue: number, pc: number): boolean {
    return this.#steps[queue]![pc] !== undefined;
  }

  issued({ queue, pc, I }: Instance): void {
    const step = this.#steps[queue]![pc]!;
    const { start, units } = step.acc.box(I);
    const known = this.#sums.get(start);
    if (step.drains) {
      if (known === undefined || known.drained) return this.#report(queue, pc, I, `drains accumulator row ${start}, where there is no sum`);
      if (known.shape !== step.shape) this.#report(queue, pc, I, `drains ${step.shape}; ${this.#name('mxu', known.pc)} began ${known.shape}`);
      known.drained = true;
      return;
    }
    const a = step.a.box(I).start;
    const next = step.lines === undefined ? undefined : a + step.lines;
    if (step.accumulate === 'no' || (step.accumulate === 'first' && I[3] === 0)) {
      this.#sums.forEach((sum, at) => {
        if (sum.start >= start + units || start >= sum.start + sum.units) return;
        if (!sum.drained) this.#report(queue, pc, I, `overwrites the sum at accumulator row ${at} that ${this.#name('mxu', sum.pc)} began and nobody has drained`);
        this.#sums.delete(at);
      });
      this.#sums.set(start, { pc, shape: step.shape, profile: step.profile, start, units, next, drained: false });
      return;
    }
    if (known === undefined || known.drained) return this.#report(queue, pc, I, `adds to accumulator row ${start}, where there is no sum`);
    if (known.shape !== step.shape) this.#report(queue, pc, I, `adds to ${step.shape}; ${this.#name('mxu', known.pc)} began ${known.shape}`);
    if (known.profile !== step.profile) this.#report(queue, pc, I, `adds ${step.profile} products to a sum of ${known.profile} ones`);
    if (known.next === undefined) this.#report(queue, pc, I, `adds to a sum whose last ${step.part} was not full`);
    else if (known.next !== a) this.#report(queue, pc, I, `goes on with k at line ${a} of its operand; the sum has come to line ${known.next}`);
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

function stepOf(site: Site): Step | undefined {
  const { instruction, sizes: { lineBytes, side } } = site;
  if (instruction.op !== 'mm' && instruction.op !== 'epi') return undefined;
  const { nTiles, split, rows } = instruction.fields;
  const of = { acc: effectOf(site, 'acc'), shape: `${rows.max} rows in ${nTiles} x ${2 ** split} arrays` };
  if (instruction.op === 'epi') return { ...of, drains: true };
  const { accumulate, format, kTiles, kLast } = instruction.fields;
  const blocks = blocksOf(instruction.fields);
  const isWhole = kLast === side && (blocks === undefined || (kTiles * side) % blockScales[blocks].size === 0);
  return { ...of, drains: false, a: effectOf(site, 'a'), accumulate, profile: profileOf(instruction.fields), part: blocks === undefined ? 'k-tile' : 'block', lines: isWhole ? (kTiles * side * formatBytes[format]) / lineBytes : undefined };
}
