import type { GraphModule } from '../../ir/graph/module.ts';
import { lending, lendings } from '../../isa-spec/machine.ts';
import { type Work, workOf } from './least.ts';
import { type Pace, secondsOfWork } from './pace.ts';

/** A number of matrix arrays that are lent to the attention unit, and the seconds a step takes then, by estimate. */
export type Lent = { readonly lent: number; readonly seconds: number };

/** How much faster a step must be by estimate to lend more for it. */
const worthLending = 1.05;

/** Every number of arrays the machine may lend: first the one a step is fastest with, of those about as fast the least. Products that wait for the link are not to wait for arrays besides. */
export function lentFor(module: GraphModule, pace: Pace): readonly [Lent, ...Lent[]] {
  const work = workOf(module.body.ops, module, pace.step, pace.machine);
  const seconds = (lent: number, some: Readonly<Work>): number => secondsOfWork(some, { ...pace, machine: lending(pace.machine, lent) });
  const [none, ...others] = lendings(pace.machine) as [number, ...number[]];
  const best = others.reduce((least, one) => (seconds(least, { ...work, link: 0 }) > worthLending * seconds(one, { ...work, link: 0 }) ? one : least), none);
  return [best, ...[none, ...others].filter((one) => one !== best)].map((lent): Lent => ({ lent, seconds: seconds(lent, work) })) as [Lent, ...Lent[]];
}
