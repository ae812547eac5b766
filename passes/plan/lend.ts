import type { GraphModule } from '../../ir/graph/module.ts';
import { lending, lendings, type Machine } from '../../isa-spec/machine.ts';
import { floorIn } from './floor.ts';
import { type Work, workOf } from './least.ts';
import { type Pace, secondsOfWork } from './pace.ts';

/** A number of matrix arrays that are lent to the attention unit, and the seconds a step takes then, by estimate. */
export type Lent = { readonly lent: number; readonly seconds: number };

/** How much faster a step must be by estimate to lend more for it. */
const worthLending = 1.05;

/**
 * Every number of arrays the machine may lend: first the one a step is fastest with, of those about as fast the least. It is faster by the work of its engines, and by what its ops take one after
 * the other; products that wait for the link are not to wait for arrays besides.
 */
export function lentFor(module: GraphModule, pace: Pace): readonly [Lent, ...Lent[]] {
  const { step, parts } = pace;
  const work = workOf(module.body.ops, module, step, pace.machine);
  const on = (lent: number): Machine => lending(pace.machine, lent);
  const seconds = (lent: number, some: Readonly<Work>): number => secondsOfWork(some, { ...pace, machine: on(lent) });
  const all = lendings(pace.machine) as readonly [number, ...number[]];
  const working = new Map(all.map((lent) => [lent, seconds(lent, { ...work, link: 0 })]));
  const fastest = (by: ReadonlyMap<number, number>): number => all.reduce((least, one) => (by.get(least)! > worthLending * by.get(one)! ? one : least));
  // What ops take one after the other is asked for only where it could say no.
  const atLeast = (): ReadonlyMap<number, number> => new Map(all.map((lent) => [lent, Math.max(working.get(lent)!, floorIn(parts, { module, step, all: step, machine: on(lent) }, 0).seconds)]));
  const best = fastest(working) === 0 ? 0 : fastest(atLeast());
  return [best, ...all.filter((one) => one !== best)].map((lent): Lent => ({ lent, seconds: seconds(lent, work) })) as [Lent, ...Lent[]];
}
