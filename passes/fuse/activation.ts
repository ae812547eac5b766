import type { GraphModule } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { rewrite } from '../rewrite.ts';
import { plainLinear } from './gated.ts';

/** activate(linear(x)) = linear with that activation, when nobody else reads the linear. */
export const fuseActivation = (module: GraphModule): GraphModule =>
  rewrite(module, 'fuse-activation', {
    activate: (op, near) => {
      const linear = plainLinear(op.operands[0] as ValueId, near);
      if (linear === undefined) return undefined;
      const attrs = { ...linear.attrs, activation: op.attrs.activation };
      return [near.build.op('linear', attrs, linear.operands.map(near.now), near.type(op.results[0] as ValueId))];
    },
  });
