import { equalDims } from '../../ir/dims.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import { type Dim, type TensorType, type ValueId, isFloat } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { type Role, rolesOf } from './roles.ts';

/**
 * What a value depends on. `constant`: nothing. `prepared`: sizes, positions, masks, ids as integers - what a host can
 * work out before the step. `active`: embedded tokens, or a past.
 */
type Dependence = 'constant' | 'prepared' | 'active';

/** A recognised module with what recognising asks of it over and over. */
export type Source = {
  readonly module: GraphModule;
  readonly store: TensorStore;
  readonly type: (value: ValueId) => TensorType;
  readonly definition: (value: ValueId) => GraphOp | undefined;
  readonly uses: (value: ValueId) => number;
  /** Place of a value's definition in the program; inputs come before all. */
  readonly order: (value: ValueId) => number;
  readonly dependence: (value: ValueId) => Dependence;
  /** The nearest value all of whose paths from anchors run through: what `value` is a function of. Undefined at and beyond anchors. */
  readonly dominator: (value: ValueId) => ValueId | undefined;
  readonly name: (input: ValueId) => string | undefined;
  readonly role: (input: ValueId) => Role | undefined;
  /** Sizes of the axes: sequences, new rows, cached rows where there is a past, and rows attended to besides where there are any. */
  readonly axes: { readonly batch: Dim; readonly row: Dim; readonly past: Dim | undefined; readonly memory: Dim | undefined };
};

export function indexSource(module: GraphModule, store: TensorStore): Source {
  const definitions = new Map<ValueId, GraphOp>();
  const uses = new Map<ValueId, number>();
  const use = (value: ValueId): Map<ValueId, number> => uses.set(value, (uses.get(value) ?? 0) + 1);
  const order = new Map<ValueId, number>();
  for (const op of module.body.ops) {
    for (const result of op.results) {
      definitions.set(result, op);
      order.set(result, order.size);
    }
    op.operands.forEach(use);
  }
  module.body.yields.forEach(use);
  const type = (value: ValueId): TensorType => module.types[value] as TensorType;
  const names = new Map(module.body.params.map((param, i) => [param, (module.inputs[i] as { name: string }).name]));
  const roles = rolesOf(module);
  const dependences = dependencesOf(module, roles);
  const dependence = (value: ValueId): Dependence => dependences.get(value) ?? 'constant';
  const dominators = dominatorsOf(module, dependence);
  const find = (role: Role): TensorType | undefined => {
    const param = module.body.params.find((candidate) => roles.get(candidate) === role);
    return param === undefined ? undefined : type(param);
  };
  const sequences = sequencesOf(module, find);
  return {
    module, store, type, dependence,
    definition: (value) => definitions.get(value),
    uses: (value) => uses.get(value) ?? 0,
    order: (value) => order.get(value) ?? -1,
    dominator: (value) => dominators.get(value),
    name: (input) => names.get(input),
    role: (input) => roles.get(input),
    axes: { ...sequences, past: find('past')?.shape[2], memory: memoryIn(module, roles, sequences.row) },
  };
}

/** The sizes of sequences and their rows: those of the token ids, or else of what attends, or of the first tensor of elements, or what is made of an image first. */
function sequencesOf({ body, types }: GraphModule, find: (role: Role) => TensorType | undefined): { readonly batch: Dim; readonly row: Dim } {
  const ids = find('ids')?.shape;
  if (ids !== undefined) return { batch: ids.length > 1 ? (ids[0] as Dim) : 1, row: ids.at(-1) ?? 1 };
  const elements = find('rows')?.shape ?? [1, 1];
  const shapeOf = (value: ValueId | undefined): readonly Dim[] => (value === undefined ? [] : (types[value] as TensorType).shape);
  const firstOf = (wanted: GraphOp['kind']): readonly Dim[] => shapeOf(body.ops.find(({ kind }) => kind === wanted)?.operands[0]);
  const row = firstOf('tattention').at(-2) ?? (elements.length > 3 ? firstOf('pmatmul') : elements).at(-2) ?? 1;
  return { batch: elements.length > 2 ? (elements[0] as Dim) : 1, row };
}

/** The rows of a tensor of rows that are not those of the sequences, or of keys or values that are brought: what these attend to besides. */
function memoryIn({ body, types }: GraphModule, roles: ReadonlyMap<ValueId, Role>, row: Dim): Dim | undefined {
  const shapes = body.params.flatMap((param) => (roles.get(param) === 'rows' ? [(types[param] as TensorType).shape] : []));
  const kept = body.ops.flatMap(({ kind, operands }) => (kind === 'tattention' ? operands.slice(1, 3) : [])).find((value) => roles.get(value) === 'rows');
  const memory = shapes.find((shape) => shape.length === 3 && typeof shape[2] === 'number' && !equalDims(shape[1] as Dim, row))?.[1] ?? (types[kept as ValueId] as TensorType | undefined)?.shape.at(-2);
  return memory === undefined || equalDims(memory, row) ? undefined : memory;
}

function dependencesOf(module: GraphModule, roles: ReadonlyMap<ValueId, Role>): ReadonlyMap<ValueId, Dependence> {
  const found = new Map<ValueId, Dependence>();
  const onIds = new Set<ValueId>();
  for (const param of module.body.params) {
    const role = roles.get(param);
    found.set(param, role === 'past' || role === 'rows' || (role === 'other' && isFloatValue(module, param)) ? 'active' : 'prepared');
    if (role === 'ids' || role === 'rows' || role === 'other') onIds.add(param);
  }
  for (const op of module.body.ops) {
    const of = op.operands.map((operand) => found.get(operand) ?? 'constant');
    const embeds = op.kind === 'pgather' && of[0] === 'constant' && isFloatValue(module, op.operands[0] as ValueId) && onIds.has(op.operands[1] as ValueId);
    const sized = op.results.some((result) => (module.types[result] as TensorType).shape.some((size) => typeof size === 'string')) || op.kind === 'psizes' || op.kind === 'piota';
    const own: Dependence = embeds || of.includes('active') ? 'active' : of.includes('prepared') || (sized && op.kind !== 'weight') ? 'prepared' : 'constant';
    for (const result of op.results) {
      found.set(result, own);
      if (op.operands.some((operand) => onIds.has(operand))) onIds.add(result);
    }
  }
  return found;
}

const isFloatValue = (module: GraphModule, value: ValueId): boolean => isFloat((module.types[value] as TensorType).dtype);

/** Where a region must begin: products, normalisations over keys, lookups, and a past joined with its present. */
export const isAnchor = (op: GraphOp, dependence: (value: ValueId) => Dependence): boolean =>
  op.kind === 'pmatmul' || op.kind === 'psoftmax' || op.kind === 'tattention' || (op.kind === 'pgather' && dependence(op.operands[0] as ValueId) === 'constant');

/** Immediate dominators over active operands, anchors being the roots: one pass in program order (Cooper, Harvey and Kennedy 2001). */
function dominatorsOf(module: GraphModule, dependence: (value: ValueId) => Dependence): ReadonlyMap<ValueId, ValueId> {
  const parents = new Map<ValueId, ValueId>();
  const depths = new Map<ValueId, number>();
  const common = (left: ValueId | undefined, right: ValueId | undefined): ValueId | undefined => {
    let [a, b] = [left, right];
    while (a !== b) {
      if (a === undefined || b === undefined) return undefined;
      if ((depths.get(a) ?? 0) >= (depths.get(b) ?? 0)) a = parents.get(a);
      else b = parents.get(b);
    }
    return a;
  };
  for (const op of module.body.ops) {
    const active = op.operands.filter((operand) => dependence(operand) === 'active');
    if (active.length === 0 || isAnchor(op, dependence)) continue;
    const parent = active.map((value): ValueId | undefined => value).reduce(common);
    if (parent === undefined) continue;
    for (const result of op.results) {
      parents.set(result, parent);
      depths.set(result, (depths.get(parent) ?? 0) + 1);
    }
  }
  return parents;
}
