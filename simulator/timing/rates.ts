import type { Machine } from '../../isa-spec/machine.ts';

/** Pipeline depth, in cycles, of the epilogue and of the vector unit: from the last element in to the last element out. */
export const pipelineCycles = 32;

/** FP32 operations the vector lanes spend on an element: those of the normative arithmetic, a special function counting as `special`. */
export const lanePasses = { move: 1, special: 4, rms: 4, layer: 7, rope: 3, quantise: 3, scale: 2, draw: 16 } as const;

/** What the timing model assumes beyond the machine description, for the report's list of assumptions. */
export const timingAssumptions: readonly { readonly name: string; readonly value: number; readonly source: string }[] = [
  { name: 'timing.pipelineCycles', value: pipelineCycles, source: 'depth of the epilogue and vector pipelines' },
  { name: 'timing.specialFunctionPasses', value: lanePasses.special, source: 'vector passes of an activation, e^x, a root or a quotient; the other functions count their FP32 operations' },
  { name: 'timing.drawPasses', value: lanePasses.draw, source: 'vector passes of a drawn token: its exponentials, the order of the candidates, their sums' },
  { name: 'timing.hostCycles', value: 0, source: 'the host has a step ready when the one before has ended' },
  { name: 'timing.hostLinesPerCycle', value: 1, source: 'rate of hostw' },
  { name: 'timing.copyLinesPerCycle', value: 1, source: 'rate of dcp, which a DMA queue does within SRAM' },
  { name: 'timing.blockScaleCycles', value: 0, source: 'scales of blocks are loaded and applied beside their elements; exact sums leave an array at the end of each block' },
  { name: 'timing.sramBankConflicts', value: 0, source: 'SRAM bank bandwidth and conflicts are not modelled' },
  { name: 'timing.lentLoad', value: 1, source: 'a matrix array that is lent loads keys and values as the arrays of the attention unit do that it stands for' },
  { name: 'timing.attentionBalance', value: 1, source: 'query groups and heads spread evenly over the attention arrays' },
];

/** A machine's rates per cycle, as the closed forms use them. */
export type Rates = {
  readonly chips: number;
  readonly arrays: number;
  readonly side: number;
  /** Cycles a row takes if an operand is bf16, for each cycle of an 8-bit one. */
  readonly slow: number;
  readonly fifoTiles: number;
  readonly attentionArrays: number;
  readonly attentionSide: number;
  readonly attentionLoad: number;
  readonly exponentials: number;
  readonly lanes: number;
  readonly lineBytes: number;
  readonly hbm: number;
  readonly hbmLatency: number;
  readonly efficiency: readonly { readonly runBytes: number; readonly fraction: number }[];
  readonly link: number;
  readonly linkLatency: number;
  readonly sync: number;
  /** Multiply-adds a cycle of the matrix arrays, and of the attention unit's, at FP8. */
  readonly matrixPeak: number;
  readonly attentionPeak: number;
};

/** Rates of one chip of `machine` in a program of `chips` chips. */
export function ratesOf(machine: Machine, chips: number): Rates {
  const clock = machine.clockHz.value;
  const { arrays, attention, hbm, link } = machine;
  return {
    chips,
    arrays: arrays.count.value,
    side: arrays.size.value,
    slow: 1 / arrays.bf16Rate.value,
    fifoTiles: machine.weightFifoTiles.value,
    attentionArrays: attention.count.value,
    attentionSide: attention.size.value,
    attentionLoad: attention.kvBytesPerCycle.value,
    exponentials: machine.softmaxPerCycle.value,
    lanes: machine.vectorLanes.value,
    lineBytes: machine.sram.lineBytes.value,
    hbm: hbm.bytesPerSecond.value / clock,
    hbmLatency: Math.ceil(hbm.latencySeconds.value * clock),
    efficiency: hbm.efficiency.map(({ runBytes, fraction }) => ({ runBytes, fraction: fraction.value })),
    link: link.bytesPerSecond.value / clock,
    linkLatency: Math.ceil(link.latencySeconds.value * clock),
    sync: machine.syncCycles.value,
    matrixPeak: arrays.count.value * arrays.size.value ** 2,
    attentionPeak: attention.count.value * attention.size.value ** 2,
  };
}

/** Fraction of HBM's peak that contiguous runs of `runBytes` reach; runs shorter than all of the table get its last row. */
export function hbmEfficiency(rates: Rates, runBytes: number): number {
  let fraction = 1;
  for (const row of rates.efficiency) {
    fraction = row.fraction;
    if (runBytes >= row.runBytes) break;
  }
  return fraction;
}
