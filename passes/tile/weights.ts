import type { GraphOp } from '../../ir/graph/module.ts';
import { allOps } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import type { Lowering } from './lowering.ts';

/** The name of the weight a value is. */
export function weightNameOf(low: Pick<Lowering, 'module'>, value: ValueId): string {
  const op = [...allOps(low.module.body)].find((candidate: GraphOp) => candidate.results.includes(value));
  if (op?.kind !== 'weight') throw new Error(`internal: value ${value} is not a weight`);
  return op.attrs.name;
}

/** The weight a value is. */
export function weightOf(low: Pick<Lowering, 'module'>, value: ValueId): Weight {
  const name = weightNameOf(low, value);
  return low.module.weights.find((weight) => weight.name === name) as Weight;
}
