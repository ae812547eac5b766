import type { GraphModule } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import { type Haste, hastes } from '../tile/parts.ts';
import { workOf } from './least.ts';
import { secondsAlone } from './pace.ts';
import { cyclesInTurns } from './turns.ts';

/**
 * The haste of two parts in a step they are to be fast at: that with which its layers are fastest, by estimate; both parts have it only where attention by itself takes longer than products
 * do: else HBM is as short for these.
 */
export function hasteOf(module: GraphModule, parts: readonly RowPart[], step: readonly StepSequence[], machine: Machine): Haste {
  const loop = layerLoop(module);
  if (loop === undefined) return 'none';
  const { products, attention, keys } = secondsAlone(workOf([loop], module, step, machine), { machine });
  const isLonger = Math.max(attention, keys) > products;
  const cycles = cyclesInTurns(module, parts, step, machine);
  const all = hastes.filter((haste) => haste !== 'all' || isLonger).map((haste) => ({ haste, cycles: cycles({ ahead: 1, haste, lag: 'none' }) }));
  return all.reduce((best, one) => (one.cycles < best.cycles ? one : best)).haste;
}
