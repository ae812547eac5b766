import { exactKey } from '../../ir/exact-key.ts';
import { compact } from '../rewrite.ts';
import type { Block, GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';

/** Two ops of one kind with the same attributes, operands and type are one, which comes from where both did. Loop bodies are left alone. */
export function shareEqual(module: GraphModule): GraphModule {
  const first = new Map<string, ValueId>();
  const renamed = new Map<ValueId, ValueId>();
  const now = (value: ValueId): ValueId => renamed.get(value) ?? value;
  const ops: GraphOp[] = [];
  const places = new Map<ValueId, number>();
  for (const op of module.body.ops) {
    const operands = op.operands.map(now);
    const [result, more] = op.results;
    if (result === undefined || more !== undefined || op.kind === 'loop') {
      ops.push({ ...op, operands } as GraphOp);
      continue;
    }
    const { dtype, shape } = module.types[result] as { readonly dtype: string; readonly shape: readonly unknown[] };
    const key = `${op.kind} ${dtype}[${shape.join()}] ${operands.join()} ${op.kind === 'pconst' ? exactKey(op.attrs.values) : JSON.stringify(op.attrs, exactly)}`;
    const known = first.get(key);
    if (known === undefined) {
      first.set(key, result);
      places.set(result, ops.length);
      ops.push({ ...op, operands } as GraphOp);
      continue;
    }
    renamed.set(result, known);
    const place = places.get(known) as number;
    ops[place] = { ...ops[place], origin: { kind: 'derived', by: 'share-equal', from: [(ops[place] as GraphOp).origin, op.origin] } } as GraphOp;
  }
  const body: Block = { ...module.body, ops, yields: module.body.yields.map(now) };
  return compact({ ...module, body });
}

/** JSON has no infinities, no NaN and no -0. */
function exactly(_: string, value: unknown): unknown {
  if (typeof value !== 'number') return value;
  return Object.is(value, -0) ? '-0' : Number.isFinite(value) ? value : String(value);
}
