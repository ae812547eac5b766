import { lending, type Machine } from '../../isa-spec/machine.ts';
import { queues } from '../../isa-spec/instructions.ts';
import { Chip, type StepInput } from './chip.ts';
import { ratesOf } from './rates.ts';
import { chipTiming, type PathStep, type QueueLabels, speedOfLight, type TimingResult } from './result.ts';
import { criticalPath, Recording } from './recording.ts';
import { type Meets, Simulation } from './run.ts';
import { firstOf } from '../../isa-spec/groups.ts';
import { type ChipCode, chipStreams } from './stream.ts';

/** Consecutive steps of a program as the core runs them: code, labels, steps and lent matrix arrays (absent: none) of each chip simulated, as many steps of each, one for all if they are alike. */
export type TimingInput = {
  readonly machine: Machine;
  readonly entry: string;
  /** Chips of the program; by chip, which of `simulated` stands for it. */
  readonly chips: number;
  readonly stands: readonly number[];
  readonly simulated: readonly { readonly code: ChipCode; readonly labels: QueueLabels; readonly steps: readonly StepInput[]; readonly lent?: number }[];
  /** Instructions after which to give up. */
  readonly budget: number;
  /** Cycles after which to give up (absent: never). */
  readonly cycles?: number | undefined;
  /** Whether to find the critical path. */
  readonly path?: boolean;
};

/**
 * Runs the steps, each from where the one before has ended on all chips: cycles, where they went, and the bounds they are measured against; or the fault that
 * ended them.
 */
export function timeSteps(input: TimingInput): TimingResult {
  const { steps } = input.simulated[0]!;
  const chips = input.simulated.map(({ code, lent = 0 }, index) => {
    const rates = ratesOf(lending(input.machine, lent), input.chips);
    return new Chip(index, chipStreams(code, rates), rates);
  });
  const recording = input.path === true ? new Recording() : undefined;
  const simulation = new Simulation(chips, meetsOf(input.stands), input, recording);
  let cycles = 0;
  for (let step = 0; step < steps.length; step++) {
    chips.forEach((chip, index) => chip.begin(input.simulated[index]!.steps[step]!, cycles));
    const end = simulation.run();
    if (typeof end !== 'number') return { kind: 'fault', fault: end };
    cycles = end;
  }
  const timings = chips.map((chip, index) => chipTiming(chip, cycles, input.simulated[index]!.labels));
  const perChip = timings.length === 1 ? timings : input.stands.map((index) => timings[index]!);
  const sum = (of: (chip: (typeof perChip)[number]) => number): number => perChip.reduce((total, chip) => total + of(chip), 0);
  const capacity = sum((chip) => chip.capacityFlops);
  const all = (of: (step: StepInput) => number): number => steps.reduce((total, step) => total + of(step), 0);
  const decoded = ({ work }: StepInput): number => work.worklist.filter(({ rows, firstPosition }) => rows === 1 && firstPosition > 0).length;
  const tokens = all(({ counts }) => counts[0]!);
  return {
    kind: 'timing',
    machine: input.machine,
    entry: input.entry,
    steps: steps.length,
    tokens,
    samples: all(({ counts }) => counts[2]!),
    inputTokens: tokens - all(decoded),
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
  return criticalPath(recording, recording.lastOf(chips.flatMap(({ lanes }) => lanes)), cycles).map(({ lane, ...segment }) => {
    const [index, queue] = [Math.floor(lane / queues.length), queues[lane % queues.length]!];
    return { chip: stands.indexOf(index), queue, label: simulated[index]!.labels[queue][segment.pc] ?? '', ...segment };
  });
}
