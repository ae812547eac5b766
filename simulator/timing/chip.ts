import { hbmBases, hostTables, isWorklist, queues, type Worklist } from '../../isa-spec/instructions.ts';
import type { WorkEntry } from '../../isa-spec/step-block.ts';
import type { AttentionCost } from './attention.ts';
import { usefulShares } from './bins.ts';
import { WeightFifo } from './fifo.ts';
import { SharedHbm } from './hbm.ts';
import { Lane, laneState, queueIndex } from './lane.ts';
import type { Rates } from './rates.ts';
import type { Standing } from './standing.ts';
import { type ChipStreams, postersOf } from './stream.ts';

/** What the host gave a chip for the step. */
export type StepInput = {
  /** tokens, sequences, samples, memory: in the order of `stepCounts`. */
  readonly counts: readonly number[];
  /** Bytes of each host table, in the order of `hostTables`. */
  readonly tableBytes: readonly number[];
  readonly work: Readonly<Record<Worklist, readonly WorkEntry[]>>;
};

/** Where the peak goes that is not achieved. */
export const lossNames = [
  'edgePadding', 'halfRate', 'weightLoad', 'fillDrain', 'exposedDma', 'exposedLink', 'attention', 'softmax', 'vector', 'synchronisation', 'imbalance', 'pipelineBubble',
] as const;
export type LossName = (typeof lossNames)[number];
export const lossIndex = Object.fromEntries(lossNames.map((name, index) => [name, index])) as { readonly [L in LossName]: number };

/** The window of queries in the attention unit: instruction, first row, rows. */
export type Window = { pc: number; first: number; rows: number };
export type WindowCost = AttentionCost & { readonly pc: number; readonly rows: number };

const semaphores = 256;
const none = -1;

/** What changes on one chip beside its queues. It runs nothing until it has begun a step. */
export class Chip {
  readonly rates: Rates;
  step: StepInput = { counts: [0, 0, 0, 0], tableBytes: hostTables.map(() => 0), work: { worklist: [], memoryWorklist: [] } };
  /** By queue and pc: the share of the work that is of use, where bins have places nobody takes. */
  useful: readonly Float64Array[] = [];
  readonly lanes: readonly Lane[];
  readonly poster: Int8Array;
  readonly hbm: SharedHbm;
  fifo: WeightFifo;

  readonly value = new Int32Array(semaphores);
  /** Queue that waits for the semaphore. */
  readonly waiter = new Int32Array(semaphores).fill(none);
  /** When the semaphore's last post so far becomes visible. */
  readonly visible = new Float64Array(semaphores);

  readonly window: Window = { pc: none, first: 0, rows: 0 };
  /** Cost of the `attn` at work. */
  attend: WindowCost | undefined;
  windowCosts: (WindowCost | undefined)[][] = [];
  /** Rows times valid k accumulated at each accumulator row. */
  readonly accumulated = new Float64Array(1024);
  /** 1 where they come from bf16 operands. */
  readonly slowAccumulators = new Uint8Array(1024);
  readonly #worklists = new Map<number, Worklist>();
  /** When this chip reached the collective it is joining. */
  joined = 0;

  /** Idle cycles of the matrix arrays are in `idle`, by loss, up to here. */
  accounted = 0;
  readonly idle = new Float64Array(lossNames.length);
  /** Multiply-adds the attention unit does not do while one of its instructions is at work, by loss. */
  readonly unattended = new Float64Array(lossNames.length);
  readonly regionBytes = new Float64Array(hbmBases.length);
  readonly totals = {
    linkBytes: 0, compulsoryBytes: 0, laneOps: 0,
    matrixUseful: 0, matrixUsefulSlow: 0, matrixCycles: 0, matrixCyclesSlow: 0,
    attentionUseful: 0, attentionUsefulSlow: 0, attentionCycles: 0, exponentials: 0, pairs: 0, softmaxCycles: 0,
  };

  constructor(index: number, streams: ChipStreams, rates: Rates) {
    this.rates = rates;
    this.lanes = queues.map((_, queue) => new Lane(index, queue, streams[queue]!));
    this.poster = postersOf(streams);
    this.hbm = new SharedHbm(rates.hbm, 3);
    this.fifo = new WeightFifo(rates.fifoTiles);
    for (const stream of streams) {
      for (const instruction of stream.instructions) {
        if (instruction.op === 'hostw' && isWorklist(instruction.fields.table)) this.#worklists.set(instruction.fields.dst.addr, instruction.fields.table);
      }
    }
  }

  /** Begins a step at `now`, with what those before took and lost. */
  begin(step: StepInput, now: number): void {
    this.step = step;
    this.useful = usefulShares(this.lanes.map(({ stream }) => stream), step.counts);
    for (const lane of this.lanes) lane.begin(now);
    this.value.fill(0);
    this.waiter.fill(none);
    this.fifo = new WeightFifo(this.rates.fifoTiles);
    this.window.pc = none;
    this.windowCosts = [];
  }

  /** All that decides what comes beside its queues, times from `now` on. */
  standing(now: number): Standing {
    return [
      this.value, this.waiter, this.visible.map((time) => Math.max(0, time - this.accounted)), this.accounted - now, this.lanes[queueIndex.col]!.state === laneState.joining ? this.joined - now : 0,
      this.window.pc, this.window.first, this.window.rows, Number(this.attend !== undefined), this.accumulated, this.slowAccumulators, ...this.hbm.standing(now), ...this.fifo.standing(now),
    ];
  }

  /** Puts everything off by `cycles`. */
  postpone(cycles: number): void {
    this.visible.forEach((time, semaphore) => {
      if (time > this.accounted) this.visible[semaphore] = time + cycles;
    });
    this.accounted += cycles;
    this.joined += cycles;
    this.hbm.postpone(cycles);
    this.fifo.postpone(cycles);
  }

  /** The work list at a line of SRAM; of programs that do not say where the host's lists go, the sequences' own. */
  workOf(line: number): readonly WorkEntry[] {
    return this.step.work[this.#worklists.get(line) ?? 'worklist'];
  }
}
