import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/**
 * softmax over the axis before the last = (softmax over the last of x^T)^T, with (a b)^T = b^T a^T and (x + y)^T = x^T + y^T: weights of keys by
 * queries are then those of queries by keys. Not where a product takes the weights as they are: they weigh queries there.
 */
export const keysLast = (module: GraphModule): GraphModule =>
  rewrite(module, 'keys-last', {
    psoftmax: (op, near) => {
      const [x] = op.operands as readonly [ValueId];
      const { dtype, shape } = near.type(x);
      const weights = op.results[0] as ValueId;
      if (axisOf(op.attrs.axis, shape.length) !== shape.length - 2 || near.users(weights).some(({ kind, operands }) => kind === 'pmatmul' && operands[0] === weights)) return undefined;
      const turned = near.build.op('psoftmax', { axis: shape.length - 1 }, [transposed(x, near)], { dtype, shape: swapped(shape) });
      return [near.build.op('ptranspose', { perm: lastTwo(shape.length) }, [turned], near.type(weights))];
    },
  });

/** A value with its last two axes swapped: as far back as products, or what is no function of single elements. */
function transposed(value: ValueId, near: Near): ValueId {
  const { dtype, shape } = near.type(value);
  const op = near.definition(value);
  const type = { dtype, shape: swapped(shape) };
  const of = (operand: ValueId): ValueId => transposed(operand, near);
  if (shape.length === 0) return near.now(value);
  if (shape.length === 1) return near.build.op('preshape', {}, [near.now(value)], { dtype, shape: [shape[0] as Dim, 1] });
  if (op?.kind === 'punary' || op?.kind === 'pbinary' || op?.kind === 'pwhere' || op?.kind === 'pcast') return near.build.ops(op.kind, op.attrs as never, op.operands.map(of), [type])[0] as ValueId;
  const [a, b] = op?.kind === 'pmatmul' ? (op.operands as readonly [ValueId, ValueId]) : [];
  if (a !== undefined && b !== undefined && near.type(a).shape.length > 1 && near.type(b).shape.length > 1) return near.build.op('pmatmul', {}, [of(b), of(a)], type);
  return near.build.op('ptranspose', { perm: lastTwo(shape.length) }, [near.now(value)], type);
}

const swapped = (shape: readonly Dim[]): readonly Dim[] => lastTwo(shape.length).map((axis) => shape[axis] as Dim);
const lastTwo = (rank: number): readonly number[] => [...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1, rank - 2];
