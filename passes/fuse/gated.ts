import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import { deriveWeight, type Near, rewrite, sizeOf } from '../rewrite.ts';

/** activate(linear(x, g)) * linear(x, u) = gated linear(x, [g; u]), when nobody else reads the factors. */
export const fuseGated = (module: GraphModule): GraphModule =>
  rewrite(module, 'fuse-gated', {
    multiply: (op, near) => {
      const [left, right] = op.operands as [ValueId, ValueId];
      return gated(left, right, near) ?? gated(right, left, near);
    },
  });

function gated(activated: ValueId, factor: ValueId, near: Near): readonly ValueId[] | undefined {
  const activate = near.definition(activated);
  if (activate?.kind !== 'activate' || near.uses(activated) > 1) return undefined;
  const gate = plainLinear(activate.operands[0] as ValueId, near);
  const up = plainLinear(factor, near);
  if (gate === undefined || up === undefined || gate.operands[0] !== up.operands[0] || gate.attrs.bias !== up.attrs.bias) return undefined;
  const weights = [gate, up].map((linear) => near.weightOf(linear.operands[1] as ValueId));
  const [g, u] = weights;
  if (g === undefined || u === undefined || sizeOf(g.shape[0]) !== sizeOf(u.shape[0])) return undefined;
  const stacked = near.weight(stack(`${g.name}|${u.name}`, g, u));
  const operands = [near.now(gate.operands[0] as ValueId), stacked];
  if (gate.attrs.bias) {
    const [gateBias, upBias] = [gate, up].map((linear) => near.weightOf(linear.operands[2] as ValueId)) as [Weight, Weight];
    operands.push(near.weight(stack(`${gateBias.name}|${upBias.name}`, gateBias, upBias)));
  }
  const attrs = { activation: activate.attrs.activation, gated: true, scaled: false, bias: gate.attrs.bias, residual: false };
  return [near.build.op('linear', attrs, operands, near.type(gate.results[0] as ValueId))];
}

const stack = (name: string, top: Weight, bottom: Weight): Weight =>
  deriveWeight(name, [sizeOf(top.shape[0]) + sizeOf(bottom.shape[0]), ...top.shape.slice(1)], [top, bottom], (of) => ({ kind: 'concat', axis: 0, of }));

/** The linear that defines a value, if it is read once and does nothing else yet. */
export function plainLinear(value: ValueId, near: Near): OpOf<'linear'> | undefined {
  const op = near.definition(value);
  if (op?.kind !== 'linear' || near.uses(value) > 1) return undefined;
  const { activation, gated: isGated, residual, scaled } = op.attrs;
  return activation === 'none' && !isGated && !residual && !scaled ? op : undefined;
}
