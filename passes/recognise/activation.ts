import { blockActivation } from '../../ir/graph/interpret/activations.ts';
import { runTensorOp } from '../../ir/graph/interpret/tensor-op.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import { type BlockAttrs, blockActivations } from '../../ir/graph/ops.ts';
import { equalShapes } from '../../ir/dims.ts';
import type { ValueId } from '../../ir/types.ts';
import { constantOf } from './evaluate.ts';
import type { Graph } from './graph.ts';
import type { NearMiss } from './near-miss.ts';
import { regionBetween, regionText, type Region, valuesAfter, valuesBefore } from './region.ts';
import { tidy } from './tidy.ts';

export type FoundActivation = BlockAttrs['tactivate'] & { readonly region: Region };

const bends: ReadonlySet<string> = new Set(['tanh', 'sigmoid', 'erf', 'relu', 'exp', 'softplus', 'max', 'min']);

/** Whether an op is a function an activation bends by. */
export const isBent = (op: GraphOp): boolean => (op.kind === 'punary' || op.kind === 'pbinary') && bends.has(op.attrs.fn);

/** What is constant from step to step is no activation: quantising, most of all. */
const steps: ReadonlySet<string> = new Set(['round', 'floor', 'ceil']);
const isElementwise = (op: GraphOp): boolean => (op.kind === 'punary' && !steps.has(op.attrs.fn)) || op.kind === 'pbinary' || op.kind === 'pwhere' || op.kind === 'pcast';

/** Constants of a source are FP32, so its function is the library's up to about 1e-7, or up to 4e-5 where they are halves; the nearest two of the library differ by 4e-4. */
const tolerances = { single: 2e-5, half: 1e-4 } as const;

/** Arguments to look at: on both sides of 0, none of them special. */
const given = Float64Array.from({ length: 500 }, (_, i) => -9 + (18 * ((i * 0.6180339887498949 + 0.013) % 1)));

type Outcome = { readonly found: BlockAttrs['tactivate'] | undefined; readonly nearest: string; readonly distance: number; /** Where it is farthest from the nearest. */ readonly farthest: { readonly at: number; readonly wanted: number; readonly got: number } };

/** Activations by what they compute. Equal regions are looked at once. */
export class Activations {
  readonly #graph: Graph;
  readonly #known = new Map<string, Outcome>();

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** The activation around an op that bends: the longest region through it that is one. */
  around(anchor: GraphOp): FoundActivation | undefined {
    for (const { region, outcome } of this.#regions(anchor)) if (outcome.found !== undefined) return { ...outcome.found, region };
    return undefined;
  }

  /** What an op that bends is nearly part of: the library's nearest function, if any is near. */
  nearMiss(op: GraphOp): NearMiss | undefined {
    const nearest = [...this.#regions(op)].reduce<{ readonly region: Region; readonly outcome: Outcome } | undefined>((best, each) => (best === undefined || each.outcome.distance < best.outcome.distance ? each : best), undefined);
    if (nearest === undefined || nearest.outcome.distance >= near) return undefined;
    const { region, outcome } = nearest;
    const { at, wanted, got } = outcome.farthest;
    return {
      kind: 'activation', op, matched: region.ops, stop: region.ops.at(-1), expected: `${outcome.nearest}(${at.toPrecision(3)}) = ${wanted.toPrecision(5)}`,
      actual: `the nearest is ${outcome.nearest}, from which it differs by up to ${outcome.distance.toPrecision(2)}: at ${at.toPrecision(3)} it is ${got.toPrecision(5)}`,
      help: `use one of ${blockActivations.join(', ')}, or write it as a custom layer (\`--plugin\`)`,
    };
  }

  /** Element-wise regions through an op that bends, the longest first. */
  *#regions(anchor: GraphOp): Generator<{ readonly region: Region; readonly outcome: Outcome }> {
    if (!isBent(anchor)) return;
    const value = anchor.results[0] as ValueId;
    const starts = valuesBefore(this.#graph, value, isElementwise, 24);
    for (const end of valuesAfter(this.#graph, value, isElementwise, 16)) {
      for (const x of starts) {
        if (!equalShapes(this.#graph.type(x).shape, this.#graph.type(end).shape)) continue;
        const region = regionBetween(this.#graph, x, end);
        if (region === undefined || !region.ops.every(isElementwise) || !region.ops.includes(anchor)) continue;
        const outcome = this.#outcome(region);
        if (outcome !== undefined) yield { region, outcome };
      }
    }
  }

  #outcome(region: Region): Outcome | undefined {
    const { text, vectors } = regionText(this.#graph, region);
    const sides = region.sides.map((side) => scalarOf(this.#graph, side));
    if (sides.includes(undefined)) return undefined;
    const precision = region.ops.some((op) => /^b?f16$/.test(this.#graph.type(op.results[0] as ValueId).dtype)) ? 'half' : 'single';
    const key = `${text} ${vectors.length === 0 ? '' : sides.join()} ${precision}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const outcome = classify(curveOf(this.#graph, region, new Map(region.sides.map((side, i) => [side, sides[i] as number]))), beyond(sides as readonly number[]), tolerances[precision]);
    this.#known.set(key, outcome);
    return outcome;
  }
}

/** The number a constant holds in all its elements. */
export function scalarOf(graph: Graph, value: ValueId): number | undefined {
  const { shape } = graph.type(value);
  const op = graph.definition(value);
  if (op?.kind === 'pconst') return op.attrs.values.every((each) => each === op.attrs.values[0]) ? op.attrs.values[0] : undefined;
  if (shape.some((size) => typeof size !== 'number') || (shape as readonly number[]).reduce((a, b) => a * b, 1) > 4096) return undefined;
  const data = constantOf(graph, value)?.data;
  return data !== undefined && data.length > 0 && data.every((each) => each === data[0]) ? data[0] : undefined;
}

/** An element-wise region as a function of numbers. */
function curveOf(graph: Graph, { x, value, ops }: Region, sides: ReadonlyMap<ValueId, number>): (arguments_: Float64Array) => Float64Array {
  return (data) => {
    const shape = [data.length];
    const values = new Map<ValueId, Tensor>([[x, { shape, data }]]);
    for (const [side, number] of sides) values.set(side, { shape: [1], data: Float64Array.of(number) });
    for (const op of ops) {
      const result = op.results[0] as ValueId;
      values.set(result, runTensorOp(op, op.operands.map((operand) => values.get(operand) as Tensor), { env: new Map(), shape, dtype: graph.type(result).dtype }));
    }
    return (values.get(value) as Tensor).data;
  };
}

/** Arguments that tell most curves from all of the library. */
const few = given.subarray(0, 24);

/** A nearest function farther away than this is no near miss. */
const near = 1;

/** Arguments on both sides of where a curve may turn that the others do not reach: a bound of 255 is seen by nothing less. */
const beyond = (constants: readonly number[]): Float64Array => Float64Array.from(constants.filter((constant) => Number.isFinite(constant) && Math.abs(constant) > 4).flatMap((constant) => [2 * constant, -2 * constant]));

/** Which function of the library a curve is, far out as well. */
function classify(curve: (data: Float64Array) => Float64Array, far: Float64Array, tolerance: number): Outcome {
  const first = compared(few, curve(few), tolerance);
  if (first.found === undefined && first.distance >= near) return first;
  const outcome = compared(given, curve(given), tolerance);
  const { found } = outcome;
  if (found === undefined) return outcome;
  const y = curve(far);
  const meaning = (x: number): number => blockActivation[found.activation](found.slope * x) / found.slope;
  const at = far.findIndex((x, i) => !(Math.abs((y[i] as number) - meaning(x)) <= tolerance * Math.max(1, Math.abs(meaning(x)))));
  if (at < 0) return outcome;
  const [x, got] = [far[at] as number, y[at] as number];
  return { found: undefined, nearest: found.activation, distance: Math.abs(got - meaning(x)), farthest: { at: x, wanted: meaning(x), got } };
}

function compared(given: Float64Array, y: Float64Array, tolerance: number): Outcome {
  const farthest = (meaning: (x: number) => number): number => given.reduce((most, x, i) => Math.max(most, Math.abs((y[i] as number) - meaning(x))), 0);
  const distances = blockActivations.map((activation) => {
    const distance = farthest(blockActivation[activation]);
    return { activation, distance: Number.isNaN(distance) ? Infinity : distance };
  });
  const best = distances.reduce((a, b) => (b.distance < a.distance ? b : a));
  const meaning = blockActivation[best.activation];
  const at = given.reduce((worst, x, i) => (Math.abs((y[i] as number) - meaning(x)) > Math.abs((y[worst] as number) - meaning(given[worst] as number)) ? i : worst), 0);
  const miss = { nearest: best.activation, distance: best.distance, farthest: { at: given[at] as number, wanted: meaning(given[at] as number), got: y[at] as number } };
  if (best.distance < tolerance) return { found: { activation: best.activation, slope: 1 }, ...miss };
  const slope = slopeOf(given, y);
  const isSteeper = slope > 0 && farthest((x) => blockActivation.silu(slope * x) / slope) < tolerance;
  return { found: isSteeper ? { activation: 'silu', slope } : undefined, ...miss };
}

/** The slope a of x * sigmoid(a * x): the logit of y/x, where that is neither near 0 nor near 1. */
function slopeOf(given: Float64Array, y: Float64Array): number {
  const at = given.findIndex((x) => x > 0.4 && x < 1.6);
  const gate = (y[at] as number) / (given[at] as number);
  return tidy(Math.log(gate / (1 - gate)) / (given[at] as number));
}
