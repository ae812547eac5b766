import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** exp(z) / sum(exp(z)) = softmax(z) = softmax(z - max(z)) and z - log(sum(exp(z))) = log(softmax(z)), the sum and the maximum along one axis. */
export const softmax = (module: GraphModule): GraphModule =>
  rewrite(module, 'softmax', {
    pbinary: (op, near) => {
      if (op.attrs.fn === 'sub') return logarithm(op, near);
      if (op.attrs.fn !== 'div') return undefined;
      const [powers, sum] = op.operands as readonly [ValueId, ValueId];
      const [exp, total] = [near.definition(powers), near.definition(sum)];
      const axis = alongOf(total, 'sum', powers, near);
      if (exp?.kind !== 'punary' || exp.attrs.fn !== 'exp' || axis === undefined) return undefined;
      const z = exp.operands[0] as ValueId;
      return [near.build.op('psoftmax', { axis }, [near.now(unshifted(z, axis, near))], near.type(op.results[0] as ValueId))];
    },
    psoftmax: (op, near) => {
      const z = op.operands[0] as ValueId;
      const y = unshifted(z, axisOf(op.attrs.axis, near.type(z).shape.length), near);
      return y === z ? undefined : [near.build.op('psoftmax', op.attrs, [near.now(y)], near.type(op.results[0] as ValueId))];
    },
  });

function logarithm(op: OpOf<'pbinary'>, near: Near): readonly ValueId[] | undefined {
  const [z, shift] = op.operands as readonly [ValueId, ValueId];
  const log = near.definition(shift);
  const total = log?.kind === 'punary' && log.attrs.fn === 'log' ? near.definition(log.operands[0] as ValueId) : undefined;
  const powers = total?.operands[0];
  const exp = powers === undefined ? undefined : near.definition(powers);
  const axis = powers === undefined ? undefined : alongOf(total, 'sum', powers, near);
  if (exp?.kind !== 'punary' || exp.attrs.fn !== 'exp' || exp.operands[0] !== z || axis === undefined) return undefined;
  const type = near.type(op.results[0] as ValueId);
  return [near.build.op('punary', { fn: 'log' }, [near.build.op('psoftmax', { axis }, [near.now(unshifted(z, axis, near))], type)], type)];
}

/** The axis a reduction keeps as one element, if it is this reduction of this value along one axis. */
function alongOf(op: GraphOp | undefined, fn: 'sum' | 'max', of: ValueId, near: Near): number | undefined {
  const isIt = op?.kind === 'preduce' && op.attrs.fn === fn && op.attrs.keepDims && op.attrs.axes.length === 1 && op.operands[0] === of;
  return isIt ? axisOf(op.attrs.axes[0] as number, near.type(of).shape.length) : undefined;
}

/** z without its maximum taken off. */
function unshifted(z: ValueId, axis: number, near: Near): ValueId {
  const op = near.definition(z);
  if (op?.kind !== 'pbinary' || op.attrs.fn !== 'sub') return z;
  const [y, most] = op.operands as readonly [ValueId, ValueId];
  return alongOf(near.definition(most), 'max', y, near) === axis ? y : z;
}
