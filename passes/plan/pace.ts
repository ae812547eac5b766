import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { ratesOf, type Work, workOf } from './least.ts';
import { efficiencyOf } from './pages.ts';

/** A step, how it is worked on and on what chips: the parts its rows are in, and the bytes of keys and values that lie in a row (absent: as many as make a good run). */
export type Pace = { readonly machine: Machine; readonly step: readonly StepSequence[]; readonly parts: number; readonly runBytes?: number };

/**
 * Seconds ops take in a step, by estimate: each engine works as fast as it can, and nobody waits but for what the parts of a step make wait. Weights are read once a part, those of the head once. In one part products and
 * attention take turns, each as long as its own work or its own reading takes; of several, one's are beside the other's, and share HBM. An array of attention takes as long as it multiplies, or as
 * it loads keys and values: for few queries that is longer.
 */
export const secondsOf = (ops: readonly GraphOp[], module: GraphModule, pace: Pace): number => secondsOfWork(workOf(ops, module, pace.step, pace.machine), pace);

/** The same of their work. */
export function secondsOfWork(work: Readonly<Work>, pace: Pace): number {
  const { machine, parts } = pace;
  const rates = ratesOf(machine);
  const { products, attention, keys } = secondsAlone(work, pace);
  const weights = (work.weights * parts + work.picked + work.rows) / (rates.hbm * efficiencyOf(machine, Infinity));
  const link = work.link / rates.link;
  if (parts === 1) return Math.max(products, weights, link) + Math.max(attention, keys);
  // Of two parts attention goes on to the other once that has its queries, and these follow the first product after what was attended before.
  const waiting = parts === 2 ? work.around / rates.matrix : 0;
  return Math.max(products, link, besideEachOther(Math.max(0, attention - keys) + waiting, keys, weights));
}

/** Seconds of work that nothing else keeps: products, attention as fast as its unit is, and the bringing of keys and values. */
export function secondsAlone(work: Readonly<Work>, { machine, runBytes = Infinity }: Pick<Pace, 'machine' | 'runBytes'>): { readonly products: number; readonly attention: number; readonly keys: number } {
  const rates = ratesOf(machine);
  return {
    products: work.matrix / rates.matrix,
    attention: Math.max(work.attending / rates.attention, work.softmax / rates.softmax),
    keys: work.keys / (rates.hbm * efficiencyOf(machine, runBytes)),
  };
}

/**
 * Seconds that attention and the bringing of weights take beside each other, if each would take so many alone, attention those in which it reads `keys` and those in which it leaves HBM unused: weights come evenly all the time t, and keys get what they leave. So
 * t = unused + keys / (1 - weights / t).
 */
function besideEachOther(unused: number, keys: number, weights: number): number {
  const all = unused + keys + weights;
  return (all + Math.sqrt(all ** 2 - 4 * unused * weights)) / 2;
}
