import { move } from '../../isa-spec/encoding.ts';
import { hbmBases } from '../../isa-spec/instructions.ts';
import { attentionCost } from './attention.ts';
import { type Chip, lossIndex, type WindowCost } from './chip.ts';
import { valueDimOf } from './cycles.ts';
import { type Lane, levels, queueIndex, stallIndex } from './lane.ts';
import { hbmEfficiency } from './rates.ts';
import { costOf, readBefore, readOf, strideSetOf } from './stream.ts';

/** What the units do when an instruction of theirs is issued, apart from taking time. */

const scratch = hbmBases.indexOf('scratch');
const weights = hbmBases.indexOf('weights');
/** Loop level of k chunks: `accumulate first` overwrites in its iteration 0. */
const chunkLevel = 3;

/** Cycles of an instruction of the host's queue; a host table may be shorter than the instruction allows for. */
export function hostCycles(chip: Chip, lane: Lane): number {
  const instruction = lane.stream.instructions[lane.pc]!;
  if (instruction.op !== 'hostw') return lane.stream.cycles[lane.slot]!;
  const bytes = Math.min(instruction.fields.bytes, chip.step.tableBytes[lane.stream.a[lane.pc]!]!);
  return costOf({ ...instruction, fields: { ...instruction.fields, bytes } }, 0, chip.rates).cycles;
}

/** Books a DMA instruction's bytes; returns its work for HBM in bytes at peak. */
export function transferWork(chip: Chip, lane: Lane): number {
  const { stream, pc } = lane;
  const bytes = stream.hbmBytes[lane.slot]!;
  const region = stream.a[pc]!;
  const work = bytes / hbmEfficiency(chip.rates, stream.runBytes[lane.slot]!);
  chip.regionBytes[region]! += bytes;
  if (region !== scratch && isCompulsory(lane, region)) chip.totals.compulsoryBytes += bytes * chip.useful[lane.queue]![pc]!;
  return work;
}

/** Whether no instruction before reads the same, and of weights: whether this is the first pass of the loops that leave the operand where it is. */
function isCompulsory(lane: Lane, region: number): boolean {
  const still = readOf(lane.stream, lane.pc, lane.path, lane.frame);
  if (still === readBefore) return false;
  if (region !== weights) return true;
  for (let level = 0; level < levels; level++) if ((still >> level) & 1 && lane.indices[level] !== 0) return false;
  return true;
}

function accumulatorRow(chip: Chip, lane: Lane): number {
  const { stream, pc } = lane;
  const set = strideSetOf(stream.strideSets, lane.frame, stream.accStride[pc]!);
  const moved = set === undefined ? 0 : move(set, lane.indices);
  return (stream.accRow[pc]! + moved) & (chip.accumulated.length - 1);
}

/** Remembers rows x valid k of an `mm`, for the `epi` that knows how many of its columns are valid. */
export function accumulate(chip: Chip, lane: Lane): void {
  const { stream, pc } = lane;
  const row = accumulatorRow(chip, lane);
  const mode = stream.accumulate[pc];
  const overwrites = mode === 0 || (mode === 2 && lane.indices[chunkLevel] === 0);
  chip.accumulated[row] = (overwrites ? 0 : chip.accumulated[row]!) + (stream.work[lane.slot]! / stream.b[pc]!) * chip.useful[lane.queue]![pc]!;
  chip.slowAccumulators[row] = stream.slow[pc]!;
}

/** Counts the useful multiply-adds of the accumulators an `epi` drains. */
export function drain(chip: Chip, lane: Lane): void {
  const row = accumulatorRow(chip, lane);
  const useful = Math.round(chip.accumulated[row]! * lane.stream.a[lane.pc]!);
  chip.totals.matrixUseful += useful;
  if (chip.slowAccumulators[row] === 1) chip.totals.matrixUsefulSlow += useful;
}

/** The cost of the `attn` at the head for the window in the unit, computed once a window; undefined without queries. */
export function windowCost(chip: Chip, lane: Lane): WindowCost | undefined {
  const { instructions, rowsMax } = lane.stream;
  const { window } = chip;
  const keys = instructions[lane.pc]!;
  const query = window.pc < 0 ? undefined : instructions[window.pc];
  if (keys.op !== 'attn' || query?.op !== 'aq') return undefined;
  const costs = (chip.windowCosts[lane.pc] ??= []);
  const at = window.first / (rowsMax[window.pc]! || 1);
  const known = costs[at];
  if (known !== undefined && known.pc === window.pc && known.rows === window.rows) return known;
  const cost = attentionCost({ query: query.fields, keys: keys.fields, rates: chip.rates }, chip.workOf(query.fields.worklist), window.first, window.rows);
  return (costs[at] = { ...cost, pc: window.pc, rows: window.rows });
}

/** Books the `attn` at the head, which took `took` cycles; what of that time the arrays did nothing useful is a loss. */
export function bookAttention(chip: Chip, lane: Lane, cost: WindowCost, took: number): void {
  const { totals, unattended } = chip;
  const peak = chip.rates.attentionPeak;
  const query = lane.stream.instructions[cost.pc]!;
  const useful = query.op === 'aq' ? (query.fields.headDim + valueDimOf(query.fields)) * cost.pairs : 0;
  const slow = lane.stream.slow[lane.pc] === 1;
  const half = slow ? cost.arrayCycles * peak * (1 - 1 / chip.rates.slow) : 0;
  lane.work(cost.cycles);
  lane.stall(stallIndex.hbm, took - cost.cycles);
  unattended[lossIndex.exposedDma]! += (took - cost.cycles) * peak;
  unattended[lossIndex.softmax]! += (cost.cycles - cost.arrayCycles) * peak;
  unattended[lossIndex.halfRate]! += half;
  unattended[lossIndex.edgePadding]! += cost.arrayCycles * peak - half - useful;
  totals.attentionUseful += useful;
  if (slow) totals.attentionUsefulSlow += useful;
  totals.attentionCycles += took;
  totals.exponentials += cost.exponentials;
  totals.softmaxCycles += cost.softmaxCycles;
  totals.pairs += cost.pairs;
  totals.compulsoryBytes += cost.newBytes;
}

/** Books an `aq` or `afin`: the attention arrays fill or drain. */
export function bookQueries(chip: Chip, cycles: number): void {
  chip.unattended[lossIndex.fillDrain]! += cycles * chip.rates.attentionPeak;
  chip.totals.attentionCycles += cycles;
}

/** Books what the matrix pipe knows of the `mm` at the head of `lane`. */
export function bookMultiply(chip: Chip, lane: Lane): void {
  const cycles = lane.stream.cycles[lane.slot]!;
  chip.idle[lossIndex.weightLoad]! += chip.fifo.waited;
  chip.idle[lossIndex.fillDrain]! += chip.fifo.held;
  chip.totals.matrixCycles += cycles;
  if (lane.stream.slow[lane.pc] === 1) chip.totals.matrixCyclesSlow += cycles;
}

/** Flows of a chip's HBM: the DMA queues at their own index, attention in the place of `ctl`. */
export const flowOf = (queue: number): number => (queue === queueIndex.att ? queueIndex.ctl : queue);
export const queueOfFlow = (flow: number): number => (flow === queueIndex.ctl ? queueIndex.att : flow);
