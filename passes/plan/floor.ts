import type { Block, GraphModule, GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { lending, lendings, type Machine } from '../../isa-spec/machine.ts';
import { sizeOf } from '../rewrite.ts';
import { layerLoop } from '../stage.ts';
import { afterVector, attentionOf, productOf, vectorOf, type Window, windowOf } from './cycles.ts';
import { leastOf } from './least.ts';
import { efficiencyOf } from './pages.ts';

/** What a step takes at the least: `by` its arrays, attention unit or HBM, which are occupied so long, or the chain of what a part of its rows goes through, one after the other. In `parts`, those that take the least. */
export type Floor = { readonly seconds: number; readonly by: 'matrix' | 'attention' | 'hbm' | 'chain'; readonly parts: number };

/** Most parts that are looked at: in more, arrays load more weights, and HBM brings more, than they gain. */
const partsMost = 4;

/**
 * The least time a module with formats takes for a step, by the closed forms of the machine, however its ops are cut and ordered, and whatever arrays are lent to the attention unit, as long as rows go through the layers in parts alike, one part or several. A part's rows
 * pass each product together, so weights are loaded once a part, and brought out of HBM as often, but for the `heldBytes` of a layer's that SRAM holds from one part to the next: all of it at the most; what follows a norm waits for the part's rows before it;
 * a part's attention may be under the products before and after it, and under nothing else of its own (`chainOf`). Experts, embeddings, links and whatever other ops take is left out.
 */
export function floorOf(module: GraphModule, step: readonly StepSequence[], machine: Machine, heldBytes = machine.sram.bytes.value): Floor {
  const of = lendings(machine).flatMap((lent) => Array.from({ length: partsMost }, (_, i) => floorIn(i + 1, { module, step, all: step, machine: lending(machine, lent) }, heldBytes)));
  return of.reduce((least, one) => (one.seconds < least.seconds ? one : least));
}

/** Ops outside of the layers carry nothing on. */
const nothing: Block = { params: [], ops: [], yields: [] };

/** The same in so many parts, without lending more arrays than the machine does. */
export function floorIn(parts: number, { module, step, machine }: Window, heldBytes: number): Floor {
  const loop = layerLoop(module);
  const { ops } = module.body;
  const layers = loop?.attrs.trip ?? 0;
  const areApart = step.length > 1 || (loop?.body.ops.every((op) => op.kind !== 'attention' || op.attrs.mask === 'causal') ?? true);
  const rows = step.reduce((sum, sequence) => sum + sequence.rows, 0);
  const at = (part: number): number => Math.floor((rows * part) / parts);
  const of = Array.from({ length: parts }, (_, part) => costOf(loop?.body ?? nothing, { module, step: windowOf(step, at(part), at(part + 1)), all: step, machine }));
  const apart = costOf({ ...nothing, ops: ops.filter((op) => op !== loop) }, { module, step, all: step, machine });
  const sum = (what: (cost: Cost) => number): number => of.reduce((total, cost) => total + what(cost), 0);
  const least = leastOf(ops, module, step, machine);
  const again = Math.max(0, bytesOfWeights(loop?.body.ops ?? [], module) - heldBytes) * layers * (parts - 1);
  const clock = machine.clockHz.value;
  // Rows of a sequence that attend to all others begin once all have made keys and values, and end one part after the other.
  const chain = Math.max(...of.map((cost) => cost.chain), areApart ? 0 : sum(({ attention }) => attention) + Math.min(...of.map(({ after }) => after)));
  const seconds: Record<Floor['by'], number> = {
    matrix: (layers * sum(({ matrix }) => matrix) + apart.matrix) / clock,
    attention: (layers * sum(({ attention }) => attention)) / clock,
    hbm: (least.hbm + again / machine.hbm.bytesPerSecond.value) / efficiencyOf(machine, Infinity),
    chain: (layers * chain + apart.chain) / clock,
  };
  const [by, most] = (Object.entries(seconds) as [Floor['by'], number][]).reduce((a, b) => (b[1] > a[1] ? b : a));
  return { seconds: most, by, parts };
}

/** Cycles of ops: those the arrays, and the attention unit, are occupied; those a part's rows take through them; and `after`: as many without its attention. */
type Cost = { readonly matrix: number; readonly attention: number; readonly chain: number; readonly after: number };

function costOf(block: Block, window: Window): Cost {
  let [matrix, attention] = [0, 0];
  for (const op of block.ops) {
    if (op.kind === 'linear') matrix += productOf(op, window).occupied;
    if (op.kind === 'attention') attention += attendingOf(op, window);
  }
  return { matrix, attention, chain: chainOf(block, window, true), after: chainOf(block, window, false) };
}

/** Cycles the attention unit is occupied: while it attends, no fewer than HBM takes to bring it keys and values. */
function attendingOf(op: OpOf<'attention'>, window: Window): number {
  const { hbm: { bytesPerSecond }, clockHz } = window.machine;
  const { cycles, bytes, moves } = attentionOf(op, window);
  return Math.max(cycles, (bytes * clockHz.value) / bytesPerSecond.value / efficiencyOf(window.machine, Infinity)) + moves;
}

/**
 * Cycles of the longest way of a part's rows through a block. The first heads are attended to once the products that make them are through all of k; those of the last rows are followed by all of k of the next product, if whole rows of them are quantised;
 * and from the first of these products to the last the arrays are occupied with all of them. What is made of rows in pieces is multiplied a piece at a time, if pieces cost the arrays less than waiting does.
 */
function chainOf({ params, ops, yields }: Block, window: Window, isAttending: boolean): number {
  const { syncCycles, hbm, clockHz } = window.machine;
  const hop = hbm.latencySeconds.value * clockHz.value;
  const [attention, another] = ops.filter(({ kind }) => kind === 'attention');
  const before = new Set(attention === undefined ? [] : makersOf(attention.operands, ops));
  const next = ops.find((op) => op.kind === 'linear' && attention !== undefined && !before.has(op) && makersOf(op.operands.slice(0, 1), ops).includes(attention));
  const isWhole = makersOf(next?.operands.slice(0, 1) ?? [], ops).some((op) => !before.has(op) && isOfWholeRows(op));
  const readersOf = (value: ValueId): readonly GraphOp[] => ops.filter(({ operands }) => operands.some((one) => one === value || (yields.includes(value) && one === params[yields.indexOf(value)])));
  const made = new Map<ValueId, number>();
  let [began, waiting, end] = [Infinity, 0, 0];
  for (const op of ops) {
    let done = op.operands.reduce((latest, value) => Math.max(latest, made.get(value) ?? 0), 0);
    if (op.kind === 'linear') {
      const { wait, drained, deep, latency, apart } = productOf(op, window);
      if (before.has(op) || op === next) [began, waiting] = [Math.min(began, done), waiting + wait];
      const readers = readersOf(op.results[0] as ValueId);
      const isInPieces = readers.length > 0 && readers.every((reader) => reader.kind === 'linear' || (reader.kind === 'quantise' && !isOfWholeRows(reader)));
      done += before.has(op) || another !== undefined ? deep : op !== next ? (isInPieces ? wait : drained) : isWhole ? deep : 0;
      if (op === next && isAttending) done = Math.max(done, began + waiting);
      done += isInPieces ? Math.min(latency, apart) : latency;
    } else if (op.kind === 'norm' || (op.kind === 'quantise' && isOfWholeRows(op))) {
      done += vectorOf(op, op.kind === 'norm' ? op.attrs.norm : 'quantise', window);
      // The vector unit itself hears of it at once.
      if (op.results.flatMap(readersOf).every((reader) => !isOfWholeRows(reader))) done += afterVector(window.machine);
    } else if (op.kind === 'attention') done += (isAttending ? attendingOf(op, window) : 0) + 2 * hop + 3 * syncCycles.value;
    for (const value of op.results) made.set(value, done);
    end = Math.max(end, done);
  }
  return end;
}

/** Whether an op needs all of a row to make any of it. */
const isOfWholeRows = (op: GraphOp): boolean => op.kind === 'norm' || (op.kind === 'quantise' && !op.attrs.blocks);

/** The ops that values are made by, and of. */
function makersOf(values: readonly ValueId[], ops: readonly GraphOp[]): readonly GraphOp[] {
  const wanted = new Set(values);
  return ops.toReversed().filter(({ results, operands }) => {
    const isMaker = results.some((value) => wanted.has(value));
    if (isMaker) for (const value of operands) wanted.add(value);
    return isMaker;
  });
}

/** Bytes of the weights of products. */
export const bytesOfWeights = (ops: readonly GraphOp[], { types }: GraphModule): number =>
  ops.reduce((sum, op) => {
    const w = op.kind === 'linear' ? (types[op.operands[1] as ValueId] as TensorType) : undefined;
    return sum + (w === undefined ? 0 : sizeOf(w.shape[0]) * sizeOf(w.shape[1]) * formatBytes[w.dtype as Format]);
  }, 0);
