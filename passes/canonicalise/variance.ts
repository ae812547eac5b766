import { equalShapes } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** mean(x^2) - mean(x)^2 = mean((x - mean(x))^2), which does not cancel. */
export const variance = (module: GraphModule): GraphModule =>
  rewrite(module, 'variance', {
    pbinary: (op, near) => {
      if (op.attrs.fn !== 'sub') return undefined;
      const [power, square] = op.operands as readonly [ValueId, ValueId];
      const [of, mean] = [meanOf(power, near), squared(square, near)];
      const x = of === undefined ? undefined : squared(of.operands[0] as ValueId, near);
      const first = mean === undefined ? undefined : meanOf(mean, near);
      if (of === undefined || x === undefined || mean === undefined || first?.operands[0] !== x || !equalAxes(of, first, near)) return undefined;
      const [wide, narrow] = [near.type(x), near.type(op.results[0] as ValueId)];
      const apart = near.build.op('pbinary', { fn: 'sub' }, [near.now(x), near.now(mean)], wide);
      return [near.build.op('preduce', of.attrs, [near.build.op('pbinary', { fn: 'mul' }, [apart, apart], wide)], narrow)];
    },
  });

function meanOf(value: ValueId, near: Near): OpOf<'preduce'> | undefined {
  const op = near.definition(value);
  return op?.kind === 'preduce' && op.attrs.fn === 'mean' && op.attrs.keepDims ? op : undefined;
}

/** What a value is the square of. */
function squared(value: ValueId, near: Near): ValueId | undefined {
  const op = near.definition(value);
  return op?.kind === 'pbinary' && op.attrs.fn === 'mul' && op.operands[0] === op.operands[1] ? op.operands[0] : undefined;
}

function equalAxes(a: OpOf<'preduce'>, b: OpOf<'preduce'>, near: Near): boolean {
  const axes = (op: OpOf<'preduce'>): readonly number[] => op.attrs.axes.map((axis) => axisOf(axis, near.type(op.operands[0] as ValueId).shape.length)).toSorted((x, y) => x - y);
  return equalShapes(axes(a), axes(b));
}
