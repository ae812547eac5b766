import { equalShapes } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** transpose(gather(transpose x)) = gather(transpose transpose x) along another axis, and so with what is joined along the first: exporters turn an axis to the front to index it. */
export const sinkTransposes = (module: GraphModule): GraphModule =>
  rewrite(module, 'sink-transposes', {
    ptranspose: (op, near) => {
      const picked = near.definition(op.operands[0] as ValueId);
      if (picked?.kind === 'pgather') return pickedFirst(picked, op.attrs.perm, near);
      return picked?.kind === 'pconcat' ? joinedFirst(picked, op.attrs.perm, near) : undefined;
    },
  });

function joinedFirst(op: OpOf<'pconcat'>, perm: readonly number[], near: Near): readonly ValueId[] | undefined {
  const inner = op.operands.map(near.definition);
  const [first] = inner;
  if (op.attrs.axis !== 0 || first?.kind !== 'ptranspose' || !inner.every((each) => each?.kind === 'ptranspose' && equalShapes(each.attrs.perm, first.attrs.perm))) return undefined;
  const joined = near.build.op('pconcat', { axis: first.attrs.perm[0] as number }, inner.map((each) => near.now(each?.operands[0] as ValueId)));
  const composed = perm.map((axis) => first.attrs.perm[axis] as number);
  return [composed.every((axis, i) => axis === i) ? joined : near.build.op('ptranspose', { perm: composed }, [joined])];
}

/** A transposed value, transposed once more. */
function turnedBack(value: ValueId, perm: readonly number[], near: Near): ValueId | undefined {
  const inner = near.definition(value);
  if (inner?.kind !== 'ptranspose') return undefined;
  const composed = perm.map((axis) => inner.attrs.perm[axis] as number);
  const [x] = inner.operands as readonly [ValueId];
  return composed.every((axis, i) => axis === i) ? near.now(x) : near.build.op('ptranspose', { perm: composed }, [near.now(x)]);
}

function pickedFirst(op: OpOf<'pgather'>, perm: readonly number[], near: Near): readonly ValueId[] | undefined {
  const [front, places] = op.operands as readonly [ValueId, ValueId];
  const { dtype, shape } = near.type(op.results[0] as ValueId);
  const back = near.type(places).shape.length === 1 ? turnedBack(front, perm, near) : undefined;
  if (back === undefined) return undefined;
  const axis = perm.indexOf(axisOf(op.attrs.axis, shape.length));
  return [near.build.op('pgather', { axis }, [back, near.now(places)], { dtype, shape: perm.map((each) => shape[each] as Dim) })];
}
