import type { Origin } from '../../diagnostics/diagnostic.ts';
import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import type { Block, Input } from '../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import type { RowFeed, RowNode } from './rows.ts';

type Emitted = { readonly inputs: readonly Input[]; readonly weights: readonly Weight[]; readonly types: readonly TensorType[]; readonly body: Block };

/** The row ops that make the given rows, operands first, in the order the outputs ask for them. */
export function emit(outputs: readonly RowNode[]): Emitted {
  const build = new GraphBuilder(inferResults);
  const order = postorder(outputs);
  const feeds = (['ids', 'positions', 'types'] as const).filter((feed) => order.some((node) => node.rows.includes(feed)));
  const weights = new Weights(build);
  const values = new Map<RowNode | RowFeed, ValueId>();
  const made = build.block(feeds.map(() => ({ dtype: 'i32', shape: ['tokens'] })), (params) => {
    feeds.forEach((feed, i) => values.set(feed, params[i] as ValueId));
    for (const node of order) {
      const origins = [...new Map(node.from.map((op) => [JSON.stringify(op.origin), op.origin])).values()];
      build.origin = { kind: 'derived', by: 'raise', from: origins } satisfies Origin;
      const operands = [...node.rows.map((row) => values.get(row) as ValueId), ...node.weights.map((weight) => weights.value(weight))];
      const type: TensorType = { dtype: 'f32', shape: [node.sampled ? 'samples' : 'tokens', node.width] };
      values.set(node, build.op(node.kind, node.attrs, operands, type));
    }
    return outputs.map((node) => values.get(node) as ValueId);
  });
  return { inputs: feeds.map((feed) => ({ name: feed, feed })), weights: weights.all, types: build.types, body: made };
}

/** Nodes after those they read, each once. */
function postorder(outputs: readonly RowNode[]): readonly RowNode[] {
  const done = new Set<RowNode>();
  const pending: { readonly node: RowNode; readonly ready: boolean }[] = outputs.toReversed().map((node) => ({ node, ready: false }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, ready } = next;
    if (done.has(node)) continue;
    if (ready) {
      done.add(node);
      continue;
    }
    pending.push({ node, ready: true }, ...node.rows.flatMap((row) => (typeof row === 'string' ? [] : [{ node: row, ready: false }])).toReversed());
  }
  return [...done];
}

/** The module's weights: one for each expression, under the source's name where it is a source tensor as it stands. */
class Weights {
  readonly #build: GraphBuilder;
  readonly #known = new Map<string, ValueId>();
  readonly #named = new Map<string, Weight>();

  constructor(build: GraphBuilder) {
    this.#build = build;
  }

  get all(): readonly Weight[] {
    return [...this.#named.values()];
  }

  value(weight: Weight): ValueId {
    const key = JSON.stringify([weight.dtype, weight.shape, weight.instances]);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const [expr] = weight.instances;
    const wanted = expr?.kind === 'tensor' ? expr.name : weight.name;
    let name = wanted;
    for (let i = 2; this.#named.has(name); i++) name = `${wanted}.${i}`;
    this.#named.set(name, { ...weight, name });
    const value = this.#build.op('weight', { name }, [], { dtype: weight.dtype, shape: weight.shape });
    this.#known.set(key, value);
    return value;
  }
}
