import type { Machine } from '../../isa-spec/machine.ts';
import { Chip, type StepInput } from './chip.ts';
import { queues } from '../../isa-spec/instructions.ts';
import { ratesOf } from './rates.ts';
import { chipTiming, type PathStep, type QueueLabels, speedOfLight, type TimingResult } from './result.ts';
import { criticalPath, Recording } from './recording.ts';
import { type Meets, Simulation } from './run.ts';
import { firstOf } from '../../isa-spec/groups.ts';
import { type ChipCode, chipStreams } from './stream.ts';

/** A step of a program as the core runs it: code, labels and step of each chip simulated, one for all if they are alike. */
export type TimingInput = {
  readonly machine: Machine;
  readonly entry: string;
  /** Chips of the program; by chip, which of `simulated` stands for it. */
  readonly chips: number;
  readonly stands: readonly number[];
  readonly simulated: readonly { readonly code: ChipCode; readonly labels: QueueLabels; readonly step: StepInput }[];
  /** Instructions after which to give up. */
  readonly budget: number;
  /** Whether to find the critical path. */
  readonly path?: boolean;
};

/** Runs the step: cycles, where they went, and the bounds they are measured against; or the fault that ended it. */
export function timeStep(input: TimingInput): TimingResult {
  const rates = ratesOf(input.machine, input.chips);
  const chips = input.simulated.map(({ code, step }, index) => new Chip(index, chipStreams(code, rates), step, rates));
  const recording = input.path === true ? new Recording() : undefined;
  const simulation = new Simulation(chips, meetsOf(input.stands), input.budget, recording);
  const cycles = simulation.run();
  if (typeof cycles !== 'number') return { kind: 'fault', fault: cycles };
  const timings = chips.map((chip, index) => chipTiming(chip, cycles, input.simulated[index]!.labels));
  const perChip = timings.length === 1 ? timings : input.stands.map((index) => timings[index]!);
  const sum = (of: (chip: (typeof perChip)[number]) => number): number => perChip.reduce((total, chip) => total + of(chip), 0);
  const capacity = sum((chip) => chip.capacityFlops);
  const [tokens, , samples] = input.simulated[0]!.step.counts;
  return {
    kind: 'timing',
    machine: input.machine,
    entry: input.entry,
    tokens: tokens!,
    samples: samples!,
    inputTokens: tokens! - input.simulated[0]!.step.work.worklist.filter(({ rows, firstPosition }) => rows === 1 && firstPosition > 0).length,
    chips: input.chips,
    symmetric: perChip.length < input.chips,
    cycles,
    seconds: cycles / input.machine.clockHz.value,
    instructions: simulation.instructions,
    perChip,
    ...(recording === undefined ? {} : { path: pathOf(recording, chips, input, cycles) }),
    speedOfLight: speedOfLight(perChip),
    matrixUtilisation: capacity === 0 ? 0 : sum((chip) => chip.usefulMatrixFlops + chip.usefulAttentionFlops) / capacity,
  };
}

/** Which of the chips simulated stand for those that meet a chip of the program in a collective of `members`. */
export const metBy = (stands: readonly number[], chip: number, members: number): readonly number[] => [...new Set(stands.slice(firstOf(chip, members), firstOf(chip, members) + members))];

/** A chip simulated meets those that stand for the group of the first chip it stands for. */
function meetsOf(stands: readonly number[]): Meets {
  const known = new Map<string, readonly number[]>();
  return (chip, members) => {
    const key = `${chip} ${members}`;
    const met = known.get(key) ?? metBy(stands, stands.indexOf(chip), members);
    known.set(key, met);
    return met;
  };
}

/** The critical path from the lane that completes last; a chip simulated is named by the first it stands for. */
function pathOf(recording: Recording, chips: readonly Chip[], { stands, simulated }: TimingInput, cycles: number): readonly PathStep[] {
  const last = chips.flatMap(({ lanes }) => lanes).reduce((most, lane) => (lane.complete > most.complete ? lane : most));
  return criticalPath(recording, recording.lastOf(last), cycles).map(({ lane, ...segment }) => {
    const [index, queue] = [Math.floor(lane / queues.length), queues[lane % queues.length]!];
    return { chip: stands.indexOf(index), queue, label: simulated[index]!.labels[queue][segment.pc] ?? '', ...segment };
  });
}
