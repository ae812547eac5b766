import type { GraphOp } from '../../ir/graph/module.ts';
import { allOps } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import type { Region } from '../../ir/tile/module.ts';
import { instanceRow, type Lowering } from './lowering.ts';
import { affine } from './writer.ts';

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

/** A vector of this iteration, FP32, loaded to SRAM. */
export function stagedVector(low: Lowering, value: ValueId): Region {
  const { name, shape, instances } = weightOf(low, value);
  const columns = shape[0] as number;
  const home = low.write.buffer({ name, space: 'hbm', role: 'weights', format: 'f32', rows: instances.length, columns, packing: { kind: 'rows', weight: name } });
  const stage = low.write.buffer({ name: `${name}.stage`, space: 'sram', role: 'stage', format: 'f32', rows: 1, columns });
  const out = low.write.region(stage, affine(0), 1, columns);
  low.write.op('load', {}, { from: low.write.region(home, instances.length === 1 ? affine(0) : instanceRow(low, 1), 1, columns), out }, { max: 1, of: 'all' });
  return out;
}
