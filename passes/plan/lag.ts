import type { GraphModule } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import type { Lag } from '../tile/parts.ts';
import { cyclesInTurns } from './turns.ts';

/** Turns of others come between those of each part, and the loop has a turn beside the first round and the last. */
export const mayLag = (module: GraphModule, parts: number, ahead: number): boolean => (layerLoop(module)?.attrs.trip ?? 0) > 2 && ahead > 1 && ahead < parts - 1;

/** Whether late parts are to lag behind in a step that is to be fast: where they may, and that is shorter by estimate. */
export function lagOf(module: GraphModule, parts: readonly RowPart[], step: readonly StepSequence[], machine: Machine, ahead: number): Lag {
  if (!mayLag(module, parts.length, ahead)) return 'none';
  const cycles = cyclesInTurns(module, parts, step, machine);
  return cycles({ ahead, haste: 'none', lag: 'late' }) < cycles({ ahead, haste: 'none', lag: 'none' }) ? 'late' : 'none';
}
