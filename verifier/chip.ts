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

export type QueueView = { readonly queue: Queue; readonly code: readonly Instruction[]; readonly strideSets: readonly StrideSet[] };
/** The same, decoded: what every rule but the first works on. Queues without code are left out. */
export type ChipView = Omit<RawChip, 'code'> & { readonly queues: readonly QueueView[] };

/** The chips of an entry by the code they run: equal code needs one proof. */
export function groupChips(program: Program, entry: number): readonly RawChip[] {
  const groups: { chips: number[]; code: ChipCode }[] = [];
  (program.code[entry] ?? []).forEach((code, chip) => {
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

type Where = Pick<RawChip, 'program' | 'entry' | 'chips'>;

export const placeOf = ({ program, entry, chips }: Where, queue?: Queue, pc?: number): Place => ({
  entry: program.entries[entry]?.name ?? `entry ${entry}`, chips, ...(queue === undefined ? {} : { queue }), ...(pc === undefined ? {} : { pc }),
});

/** `mxu:12 (layer.linear)`: an instruction as people can look it up. */
export function nameOf({ program, entry }: Where, queue: Queue, pc: number): string {
  const label = program.debugMap.labels[program.debugMap.entries[entry]?.[queue][pc] ?? -1]?.label;
  return `${queue}:${pc}${label === undefined ? '' : ` (${label})`}`;
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
