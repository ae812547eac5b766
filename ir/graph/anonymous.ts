import type { Weight } from '../weights.ts';
import { allOps, type Block, type GraphModule, type GraphOp } from './module.ts';

/**
 * A module without what its source chose freely: names of the model, of its ends and of its weights, where ops come from, and which tensors
 * weights are made of. Two sources of one model have one anonymous module.
 */
export function anonymous(module: GraphModule): GraphModule {
  const names = new Map<string, string>();
  for (const op of allOps(module.body)) if (op.kind === 'weight' && !names.has(op.attrs.name)) names.set(op.attrs.name, `w${names.size}`);
  const weights = module.weights.flatMap((weight): readonly Weight[] => {
    const name = names.get(weight.name);
    return name === undefined ? [] : [{ ...weight, name, instances: weight.instances.map(() => ({ kind: 'tensor', name })) }];
  });
  const op = (of: GraphOp): GraphOp => {
    const plain = { ...of, origin: { kind: 'none' } } as GraphOp;
    if (plain.kind === 'weight') return { ...plain, attrs: { name: names.get(plain.attrs.name) as string } };
    return plain.body === undefined ? plain : ({ ...plain, body: block(plain.body) } as GraphOp);
  };
  const block = (of: Block): Block => ({ ...of, ops: of.ops.map(op) });
  return {
    ...module,
    name: '',
    family: '',
    inputs: module.inputs.map(({ feed }, i) => ({ name: `i${i}`, feed })),
    outputs: module.outputs.map(({ rows }, i) => ({ name: `o${i}`, rows })),
    weights: weights.toSorted((a, b) => Number(a.name.slice(1)) - Number(b.name.slice(1))),
    body: block(module.body),
  };
}
