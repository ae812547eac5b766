import { decodeAll } from '../../isa-spec/encoding.ts';
import { hostTables, type Queue, queues, stepCounts } from '../../isa-spec/instructions.ts';
import type { ChipCode as ProgramChip, Program } from '../../isa-spec/program.ts';
import { decodeWorklist, openStepBlock } from '../../isa-spec/step-block.ts';
import type { StepInput } from './chip.ts';
import { metBy, timeSteps } from './core.ts';
import type { TimingResult } from './result.ts';
import type { ChipCode } from './stream.ts';

export type TimingOptions = {
  /** Simulates every chip even where all run the same code on the same step. */
  readonly full: boolean;
  /** Instructions after which to give up. */
  readonly budget: number;
  /** Cycles after which to give up (absent: never). */
  readonly cycles?: number;
  /** Finds the critical path. */
  readonly path?: boolean;
};
export const timingDefaults: TimingOptions = { full: false, budget: 100_000_000 };

/** Step-control blocks of a step: one for all chips, or one a chip, which says the entry the chip runs. */
type StepBlocks = readonly Uint8Array[];

/** Time of one step of a program: `simulateSteps` of no other. */
export const simulateTiming = (program: Program, blocks: StepBlocks, options: TimingOptions = timingDefaults): TimingResult => simulateSteps(program, [blocks], options);

/**
 * Time of consecutive steps of a program, from its bytes. In all of them a chip runs the same entry.
 * Chips with the same code and steps are simulated as one, collectives joined, unless `full`; where all are alike, the result is of one (`symmetric`).
 * Throws IllegalInstruction or StepBlockError for bytes that are none, a RangeError for a step the program has no entry or chips for.
 */
export function simulateSteps(program: Program, steps: readonly StepBlocks[], options: TimingOptions = timingDefaults): TimingResult {
  for (const blocks of steps) if (blocks.length !== 1 && blocks.length !== program.chips) throw new RangeError(`${blocks.length} step-control blocks for ${program.chips} chips`);
  const blocksOf = (chip: number): StepBlocks => steps.map((blocks) => (blocks.length === 1 ? blocks[0] : blocks[chip])!);
  const entryOf = (chip: number): number => {
    const [entry, ...others] = new Set(blocksOf(chip).map((block) => openStepBlock(block).entry));
    if (entry === undefined) throw new RangeError('no step to time');
    if (others.length > 0) throw new RangeError(`chip ${chip} is to run entry ${entry}, then ${others.join(', ')}`);
    return entry;
  };
  const entries = Array.from({ length: program.chips }, (_, chip) => entryOf(chip));
  const lentBy = (chip: number): number => program.entries[entries[chip]!]?.lent ?? 0;
  const code = entries.map((entry, chip): ProgramChip => {
    const ofEntry = program.code[entry];
    if (ofEntry === undefined) throw new RangeError(`the step is for entry ${entry}, the program has ${program.code.length}`);
    return ofEntry[chip]!;
  });
  const like = code.map((own, chip) => (options.full ? chip : code.findIndex((other, i) => lentBy(i) === lentBy(chip) && sameCode(other, own) && blocksOf(i).every((block, step) => sameBytes(block, blocksOf(chip)[step]!)))));
  const representatives = [...new Set(like)];
  const labelOf = (index: number): string => program.debugMap.labels[index]?.label ?? '';
  const decoded = new Map<ProgramChip, ChipCode>();
  const simulated = representatives.map((chip) => {
    const own = code[chip]!;
    const alike = [...decoded].find(([other]) => sameCode(other, own));
    const instructions = alike?.[1] ?? decodeChip(own);
    decoded.set(own, instructions);
    const names = program.debugMap.entries[entries[chip]!];
    return { code: instructions, labels: byQueue((queue) => (names === undefined ? [] : names[queue].map(labelOf))), steps: blocksOf(chip).map(stepInput), lent: lentBy(chip) };
  });
  const stands = like.map((chip) => representatives.indexOf(chip));
  if (!meetsAlike(stands, groupsOf([...decoded.values()]))) return simulateSteps(program, steps, { ...options, full: true });
  return timeSteps({ machine: program.machine, entry: program.entries[entries[0]!]?.name ?? '', chips: program.chips, simulated, stands, budget: options.budget, cycles: options.cycles, path: options.path === true });
}

/** Chips of the groups collectives are of. */
const groupsOf = (code: readonly ChipCode[]): readonly number[] => [...new Set(code.flatMap(({ col }) => col.instructions.flatMap((one) => (one.op === 'coll' ? (one.fields.group ?? []) : []))))];

/** Whether a chip meets the like of those that the one that stands for it does. */
const meetsAlike = (stands: readonly number[], groups: readonly number[]): boolean =>
  groups.every((members) => stands.every((index, chip) => String(metBy(stands, chip, members).toSorted()) === String(metBy(stands, stands.indexOf(index), members).toSorted())));

const byQueue = <T>(of: (queue: Queue) => T): Readonly<Record<Queue, T>> => Object.fromEntries(queues.map((queue) => [queue, of(queue)])) as Record<Queue, T>;

const decodeChip = (chip: ProgramChip): ChipCode => byQueue((queue) => ({ instructions: decodeAll(chip[queue].words, queue), strideSets: chip[queue].strideSets }));

/** Equal bytes, compared four at a time where they lie so. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const aligned = (a.byteOffset | b.byteOffset | a.length) % 4 === 0;
  const seen = (bytes: Uint8Array): Uint8Array | Uint32Array => (aligned ? new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : bytes);
  const [left, right] = [seen(a), seen(b)];
  for (let index = 0; index < left.length; index++) if (left[index] !== right[index]) return false;
  return true;
}

const sameCode = (a: ProgramChip, b: ProgramChip): boolean =>
  a === b || queues.every((queue) => a[queue] === b[queue] || (sameBytes(a[queue].words, b[queue].words) && JSON.stringify(a[queue].strideSets) === JSON.stringify(b[queue].strideSets)));

/** What a step-control block says of the step. */
function stepInput(block: Uint8Array): StepInput {
  const { counts, tables } = openStepBlock(block);
  return {
    counts: stepCounts.map((name) => counts[name]),
    tableBytes: hostTables.map((table) => tables[table].length),
    work: { worklist: decodeWorklist(tables.worklist), memoryWorklist: decodeWorklist(tables.memoryWorklist) },
  };
}

