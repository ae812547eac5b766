import { sizesOf } from '../../ir/dims.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { OpKind } from '../../ir/graph/ops.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';

/** What a value depends on: nothing, the sizes of a run alone, or the inputs. */
export type Dependence = 'nothing' | 'sizes' | 'inputs';

/** A module on tensors with what recognising asks of it over and over. */
export type Graph = {
  readonly module: GraphModule;
  readonly store: TensorStore;
  readonly type: (value: ValueId) => TensorType;
  readonly definition: (value: ValueId) => GraphOp | undefined;
  readonly users: (value: ValueId) => readonly GraphOp[];
  /** Place of a value's definition in the program; inputs come before all. */
  readonly order: (value: ValueId) => number;
  readonly dependence: (value: ValueId) => Dependence;
};

/** Kinds whose results depend on the sizes of a run even without operands that do. */
const sized: ReadonlySet<OpKind> = new Set<OpKind>(['psizes', 'piota', 'pexpand', 'pconst', 'pslice']);

export function indexGraph(module: GraphModule, store: TensorStore): Graph {
  const definitions = new Map<ValueId, GraphOp>();
  const users = new Map<ValueId, GraphOp[]>();
  const order = new Map<ValueId, number>();
  const dependences = new Map<ValueId, Dependence>(module.body.params.map((param) => [param, 'inputs']));
  const type = (value: ValueId): TensorType => module.types[value] as TensorType;
  const dependence = (value: ValueId): Dependence => dependences.get(value) ?? 'nothing';
  for (const op of module.body.ops) {
    const of = op.operands.map(dependence);
    const isSized = sized.has(op.kind) && op.results.some((result) => type(result).shape.some((size) => sizesOf(size).length > 0));
    const own = of.includes('inputs') ? 'inputs' : isSized || op.kind === 'psizes' || of.includes('sizes') ? 'sizes' : 'nothing';
    for (const result of op.results) {
      definitions.set(result, op);
      order.set(result, order.size);
      dependences.set(result, own);
    }
    for (const operand of new Set(op.operands)) {
      const known = users.get(operand);
      if (known === undefined) users.set(operand, [op]);
      else known.push(op);
    }
  }
  return {
    module, store, type, dependence,
    definition: (value) => definitions.get(value),
    users: (value) => users.get(value) ?? [],
    order: (value) => order.get(value) ?? -1,
  };
}

/** The op that defines a value, if it is of a kind. */
export function definedBy<K extends OpKind>(graph: Graph, value: ValueId, kind: K): Extract<GraphOp, { kind: K }> | undefined {
  const op = graph.definition(value);
  return op?.kind === kind ? (op as Extract<GraphOp, { kind: K }>) : undefined;
}
