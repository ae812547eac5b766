import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** transpose(gather(transpose x)) = gather(transpose transpose x) along another axis: exporters turn an axis to the front to index it. */
export const sinkTransposes = (module: GraphModule): GraphModule =>
  rewrite(module, 'sink-transposes', {
    ptranspose: (op, near) => {
      const picked = near.definition(op.operands[0] as ValueId);
      return picked?.kind === 'pgather' ? pickedFirst(picked, op.attrs.perm, near) : undefined;
    },
  });

function pickedFirst(op: OpOf<'pgather'>, perm: readonly number[], near: Near): readonly ValueId[] | undefined {
  const [front, places] = op.operands as readonly [ValueId, ValueId];
  const inner = near.definition(front);
  const { dtype, shape } = near.type(op.results[0] as ValueId);
  if (inner?.kind !== 'ptranspose' || near.type(places).shape.length !== 1) return undefined;
  const composed = perm.map((axis) => inner.attrs.perm[axis] as number);
  const [x] = inner.operands as readonly [ValueId];
  const back = composed.every((axis, i) => axis === i) ? near.now(x) : near.build.op('ptranspose', { perm: composed }, [near.now(x)]);
  const axis = perm.indexOf(axisOf(op.attrs.axis, shape.length));
  return [near.build.op('pgather', { axis }, [back, near.now(places)], { dtype, shape: perm.map((each) => shape[each] as Dim) })];
}
