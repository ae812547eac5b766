import { equalShapes } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import { type TensorType, type ValueId, isFloat } from '../../ir/types.ts';

/** What a source input is to a transformer. */
export type Role = 'ids' | 'positions' | 'types' | 'mask' | 'past' | 'rows' | 'other';

/** Rows a table of token types has at most. */
const mostTypes = 32;

/**
 * What the inputs of a recognised source are, told by what becomes of them and by nothing else: a past is continued by new rows; positions make
 * angles; a mask is added to scores, or is one number for each id that looks nothing up; ids look up rows of the largest table, types those of the smallest, positions those of any between;
 * what is left of floats are the elements of rows.
 */
export function rolesOf(module: GraphModule): ReadonlyMap<ValueId, Role> {
  const definitions = new Map<ValueId, GraphOp>(module.body.ops.flatMap((op) => op.results.map((result) => [result, op] as const)));
  const type = (value: ValueId): TensorType => module.types[value] as TensorType;
  const roles = new Map<ValueId, Role>(module.body.params.map((param) => [param, 'other']));
  const reachedFrom = (values: readonly (ValueId | undefined)[], stop?: (op: GraphOp) => boolean): ReadonlySet<ValueId> => inputsOf(values, definitions, stop);

  for (const op of module.body.ops) {
    const [operand] = op.operands;
    const cut = op.kind === 'pconcat' && operand !== undefined ? definitions.get(operand) : undefined;
    // All of it, or its last rows.
    const first = cut?.kind === 'pslice' && axisOf(cut.attrs.axis, 4) === 2 ? cut.operands[0] : operand;
    if (op.kind === 'pconcat' && first !== undefined && roles.has(first) && isFloat(type(first).dtype) && type(first).shape.length === 4) roles.set(first, 'past');
  }
  const isWhole = (param: ValueId): boolean => !isFloat(type(param).dtype) && type(param).shape.length <= 2;
  const lookups = lookupsOf(module, definitions).filter(({ param }) => isWhole(param));
  /** What positions are counted from is none itself. */
  const angles = reachedFrom(module.body.ops.flatMap((op) => (op.kind === 'trope' ? op.operands.slice(1) : [])), ({ kind }) => kind === 'pcumsum' || kind === 'preduce');
  const biases = reachedFrom(module.body.ops.flatMap((op) => (op.kind === 'tattention' && op.attrs.biased ? [op.operands[3]] : [])));
  const largest = Math.max(0, ...lookups.flatMap(({ rows, param }) => (angles.has(param) ? [] : [rows])));
  for (const param of module.body.params.filter(isWhole)) {
    const rows = Math.max(0, ...lookups.flatMap((lookup) => (lookup.param === param ? [lookup.rows] : [])));
    // Ids reach angles and biases where positions and masks are counted from them; those they look up tables with all the same.
    if (rows > 0 && rows === largest && !isTaken(roles, 'ids')) roles.set(param, 'ids');
    else if (angles.has(param) && type(param).dtype !== 'bool') roles.set(param, 'positions');
    else if (biases.has(param)) roles.set(param, 'mask');
    else if (rows > mostTypes) roles.set(param, 'positions');
    else if (rows > 0) roles.set(param, 'types');
  }
  for (const param of module.body.params) if (roles.get(param) === 'other' && biases.has(param) && type(param).shape.length === 2) roles.set(param, 'mask');
  const ids = module.body.params.find((param) => roles.get(param) === 'ids');
  const isLikeIds = (param: ValueId): boolean => ids !== undefined && isWhole(param) && type(param).shape.length === 2 && equalShapes(type(param).shape, type(ids).shape);
  for (const param of module.body.params) if (roles.get(param) === 'other' && isLikeIds(param)) roles.set(param, 'mask');
  for (const param of module.body.params) if (roles.get(param) === 'other' && isFloat(type(param).dtype) && type(param).shape.length > 1) roles.set(param, 'rows');
  return roles;
}

const isTaken = (roles: ReadonlyMap<ValueId, Role>, role: Role): boolean => [...roles.values()].includes(role);

/** Inputs that values are made of, through ops that do not stop the search. */
function inputsOf(values: readonly (ValueId | undefined)[], definitions: ReadonlyMap<ValueId, GraphOp>, stop: (op: GraphOp) => boolean = () => false): ReadonlySet<ValueId> {
  const seen = new Set(values.flatMap((value) => value ?? []));
  for (const value of seen) {
    const op = definitions.get(value);
    if (op !== undefined && !stop(op)) for (const operand of op.operands) seen.add(operand);
  }
  return new Set([...seen].filter((value) => !definitions.has(value)));
}

/** Ops through which an index is still the input's numbers, or those and a constant. */
const keepsNumbers: ReadonlySet<string> = new Set(['pcast', 'preshape', 'pexpand', 'ptranspose', 'pslice', 'pwhere', 'pbinary']);

/** Inputs that look up rows of constant tables, and how many rows those have. */
function lookupsOf(module: GraphModule, definitions: ReadonlyMap<ValueId, GraphOp>): readonly { readonly param: ValueId; readonly rows: number }[] {
  return module.body.ops.flatMap((op) => {
    if (op.kind !== 'pgather') return [];
    const [table, index] = op.operands as readonly [ValueId, ValueId];
    const { dtype, shape } = module.types[table] as TensorType;
    if (!isFloat(dtype) || shape.length !== 2 || inputsOf([table], definitions).size > 0) return [];
    const direct = new Set([index]);
    for (const value of direct) {
      const by = definitions.get(value);
      if (by !== undefined && keepsNumbers.has(by.kind)) for (const operand of by.operands) direct.add(operand);
    }
    return [...direct].filter((value) => module.body.params.includes(value)).map((param) => ({ param, rows: shape[0] as number }));
  });
}
