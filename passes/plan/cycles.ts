import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sizeOf } from '../rewrite.ts';

/** A step on a machine, or a window of its rows: `step`, the sequences of the window, of those of `all`. */
export type Window = { readonly module: GraphModule; readonly step: readonly StepSequence[]; readonly all: readonly StepSequence[]; readonly machine: Machine };

/** What a window of rows, from `first` to before `end`, has of each sequence. */
export function windowOf(step: readonly StepSequence[], first: number, end: number): readonly StepSequence[] {
  let at = 0;
  return step.flatMap((sequence) => {
    const [from, to] = [Math.max(first, at), Math.min(end, at + sequence.rows)];
    const own = to > from ? [{ ...sequence, rows: to - from, past: sequence.past + from - at }] : [];
    at += sequence.rows;
    return own;
  });
}

/** Cycles of the pipelines of the epilogue and of the vector unit, and operations of the latter on an element (docs/timing.md). */
const pipeline = 32;
const operations = { rms: 4, layer: 7, quantise: 3, rope: 3 } as const;

/** Keys the attention unit reads, and works on, together. */
export const keyBlock = 128;

/** Cycles in which a window's rows are normed, quantised, or rotated, but for what comes after. */
export function vectorOf({ operands }: OpOf<'norm' | 'quantise' | 'rope'>, kind: keyof typeof operations, window: Window): number {
  const { module, machine: { vectorLanes } } = window;
  const type = module.types[operands[0] as ValueId] as TensorType;
  return (rowsIn(type, window) * sizeOf(type.shape[1]) * operations[kind]) / vectorLanes.value;
}

/** Cycles from the last row of the vector unit, or of the epilogue, until another hears of it. */
export const afterVector = ({ syncCycles }: Machine): number => pipeline + syncCycles.value;

/**
 * A product of a part's rows: cycles the arrays are occupied; cycles from its first row to its last, and until that is `drained`: rows in pieces are while the next are multiplied, but each piece takes the loads of all its tiles; of those the `deep` that one of its columns, or of its rows, takes to go through all of k; the cycles that several groups of columns take longer (`apart`); and what comes after. A gang of arrays
 * takes a row, or a row of weights, a cycle. Each tile is loaded from the FIFO once the one before it is at work: only the first may be there when its rows come. Arrays that share k share all there is to do, but each loads its tiles; where sums do not let them, a gang has as many as a power of two for
 * each tile across: so one gang of all tiles takes so long, and several no less than the time of a load each.
 */
export function productOf(op: OpOf<'linear'>, window: Window): { readonly occupied: number; readonly wait: number; readonly drained: number; readonly deep: number; readonly apart: number; readonly latency: number } {
  const { module, machine } = window;
  const { arrays: { count, size, bf16Rate }, syncCycles } = machine;
  const [x, w] = op.operands.map((value) => module.types[value] as TensorType) as [TensorType, TensorType];
  const slow = w.dtype === 'bf16' ? 1 / bf16Rate.value : 1;
  const side = size.value;
  const rows = rowsIn(x, window);
  const across = op.attrs.gated ? 2 * Math.ceil(sizeOf(w.shape[0]) / 2 / side) : Math.ceil(sizeOf(w.shape[0]) / side);
  const deep = Math.ceil(sizeOf(w.shape[1]) / side);
  const [arrays, load] = [count.value, side * slow];
  const latency = 2 * side - 2 + syncCycles.value + afterVector(machine);
  if (x.dtype === 'e4m3' && w.dtype === 'e4m3') {
    const least = (drains: 0 | 1): number => Math.min(...powersTo(arrays).flatMap((sharing) => powersTo(arrays).map((pieces) => {
      const stream = rows / sharing / pieces;
      return (pieces * Math.max(1, (across * deep * sharing) / arrays) - 1) * Math.max(load, stream) + (1 + drains) * stream;
    })));
    return { occupied: (across * deep * Math.max(load, rows)) / arrays, wait: least(0), drained: least(1), deep: (Math.ceil(deep / arrays) - 1) * load, apart: 0, latency };
  }
  const shared = (slow * across * rows) / arrays;
  const gangs = Math.ceil(across / arrays);
  const stream = gangs > 1 ? Infinity : (slow * rows) / 2 ** Math.floor(Math.log2(arrays / across));
  const [one, many] = [Math.max(load, stream), Math.max(Math.max(2, gangs) * load, shared)];
  const [together, apart] = [(deep - 1) * one + stream, Math.max(deep * shared, (deep * Math.max(2, gangs) - 1) * load)];
  const wait = Math.min(together, apart);
  return { occupied: deep * Math.min(one, many), wait, drained: wait, deep: (deep - 1) * load, apart: Math.max(0, apart - together), latency };
}

const powersTo = (most: number): readonly number[] => Array.from({ length: Math.floor(Math.log2(most)) + 1 }, (_, power) => 2 ** power);

/** Cycles the attention unit takes, bytes of keys and values it reads meanwhile, and cycles it takes to load all queries before and to store what it has made after (`moves`): of each sequence the longer of its products, in which a tile of keys takes as long as its queries or as it is loaded, and its exponentials. */
export function attentionOf({ attrs: { heads, kvHeads, headDim, mask, window }, operands }: OpOf<'attention'>, { module, step, all, machine: { attention, softmaxPerCycle, arrays } }: Window): { readonly cycles: number; readonly bytes: number; readonly moves: number } {
  const { dtype, shape } = module.types[operands[1] as ValueId] as TensorType;
  const slow = dtype === 'bf16' ? 1 / arrays.bf16Rate.value : 1;
  const group = (heads / kvHeads) * slow;
  const across = Math.ceil(headDim / attention.size.value);
  const load = (Math.min(headDim, attention.size.value) * formatBytes[dtype as Format]) / attention.kvBytesPerCycle.value;
  let [cycles, bytes, moves] = [0, 0, 0];
  for (const { id, rows, past, memory = 0 } of step) {
    const last = mask === 'full' ? all.filter((one) => one.id === id).reduce((sum, one) => sum + one.rows, 0) + (all.find((one) => one.id === id)?.past ?? 0) : past + rows;
    const keys = shape[0] === 'memory' ? memory : last;
    let [products, exponentials] = [0, 0];
    for (let key = window > 0 ? Math.max(0, past - window) : 0; key < keys; key += keyBlock) {
      const size = Math.min(keyBlock, keys - key);
      const seeing = mask === 'causal' ? Math.min(rows, past + rows - key) : rows;
      products += 2 * kvHeads * across * Math.ceil(size / attention.size.value) * Math.max(seeing * group, load * Math.min(size, attention.size.value));
      exponentials += seeing * heads * size;
      bytes += 2 * size * kvHeads * headDim * formatBytes[dtype as Format];
    }
    cycles += Math.max(products / attention.count.value, exponentials / softmaxPerCycle.value);
    moves += (2 * rows * heads * headDim) / (attention.count.value * attention.size.value);
  }
  return { cycles, bytes, moves };
}

/** Rows of a value that a window has. */
function rowsIn({ shape: [rows] }: TensorType, { step, all }: Pick<Window, 'step' | 'all'>): number {
  if (rows === 'tokens') return step.reduce((sum, sequence) => sum + sequence.rows, 0);
  if (rows === 'memory') return step.reduce((sum, { memory = 0 }) => sum + memory, 0);
  return rows === 'samples' ? all.length : 0;
}
