import { decodeAll } from '../../isa-spec/encoding.ts';
import { hostTables, type Queue, queues, stepCounts } from '../../isa-spec/instructions.ts';
import type { ChipCode as ProgramChip, Program } from '../../isa-spec/program.ts';
import { decodeWorklist, openStepBlock } from '../../isa-spec/step-block.ts';
import type { StepInput } from './chip.ts';
import { metBy, timeStep } from './core.ts';
import type { TimingResult } from './result.ts';
import type { ChipCode } from './stream.ts';

export type TimingOptions = {
  /** Simulates every chip even where all run the same code on the same step. */
  readonly full: boolean;
  /** Instructions after which to give up. */
  readonly budget: number;
  /** Finds the critical path. */
  readonly path?: boolean;
};
export const timingDefaults: TimingOptions = { full: false, budget: 100_000_000 };

/**
 * Time of one step of a program, from its bytes. `stepBlocks`: one for all chips, or one a chip, which says the entry the chip runs.
 * Chips with the same code and step are simulated as one, collectives joined, unless `full`; where all are alike, the result is of one (`symmetric`).
 * Throws IllegalInstruction or StepBlockError for bytes that are none, a RangeError for a step the program has no entry or chips for.
 */
export function simulateTiming(program: Program, stepBlocks: readonly Uint8Array[], options: TimingOptions = timingDefaults): TimingResult {
  const first = stepBlocks[0];
  if (first === undefined || (stepBlocks.length !== 1 && stepBlocks.length !== program.chips)) throw new RangeError(`${stepBlocks.length} step-control blocks for ${program.chips} chips`);
  const entryOf = (chip: number): number => openStepBlock(stepBlocks[chip] ?? first).entry;
  const code = Array.from({ length: program.chips }, (_, chip): ProgramChip => {
    const ofEntry = program.code[entryOf(chip)];
    if (ofEntry === undefined) throw new RangeError(`the step is for entry ${entryOf(chip)}, the program has ${program.code.length}`);
    return ofEntry[chip]!;
  });
  const blockOf = (chip: number): Uint8Array => stepBlocks[chip] ?? first;
  const like = code.map((own, chip) => (options.full ? chip : code.findIndex((other, i) => sameCode(other, own) && sameBytes(blockOf(i), blockOf(chip)))));
  const representatives = [...new Set(like)];
  const labelOf = (index: number): string => program.debugMap.labels[index]?.label ?? '';
  const decoded = new Map<ProgramChip, ChipCode>();
  const simulated = representatives.map((chip) => {
    const own = code[chip]!;
    const alike = [...decoded].find(([other]) => sameCode(other, own));
    const instructions = alike?.[1] ?? decodeChip(own);
    decoded.set(own, instructions);
    const names = program.debugMap.entries[entryOf(chip)];
    return { code: instructions, labels: byQueue((queue) => (names === undefined ? [] : names[queue].map(labelOf))), step: stepInput(blockOf(chip)) };
  });
  const stands = like.map((chip) => representatives.indexOf(chip));
  if (!meetsAlike(stands, groupsOf([...decoded.values()]))) return simulateTiming(program, stepBlocks, { ...options, full: true });
  return timeStep({ machine: program.machine, entry: program.entries[entryOf(0)]?.name ?? '', chips: program.chips, simulated, stands, budget: options.budget, path: options.path === true });
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

