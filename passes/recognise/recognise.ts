import { equalShapes } from '../../ir/dims.ts';
import { opKinds } from '../../ir/graph/attributes.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { type Near, rewrite, type Rule } from '../rewrite.ts';
import { Activations, scalarOf } from './activation.ts';
import { Attentions, type FoundAttention } from './attention.ts';
import { scenariosOf } from './evaluate.ts';
import { definedBy, type Graph, indexGraph } from './graph.ts';
import { type FoundNorm, Norms, type Parameter } from './norm.ts';
import { type ExpertMatrix, expertsAround, type FoundExperts, type Stack } from './experts.ts';
import type { NearMiss } from './near-miss.ts';
import type { Region } from './region.ts';
import { type FoundRope, Ropes } from './rope.ts';
import { tidy } from './tidy.ts';

/** A block: the value it makes, the ops it stands for, and how to make it in the new module. */
type Block = { readonly value: ValueId; readonly ops: readonly GraphOp[]; readonly make: (near: Near) => ValueId };

/**
 * The functions a transformer is made of, found in a module of primitives by what regions compute and not by how they are spelled, and put in
 * their place. A region is lifted only where it was evaluated, at two sizes or more, and agreed with the block; what nearly was one stays as it is.
 */
export function recognise(module: GraphModule, store: TensorStore): GraphModule {
  const graph = indexGraph(module, store);
  const scenarios = scenariosOf(graph);
  const taken = new Set<GraphOp>();
  const blocks = new Map<ValueId, Block>();
  /** Ops may be part of two blocks, which then both work them out; the end of one is no part of another. */
  const take = (block: Block | undefined): void => {
    if (block === undefined || taken.has(graph.definition(block.value) as GraphOp)) return;
    for (const op of block.ops) taken.add(op);
    blocks.set(block.value, block);
  };
  const backwards = module.body.ops.toReversed();

  const attentions = new Attentions(graph, scenarios);
  for (const op of backwards) {
    if (op.kind !== 'psoftmax' || graph.dependence(op.results[0] as ValueId) !== 'inputs') continue;
    const found = attentions.around(op);
    if (!('actual' in found)) for (const each of found) take(attentionBlock(graph, each));
  }
  const norms = new Norms(graph, scenarios);
  for (const op of backwards) for (const found of norms.around(op, taken)) take(normBlock(graph, found));
  const ropes = new Ropes(graph, scenarios);
  for (const op of backwards) if (!taken.has(op)) take(ropeBlock(graph, ropes.endingIn(op)));
  const activations = new Activations(graph);
  for (const op of backwards) {
    if (taken.has(op)) continue;
    const found = activations.around(op);
    if (found !== undefined) take({ value: found.region.value, ops: found.region.ops, make: (near) => near.build.op('tactivate', { activation: found.activation, slope: found.slope }, [near.now(found.region.x)], graph.type(found.region.value)) });
  }

  const place = (op: GraphOp, near: Near): readonly ValueId[] | undefined => {
    const block = blocks.get(op.results[0] as ValueId);
    if (block === undefined) return undefined;
    near.build.origin = { kind: 'derived', by: 'recognise', from: block.ops.map(({ origin }) => origin) };
    return [block.make(near)];
  };
  return rewrite(module, 'recognise', Object.fromEntries(opKinds.map((kind) => [kind, place])) as Rule);
}

/** What is nearly a block in a recognised module, by the op at its heart. */
export function nearMisses(module: GraphModule, store: TensorStore): readonly NearMiss[] {
  const graph = indexGraph(module, store);
  const scenarios = scenariosOf(graph);
  const finders = [new Attentions(graph, scenarios), new Norms(graph, scenarios), new Activations(graph)];
  return module.body.ops.flatMap((op) => finders.flatMap((finder) => finder.nearMiss(op) ?? []));
}

function attentionBlock(graph: Graph, found: FoundAttention): Block {
  const { product, mixing, transposed, scores, sinks, scale, softCap, biased, ops } = found;
  const value = mixing.results[0] as ValueId;
  const [left, right] = product.operands as readonly [ValueId, ValueId];
  const q = withoutFactor(graph, left);
  const columns = withoutFactor(graph, right);
  const rows = unswapped(graph, columns.value);
  const keys = rows === undefined ? undefined : withoutFactor(graph, rows);
  const values = mixing.operands[transposed ? 0 : 1] as ValueId;
  const make = (near: Near): ValueId => {
    const bias = biased && scores !== undefined ? [withoutScores(near, scores, product)] : [];
    const turned = transposed ? swapped(graph, near, values) : near.now(values);
    const operands = [near.now(q.value), keys === undefined ? swapped(graph, near, columns.value) : near.now(keys.value), turned, ...bias, ...(sinks === undefined ? [] : [near.now(sinks)])];
    const [lead, m, n] = [graph.type(value).shape.slice(0, -2), ...graph.type(value).shape.slice(-2)] as const;
    const type: TensorType = { ...graph.type(value), shape: transposed ? [...lead, n as number, m as number] : graph.type(value).shape };
    const result = near.build.op('tattention', { scale: tidy(scale * q.factor * columns.factor * (keys?.factor ?? 1)), softCap, biased, sinks: sinks !== undefined }, operands, type);
    return transposed ? near.build.op('ptranspose', { perm: lastTwo(type.shape.length) }, [result], graph.type(value)) : result;
  };
  return { value, ops: [...q.ops, ...columns.ops, ...(keys?.ops ?? []), ...ops], make };
}

/** A value without the numbers it is multiplied by, and the ops that do so. */
function withoutFactor(graph: Graph, value: ValueId): { readonly value: ValueId; readonly factor: number; readonly ops: readonly GraphOp[] } {
  const op = definedBy(graph, value, 'pbinary');
  if (op?.attrs.fn !== 'mul' && op?.attrs.fn !== 'div') return { value, factor: 1, ops: [] };
  const [x, y] = op.operands as readonly [ValueId, ValueId];
  const [right, left] = [scalarOf(graph, y), op.attrs.fn === 'mul' ? scalarOf(graph, x) : undefined];
  const of = right === undefined ? y : x;
  if ((right === undefined && left === undefined) || !equalShapes(graph.type(of).shape, graph.type(value).shape)) return { value, factor: 1, ops: [] };
  const inner = withoutFactor(graph, of);
  return { value: inner.value, factor: op.attrs.fn === 'div' ? inner.factor / (right as number) : inner.factor * (right ?? (left as number)), ops: [...inner.ops, op] };
}

/** Mixtures of experts in a recognised module: their activations are blocks already. */
export function recogniseExperts(module: GraphModule, store: TensorStore): GraphModule {
  const graph = indexGraph(module, store);
  const scenarios = scenariosOf(graph);
  const blocks = new Map<ValueId, FoundExperts>();
  for (const op of module.body.ops) {
    const found = op.kind === 'ptopk' ? expertsAround(graph, op, scenarios) : undefined;
    if (found !== undefined) blocks.set(found.region.value, found);
  }
  const place = (op: GraphOp, near: Near): readonly ValueId[] | undefined => {
    const found = blocks.get(op.results[0] as ValueId);
    if (found === undefined) return undefined;
    near.build.origin = { kind: 'derived', by: 'recognise-experts', from: found.region.ops.map(({ origin }) => origin) };
    return [expertsOp(graph, near, found)];
  };
  return blocks.size === 0 ? module : rewrite(module, 'recognise-experts', Object.fromEntries(opKinds.map((kind) => [kind, place])) as Rule);
}

function expertsOp(graph: Graph, near: Near, { attrs, region, logits, choiceBias, matrices, biases }: FoundExperts): ValueId {
  const type = graph.type(region.value);
  const rows = type.shape.slice(0, -1);
  const flat = (value: ValueId): ValueId => near.build.op('preshape', {}, [near.now(value)], { dtype: graph.type(value).dtype, shape: [...rows, graph.type(value).shape.at(-1) as number] });
  const whole = ([first, ...others]: Stack): ValueId => {
    const { dtype, shape } = graph.type(first);
    const part = (value: ValueId): ValueId => near.build.op('preshape', {}, [near.now(value)], { dtype, shape: [1, ...shape] });
    return others.length === 0 ? near.now(first) : near.build.op('pconcat', { axis: 0 }, [first, ...others].map(part), { dtype, shape: [others.length + 1, ...shape] });
  };
  const matrix = (of: ExpertMatrix): ValueId => {
    if ('even' in of) return near.build.op('pconst', { values: [of.even] }, [], { dtype: type.dtype, shape: of.shape });
    const { stack, swapped: isSwapped, columns } = of;
    const value = whole(stack);
    const { dtype, shape } = near.type(value);
    const turned = isSwapped ? near.build.op('ptranspose', { perm: [0, 2, 1] }, [value]) : value;
    const [experts, wide] = [shape[0] as number, shape.at(-1) as number];
    const even = shape.length === 3 || shape.length === 2 ? turned : near.build.op('preshape', {}, [turned], { dtype, shape: [experts, wide] });
    if (columns === undefined) return even;
    const { start, step, count } = columns;
    return near.build.op('pslice', { axis: near.type(even).shape.length - 1, start: String(start), end: String(start + step * count), step }, [even], { dtype, shape: near.type(even).shape.with(-1, count) });
  };
  const operands = [flat(region.x), flat(logits), ...(choiceBias === undefined ? [] : [shaped(near, near.now(choiceBias), [graph.type(choiceBias).shape.at(-1) as number])]), ...[...matrices, ...biases].map(matrix)];
  return near.build.op('tmoe', attrs, operands, type);
}

const lastTwo = (rank: number): readonly number[] => [...Array.from({ length: rank }, (_, i) => i).slice(0, -2), rank - 1, rank - 2];

/** What a value is with its last two axes swapped, if the source has it. */
function unswapped(graph: Graph, value: ValueId): ValueId | undefined {
  const inner = definedBy(graph, value, 'ptranspose');
  const perm = lastTwo(graph.type(value).shape.length);
  return inner?.attrs.perm.every((axis, i) => axis === perm[i]) === true ? inner.operands[0] : undefined;
}

/** A value with its last two axes swapped. */
function swapped(graph: Graph, near: Near, value: ValueId): ValueId {
  const known = unswapped(graph, value);
  return known === undefined ? near.build.op('ptranspose', { perm: lastTwo(graph.type(value).shape.length) }, [near.now(value)]) : near.now(known);
}

/** What a region makes of scores that are all zero: what it adds to them, in the axes it differs along. */
function withoutScores(near: Near, region: Region, product: GraphOp): ValueId {
  const type = near.type(product.results[0] as ValueId);
  const isPointwise = region.ops.every(({ kind }) => kind === 'pbinary' || kind === 'punary' || kind === 'pwhere');
  return copied(near, region, near.build.op('pconst', { values: [0] }, [], { dtype: type.dtype, shape: isPointwise ? [] : type.shape }), isPointwise);
}

/** A region again, of another value; `isNarrow`: which has other axes. */
function copied(near: Near, { x, value, ops }: Region, of: ValueId, isNarrow = false): ValueId {
  const values = new Map<ValueId, ValueId>([[x, of]]);
  const now = (operand: ValueId): ValueId => values.get(operand) ?? near.now(operand);
  for (const op of ops) {
    if (op.kind === 'loop' || op.kind === 'fused') throw new Error('internal: a region with a body');
    const results = near.build.ops(op.kind, op.attrs as never, op.operands.map(now), isNarrow ? undefined : op.results.map(near.type));
    op.results.forEach((result, i) => values.set(result, results[i] as ValueId));
  }
  return values.get(value) as ValueId;
}

function normBlock(graph: Graph, found: FoundNorm): Block {
  const { region, norm, axes, epsilon, gamma, beta } = found;
  const { dtype, shape } = graph.type(region.x);
  const along = shape.map((size, axis) => (axes.includes(axis) ? (size as number) : 1)).slice(axes[0]);
  const make = (near: Near): ValueId => {
    const parameter = (of: Parameter): ValueId => (typeof of === 'number' ? shaped(near, near.now(of), along) : near.build.op('pconst', { values: of }, [], { dtype, shape: along }));
    const ones = (): ValueId => near.build.op('pconst', { values: [1] }, [], { dtype, shape: along });
    const gain = gamma === undefined ? (beta === undefined ? [] : [ones()]) : [parameter(gamma)];
    return near.build.op('tnorm', { norm, axes, epsilon }, [near.now(region.x), ...gain, ...(beta === undefined ? [] : [parameter(beta)])], near.type(region.value));
  };
  return { value: region.value, ops: region.ops, make };
}

function shaped(near: Near, value: ValueId, shape: readonly Dim[]): ValueId {
  const { dtype, shape: own } = near.type(value);
  return equalShapes(own, shape) ? value : near.build.op('preshape', {}, [value], { dtype, shape });
}

function ropeBlock(graph: Graph, found: FoundRope | undefined): Block | undefined {
  if (found === undefined) return undefined;
  const { region, pairs, turning, shape } = found;
  const { dtype, shape: own } = graph.type(region.x);
  const width = shape.at(-1) as number;
  const make = (near: Near): ValueId => {
    const values = Array.from({ length: width }, (_, i) => (i < 2 * turning && (pairs === 'halves' ? i < turning : i % 2 === 0) ? 1 : 0));
    const row = near.build.op('pconst', { values }, [], { dtype, shape: [...shape.slice(1).map(() => 1), width] });
    const ones = shaped(near, near.build.op('pexpand', {}, [row], { dtype, shape }), own);
    const angles = shaped(near, copied(near, region, ones), shape);
    const table = (start: number): ValueId => {
      const [step, end] = pairs === 'interleaved' ? [2, 2 * turning] : [1, start + turning];
      return near.build.op('pslice', { axis: shape.length - 1, start: String(start), end: String(end), step }, [angles], { dtype, shape: shape.with(-1, turning) });
    };
    const turned = near.build.op('trope', { pairs }, [shaped(near, near.now(region.x), shape), table(0), table(pairs === 'interleaved' ? 1 : turning)], { ...near.type(region.value), shape });
    return shaped(near, turned, near.type(region.value).shape);
  };
  return { value: region.value, ops: region.ops, make };
}
