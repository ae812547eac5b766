import { crc32c } from '../../isa-spec/crc32c.ts';
import { encodeAll } from '../../isa-spec/encoding.ts';
import type { Queue } from '../../isa-spec/instructions.ts';
import type { Program } from '../../isa-spec/program.ts';
import { allWrittenOut } from '../calls.ts';
import { type ChipView, groupChips, nameOf, type RuleId, ruleIds } from '../chip.ts';
import { legal } from '../rules/legal.ts';
import { firstFinding } from '../verify.ts';
import { judge } from './equivalence.ts';
import { type Fault, faultClasses } from './faults.ts';
import { pick, type Random, randomFrom } from './random.ts';

/** A mutant the verifier did not object to. `why`: what it may do differently from the program; of an equivalent one, how it is known to do the same. */
export type Passed = { readonly entry: string; readonly queue: Queue; readonly pc: number; readonly what: string; readonly name: string; readonly why: string };

/**
 * How the verifier did on one class of faults. `mutants`: different ones; fewer than asked for if the program has no more. `by`: the rules
 * that objected first, and how often. `score`: caught mutants over those that do something else than the program; 1 if there are none.
 */
export type ClassScore = {
  readonly name: string;
  readonly mutants: number;
  readonly caught: number;
  readonly score: number;
  readonly equivalent: readonly Passed[];
  readonly survivors: readonly Passed[];
  readonly by: Readonly<Partial<Record<RuleId, number>>>;
};

/** All classes together. */
export type MutationScore = { readonly seed: number; readonly mutants: number; readonly caught: number; readonly equivalent: number; readonly score: number; readonly classes: readonly ClassScore[] };

/** Draws in a row that give no new mutant before a class counts as having no more for this program. */
const drawsMax = 200;

/**
 * Puts single faults into a program, up to `perClass` different ones of every class, and counts those the verifier finds. Mutants it
 * passes are either shown to do the same as the program, or counted against it. The same seed gives the same mutants.
 */
export function mutationScore(program: Program, perClass: number, seed: number): MutationScore {
  const targets = program.entries.flatMap((_, entry) => groupChips(program, entry)).flatMap((raw) => {
    const view = legal(raw);
    return 'queues' in view ? [view] : [];
  });
  const classes = faultClasses.map(({ name, draw }, number): ClassScore => {
    const by = new Map<RuleId, number>();
    const equivalent: Passed[] = [];
    const survivors: Passed[] = [];
    let [mutants, caught] = [0, 0];
    for (const { program: mutant, view, fault } of drawMutants({ program, targets, random: randomFrom(seed * 1000 + number), draw }, perClass)) {
      mutants++;
      const finding = firstFinding(mutant);
      if (finding !== undefined) {
        caught++;
        by.set(finding.rule, (by.get(finding.rule) ?? 0) + 1);
        continue;
      }
      const { queue, pc, what } = fault;
      const { same, why } = judge(allWrittenOut(view), allWrittenOut(withCode(view, fault)));
      (same ? equivalent : survivors).push({ entry: program.entries[view.entry]!.name, queue, pc, what, name: nameOf(view, queue, pc), why });
    }
    return { name, mutants, caught, score: scoreOf(mutants, caught, equivalent.length), equivalent, survivors, by: Object.fromEntries(ruleIds.flatMap((rule) => (by.has(rule) ? [[rule, by.get(rule)!]] : []))) };
  });
  const sum = (of: (one: ClassScore) => number): number => classes.reduce((total, one) => total + of(one), 0);
  const [mutants, caught, equivalent] = [sum((one) => one.mutants), sum((one) => one.caught), sum((one) => one.equivalent.length)];
  return { seed, mutants, caught, equivalent, score: scoreOf(mutants, caught, equivalent), classes };
}

const scoreOf = (mutants: number, caught: number, equivalent: number): number => (mutants === equivalent ? 1 : caught / (mutants - equivalent));

type Mutant = { readonly program: Program; readonly view: ChipView; readonly fault: Fault };
type Drawing = { readonly program: Program; readonly targets: readonly ChipView[]; readonly random: Random; readonly draw: (typeof faultClasses)[number]['draw'] };

/** Different mutants that can be written as programs and are others than the one they are made from. */
export function* drawMutants({ program, targets, random, draw }: Drawing, count: number): Generator<Mutant> {
  const seen = new Set<string>();
  for (let left = drawsMax; left > 0 && seen.size < count; left--) {
    const view = pick(random, targets);
    const fault = view === undefined ? undefined : draw(view.queues, random);
    if (view === undefined || fault === undefined) continue;
    const made = written(program, view, fault);
    if (made === undefined) continue;
    const { words, strideSets } = made.code[view.entry]![view.chips[0]!]![fault.queue];
    const key = `${view.entry} ${view.chips[0]} ${fault.queue} ${crc32c(words)} ${JSON.stringify(strideSets)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    left = drawsMax;
    yield { program: made, view, fault };
  }
}

function written(program: Program, { entry, chips }: ChipView, { queue, code, strideSets }: Fault): Program | undefined {
  const old = program.code[entry]![chips[0]!]!;
  try {
    const words = encodeAll(code, queue);
    const same = words.every((byte, i) => byte === old[queue].words[i]) && JSON.stringify(strideSets) === JSON.stringify(old[queue].strideSets);
    if (same) return undefined;
    const chip = { ...old, [queue]: { words, strideSets } };
    return { ...program, code: program.code.map((ofEntry, e) => (e === entry ? ofEntry.map((one, c) => (chips.includes(c) ? chip : one)) : ofEntry)) };
  } catch (error) {
    // A number that does not fit its field: no such program can be written.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

export const withCode = (view: ChipView, { queue, code, strideSets }: Fault): ChipView => ({ ...view, queues: view.queues.map((one) => (one.queue === queue ? { queue, code, strideSets } : one)) });
