import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { expanded, joined } from './axes.ts';
import { parameterOf, scalarOf } from './constants.ts';
import { coneOf, evaluate, scenarioOf } from './evaluate.ts';
import { sharedExpert } from './experts.ts';
import type { Lifted, Raising } from './raising.ts';
import { gained, isolated, type RowNode, scaled } from './rows.ts';
import type { Source } from './source.ts';
import { byPosition, tableOf } from './tables.ts';

/** A value times a number, however that is said. */
export function liftFactor(op: OpOf<'pbinary' | 'punary'>, raising: Raising): { readonly lifted: Lifted } | undefined {
  const { source } = raising;
  const [left, right] = op.operands as readonly [ValueId, ValueId | undefined];
  const { fn } = op.attrs;
  if (fn === 'neg') return { lifted: broadcast(op, left, -1, raising) };
  if (right === undefined) return undefined;
  const number = scalarOf(source, right);
  if ((fn === 'mul' || fn === 'div') && number !== undefined) return { lifted: broadcast(op, left, fn === 'mul' ? number : 1 / number, raising) };
  const before = fn === 'mul' ? scalarOf(source, left) : undefined;
  if (before !== undefined) return { lifted: broadcast(op, right, before, raising) };
  return (fn === 'add' || fn === 'sub') && number === 0 ? { lifted: broadcast(op, left, 1, raising) } : undefined;
}

/** Sums and products of two values, one of which may be a constant. */
export function liftArithmetic(op: OpOf<'pbinary' | 'punary'>, raising: Raising): Lifted {
  const { source } = raising;
  const { fn } = op.attrs;
  const [left, right] = op.operands as readonly [ValueId, ValueId];
  if (fn === 'add' && source.dependence(right) === 'constant') return liftBias(op, left, right, raising);
  if (fn === 'add' && source.dependence(left) === 'constant') return liftBias(op, right, left, raising);
  for (const [x, constant] of fn === 'mul' ? [[left, right], [right, left]] as const : []) {
    if (source.dependence(constant) === 'constant') return liftGain(op, x, constant, raising);
  }
  if (fn !== 'add' && fn !== 'mul') return `\`${fn}\` is part of nothing a transformer computes`;
  for (const [x, other] of [[left, right], [right, left]] as const) {
    if (source.dependence(other) === 'prepared' && isNeutral(source, other, fn === 'mul' ? 1 : 0)) return broadcast(op, x, 1, raising);
  }
  return liftPair(op, fn, raising);
}

/** What a prepared tensor is for rows that are no padding: nothing but one number. */
function isNeutral(source: Source, value: ValueId, number: number): boolean {
  const inputs = coneOf(source, value, () => false);
  if (!inputs.some((each) => source.role(each) === 'mask')) return false;
  return evaluate(source, value, scenarioOf(source, { batch: 2, rows: 5, past: 3 }), new Map()).data.every((element) => element === number);
}

/** An operand times a number, in the shape of the result. */
function broadcast(op: GraphOp, operand: ValueId, by: number, { source, view: viewOfValue }: Raising): Lifted {
  const view = viewOfValue(operand);
  if (view === undefined) return undefined;
  return { ...view, scale: view.scale * by, layout: expanded(view.layout, source.type(operand).shape, source.type(op.results[0] as ValueId).shape) };
}

/** Rows plus a constant: a linear's bias, or rows of a table by position. */
function liftBias(op: GraphOp, operand: ValueId, constant: ValueId, raising: Raising): Lifted {
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const x = isolated(view);
  const text = `it adds a constant [${raising.source.type(constant).shape.join(', ')}]`;
  if (x === undefined || x.past !== undefined) return `${text} to irregular parts of rows`;
  const row = scaled(x.row, x.scale);
  const bias = parameterOf(raising.source, constant, x.layout, { width: row.width, group: 1 });
  const sum = bias === undefined ? undefined : (biased(row, bias, op) ?? biasedTerm(row, bias, op));
  if (sum !== undefined) return { ...x, row: sum, scale: 1 };
  const table = row.of !== 'tokens' ? undefined : tableOf(raising.source, constant, x.layout, row.width);
  if (table === undefined) return `${text} to what is not a linear that wants a bias`;
  return { ...x, row: pair('add', row, byPosition(table, [op]), op), scale: 1 };
}

/** A linear with a bias it has not yet. */
function biased(row: RowNode, bias: Weight, op: GraphOp): RowNode | undefined {
  if (row.kind !== 'linear' || row.attrs.bias || row.attrs.activation !== 'none') return undefined;
  return { ...row, attrs: { ...row.attrs, bias: true }, weights: [...row.weights, bias], from: [...row.from, op] };
}

/** (x + W y) + b = x + (W y + b): ONNX Runtime adds the bias of a linear after the residual. */
function biasedTerm(row: RowNode, bias: Weight, op: GraphOp): RowNode | undefined {
  if (row.kind !== 'add') return undefined;
  const terms = row.rows.map((term) => (typeof term === 'string' ? undefined : biased(term, bias, op)));
  const first = terms.findIndex((term) => term !== undefined);
  return first === -1 ? undefined : { ...row, rows: row.rows.with(first, terms[first] as RowNode) };
}

/** Rows times a constant for each of their features: the gain of a norm that has none, part of a linear's weights and bias, or a product of its own. */
function liftGain(op: GraphOp, operand: ValueId, constant: ValueId, raising: Raising): Lifted {
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const x = view.past === undefined ? isolated(view) : undefined;
  const gain = x === undefined ? undefined : parameterOf(raising.source, constant, x.layout, { width: x.row.width, group: 1 });
  if (x === undefined || gain === undefined) return `it multiplies by a constant [${raising.source.type(constant).shape.join(', ')}] that is not one number a feature`;
  const { row } = x;
  if (row.kind === 'norm' && row.weights.length === 0) return { ...x, row: { ...row, weights: [gain], from: [...row.from, op] } };
  const isFolded = row.kind === 'linear' && row.attrs.activation === 'none';
  return { ...x, row: isFolded ? { ...row, weights: row.weights.map((weight) => withGain(weight, gain)), from: [...row.from, op] } : gained(row, gain, [op]) };
}

/** Each row of a weight times its element of a vector. */
function withGain(weight: Weight, gain: Weight): Weight {
  const [rows, ...rest] = weight.shape as readonly [number, ...number[]];
  const scale: WeightExpr = { kind: 'reshape', of: gain.instances[0] as WeightExpr, shape: [rows, ...rest.map(() => 1)] };
  return { ...weight, name: `${weight.name}*${gain.name}`, instances: weight.instances.map((of): WeightExpr => ({ kind: 'dequantise', of, scale, zeroPoint: undefined, block: [1, ...rest] })) };
}

function liftPair(op: GraphOp, fn: 'add' | 'mul', raising: Raising): Lifted {
  const [left, right] = op.operands.map(raising.view);
  if (left === undefined || right === undefined) return undefined;
  const [x, y] = [isolated(left), isolated(right)];
  const shared = fn === 'mul' && x !== undefined && y !== undefined ? sharedExpert(x, y, op) ?? sharedExpert(y, x, op) : undefined;
  if (shared !== undefined) return shared;
  const layout = x === undefined || y === undefined ? undefined : joined(x.layout, y.layout);
  if (x === undefined || y === undefined || layout === undefined || x.row.width !== y.row.width || x.row.of !== y.row.of || x.past !== undefined || y.past !== undefined) return 'its operands are not rows of the same features in the same order';
  if (fn === 'mul') return { row: pair('multiply', x.row, y.row, op), layout, scale: x.scale * y.scale, past: undefined };
  const [a, b] = x.scale === y.scale ? [x.row, y.row] : [scaled(x.row, x.scale), scaled(y.row, y.scale)];
  return { row: pair('add', a, b, op), layout, scale: x.scale === y.scale ? x.scale : 1, past: undefined };
}

const pair = (kind: 'add' | 'multiply', x: RowNode, y: RowNode, op: GraphOp): RowNode => ({ kind, attrs: {}, rows: [x, y], weights: [], width: x.width, of: x.of, from: [op] });
