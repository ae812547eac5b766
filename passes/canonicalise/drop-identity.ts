import { equalShapes, parseDim } from '../../ir/dims.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, type Rule, rewrite } from '../rewrite.ts';

/** The binary functions that do nothing with a certain number on the right, and those that do nothing with it on the left. */
const neutralRight: Readonly<Record<string, number>> = { add: 0, sub: 0, mul: 1, div: 1, pow: 1 };
const neutralLeft: Readonly<Record<string, number>> = { add: 0, mul: 1 };

/** f(x) = x: views to the same shape, permutations that permute nothing, whole slices, empty parts put beside others, x + 0, x * 1, x / 1, x ^ 1, a choice already made. */
export const dropIdentity = (module: GraphModule): GraphModule => rewrite(module, 'drop-identity', rule);

const rule: Rule = {
  preshape: (op, near) => unchanged(op, near),
  pexpand: (op, near) => unchanged(op, near),
  pcast: (op, near) => unchanged(op, near),
  ptranspose: (op, near) => (op.attrs.perm.every((axis, i) => axis === i) ? unchanged(op, near) : undefined),
  pslice: (op, near) => (parseDim(op.attrs.start) === 0 && op.attrs.step === 1 ? unchanged(op, near) : undefined),
  pconcat: (op, near) => {
    const parts = op.operands.filter((part) => near.type(part).shape.at(op.attrs.axis) !== 0);
    if (parts.length <= 1) return parts.length === 1 ? same(op, parts[0] as ValueId, near) : undefined;
    return parts.length === op.operands.length ? undefined : [near.build.op('pconcat', op.attrs, parts.map(near.now), near.type(op.results[0] as ValueId))];
  },
  pbinary: (op, near) => {
    const [x, y] = op.operands as [ValueId, ValueId];
    if (isFilled(near, y, neutralRight[op.attrs.fn])) return same(op, x, near);
    return isFilled(near, x, neutralLeft[op.attrs.fn]) ? same(op, y, near) : undefined;
  },
  pwhere: (op, near) => {
    const [condition, x, y] = op.operands as [ValueId, ValueId, ValueId];
    if (isFilled(near, condition, 0)) return same(op, y, near);
    return isFilled(near, condition, 1) ? same(op, x, near) : undefined;
  },
};

const unchanged = (op: GraphOp, near: Near): readonly ValueId[] | undefined => same(op, op.operands[0] as ValueId, near);

/** The operand in place of the result, if they are of one type. */
function same(op: GraphOp, operand: ValueId, near: Near): readonly ValueId[] | undefined {
  const [from, to] = [near.type(operand), near.type(op.results[0] as ValueId)];
  return from.dtype === to.dtype && equalShapes(from.shape, to.shape) ? [near.now(operand)] : undefined;
}

function isFilled(near: Near, value: ValueId, with_: number | undefined): boolean {
  const op = near.definition(value);
  return with_ !== undefined && op?.kind === 'pconst' && op.attrs.values.every((each) => each === with_);
}
