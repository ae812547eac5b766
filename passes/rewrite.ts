import { GraphBuilder } from '../ir/graph/build.ts';
import { inferResults } from '../ir/graph/infer.ts';
import type { Block, GraphModule, GraphOp, OpOf } from '../ir/graph/module.ts';
import type { OpKind } from '../ir/graph/ops.ts';
import type { Dim, TensorType, ValueId } from '../ir/types.ts';
import type { Weight, WeightExpr } from '../ir/weights.ts';

/** What a rule may ask of the module around the op it looks at, and how it builds the replacement. */
export type Near = {
  readonly build: GraphBuilder;
  /** The op that defines a value of the old module; undefined for block parameters. */
  readonly definition: (value: ValueId) => GraphOp | undefined;
  /** The block of the old module an op is in. */
  readonly blockOf: (op: GraphOp) => Block;
  /** How many operands and yields read a value of the old module. */
  readonly uses: (value: ValueId) => number;
  readonly users: (value: ValueId) => readonly GraphOp[];
  /** A value of the old module in the new one. */
  readonly now: (value: ValueId) => ValueId;
  readonly type: (value: ValueId) => TensorType;
  /** The weight a value of the old module is, if it is one. */
  readonly weightOf: (value: ValueId) => Weight | undefined;
  /** Adds a weight to the module (or finds it) and an op that yields it. */
  readonly weight: (weight: Weight) => ValueId;
};

/** The op's new results, or undefined to keep it as it is. */
export type Rule = { readonly [K in OpKind]?: (op: OpOf<K>, near: Near) => readonly ValueId[] | undefined };

/**
 * Applies a rule to every op, in program order, loop bodies included; then drops what nobody reads. The rule sees the old
 * module; ops it does not replace are carried over. Where there is nothing to replace or drop, the module itself comes back.
 */
export function rewrite(module: GraphModule, by: string, rule: Rule): GraphModule {
  const build = new GraphBuilder(inferResults, module.types);
  const renamed = new Map<ValueId, ValueId>();
  const definitions: (GraphOp | undefined)[] = [];
  const users: (GraphOp[] | undefined)[] = [];
  const yielded = new Map<ValueId, number>();
  const index = (block: Block): void => {
    for (const op of block.ops) {
      for (const result of op.results) definitions[result] = op;
      for (const operand of op.operands) (users[operand] ??= []).push(op);
      if (op.body !== undefined) index(op.body);
    }
    for (const value of block.yields) yielded.set(value, (yielded.get(value) ?? 0) + 1);
  };
  index(module.body);
  let blocks: ReadonlyMap<GraphOp, Block> | undefined;

  const weights = new Map(module.weights.map((weight) => [weight.name, weight]));
  const now = (value: ValueId): ValueId => renamed.get(value) ?? value;
  const near: Near = {
    build,
    now,
    definition: (value) => definitions[value],
    blockOf: (op) => (blocks ??= blocksOf(module.body)).get(op) as Block,
    users: (value) => users[value] ?? [],
    uses: (value) => (users[value]?.length ?? 0) + (yielded.get(value) ?? 0),
    type: (value) => build.types[value] as TensorType,
    weightOf: (value) => {
      const op = definitions[value];
      return op?.kind === 'weight' ? weights.get(op.attrs.name) : undefined;
    },
    weight: (weight) => {
      weights.set(weight.name, weight);
      return build.op('weight', { name: weight.name }, [], { dtype: weight.dtype, shape: weight.shape });
    },
  };

  const isMoved = (op: GraphOp): boolean => op.body !== undefined || op.operands.some((operand) => renamed.has(operand));
  const visit = <K extends OpKind>(op: OpOf<K>): void => {
    const apply = rule[op.kind as K] as ((op: OpOf<K>, near: Near) => readonly ValueId[] | undefined) | undefined;
    if (apply !== undefined) build.origin = { kind: 'derived', by, from: [op.origin] };
    const replaced = apply?.(op, near);
    if (replaced === undefined) build.push(isMoved(op) ? ({ ...op, operands: op.operands.map(now), body: op.body === undefined ? undefined : block(op.body) } as GraphOp) : op);
    else op.results.forEach((result, i) => renamed.set(result, replaced[i] as ValueId));
  };
  const block = (old: Block): Block => {
    const made = build.block([], () => {
      for (const op of old.ops) visit(op);
      return old.yields.map(now);
    });
    return { ...made, params: old.params };
  };
  const body = block(module.body);
  return compact(renamed.size === 0 && build.types.length === module.types.length ? module : { ...module, types: build.types, weights: [...weights.values()], body });
}

/** Which block each op is in. */
function blocksOf(block: Block, blocks = new Map<GraphOp, Block>()): ReadonlyMap<GraphOp, Block> {
  for (const op of block.ops) {
    blocks.set(op, block);
    if (op.body !== undefined) blocksOf(op.body, blocks);
  }
  return blocks;
}

/** Drops ops whose results nobody reads and weights no op names, and numbers the values afresh, in program order. A module that is so already comes back itself. */
export function compact(module: GraphModule): GraphModule {
  const used = new Uint8Array(module.types.length);
  const prune = (block: Block): Block => {
    for (const value of block.yields) used[value] = 1;
    const ops = block.ops.toReversed().flatMap((op): GraphOp | readonly GraphOp[] => {
      if (!op.results.some((result) => used[result] === 1)) return [];
      const kept = op.body === undefined ? op : ({ ...op, body: prune(op.body) } as GraphOp);
      for (const operand of kept.operands) used[operand] = 1;
      return kept;
    });
    return { ...block, ops: ops.reverse() };
  };
  const pruned = prune(module.body);

  const types: TensorType[] = [];
  const numbers = new Int32Array(module.types.length).fill(-1);
  const number = (value: ValueId): ValueId => {
    if (numbers[value] === -1) numbers[value] = types.push(module.types[value] as TensorType) - 1;
    return numbers[value] as ValueId;
  };
  const names = new Set<string>();
  let isSame = true;
  const renumbered = (values: readonly ValueId[]): readonly ValueId[] => {
    const fresh = values.map(number);
    if (fresh.every((value, i) => value === values[i])) return values;
    isSame = false;
    return fresh;
  };
  const renumber = (block: Block): Block => {
    const params = renumbered(block.params);
    const ops = block.ops.map((op): GraphOp => {
      if (op.kind === 'weight') names.add(op.attrs.name);
      const operands = renumbered(op.operands);
      const body = op.body === undefined ? undefined : renumber(op.body);
      const results = renumbered(op.results);
      return operands === op.operands && results === op.results && body === undefined ? op : ({ ...op, operands, body, results } as GraphOp);
    });
    return { params, ops, yields: renumbered(block.yields) };
  };
  const body = renumber(pruned);
  if (isSame && types.length === module.types.length && names.size === module.weights.length) return module;
  return { ...module, types, body, weights: module.weights.filter((weight) => names.has(weight.name)) };
}

/** A weight made of others, instance by instance. */
export function deriveWeight(name: string, shape: readonly number[], from: readonly Weight[], make: (instances: readonly WeightExpr[]) => WeightExpr): Weight {
  const first = from[0] as Weight;
  const trip = Math.max(...from.map((weight) => weight.instances.length));
  const instances = Array.from({ length: trip }, (_, i) => make(from.map((weight) => weight.instances[weight.instances.length === 1 ? 0 : i] as WeightExpr)));
  return { name, dtype: first.dtype, shape, instances };
}

/** A dimension that must be a number by now. */
export function sizeOf(dim: Dim | undefined): number {
  if (typeof dim !== 'number') throw new Error(`internal: dimension ${String(dim)} is not a number`);
  return dim;
}
