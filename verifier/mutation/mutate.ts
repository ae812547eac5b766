import { encodeAll } from '../../isa-spec/encoding.ts';
import type { Queue } from '../../isa-spec/instructions.ts';
import type { Program } from '../../isa-spec/program.ts';
import { allWrittenOut } from '../calls.ts';
import { type ChipView, groupChips, nameOf, type RuleId, ruleIds } from '../chip.ts';
import { legal } from '../rules/legal.ts';
import { firstFinding } from '../verify.ts';
import { whyEquivalent } from './equivalence.ts';
import { type Fault, faultClasses } from './faults.ts';
import { pick, type Random, randomFrom } from './random.ts';

/** A mutant the verifier did not object to. `why`: it does the same as the program, because. */
export type Survivor = { readonly entry: string; readonly queue: Queue; readonly pc: number; readonly what: string; readonly name: string };
export type Equivalent = Survivor & { readonly why: string };

/** How the verifier did on one class of faults. `by`: the rules that objected first, and how often. */
export type ClassScore = {
  readonly name: string;
  readonly mutants: number;
  readonly caught: number;
  readonly equivalent: readonly Equivalent[];
  readonly survivors: readonly Survivor[];
  readonly by: Readonly<Partial<Record<RuleId, number>>>;
};

/** `score`: caught mutants over those that do something else than the program. */
export type MutationScore = { readonly seed: number; readonly mutants: number; readonly caught: number; readonly equivalent: number; readonly score: number; readonly classes: readonly ClassScore[] };

/** Draws of a fault before a class counts as having none for this program. */
const drawsMax = 200;

/**
 * Puts single faults into a program, `perClass` of every class, and counts those the verifier finds. Mutants it passes are
 * either shown to do the same as the program, or counted against it. The same seed gives the same mutants.
 */
export function mutationScore(program: Program, perClass: number, seed: number): MutationScore {
  const targets = program.entries.flatMap((_, entry) => groupChips(program, entry)).flatMap((raw) => {
    const view = legal(raw);
    return 'queues' in view ? [view] : [];
  });
  const classes = faultClasses.map(({ name, draw }, number) => {
    const random = randomFrom(seed * 1000 + number);
    let caught = 0;
    let mutants = 0;
    const by = new Map<RuleId, number>();
    const equivalent: Equivalent[] = [];
    const survivors: Survivor[] = [];
    for (; mutants < perClass; mutants++) {
      const made = drawMutant(program, targets, random, draw);
      if (made === undefined) break;
      const finding = firstFinding(made.program);
      if (finding !== undefined) {
        caught++;
        by.set(finding.rule, (by.get(finding.rule) ?? 0) + 1);
        continue;
      }
      const { view, fault: { queue, pc, what } } = made;
      const survivor: Survivor = { entry: program.entries[view.entry]!.name, queue, pc, what, name: nameOf(view, queue, pc) };
      const why = whyEquivalent(allWrittenOut(view), allWrittenOut(withCode(view, made.fault)));
      if (why === undefined) survivors.push(survivor);
      else equivalent.push({ ...survivor, why });
    }
    return { name, mutants, caught, equivalent, survivors, by: Object.fromEntries(ruleIds.flatMap((rule) => (by.has(rule) ? [[rule, by.get(rule)!]] : []))) };
  });
  const sum = (of: (one: ClassScore) => number): number => classes.reduce((total, one) => total + of(one), 0);
  const [mutants, caught, equivalent] = [sum((one) => one.mutants), sum((one) => one.caught), sum((one) => one.equivalent.length)];
  return { seed, mutants, caught, equivalent, score: mutants === equivalent ? 1 : caught / (mutants - equivalent), classes };
}

type Mutant = { readonly program: Program; readonly view: ChipView; readonly fault: Fault };

/** A mutant that can be written as a program and is another than the one it is made from. */
function drawMutant(program: Program, targets: readonly ChipView[], random: Random, draw: (typeof faultClasses)[number]['draw']): Mutant | undefined {
  for (let i = 0; i < drawsMax; i++) {
    const view = pick(random, targets);
    const fault = view === undefined ? undefined : draw(view.queues, random);
    if (view === undefined || fault === undefined) continue;
    const made = written(program, view, fault);
    if (made !== undefined) return { program: made, view, fault };
  }
  return undefined;
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

const withCode = (view: ChipView, { queue, code, strideSets }: Fault): ChipView => ({ ...view, queues: view.queues.map((one) => (one.queue === queue ? { queue, code, strideSets } : one)) });
