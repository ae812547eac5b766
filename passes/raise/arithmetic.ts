import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { expanded, joined, merged } from './axes.ts';
import { parameterOf, scalarOf, vectorOf } from './constants.ts';
import { coneOf, evaluate, scenarioOf } from './evaluate.ts';
import type { Lifted, Raising } from './raising.ts';
import { isolated, type RowNode, scaled } from './rows.ts';
import type { Source } from './source.ts';

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

/** A linear plus a constant for each of its features. */
function liftBias(op: GraphOp, operand: ValueId, constant: ValueId, raising: Raising): Lifted {
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const last = merged(view.layout.axes.at(-1) ?? []);
  const [only] = last;
  const { row } = view;
  const isWhole = last.length === 1 && only?.axis === 'feature' && only.stride === 1 && only.size === row.width && view.layout.base === 0;
  const isPlain = row.kind === 'linear' && !row.attrs.bias && row.attrs.activation === 'none' && view.scale === 1 && view.past === undefined;
  const bias = isWhole && raising.source.type(constant).shape.at(-1) === row.width ? vectorOf(raising.source, constant, row.width) : undefined;
  if (bias === undefined || !isPlain) return `it adds a constant [${raising.source.type(constant).shape.join(', ')}] to what is not a linear that wants a bias`;
  return { ...view, row: { ...row, attrs: { ...row.attrs, bias: true }, weights: [...row.weights, bias], from: [...row.from, op] } };
}

/** A norm without a gain times a constant for each of its features. */
function liftGain(op: GraphOp, operand: ValueId, constant: ValueId, raising: Raising): Lifted {
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const { row } = view;
  const isPlain = row.kind === 'norm' && row.weights.length === 0 && view.layout.base === 0;
  const gain = isPlain ? parameterOf(raising.source, constant, view.layout, { width: row.width, group: 1 }) : undefined;
  if (gain === undefined || !isPlain) return `it multiplies by a constant [${raising.source.type(constant).shape.join(', ')}] what is not a norm that wants a gain`;
  return { ...view, row: { ...row, weights: [gain], from: [...row.from, op] } };
}

function liftPair(op: GraphOp, fn: 'add' | 'mul', raising: Raising): Lifted {
  const [left, right] = op.operands.map(raising.view);
  if (left === undefined || right === undefined) return undefined;
  const [x, y] = [isolated(left), isolated(right)];
  const layout = x === undefined || y === undefined ? undefined : joined(x.layout, y.layout);
  if (x === undefined || y === undefined || layout === undefined || x.row.width !== y.row.width || x.row.sampled !== y.row.sampled || x.past !== undefined || y.past !== undefined) return 'its operands are not rows of the same features in the same order';
  if (fn === 'mul') return { row: pair('multiply', x.row, y.row, op), layout, scale: x.scale * y.scale, past: undefined };
  const rows = x.scale === y.scale ? [x.row, y.row] : [scaled(x.row, x.scale), scaled(y.row, y.scale)];
  const [a, b] = rows;
  if (a === undefined || b === undefined) return 'it adds rows times different numbers';
  return { row: pair('add', a, b, op), layout, scale: x.scale === y.scale ? x.scale : 1, past: undefined };
}

const pair = (kind: 'add' | 'multiply', x: RowNode, y: RowNode, op: GraphOp): RowNode => ({ kind, attrs: {}, rows: [x, y], weights: [], width: x.width, sampled: x.sampled, from: [op] });
