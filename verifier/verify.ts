import type { Program } from '../isa-spec/program.ts';
import { type Certificate, type Claims, readCertificates } from './certificate.ts';
import { type ChipView, type Finding, groupChips, placeOf, type RuleId, ruleIds } from './chip.ts';
import { conflictsOf, type Effects, effectsOf } from './effects.ts';
import { balance } from './rules/balance.ts';
import { bounds } from './rules/bounds.ts';
import { collectives } from './rules/collectives.ts';
import { control } from './rules/control.ts';
import { Counts } from './rules/counts.ts';
import { deadlock } from './rules/deadlock.ts';
import { debugMap } from './rules/debug-map.ts';
import { operands, wrongReads } from './rules/def-use.ts';
import { formats } from './rules/formats.ts';
import { kvSafety } from './rules/kv-safety.ts';
import { legal } from './rules/legal.ts';
import { lifetimes } from './rules/lifetimes.ts';
import { neutral } from './rules/neutral.ts';
import { numerics } from './rules/numerics.ts';
import { Overflow } from './rules/overflow.ts';
import { predicates } from './rules/predicates.ts';
import { Races } from './rules/races.ts';
import { claimed, resources } from './rules/resources.ts';
import { singleWaiter } from './rules/single-waiter.ts';
import { Sums } from './rules/sums.ts';
import { Told } from './rules/told.ts';
import { WeightFifo } from './rules/weight-fifo.ts';
import { hasWeightMap, weights } from './rules/weights.ts';
import { play } from './token-game.ts';
import { Values } from './values.ts';
import { walk } from './walk.ts';

/** What each rule proves of a program, as a sentence. */
const rules: { readonly [id in RuleId]: string } = {
  V01: 'every word is an instruction its queue and machine can run',
  V02: 'the container is whole: checksums, sections, canonical form',
  V03: 'loops nest, calls return, and registers are set before they are used',
  V04: 'every semaphore has one poster and one waiter',
  V05: 'every queue comes to its end, whatever the timing',
  V06: 'a step ends as it began: no tokens and no weights left; the host is told last',
  V07: 'no semaphore ever holds more than 15',
  V08: 'loops that exchange tokens are repeated alike, and neutral',
  V09: 'predicates are set before anything depends on them, and values on none',
  V10: 'nothing is accessed outside SRAM, accumulators and HBM regions',
  V11: 'no two unordered accesses of the same memory, one of them a write',
  V12: 'every read sees the value it is meant to see',
  V13: 'nothing is written over a value that is still to be read',
  V14: 'what is written in a format is read in it, with its own scales',
  V15: 'sums are begun, continued in order, and drained once when complete',
  V16: 'no two streams meet in a bank of SRAM',
  V17: 'products take the weights that were pushed for them',
  V18: 'chips that meet come to the same collectives in the same order',
  V19: 'keys and values go to the pages they are read from',
  V20: 'arithmetic is the normative one, and the same in all entries',
  V21: 'no exact sum can leave its accumulator',
  V22: 'every weight is loaded once in each pass over the rows',
  V23: 'every instruction can be looked up',
  V24: 'the program takes what it claims to take',
};

/** Rules that are not for a program's code to keep or break, and why. */
const without: Readonly<Partial<Record<RuleId, string>>> = {
  V02: 'proved by reading: the reader of containers refuses every other file',
  V16: 'no machine says which lines share a bank: their conflicts are part of its rates',
};

/** How a rule came out. `reason`: why it was not examined. */
export type Verdict = { readonly rule: RuleId; readonly says: string } & ({ readonly outcome: 'proved' | 'broken' } | { readonly outcome: 'skipped'; readonly reason: string });
export type Verification = { readonly findings: readonly Finding[]; readonly verdicts: readonly Verdict[] };

/** All that keeps a program from being proved, as `prove` finds it; nothing, if it is. */
export const verify = (program: Program): readonly Finding[] => prove(program).findings;

/**
 * Proves a program safe to run on every chip and for every step within its entries' bounds, from its bytes alone; what it
 * finds says why it could not. Chips that run the same code are proved once.
 */
export function prove(program: Program): Verification {
  const skipped = new Map<RuleId, string>(Object.entries(without) as [RuleId, string][]);
  const findings = [...examine(program, (rule, reason) => void skipped.set(rule, reason))];
  const broken = new Set(findings.map(({ rule }) => rule));
  const verdicts = ruleIds.map((rule): Verdict => {
    const reason = skipped.get(rule);
    if (broken.has(rule) || reason === undefined) return { rule, says: rules[rule], outcome: broken.has(rule) ? 'broken' : 'proved' };
    return { rule, says: rules[rule], outcome: 'skipped', reason };
  });
  return { findings, verdicts };
}

/** The first finding; undefined of a sound program. */
export const firstFinding = (program: Program): Finding | undefined => examine(program, () => undefined).next().value ?? undefined;

type Skip = (rule: RuleId, reason: string) => void;

/** Rules in an order in which each may rely on those before it. */
function* examine(program: Program, skip: Skip): Generator<Finding, undefined> {
  const claims = readCertificates(program);
  const views: ChipView[] = [];
  for (const [entry] of program.entries.entries()) {
    for (const raw of groupChips(program, entry)) {
      const view = legal(raw);
      yield* debugMap(raw);
      if (!('queues' in view)) {
        yield* view;
        skipAfter('V01', skip);
        continue;
      }
      const written = control(view);
      if (!('queues' in written)) {
        yield* written;
        skipAfter('V03', skip);
        continue;
      }
      const first = views.find((view) => isSame(entryOf(view).chips, entryOf(written).chips)) ?? written;
      views.push(written);
      yield* examineChip(written, first, claims?.[entry], skip);
    }
  }
  for (const step of stepsOf(program)) yield* collectives(views.filter(({ entry }) => step.includes(entry)));
  yield* claimed(program, claims);
}

const entryOf = ({ program, entry }: ChipView): Program['entries'][number] => program.entries[entry]!;
const isSame = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((chip, i) => chip === b[i]);

/** Entries that run together, those of each step: the first of each chip, the second, and so on. */
const stepsOf = ({ entries }: Program): readonly (readonly number[])[] => {
  const steps: number[][] = [];
  entries.forEach(({ chips }, entry) => {
    const before = entries.slice(0, entry).filter((other) => other.chips.includes(chips[0]!)).length;
    (steps[before] ??= []).push(entry);
  });
  return steps;
};

const skipAfter = (broken: RuleId, skip: Skip): void => {
  for (const rule of ruleIds) if (rule > broken && without[rule] === undefined && rule !== 'V23') skip(rule, `needs ${broken}`);
};

/** Rules that look at the walk of a chip's queues, and at what the certificate says. */
const ofWalk: readonly RuleId[] = ['V07', 'V11', 'V15', 'V17', 'V21'];
const ofCertificate: readonly RuleId[] = ['V12', 'V13', 'V14'];

function* examineChip(chip: ChipView, first: ChipView, claims: Claims | undefined, skip: Skip): Generator<Finding, undefined> {
  const certificate = claims === undefined || 'problems' in claims ? undefined : claims;
  if (claims === undefined) for (const rule of ofCertificate) skip(rule, 'the program has no certificate (`life`)');
  else if ('problems' in claims) yield { rule: 'V12', place: placeOf(chip), message: `the certificate cannot be read: ${claims.problems[0]}`, notes: claims.problems.slice(1, 4) };

  const shared = singleWaiter(chip);
  yield* shared;
  const effects = effectsOf(chip, certificate);
  if (shared.length === 0) yield* examineWalk(chip, effects, certificate, skip);
  else for (const rule of ['V05', 'V06', 'V08', ...ofWalk, ...ofCertificate] as const) skip(rule, 'needs V04');
  yield* predicates(chip, certificate);
  yield* bounds(chip, effects);
  yield* kvSafety(chip);
  yield* numerics(chip, first, certificate);
  if (hasWeightMap(chip)) yield* weights(chip);
  else skip('V22', 'the program has no map of weights');
  yield* resources(chip);
}

function* examineWalk(chip: ChipView, effects: Effects, certificate: Certificate | undefined, skip: Skip): Generator<Finding, undefined> {
  const claims = certificate === undefined ? [] : operands(chip, effects, certificate);
  yield* claims;
  const conflicts = conflictsOf(effects);
  const [counts, told, races, sums, fifo, overflow] = [new Counts(chip), new Told(chip), new Races(chip, conflicts), new Sums(chip, effects), new WeightFifo(chip, effects), new Overflow(chip, effects)];
  const values = certificate === undefined || claims.length > 0 ? undefined : new Values(chip, effects, certificate);
  const walked = walk(chip, effects, conflicts, [counts, told, races, sums, fifo, overflow, ...(values === undefined ? [] : [values])]);
  const game = walked ?? play(chip);
  yield* deadlock(chip, game);
  yield* balance(chip, game);
  if (walked === undefined && game.end === 'done') yield { rule: 'V11', place: placeOf(chip), message: 'not proved: the queues do not repeat themselves within five million instructions', notes: [] };
  if (game.end !== 'done') {
    for (const rule of ['V08', ...ofWalk, ...ofCertificate] as const) skip(rule, 'needs V05');
    return;
  }
  if (game.counts.every((count) => count === 0)) yield* neutral(chip);
  for (const { findings } of [counts, told, races, sums, fifo, overflow]) yield* findings;
  yield* sums.left();
  if (values === undefined || certificate === undefined) {
    if (certificate !== undefined) for (const rule of ['V13', 'V14'] as const) skip(rule, 'needs the certificate to be that of the code (V12)');
    return;
  }
  yield* wrongReads(chip, values);
  yield* lifetimes(chip, certificate, values);
  yield* formats(chip, effects, certificate, values);
}
