import { type HbmBase, hbmBases, type Queue, queues } from '../../isa-spec/instructions.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { type Chip, type LossName, lossIndex, lossNames } from './chip.ts';
import { queueIndex, type StallReason, stallReasons } from './lane.ts';
import type { Rates } from './rates.ts';
import type { Segment } from './recording.ts';
import type { TimingFault } from './run.ts';

export type EngineName = 'matrix' | 'attention' | 'softmax' | 'vector' | 'hbm' | 'link';

/**
 * One engine over the steps. `work` in `unit`s is what they cannot do without: useful multiply-adds (a bf16 one counted as what it costs),
 * unmasked exponentials, lane operations, bytes moved once, link bytes; `slowWork` of it is bf16's. `boundCycles` = work / peak; `busyCycles` the engine was occupied.
 */
export type EngineTiming = {
  readonly name: EngineName;
  readonly unit: string;
  readonly work: number;
  readonly slowWork: number;
  readonly peakPerCycle: number;
  readonly boundCycles: number;
  readonly busyCycles: number;
};

/** busy + all stalls = cycles of the steps. */
export type QueueTiming = { readonly queue: Queue; readonly issued: number; readonly busy: number; readonly stalls: Readonly<Record<StallReason, number>> };

/** Cycles of a queue spent on, and stalled before, the instructions of one label. */
export type LabelTiming = { readonly label: string; readonly queue: Queue; readonly busy: number; readonly stalled: number };

export type ChipTiming = {
  readonly queues: readonly QueueTiming[];
  readonly engines: readonly EngineTiming[];
  readonly labels: readonly LabelTiming[];
  readonly hbmBytes: Readonly<Record<HbmBase, number>>;
  readonly linkBytes: number;
  /** FLOPs: useful + the sum of losses = capacity, which is all arrays at FP8 over the whole time. */
  readonly usefulMatrixFlops: number;
  readonly usefulAttentionFlops: number;
  readonly capacityFlops: number;
  readonly losses: Readonly<Record<LossName, number>>;
};

/** A part of the critical path: of an execution of an instruction of a chip's queue, in a layer, for an op. */
export type PathStep = Omit<Segment, 'lane'> & { readonly chip: number; readonly queue: Queue; readonly label: string };

/** What consecutive steps take, all of them together. Everything is of the chips simulated: one stands for all if `symmetric`. */
export type Timing = {
  readonly kind: 'timing';
  readonly machine: Machine;
  readonly entry: string;
  readonly steps: number;
  readonly tokens: number;
  readonly samples: number;
  /** Rows that are of prompts: all but the single rows that go on from keys already cached. */
  readonly inputTokens: number;
  /** Chips of the program. */
  readonly chips: number;
  readonly symmetric: boolean;
  readonly cycles: number;
  readonly seconds: number;
  readonly instructions: number;
  readonly perChip: readonly ChipTiming[];
  /** The instructions that make the steps as long as they are, if they were asked for: together, `cycles`. */
  readonly path?: readonly PathStep[];
  readonly speedOfLight: { readonly cycles: number; readonly engine: EngineName };
  /** usefulFlops / capacityFlops of the chips simulated. */
  readonly matrixUtilisation: number;
};
export type TimingResult = Timing | { readonly kind: 'fault'; readonly fault: TimingFault };

/** Labels of a queue's instructions, one an instruction. */
export type QueueLabels = Readonly<Record<Queue, readonly string[]>>;

const byName = <N extends string>(names: readonly N[], values: ArrayLike<number>): Readonly<Record<N, number>> =>
  Object.fromEntries(names.map((name, index) => [name, values[index]!])) as Record<N, number>;

/** What happened on a chip in `cycles`. */
export function chipTiming(chip: Chip, cycles: number, labels: QueueLabels): ChipTiming {
  const { totals, rates } = chip;
  return {
    queues: chip.lanes.map((lane) => ({ queue: queues[lane.queue]!, issued: lane.issued, busy: lane.busy, stalls: byName(stallReasons, lane.stalls) })),
    engines: enginesOf(chip, rates),
    labels: chip.lanes.flatMap((lane) => labelTimings(queues[lane.queue]!, labels[queues[lane.queue]!], lane.busyAt, lane.stalledAt)),
    hbmBytes: byName(hbmBases, chip.regionBytes),
    linkBytes: totals.linkBytes,
    usefulMatrixFlops: 2 * totals.matrixUseful,
    usefulAttentionFlops: 2 * totals.attentionUseful,
    capacityFlops: 2 * cycles * (rates.matrixPeak + rates.attentionPeak),
    losses: byName(lossNames, lossFlops(chip, cycles)),
  };
}

/** Multiply-adds lost, by name, in FLOPs. Idle attention arrays are an imbalance: the step has no work for them at that time. */
function lossFlops(chip: Chip, cycles: number): Float64Array {
  const { totals, rates } = chip;
  const lost = chip.idle.map((idle, loss) => idle * rates.matrixPeak + chip.unattended[loss]!);
  const half = totals.matrixCyclesSlow * rates.matrixPeak * (1 - 1 / rates.slow);
  lost[lossIndex.halfRate]! += half;
  lost[lossIndex.edgePadding]! += totals.matrixCycles * rates.matrixPeak - half - totals.matrixUseful;
  lost[lossIndex.imbalance]! += (cycles - totals.attentionCycles) * rates.attentionPeak;
  return lost.map((macs) => 2 * macs);
}

/** What each engine can do in a cycle. */
const peaks: { readonly [E in EngineName]: (rates: Rates) => number } = {
  matrix: (rates) => rates.matrixPeak,
  attention: (rates) => rates.attentionPeak,
  softmax: (rates) => rates.exponentials,
  vector: (rates) => rates.lanes,
  hbm: (rates) => rates.hbm * rates.efficiency.reduce((most, { fraction }) => Math.max(most, fraction), 0),
  link: (rates) => rates.link,
};

/** The least cycles of an engine of a machine of rates `own` for the same work on one of rates `other`. */
export const boundOn = ({ name, work, slowWork }: EngineTiming, own: Rates, other: Rates): number => (work - slowWork + (slowWork * other.slow) / own.slow) / peaks[name](other);

function enginesOf(chip: Chip, rates: Rates): readonly EngineTiming[] {
  const { totals, lanes, hbm } = chip;
  const engine = (name: EngineName, unit: string, { fast, slow = 0 }: { readonly fast: number; readonly slow?: number }, busyCycles: number): EngineTiming => {
    const [slowWork, peakPerCycle] = [slow * rates.slow, peaks[name](rates)];
    const work = fast + slowWork;
    return { name, unit, work, slowWork, peakPerCycle, boundCycles: work / peakPerCycle, busyCycles };
  };
  return [
    engine('matrix', 'multiply-adds', { fast: totals.matrixUseful - totals.matrixUsefulSlow, slow: totals.matrixUsefulSlow }, totals.matrixCycles),
    engine('attention', 'multiply-adds', { fast: totals.attentionUseful - totals.attentionUsefulSlow, slow: totals.attentionUsefulSlow }, totals.attentionCycles),
    engine('softmax', 'exponentials', { fast: totals.pairs }, totals.softmaxCycles),
    engine('vector', 'lane operations', { fast: totals.laneOps }, lanes[queueIndex.vec]!.busy),
    engine('hbm', 'bytes', { fast: totals.compulsoryBytes }, hbm.busy),
    engine('link', 'bytes', { fast: totals.linkBytes }, lanes[queueIndex.col]!.busy),
  ];
}

function labelTimings(queue: Queue, labels: readonly string[], busyAt: Float64Array, stalledAt: Float64Array): readonly LabelTiming[] {
  const sums = new Map<string, { busy: number; stalled: number }>();
  busyAt.forEach((busy, pc) => {
    const label = labels[pc] ?? '';
    const sum = sums.get(label) ?? { busy: 0, stalled: 0 };
    sums.set(label, { busy: sum.busy + busy, stalled: sum.stalled + stalledAt[pc]! });
  });
  return [...sums].map(([label, sum]) => ({ label, queue, ...sum }));
}

/** The longest bound of any engine of any chip. */
export function speedOfLight(chips: readonly ChipTiming[]): Timing['speedOfLight'] {
  const engines = chips.flatMap((chip) => chip.engines);
  const longest = engines.reduce((most, engine) => (engine.boundCycles > most.boundCycles ? engine : most));
  return { cycles: longest.boundCycles, engine: longest.name };
}
