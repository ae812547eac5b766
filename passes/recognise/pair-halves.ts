import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/**
 * concat(.., a, b, ..) = concat(.., concat(a, b), ..) where a and b may be the halves of a rotation: an exporter puts them beside the elements that are
 * not turned, and then no value is the rotation.
 */
export const pairHalves = (module: GraphModule): GraphModule =>
  rewrite(module, 'pair-halves', {
    pconcat: (op, near) => {
      const result = near.type(op.results[0] as ValueId);
      const last = result.shape.length - 1;
      const { operands } = op;
      if (operands.length < 3 || (op.attrs.axis !== last && op.attrs.axis !== -1)) return undefined;
      const widths = operands.map((operand) => near.type(operand).shape[last]);
      const at = operands.findIndex((_, i) => typeof widths[i] === 'number' && widths[i] === widths[i + 1] && isTurned(op, i, near) && isTurned(op, i + 1, near));
      const wide = widths[at];
      if (typeof wide !== 'number') return undefined;
      const pair = near.build.op('pconcat', op.attrs, operands.slice(at, at + 2).map(near.now), { ...result, shape: result.shape.with(last, 2 * wide) });
      return [near.build.op('pconcat', op.attrs, [...operands.slice(0, at).map(near.now), pair, ...operands.slice(at + 2).map(near.now)], result)];
    },
  });

/** Whether an operand is a sum or difference of two products. */
function isTurned(op: OpOf<'pconcat'>, i: number, near: Near): boolean {
  const sum = near.definition(op.operands[i] as ValueId);
  if (sum?.kind !== 'pbinary' || (sum.attrs.fn !== 'add' && sum.attrs.fn !== 'sub')) return false;
  return sum.operands.every((operand) => {
    const product = near.definition(operand);
    return product?.kind === 'pbinary' && product.attrs.fn === 'mul';
  });
}
