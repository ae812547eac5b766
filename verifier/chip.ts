import { printInstruction } from '../isa-spec/disassembly.ts';
import { type Instruction, type Queue, queues, type StrideSet } from '../isa-spec/instructions.ts';
import type { ChipCode, Program } from '../isa-spec/program.ts';

/** The rules, by the numbers the documentation gives them. */
export const ruleIds = [
  'V01', 'V02', 'V03', 'V04', 'V05', 'V06', 'V07', 'V08', 'V09', 'V10', 'V11', 'V12',
  'V13', 'V14', 'V15', 'V16', 'V17', 'V18', 'V19', 'V20', 'V21', 'V22', 'V23', 'V24',
] as const;
export type RuleId = (typeof ruleIds)[number];

/** Where in a program: `pc` counts a queue's instructions. All chips of `chips` have the same code there. */
export type Place = { readonly entry: string; readonly chips: readonly number[]; readonly queue?: Queue; readonly pc?: number };

/** A breach of a rule. `message` says what is wrong, `notes` the counter-example: what one has to see to mend it. */
export type Finding = { readonly rule: RuleId; readonly place: Place; readonly message: string; readonly notes: readonly string[] };

/** The code of one entry on chips that have the same, as bytes. */
export type RawChip = { readonly program: Program; readonly entry: number; readonly chips: readonly number[]; readonly code: ChipCode };

/** Where in a queue's words an instruction is: its pc, and those of the calls that lead to it, outermost first. */
export type CodePlace = { readonly pc: number; readonly calls: readonly number[] };
/** `from`, of code whose calls have been written out (`writtenOut`): the code as it stands in the words, and where in it each instruction is. */
export type QueueView = { readonly queue: Queue; readonly code: readonly Instruction[]; readonly strideSets: readonly StrideSet[]; readonly from?: { readonly code: readonly Instruction[]; readonly places: readonly CodePlace[] } };
/** The same, decoded: what every rule but the first works on. Queues without code are left out. */
export type ChipView = Omit<RawChip, 'code'> & { readonly queues: readonly QueueView[] };

/** The chips of an entry by the code they run: equal code needs one proof. */
export function groupChips(program: Program, entry: number): readonly RawChip[] {
  const groups: { chips: number[]; code: ChipCode }[] = [];
  (program.code[entry] ?? []).forEach((code, chip) => {
    if (!program.entries[entry]!.chips.includes(chip)) return;
    const same = groups.find((group) => queues.every((queue) => equalCode(group.code, code, queue)));
    if (same === undefined) groups.push({ chips: [chip], code });
    else same.chips.push(chip);
  });
  return groups.map(({ chips, code }) => ({ program, entry, chips, code }));
}

const equalCode = (a: ChipCode, b: ChipCode, queue: Queue): boolean => {
  const [x, y] = [a[queue], b[queue]];
  if (x === y) return true;
  return x.words.length === y.words.length && x.words.every((byte, i) => byte === y.words[i]) && JSON.stringify(x.strideSets) === JSON.stringify(y.strideSets);
};

type Where = Pick<RawChip, 'program' | 'entry' | 'chips'> & { readonly queues?: readonly QueueView[] };

/** Where the instruction at a place of a view's code is in the words. */
const wordOf = ({ queues: views }: Where, queue: Queue, at: number): CodePlace => views?.find((view) => view.queue === queue)?.from?.places[at] ?? { pc: at, calls: [] };

export const placeOf = (where: Where, queue?: Queue, at?: number): Place => ({
  entry: where.program.entries[where.entry]?.name ?? `entry ${where.entry}`, chips: where.chips,
  ...(queue === undefined ? {} : { queue }), ...(queue === undefined || at === undefined ? {} : { pc: wordOf(where, queue, at).pc }),
});

/** The number of an instruction's label in the debug map; -1 if it has none. */
export const labelOf = (where: Where, queue: Queue, at: number): number => where.program.debugMap.entries[where.entry]?.[queue][wordOf(where, queue, at).pc] ?? -1;

/** `mxu:12 (layer.linear)`, `mxu:12 (layer.linear; called at 7, at 3)`: an instruction as people can look it up. */
export function nameOf(where: Where, queue: Queue, at: number): string {
  const { pc, calls } = wordOf(where, queue, at);
  const label = where.program.debugMap.labels[labelOf(where, queue, at)]?.label;
  const notes = [...(label === undefined ? [] : [label]), ...(calls.length === 0 ? [] : [`called at ${calls.toReversed().join(', at ')}`])];
  return `${queue}:${pc}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
}

/** An instruction as the code has it, in assembly. */
export function textOf(chip: ChipView, queue: Queue, at: number): string {
  const view = chip.queues.find((one) => one.queue === queue)!;
  return printInstruction((view.from?.code ?? view.code)[wordOf(chip, queue, at).pc]!);
}

/** `s3 (ready: w.ring)`. */
export function semaphoreName({ program, entry }: Where, id: number): string {
  const known = program.semaphores.find((semaphore) => semaphore.entry === entry && semaphore.id === id);
  return known === undefined ? `s${id}` : `s${id} (${known.purpose})`;
}

/** ` at I0=3 I2=1`: the loop indices that are not 0. */
export const iterationText = (I: ArrayLike<number>): string => {
  const set = Array.from(I).flatMap((index, level) => (index === 0 ? [] : [`I${level}=${index}`]));
  return set.length === 0 ? '' : ` at ${set.join(' ')}`;
};
