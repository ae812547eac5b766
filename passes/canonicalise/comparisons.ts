import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** `x < low ? low : x` = max(x, low), `x > high ? high : x` = min(x, high), the bounds numbers; `x > y or x = y` is `x >= y`, and so with less. */
export const comparisons = (module: GraphModule): GraphModule =>
  rewrite(module, 'comparisons', {
    pwhere: (op, near) => {
      const [condition, bound, x] = op.operands as readonly [ValueId, ValueId, ValueId];
      const compared = comparison(condition, near);
      const [left, right] = compared?.operands ?? [];
      const isTurned = left === bound && right === x;
      // Of a bound that is NaN the choice is x, of an x that is NaN it is that: the bound is a number, and x stays what it is.
      if ((!isTurned && (left !== x || right !== bound)) || near.type(bound).shape.some((size) => size !== 1)) return undefined;
      const [low, high] = isTurned ? ['greater', 'less'] : ['less', 'greater'];
      const fn = compared?.attrs.fn === low ? 'max' : compared?.attrs.fn === high ? 'min' : undefined;
      return fn === undefined ? undefined : [near.build.op('pbinary', { fn }, [near.now(x), near.now(bound)], near.type(op.results[0] as ValueId))];
    },
    pbinary: (op, near) => {
      if (op.attrs.fn !== 'or') return undefined;
      const both = op.operands.flatMap((operand) => comparison(operand, near) ?? []);
      const [strict, equal] = both.toSorted((a, b) => Number(a.attrs.fn === 'equal') - Number(b.attrs.fn === 'equal'));
      if (strict === undefined || equal?.attrs.fn !== 'equal' || strict.operands.some((operand, i) => operand !== equal.operands[i])) return undefined;
      const fn = strict.attrs.fn === 'less' ? 'lessEqual' : strict.attrs.fn === 'greater' ? 'greaterEqual' : undefined;
      return fn === undefined ? undefined : [near.build.op('pbinary', { fn }, strict.operands.map(near.now), near.type(op.results[0] as ValueId))];
    },
  });

function comparison(value: ValueId, near: Near): OpOf<'pbinary'> | undefined {
  const op = near.definition(value);
  return op?.kind === 'pbinary' && ['less', 'greater', 'equal'].includes(op.attrs.fn) ? op : undefined;
}
