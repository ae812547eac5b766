import type { GraphModule } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import { type Lag, layerCut, turnAt } from '../tile/parts.ts';
import { type Window, windowOf } from './cycles.ts';
import { attending, multiplying, sum } from './haste.ts';

/** What is gained by less is not in an estimate. */
const worth = 0.99;

/** Turns of others come between those of each part, and the loop has a turn beside the first round and the last. */
export const mayLag = (module: GraphModule, parts: number, ahead: number): boolean => (layerLoop(module)?.attrs.trip ?? 0) > 2 && ahead > 1 && ahead < parts - 1;

/** Whether late parts are to lag behind in a step that is to be fast: where they may, and that is shorter by estimate. */
export function lagOf(module: GraphModule, parts: readonly RowPart[], step: readonly StepSequence[], machine: Machine, ahead: number): Lag {
  const loop = layerLoop(module);
  if (loop === undefined || !mayLag(module, parts.length, ahead)) return 'none';
  const { Q, A, O, M, D } = layerCut(loop.body.ops);
  const windows = parts.map(({ first, rows }): Window => ({ module, step: windowOf(step, first, first + rows), all: step, machine }));
  const attention = windows.map((window) => sum(A, (op) => attending(op, window)));
  const [before, after] = [[...O, ...Q, ...M], D].map((ops) => sum(ops, (op) => multiplying(op, windows[0] as Window))) as [number, number];
  const cyclesOf = (lag: Lag): number => {
    /** When what comes before a turn's last product is multiplied: attention of the part two turns on is asked for then. */
    const asked: number[] = [];
    let [free, attended] = [0, 0];
    for (let at = 0; at < (loop.attrs.trip + 1) * parts.length; at++) {
      const { part, layer } = turnAt(at, parts.length, lag);
      if (layer < 0 || layer >= loop.attrs.trip) continue;
      attended = Math.max(attended, asked.at(-2) ?? 0) + (attention[part] as number);
      asked.push(Math.max(free, attended) + before);
      free = (asked.at(-1) as number) + after;
    }
    return free;
  };
  return cyclesOf('late') < worth * cyclesOf('none') ? 'late' : 'none';
}
