import type { GraphModule } from '../../ir/graph/module.ts';
import { lending, lendings } from '../../isa-spec/machine.ts';
import { workOf } from './least.ts';
import { type Pace, secondsOfWork } from './pace.ts';

/** A number of matrix arrays that are lent to the attention unit, and the seconds a step takes then, by estimate. */
export type Lent = { readonly lent: number; readonly seconds: number };

/** How much faster a step must be by estimate to lend more for it. */
const worthLending = 1.02;

/** Every number of arrays the machine may lend: first the one a step is fastest with, of those about as fast the least. */
export function lentFor(module: GraphModule, pace: Pace): readonly [Lent, ...Lent[]] {
  const work = workOf(module.body.ops, module, pace.step, pace.machine);
  const all = lendings(pace.machine).map((lent): Lent => ({ lent, seconds: secondsOfWork(work, { ...pace, machine: lending(pace.machine, lent) }) }));
  const best = all.reduce((least, one) => (least.seconds > worthLending * one.seconds ? one : least));
  return [best, ...all.filter((one) => one !== best)];
}
