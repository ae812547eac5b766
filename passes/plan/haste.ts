import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import { type Haste, layerCut } from '../tile/parts.ts';
import { afterVector, attentionOf, productOf, vectorOf, type Window, windowOf } from './cycles.ts';

/** The haste of the first of two parts with the queries of its next layer, in a step they are to be fast at: by how long the second still attends when the first has multiplied. */
export function hasteOf(module: GraphModule, parts: readonly RowPart[], step: readonly StepSequence[], machine: Machine): Haste {
  const { nQ, Q, A, M, D } = layerCut(layerLoop(module)?.body.ops ?? []);
  const [first, second] = parts.map(({ first: from, rows }): Window => ({ module, step: windowOf(step, from, from + rows), all: step, machine })) as [Window, Window];
  const waits = sum(A, (op) => attending(op, second)) - sum([...M, ...D], (op) => multiplying(op, first));
  return waits <= 0 ? 'none' : waits <= sum([...nQ, ...Q], (op) => multiplying(op, first)) ? 'some' : 'most';
}

export const sum = (ops: readonly GraphOp[], cycles: (op: GraphOp) => number): number => ops.reduce((total, op) => total + cycles(op), 0);

/** HBM is shared alike with the weights of what others multiply meanwhile. */
export function attending(op: GraphOp, window: Window): number {
  if (op.kind !== 'attention') return 0;
  const { cycles, bytes } = attentionOf(op, window);
  const { hbm, clockHz } = window.machine;
  return Math.max(cycles, (2 * bytes * clockHz.value) / hbm.bytesPerSecond.value);
}

/** Products until they are drained, and what the first of them waits for. */
export function multiplying(op: GraphOp, window: Window): number {
  if (op.kind === 'norm') return vectorOf(op, op.attrs.norm, window) + afterVector(window.machine);
  if (op.kind !== 'linear') return 0;
  const { occupied, drained, latency } = productOf(op, window);
  return Math.max(occupied, drained) + latency;
}
