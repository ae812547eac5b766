import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { lending, lendings, type Machine } from '../../isa-spec/machine.ts';
import { sizeOf } from '../rewrite.ts';
import { layerLoop } from '../stage.ts';
import { attentionOf, productOf, vectorOf, type Window, windowOf } from './cycles.ts';
import { leastOf } from './least.ts';
import { efficiencyOf } from './pages.ts';

/** What a step takes at the least: `by` its arrays, attention unit or HBM, which are occupied so long, or the chain of what a part of its rows goes through, one after the other. In `parts`, those that take the least. */
export type Floor = { readonly seconds: number; readonly by: 'matrix' | 'attention' | 'hbm' | 'chain'; readonly parts: number };

/** Most parts that are looked at: in more, arrays load more weights, and HBM brings more, than they gain. */
const partsMost = 4;

/**
 * The least time a module with formats takes for a step, by the closed forms of the machine, however its ops are cut and ordered, and whatever arrays are lent to the attention unit, as long as rows go through the layers in parts alike, one part or several. A part's rows
 * pass each product together, so weights are loaded once a part, and brought out of HBM as often, but for the `heldBytes` of a layer's that SRAM holds from one part to the next: all of it at the most; what follows a norm waits for the part's rows before it;
 * a part's attention may be under the products before and after it, and under nothing else of its own. Experts, embeddings, links and whatever other ops take is left out.
 */
export function floorOf(module: GraphModule, step: readonly StepSequence[], machine: Machine, heldBytes = machine.sram.bytes.value): Floor {
  const of = lendings(machine).flatMap((lent) => Array.from({ length: partsMost }, (_, i) => floorIn(i + 1, { module, step, all: step, machine: lending(machine, lent) }, heldBytes)));
  return of.reduce((least, one) => (one.seconds < least.seconds ? one : least));
}

/** The same in so many parts, without lending more arrays than the machine does. */
export function floorIn(parts: number, { module, step, machine }: Window, heldBytes: number): Floor {
  const loop = layerLoop(module);
  const { ops } = module.body;
  const layers = loop?.attrs.trip ?? 0;
  const isCausal = loop?.body.ops.every((op) => op.kind !== 'attention' || op.attrs.mask === 'causal') ?? true;
  const rows = step.reduce((sum, sequence) => sum + sequence.rows, 0);
  const at = (part: number): number => Math.floor((rows * part) / parts);
  const of = Array.from({ length: parts }, (_, part) => costOf(loop?.body.ops ?? [], { module, step: windowOf(step, at(part), at(part + 1)), all: step, machine }));
  const apart = costOf(ops.filter((op) => op !== loop), { module, step, all: step, machine });
  const sum = (what: (cost: Cost) => number): number => of.reduce((total, cost) => total + what(cost), 0);
  const least = leastOf(ops, module, step, machine);
  const again = Math.max(0, bytesOfWeights(loop?.body.ops ?? [], module) - heldBytes) * layers * (parts - 1);
  const clock = machine.clockHz.value;
  // Rows that attend to all others begin once all have made keys and values, and end one part after the other.
  const chain = isCausal ? Math.max(...of.map((cost) => cost.chain)) : sum(({ attention }) => attention) + Math.min(...of.map(({ after }) => after));
  const seconds: Record<Floor['by'], number> = {
    matrix: (layers * sum(({ matrix }) => matrix) + apart.matrix) / clock,
    attention: (layers * sum(({ attention }) => attention)) / clock,
    hbm: (least.hbm + again / machine.hbm.bytesPerSecond.value) / efficiencyOf(machine, Infinity),
    chain: (layers * chain + apart.chain) / clock,
  };
  const [by, most] = (Object.entries(seconds) as [Floor['by'], number][]).reduce((a, b) => (b[1] > a[1] ? b : a));
  return { seconds: most, by, parts };
}

/** Cycles of ops: those the arrays, and the attention unit, are occupied; and of the chain of a part's rows through them; `after`: from when attention is done until the keys and values of the next layer are made. */
type Cost = { readonly matrix: number; readonly attention: number; readonly chain: number; readonly after: number };

function costOf(ops: readonly GraphOp[], window: Window): Cost {
  const { syncCycles, hbm, clockHz } = window.machine;
  const hop = hbm.latencySeconds.value * clockHz.value;
  const at = ops.findIndex(({ kind }) => kind === 'attention');
  const next = ops.findIndex(({ kind }, i) => i > at && kind === 'linear');
  let [matrix, attention, beside, chain, after] = [0, 0, 0, 0, 0];
  ops.forEach((op, i) => {
    if (op.kind === 'linear') {
      const { occupied, wait, latency } = productOf(op, window);
      matrix += occupied;
      after += wait + latency;
      chain += latency;
      if (at >= 0 && i <= next) beside += wait;
      else chain += wait;
    } else if (op.kind === 'norm') chain += vectorOf(op, op.attrs.norm, window);
    else if (op.kind === 'quantise' && !op.attrs.blocks) chain += vectorOf(op, 'quantise', window);
    else if (op.kind === 'attention') {
      attention += attentionOf(op, window).cycles;
      chain += 2 * hop + 3 * syncCycles.value;
    }
  });
  return { matrix, attention, chain: chain + Math.max(attention, beside), after };
}

/** Bytes of the weights of a layer. */
const bytesOfWeights = (ops: readonly GraphOp[], { types }: GraphModule): number =>
  ops.reduce((sum, op) => {
    const w = op.kind === 'linear' ? (types[op.operands[1] as ValueId] as TensorType) : undefined;
    return sum + (w === undefined ? 0 : sizeOf(w.shape[0]) * sizeOf(w.shape[1]) * formatBytes[w.dtype as Format]);
  }, 0);
