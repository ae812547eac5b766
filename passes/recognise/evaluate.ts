import { divDims, type SizeEnv, sizesOf, volumeOf } from '../../ir/dims.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { OpKind } from '../../ir/graph/ops.ts';
import { type Dim, isFloat, type TensorType, type ValueId } from '../../ir/types.ts';
import { volume } from '../../ir/weight-expr.ts';
import { CannotEvaluate, runOp, sample, shapeWithin, weightData } from '../evaluate-op.ts';
import type { Graph } from './graph.ts';

/** Sizes to look at a module under, and the seed of the numbers its inputs hold. `known` keeps what is the same whatever is given. */
export type Scenario = { readonly sizes: SizeEnv; readonly seed: number; readonly known: Map<ValueId, Tensor> };

/** Regions are looked at in small; a tensor of more elements than this is none of those. */
const largest = 1 << 20;

/**
 * Ops whose results, unless they are whole numbers, are samples wherever they depend on inputs: products, lookups and whatever was recognised before. What lies
 * between them is small, and holds for all values it may be given.
 */
const opaque: ReadonlySet<OpKind> = new Set<OpKind>(['pmatmul', 'psoftmax', 'pgather', 'ppick', 'tattention', 'tnorm', 'trope', 'custom']);

export const shapeUnder = (shape: readonly Dim[], sizes: SizeEnv): readonly number[] => shapeWithin(largest, shape, sizes);

/** Sizes to try, by the order in which they come up: some that differ from each other, some that do not, and long ones, of which convolutions leave little. */
const assignments: readonly (readonly number[])[] = [[2, 5, 3, 4, 6, 7], [3, 4, 2, 6, 5, 2], [1, 6, 4, 1, 3, 2], [2, 3, 2, 2, 2, 2], [2, 403, 5, 3, 2, 4], [1, 643, 4, 2, 5, 3]];

/** Of how many names sums are tried: there are as many as their cube. */
const summable = 8;

/** Ways to look at a module: a few sizes, the same with sizes that only one number fits, then the first two with one size the sum of two others, as keys are of past and new rows. */
export function scenariosOf({ module }: Graph): readonly Scenario[] {
  const names = new Set<string>();
  for (const param of module.body.params) for (const size of (module.types[param] as TensorType).shape) for (const name of sizesOf(size)) names.add(name);
  for (const { shape } of module.types) for (const size of shape) for (const name of sizesOf(size)) names.add(name);
  const order = [...names];
  const plain = assignments.map((sizes) => order.map((_, i) => sizes[i % sizes.length] as number));
  const first = order.slice(0, summable);
  const summed = first.flatMap((_, whole) =>
    first.flatMap((_other, a) => first.slice(a + 1).flatMap((_last, i) => (a === whole || a + 1 + i === whole ? [] : plain.slice(0, 2).map((sizes) => sizes.with(whole, (sizes[a] as number) + (sizes[a + 1 + i] as number)))))),
  );
  const pins = pinned(module);
  const fitting = pins.size === 0 ? [] : plain.map((sizes) => sizes.map((size, i) => pins.get(order[i] as string) ?? size));
  return [...plain, ...fitting, ...summed].map((sizes, seed) => ({ sizes: new Map(order.map((name, i) => [name, sizes[i] as number])), seed, known: new Map() }));
}

/** Sizes that meet a number where both have to be the same: an exporter has taken the example's for granted there. */
function pinned({ body, types }: GraphModule): ReadonlyMap<string, number> {
  const pins = new Map<string, number>();
  const meet = (a: Dim | undefined, b: Dim | undefined): void => {
    if (typeof a === 'string' && sizesOf(a)[0] === a && typeof b === 'number' && b !== 1) pins.set(a, b);
  };
  for (const op of body.ops) {
    if (op.kind === 'preshape') {
      const [from, to] = [op.operands[0], op.results[0]].map((value) => volumeOf((types[value as ValueId] as TensorType).shape)) as [Dim, Dim];
      for (const name of sizesOf(from)) meet(name, divDims(to, divDims(from, name) ?? 0));
    }
    const shapes = op.operands.map((operand) => (types[operand] as TensorType).shape);
    const [x = [], y = []] = shapes;
    if (op.kind === 'pmatmul') {
      meet(x.at(-1), y.at(-2));
      meet(y.at(-2), x.at(-1));
    } else if (op.kind === 'pbinary' || op.kind === 'pwhere') for (const one of shapes) for (const other of shapes) for (let i = 1; i <= one.length; i++) meet(one.at(-i), other.at(-i));
  }
  return pins;
}

/** What `look` makes of the first scenarios, `wanted` of them, that the module can be looked at under; fewer if there are no more. */
export function looked<T>(scenarios: readonly Scenario[], wanted: number, look: (scenario: Scenario) => T): readonly T[] {
  const found: T[] = [];
  for (const scenario of scenarios) {
    if (found.length === wanted) break;
    try {
      found.push(look(scenario));
    } catch (error) {
      if (!(error instanceof CannotEvaluate)) throw error;
    }
  }
  return found;
}

/** A value in double precision, given what some values hold. Everything else that is no constant is sampled where it comes from. */
export function evaluate(graph: Graph, target: ValueId, scenario: Scenario, given: ReadonlyMap<ValueId, Tensor>): Tensor {
  const own = new Map(given);
  const isOwn = madeOf(graph, target, given);
  const lookup = (value: ValueId): Tensor | undefined => (isOwn.has(value) ? own : scenario.known).get(value);
  const isSampled = (value: ValueId, op: GraphOp | undefined): boolean =>
    op === undefined || (opaque.has(op.kind) && isFloat(graph.type(value).dtype) && graph.dependence(value) === 'inputs' && !isOwn.has(value));
  const needed = new Set([target]);
  for (const value of needed) {
    const op = graph.definition(value);
    if (lookup(value) === undefined && op !== undefined && !isSampled(value, op)) for (const operand of op.operands) needed.add(operand);
  }
  for (const value of [...needed].toSorted((a, b) => graph.order(a) - graph.order(b))) {
    if (lookup(value) !== undefined) continue;
    const op = graph.definition(value);
    const result = op === undefined || isSampled(value, op) ? sampleOf(graph.type(value), scenario, value) : run(graph, op, op.operands.map((operand) => lookup(operand) as Tensor), scenario);
    (isOwn.has(value) ? own : scenario.known).set(value, result);
  }
  return lookup(target) as Tensor;
}

/** What is given and, of the values a target is made of, those made of that: all others are the same whatever is given. */
function madeOf(graph: Graph, target: ValueId, given: ReadonlyMap<ValueId, Tensor>): ReadonlySet<ValueId> {
  const first = Math.min(...[...given.keys()].map(graph.order));
  const before = new Set([target]);
  for (const value of before) if (!given.has(value) && graph.order(value) > first) for (const operand of graph.definition(value)?.operands ?? []) before.add(operand);
  const made = new Set(given.keys());
  for (const value of [...before].toSorted((a, b) => graph.order(a) - graph.order(b))) if (graph.definition(value)?.operands.some((operand) => made.has(operand)) === true) made.add(value);
  return made;
}

function run(graph: Graph, op: GraphOp, operands: readonly Tensor[], { sizes }: Scenario): Tensor {
  if (op.kind === 'weight') return weightData(graph, op.attrs.name, largest);
  return runOp(graph, op, operands, { shape: shapeUnder(graph.type(op.results[0] as ValueId).shape, sizes), sizes });
}

/** Numbers for what a scenario is not told: truths and small counts for what is whole, else between -1 and 1. */
function sampleOf({ dtype, shape: dims }: TensorType, { sizes, seed }: Scenario, value: ValueId): Tensor {
  const shape = shapeUnder(dims, sizes);
  if (isFloat(dtype)) return sample(shape, seed * 7 + value);
  return { shape, data: Float64Array.from({ length: volume(shape) }, (_, i) => (seed === 0 || (i * 7 + seed * 3 + value) % 3 !== 0 ? 1 : 0)) };
}

/** The data of a value that depends on nothing. */
export function constantOf(graph: Graph, value: ValueId): Tensor | undefined {
  if (graph.dependence(value) !== 'nothing') return undefined;
  try {
    return evaluate(graph, value, { sizes: new Map(), seed: 0, known: new Map() }, new Map());
  } catch (error) {
    if (error instanceof CannotEvaluate) return undefined;
    throw error;
  }
}
