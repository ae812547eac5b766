import type { Origin } from '../../diagnostics/diagnostic.ts';
import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import type { Block, Input, Unfold } from '../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import type { InputNode, RowFeed, RowNode } from './rows.ts';

type Emitted = { readonly inputs: readonly Input[]; readonly unfolds: readonly Unfold[]; readonly weights: readonly Weight[]; readonly types: readonly TensorType[]; readonly body: Block };

/** The row ops that make the given rows, operands first, in the order the outputs ask for them; what may be swapped is in an order of its own. */
export function emit(outputs: readonly RowNode[]): Emitted {
  const build = new GraphBuilder(inferResults);
  const ordered = new OperandOrder();
  const order = postorder(outputs, ordered);
  const feeds = (['ids', 'positions', 'types'] as const).filter((feed) => order.some((node) => node.rows.includes(feed)));
  const given = order.filter((node): node is InputNode => node.kind === 'input');
  const unfolds = given.map(({ attrs, of }, i): Unfold => ({ input: nameOf(attrs.tensor, given.slice(0, i)), of: of === 'memory' ? of : 'tokens', ...attrs }));
  const weights = new Weights(build);
  const values = new Map<RowNode | RowFeed, ValueId>();
  const types = [...feeds.map((): TensorType => ({ dtype: 'i32', shape: ['tokens'] })), ...given.map(({ of, width }): TensorType => ({ dtype: 'f32', shape: [of, width] }))];
  const made = build.block(types, (params) => {
    [...feeds, ...given].forEach((each, i) => values.set(each, params[i] as ValueId));
    for (const node of order) {
      if (node.kind === 'input') continue;
      const origins = [...new Map(node.from.map((op) => [JSON.stringify(op.origin), op.origin])).values()];
      build.origin = { kind: 'derived', by: 'raise', from: origins } satisfies Origin;
      const operands = [...ordered.rows(node).map((row) => values.get(row) as ValueId), ...node.weights.map((weight) => weights.value(weight))];
      const type: TensorType = { dtype: 'f32', shape: [node.of, node.width] };
      values.set(node, build.op(node.kind, node.attrs, operands, type));
    }
    return outputs.map((node) => values.get(node) as ValueId);
  });
  const inputs = [...feeds.map((feed): Input => ({ name: feed, feed })), ...unfolds.map(({ input }): Input => ({ name: input, feed: 'rows' }))];
  return { inputs, unfolds, weights: weights.all, types: build.types, body: made };
}

/** A tensor's name; with a number where rows are made of it in several ways. */
function nameOf(tensor: string, before: readonly InputNode[]): string {
  const same = before.filter(({ attrs }) => attrs.tensor === tensor).length;
  return same === 0 ? tensor : `${tensor}.${same + 1}`;
}

/** Nodes after those they read, each once. */
function postorder(outputs: readonly RowNode[], ordered: OperandOrder): readonly RowNode[] {
  const done = new Set<RowNode>();
  const pending: { readonly node: RowNode; readonly ready: boolean }[] = outputs.toReversed().map((node) => ({ node, ready: false }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, ready } = next;
    if (done.has(node)) continue;
    if (ready) {
      done.add(node);
      continue;
    }
    pending.push({ node, ready: true }, ...ordered.rows(node).flatMap((row) => (typeof row === 'string' ? [] : [{ node: row, ready: false }])).toReversed());
  }
  return [...done];
}

/**
 * The operands of sums and products in an order that says nothing of how their source had them: fewer ops before them first, so that
 * a residual comes before what is added to it in every layer; then by what they are.
 */
class OperandOrder {
  readonly #known = new Map<RowNode, { readonly depth: number; readonly text: string }>();

  rows(node: RowNode): readonly (RowNode | RowFeed)[] {
    if (node.kind !== 'add' && node.kind !== 'multiply') return node.rows;
    const [a, b] = node.rows.map((row) => this.#measure(row)) as [{ depth: number; text: string }, { depth: number; text: string }];
    return b.depth < a.depth || (b.depth === a.depth && b.text < a.text) ? node.rows.toReversed() : node.rows;
  }

  /** How many ops a row is made by one after the other, and a digest of which. Iterative: networks are deep. */
  #measure(row: RowNode | RowFeed): { readonly depth: number; readonly text: string } {
    if (typeof row === 'string') return { depth: 0, text: row };
    const pending: RowNode[] = [row];
    for (let node = pending.at(-1); node !== undefined; node = pending.at(-1)) {
      const missing = node.rows.filter((each): each is RowNode => typeof each !== 'string' && !this.#known.has(each));
      if (missing.length > 0) {
        pending.push(...missing);
        continue;
      }
      pending.pop();
      if (this.#known.has(node)) continue;
      const below = node.rows.map((each) => (typeof each === 'string' ? { depth: 0, text: each } : (this.#known.get(each) as { depth: number; text: string })));
      const texts = below.map(({ text }) => text);
      const operands = node.kind === 'add' || node.kind === 'multiply' ? texts.toSorted() : texts;
      const text = digest(JSON.stringify([node.kind, node.attrs, node.width, node.weights.map(({ dtype, shape }) => [dtype, shape]), operands]));
      this.#known.set(node, { depth: 1 + Math.max(0, ...below.map(({ depth }) => depth)), text });
    }
    return this.#known.get(row) as { depth: number; text: string };
  }
}

/** Two FNV-1a hashes of a text (Fowler, Noll and Vo), of different bases. */
function digest(text: string): string {
  const hash = (base: number): string => {
    let value = base;
    for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
    return value.toString(16).padStart(8, '0');
  };
  return hash(0x811c9dc5) + hash(0x050c5d1f);
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
