import type { GraphModule } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { rewrite } from '../rewrite.ts';

/** (a b) c = (a c) b, where c has one number for each product of a batch: the heads' own scales of cosine attention are their queries'. */
export const headFactors = (module: GraphModule): GraphModule =>
  rewrite(module, 'head-factors', {
    pbinary: (op, near) => {
      if (op.attrs.fn !== 'mul') return undefined;
      const [x, y] = op.operands as readonly [ValueId, ValueId];
      const [product, factor] = near.definition(x)?.kind === 'pmatmul' ? [near.definition(x), y] : [near.definition(y), x];
      const [a, b] = product?.kind === 'pmatmul' ? (product.operands as readonly [ValueId, ValueId]) : [];
      if (product === undefined || a === undefined || b === undefined || near.uses(product.results[0] as ValueId) > 1) return undefined;
      const { shape } = near.type(factor);
      const left = near.type(a);
      const isOne = (size: Dim | undefined): boolean => size === 1;
      if (shape.length < 3 || !shape.slice(-2).every(isOne) || shape.every(isOne) || left.shape.length !== near.type(op.results[0] as ValueId).shape.length) return undefined;
      const fits = shape.every((size, i) => isOne(size) || size === left.shape[i + left.shape.length - shape.length]);
      if (!fits || !/^(pconst|weight)$/.test(near.definition(factor)?.kind ?? '')) return undefined;
      return [near.build.op('pmatmul', {}, [near.build.op('pbinary', { fn: 'mul' }, [near.now(a), near.now(factor)], left), near.now(b)], near.type(op.results[0] as ValueId))];
    },
  });
