import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { deriveWeight, type Near, rewrite, sizeOf } from '../rewrite.ts';
import { isLogits } from '../router.ts';
import { plainLinear } from './gated.ts';

/**
 * linear(x, a), linear(x, b), ... = columns of one linear(x, [a; b; ...]). Each part starts on a multiple of `align`
 * columns, so that the views are addressable; zero rows fill the gaps. Routers stay alone: they are not quantised as others are.
 */
export const fuseSharedInput = (module: GraphModule, align: number): GraphModule => {
  const merged = new Map<OpOf<'linear'>, ValueId>();
  return rewrite(module, 'fuse-shared-input', {
    linear: (op, near) => {
      const done = merged.get(op);
      if (done !== undefined) return [done];
      const parts = near
        .users(op.operands[0] as ValueId)
        .filter((user): user is OpOf<'linear'> => user.kind === 'linear' && near.blockOf(user) === near.blockOf(op) && plainLinear(user.results[0] as ValueId, near) !== undefined && near.weightOf(user.operands[1] as ValueId) !== undefined && !isLogits(user.results[0] as ValueId, near.users));
      if (parts.length < 2 || !parts.includes(op)) return undefined;
      const bias = parts.some((part) => part.attrs.bias);
      const widths = parts.map((part) => sizeOf(near.type(part.results[0] as ValueId).shape[1]));
      const padded = widths.map((width) => Math.ceil(width / align) * align);
      const operands = [near.now(op.operands[0] as ValueId), near.weight(stacked(parts.map((part) => near.weightOf(part.operands[1] as ValueId) as Weight), padded))];
      if (bias) operands.push(near.weight(stacked(parts.map((part, i) => biasOf(part, widths[i] as number, near)), padded)));
      const type = near.type(op.results[0] as ValueId);
      const total = padded.reduce((sum, width) => sum + width, 0);
      const whole = near.build.op('linear', { ...op.attrs, bias }, operands, { ...type, shape: [type.shape[0] ?? 0, total] });
      let start = 0;
      parts.forEach((part, i) => {
        const view = near.build.op('columns', { start, end: start + (widths[i] as number) }, [whole], near.type(part.results[0] as ValueId));
        merged.set(part, view);
        start += padded[i] as number;
      });
      return [merged.get(op) as ValueId];
    },
  });
};

const biasOf = (part: OpOf<'linear'>, width: number, near: Near): Weight =>
  (part.attrs.bias ? near.weightOf(part.operands[2] as ValueId) : undefined) ?? { name: 'zeros', dtype: 'f32', shape: [width], instances: [zeros([width])] };

const zeros = (shape: readonly number[]): WeightExpr => ({ kind: 'values', shape, values: [0] });

function stacked(weights: readonly Weight[], padded: readonly number[]): Weight {
  const rest = (weights[0] as Weight).shape.slice(1);
  const pieces = (instances: readonly WeightExpr[]): readonly WeightExpr[] =>
    instances.flatMap((instance, i) => {
      const gap = (padded[i] as number) - sizeOf((weights[i] as Weight).shape[0]);
      return gap === 0 ? [instance] : [instance, zeros([gap, ...rest])];
    });
  const total = padded.reduce((sum, width) => sum + width, 0);
  return deriveWeight(weights.map((weight) => weight.name).join('|'), [total, ...rest], weights, (instances) => ({ kind: 'concat', axis: 0, of: pieces(instances) }));
}
