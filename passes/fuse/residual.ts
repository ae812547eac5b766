import { allOps, type GraphModule } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/**
 * linear(x) + r = linear with residual r, when nobody else reads the linear. Not when r is a norm's result: under tensor
 * parallelism norms are whole on every chip while residuals are sharded, and fusing by mapping would change the rounding.
 */
export const fuseResidual = (module: GraphModule): GraphModule => {
  const normed = normResults(module);
  return rewrite(module, 'fuse-residual', {
    add: (op, near) => {
      const [left, right] = op.operands as [ValueId, ValueId];
      if (normed.has(left) || normed.has(right)) return undefined;
      return residual(right, left, near) ?? residual(left, right, near);
    },
  });
};

/** Results of norms, and what a loop carries from one iteration's norm to the next. */
function normResults(module: GraphModule): ReadonlySet<ValueId> {
  const ops = [...allOps(module.body)];
  const normed = new Set(ops.flatMap((op) => (op.kind === 'norm' ? op.results : [])));
  for (const op of ops) if (op.kind === 'loop') op.body.yields.forEach((value, i) => normed.has(value) && normed.add(op.body.params[i] as ValueId));
  return normed;
}

function residual(value: ValueId, other: ValueId, near: Near): readonly ValueId[] | undefined {
  const linear = near.definition(value);
  if (linear?.kind !== 'linear' || near.uses(value) > 1 || linear.attrs.residual || linear.attrs.scaled) return undefined;
  const attrs = { ...linear.attrs, residual: true };
  return [near.build.op('linear', attrs, [...linear.operands.map(near.now), near.now(other)], near.type(value))];
}
