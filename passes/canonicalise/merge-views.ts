import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

/** reshape(reshape(x)) = reshape(x); expand(expand(x)) = expand(x); transpose_p(transpose_q(x)) = transpose_qp(x). */
export const mergeViews = (module: GraphModule): GraphModule =>
  rewrite(module, 'merge-views', {
    preshape: (op, near) => {
      const inner = chainEnd(op, near);
      return inner === undefined ? undefined : [near.build.op('preshape', {}, [near.now(inner)], near.type(op.results[0] as ValueId))];
    },
    pexpand: (op, near) => {
      const inner = chainEnd(op, near);
      return inner === undefined ? undefined : [near.build.op('pexpand', {}, [near.now(inner)], near.type(op.results[0] as ValueId))];
    },
    ptranspose: (op, near) => {
      let perm = op.attrs.perm;
      let value = op.operands[0] as ValueId;
      for (let inner = near.definition(value); inner?.kind === 'ptranspose'; inner = near.definition(value)) {
        const first = inner.attrs.perm;
        perm = perm.map((axis) => first[axis] as number);
        value = inner.operands[0] as ValueId;
      }
      return value === op.operands[0] ? undefined : [near.build.op('ptranspose', { perm }, [near.now(value)], near.type(op.results[0] as ValueId))];
    },
  });

/** What the first of a chain of the same views looks at; undefined if the chain is one view. */
function chainEnd(op: GraphOp, near: Near): ValueId | undefined {
  let value = op.operands[0] as ValueId;
  for (let inner = near.definition(value); inner?.kind === op.kind; inner = near.definition(value)) value = inner.operands[0] as ValueId;
  return value === op.operands[0] ? undefined : value;
}
