import type { Activation } from '../../isa-spec/instructions.ts';
import { equalShapes } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { findActivation } from './activation.ts';
import { expanded, joined, merged } from './axes.ts';
import { scalarOf, vectorOf } from './constants.ts';
import { coneOf, evaluate, scenarioOf } from './evaluate.ts';
import { keyOf } from './known.ts';
import { type FoundNorm, findNorm, parameterWeight } from './norm.ts';
import { type Lifted, opsOf, type Raising, unlimitedPositions, viewOf } from './raising.ts';
import { findRope } from './rope.ts';
import { isolated, type RowNode, scaled } from './rows.ts';
import type { Source } from './source.ts';

/** A value as a function of an earlier one: the ops between, in program order. */
type Region = { readonly x: ValueId; readonly values: readonly ValueId[]; readonly ops: readonly GraphOp[] };

/** Regions longer than this are no single function of the library. */
const longest = 64;

/** Every region of the same shape at both ends that ends in a value, the longest first. */
function regionsTo(source: Source, value: ValueId): readonly Region[] {
  const found: Region[] = [];
  for (let x = source.dominator(value); x !== undefined; x = source.dominator(x)) {
    const entry = x;
    if (!equalShapes(source.type(entry).shape, source.type(value).shape)) continue;
    const values = coneOf(source, value, (each) => each === entry || source.dependence(each) !== 'active');
    if (values.length > longest) break;
    found.unshift({ x: entry, values, ops: opsOf(source, values) });
  }
  return found;
}

const readsPrepared = (source: Source, { ops }: Region): boolean => ops.some((op) => op.operands.some((operand) => source.dependence(operand) === 'prepared'));

/** Angles come in by products; without one a region only adds positions. */
const turnsByPrepared = (source: Source, { ops }: Region): boolean => ops.some((op) => op.kind === 'pbinary' && op.attrs.fn === 'mul' && op.operands.some((operand) => source.dependence(operand) === 'prepared'));

const bends: ReadonlySet<string> = new Set(['tanh', 'sigmoid', 'erf', 'relu', 'exp', 'softplus', 'abs', 'sign', 'max', 'min', 'reciprocal']);
const isBent = (op: GraphOp): boolean => ((op.kind === 'punary' || op.kind === 'pbinary') && bends.has(op.attrs.fn)) || op.kind === 'pwhere';

/**
 * The region ending in a value that is a norm or an activation. Of norms a layer norm comes first, as its second half is an RMS
 * norm, then the nearest: a norm takes no notice of a factor before it. Of activations the longest. A near miss is told as `nearest`.
 */
export function liftFunction(value: ValueId, raising: Raising): { readonly lifted: Lifted } | { readonly nearest: string | undefined } {
  const { source } = raising;
  const regions = regionsTo(source, value).filter((region) => !readsPrepared(source, region));
  const reducing = regions.filter(({ ops }) => ops.some(({ kind }) => kind === 'preduce'));
  const norms = reducing.toReversed().flatMap((region) => normOf(value, region, raising) ?? []);
  const norm = norms.find(({ found }) => found.norm === 'layer') ?? norms[0];
  if (norm !== undefined) return { lifted: liftNorm(value, norm, raising) };
  let nearest = reducing.length > 0 ? 'the nearest is a norm, but the values differ' : undefined;
  for (const region of regions) {
    if (reducing.includes(region) || !region.ops.some(isBent)) continue;
    const { text } = keyOf(source, region.x, region.values, 'fixed');
    const found = raising.known.activations.recall(text, () => findActivation(source, region.x, value));
    if (found.found !== undefined) return { lifted: liftActivation(region, { ...found, found: found.found }, raising) };
    if (found.distance < 1) nearest = `the nearest is ${found.nearest}, from which it differs by up to ${found.distance.toPrecision(2)}`;
  }
  return { nearest };
}

function liftActivation(region: Region, { found, slope }: { readonly found: Activation; readonly slope: number }, raising: Raising): Lifted {
  const view = raising.view(region.x);
  if (view === undefined) return undefined;
  const x = isolated(view);
  const row = x === undefined ? undefined : scaled(x.row, x.scale * slope);
  if (x === undefined || row === undefined) return 'it activates irregular parts of rows, or rows times a number';
  const activated: RowNode = { kind: 'activate', attrs: { activation: found }, rows: [row], weights: [], width: row.width, sampled: row.sampled, from: region.ops };
  return { ...viewOf(activated, x), scale: 1 / slope };
}

type Norm = { readonly region: Region; readonly axis: number; readonly found: FoundNorm };

function normOf(value: ValueId, region: Region, { source, known }: Raising): Norm | undefined {
  const { shape } = source.type(region.x);
  const axes = new Set(region.ops.flatMap((op) => (op.kind === 'preduce' ? op.attrs.axes.map((axis) => axisOf(axis, shape.length)) : [])));
  const [axis] = axes;
  if (axes.size !== 1 || axis === undefined || typeof shape[axis] !== 'number') return undefined;
  const found = known.norm(keyOf(source, region.x, region.values, 'free'), () => findNorm(source, { ...region, value, axis }, scenarioOf(source, { batch: 1, rows: 3, past: 1 })));
  return found === undefined ? undefined : { region, axis, found };
}

function liftNorm(value: ValueId, { region, axis, found }: Norm, raising: Raising): Lifted {
  const view = raising.view(region.x);
  if (view === undefined) return undefined;
  const x = isolated(view);
  const along = merged(x?.layout.axes[axis] ?? []);
  const row = x === undefined ? undefined : scaled(x.row, x.scale);
  const [only] = along;
  if (x === undefined || row === undefined || along.length !== 1 || only?.axis !== 'feature' || only.size !== row.width) return `it normalises ${raising.source.type(region.x).shape[axis]} of ${view.row.width} features: norms are over whole rows`;
  const ones = { name: `ones.${row.width}`, dtype: 'f32', shape: [row.width], instances: [{ kind: 'values', shape: [row.width], values: [1] }] } as const;
  const [gamma, beta] = [found.gamma, found.beta].map((parameter) => (parameter === undefined ? undefined : parameterWeight(raising.source, parameter, value)));
  const weights = [gamma ?? (beta === undefined ? undefined : ones), beta].filter((weight) => weight !== undefined);
  return viewOf({ kind: 'norm', attrs: { norm: found.norm, epsilon: found.epsilon }, rows: [row], weights, width: row.width, sampled: row.sampled, from: region.ops }, x);
}

/** A rotation by position of every head, if a region that ends in the value is one. */
export function liftRope(value: ValueId, raising: Raising): { readonly lifted: Lifted } | undefined {
  const { source } = raising;
  for (const region of [...regionsTo(source, value)].reverse().slice(0, 8)) {
    if (!turnsByPrepared(source, region)) continue;
    const root = raising.view(region.x);
    const x = root === undefined ? undefined : isolated(root);
    if (root === undefined || x === undefined) return { lifted: root === undefined ? undefined : 'it rotates irregular parts of rows' };
    const axes = x.layout.axes;
    const [last, ...more] = merged(axes.at(-1) ?? []);
    if (last?.axis !== 'feature' || last.stride !== 1 || more.length > 0 || axes.flat().some(({ axis }) => axis === 'key')) continue;
    const { text } = keyOf(source, region.x, region.values, 'fixed');
    const found = raising.known.ropes.recall(`${JSON.stringify(axes)} ${text}`, () => findRope(source, region.x, value, axes));
    if (found === undefined) continue;
    const attrs = { headDim: last.size, ...found.rope, positions: found.positions ?? unlimitedPositions };
    return { lifted: { ...x, row: { kind: 'rope', attrs, rows: [x.row, 'positions'], weights: [], width: x.row.width, sampled: x.row.sampled, from: region.ops } } };
  }
  return undefined;
}

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
  const bias = isWhole ? vectorOf(raising.source, constant, row.width) : undefined;
  if (bias === undefined || !isPlain) return `it adds a constant [${raising.source.type(constant).shape.join(', ')}] to what is not a linear that wants a bias`;
  return { ...view, row: { ...row, attrs: { ...row.attrs, bias: true }, weights: [...row.weights, bias], from: [...row.from, op] } };
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
