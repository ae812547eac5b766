import { equalShapes } from '../../ir/dims.ts';
import { broadcastShapes } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, OpOf } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/**
 * Operands of elementwise ops have no axes but those that matter: no leading axes of one element put on by a view, and a number has none at all.
 * What is repeated in a sum or a product stands on the right.
 */
export const broadcasts = (module: GraphModule): GraphModule =>
  rewrite(module, 'broadcasts', {
    pbinary: (op, near) => {
      const narrow = narrowed(op, near);
      const [left, right] = (narrow ?? op.operands.map(near.now)) as readonly [ValueId, ValueId];
      const type = near.type(op.results[0] as ValueId);
      const isWhole = (value: ValueId): boolean => equalShapes(near.type(value).shape, type.shape);
      // The result is of the left one's type.
      const isTurned = (op.attrs.fn === 'add' || op.attrs.fn === 'mul') && !isWhole(left) && isWhole(right) && near.type(left).dtype === near.type(right).dtype;
      return narrow === undefined && !isTurned ? undefined : [near.build.op('pbinary', op.attrs, isTurned ? [right, left] : [left, right], type)];
    },
    pwhere: (op, near) => {
      const narrow = narrowed(op, near);
      return narrow && [near.build.op('pwhere', op.attrs, narrow, near.type(op.results[0] as ValueId))];
    },
  });

/** The operands in the fewest axes; undefined where they are in them, or the result would have fewer. */
function narrowed(op: OpOf<'pbinary' | 'pwhere'>, near: Near): readonly ValueId[] | undefined {
  const shapes = op.operands.map((operand) => narrower(operand, near));
  const whole = op.operands.map((operand, i) => shapes[i] ?? near.type(operand).shape).reduce<readonly Dim[]>((all, shape) => broadcastShapes(all, shape), []);
  if (shapes.every((shape) => shape === undefined) || !equalShapes(whole, near.type(op.results[0] as ValueId).shape)) return undefined;
  return op.operands.map((operand, i) => (shapes[i] === undefined ? near.now(operand) : inShape(operand, shapes[i], near)));
}

/** The shape of an operand without what it does not need, if it has that. */
function narrower(operand: ValueId, near: Near): readonly Dim[] | undefined {
  const { shape } = near.type(operand);
  const op = near.definition(operand);
  const leading = shape.findIndex((size) => size !== 1);
  if (op?.kind === 'pconst' && op.attrs.values.length === 1) return shape.length === 0 ? undefined : [];
  if ((op?.kind !== 'pconst' && op?.kind !== 'preshape') || shape[0] !== 1) return undefined;
  return leading < 0 ? [] : shape.slice(leading);
}

function inShape(operand: ValueId, shape: readonly Dim[], near: Near): ValueId {
  const { dtype } = near.type(operand);
  const op = near.definition(operand);
  if (op?.kind === 'pconst') return near.build.op('pconst', op.attrs, [], { dtype, shape });
  const whole = op?.operands[0] as ValueId;
  return equalShapes(near.type(whole).shape, shape) ? near.now(whole) : near.build.op('preshape', {}, [near.now(whole)], { dtype, shape });
}
