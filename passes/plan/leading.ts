import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import { isDecoding, type StepSequence } from '../../ir/step.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import { attentionOf } from './cycles.ts';
import { bytesKept } from './hold.ts';
import type { TilingPlan } from './tiling.ts';

/**
 * How many more decoding rows the first of two parts had better have, each of which brings its keys and values out of HBM. While the second attends, the first's products bring all weights; while the first does, those of the
 * second bring only what is not held: so much more may the first attend to.
 */
export function leadingOf(plan: TilingPlan, module: GraphModule, step: readonly StepSequence[], machine: Machine): number {
  const attention = layerLoop(module)?.body.ops.find((op): op is OpOf<'attention'> => op.kind === 'attention');
  const decoding = step.filter(isDecoding);
  if (plan.homes.parts.length !== 2 || attention === undefined || decoding.length === 0) return 0;
  const { bytes } = attentionOf(attention, { module, step: decoding, all: step, machine });
  return Math.min(decoding.length, Math.round((bytesKept(plan, machine) * decoding.length) / bytes));
}
