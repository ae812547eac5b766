import { type SizeEnv, sizesOf } from '../../ir/dims.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import type { OpKind } from '../../ir/graph/ops.ts';
import { type Dim, isFloat, type TensorType, type ValueId } from '../../ir/types.ts';
import { volume } from '../../ir/weight-expr.ts';
import { CannotEvaluate, runOp, sample, shapeWithin, weightData } from '../evaluate-op.ts';
import type { Graph } from './graph.ts';

/** Sizes to look at a module under, and the seed of the numbers its inputs hold. `known` keeps what does not depend on what is given. */
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

/** Ways to look at a module: a few sizes, then the first two of those with one size the sum of two others, as keys are of past and new rows. */
export function scenariosOf({ module }: Graph): readonly Scenario[] {
  const names = new Set<string>();
  for (const param of module.body.params) for (const size of (module.types[param] as TensorType).shape) for (const name of sizesOf(size)) names.add(name);
  for (const { shape } of module.types) for (const size of shape) for (const name of sizesOf(size)) names.add(name);
  const order = [...names];
  const plain = assignments.map((sizes) => order.map((_, i) => sizes[i % sizes.length] as number));
  const summed = order.flatMap((_, whole) =>
    order.flatMap((_other, a) => order.slice(a + 1).flatMap((_last, i) => (a === whole || a + 1 + i === whole ? [] : plain.slice(0, 2).map((sizes) => sizes.with(whole, (sizes[a] as number) + (sizes[a + 1 + i] as number)))))),
  );
  return [...plain, ...summed].map((sizes, seed) => ({ sizes: new Map(order.map((name, i) => [name, sizes[i] as number])), seed, known: new Map() }));
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
  const local = new Map(given);
  const valueOf = (value: ValueId): { readonly tensor: Tensor; readonly isGiven: boolean } => {
    const own = local.get(value);
    if (own !== undefined) return { tensor: own, isGiven: true };
    const known = scenario.known.get(value);
    if (known !== undefined) return { tensor: known, isGiven: false };
    const made = make(value);
    (made.isGiven ? local : scenario.known).set(value, made.tensor);
    return made;
  };
  const make = (value: ValueId): { readonly tensor: Tensor; readonly isGiven: boolean } => {
    const op = graph.definition(value);
    const isInput = op === undefined || (opaque.has(op.kind) && isFloat(graph.type(value).dtype) && graph.dependence(value) === 'inputs' && !dependsOn(graph, value, given));
    if (isInput) return { tensor: sampleOf(graph.type(value), scenario, value), isGiven: false };
    const operands = op.operands.map(valueOf);
    return { tensor: run(graph, op, operands.map(({ tensor }) => tensor), scenario), isGiven: operands.some(({ isGiven }) => isGiven) };
  };
  return valueOf(target).tensor;
}

/** Whether a value is made of what is given, within a few ops. */
function dependsOn(graph: Graph, value: ValueId, given: ReadonlyMap<ValueId, Tensor>): boolean {
  const first = Math.min(...[...given.keys()].map(graph.order));
  const seen = new Set<ValueId>();
  const pending = [value];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (given.has(at)) return true;
    if (seen.has(at) || graph.order(at) <= first) continue;
    seen.add(at);
    pending.push(...(graph.definition(at)?.operands ?? []));
  }
  return false;
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
