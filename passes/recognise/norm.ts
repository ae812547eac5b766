import { equalShapes } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import { broadcastIndex } from '../../ir/graph/interpret/elementwise.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import type { BlockAttrs } from '../../ir/graph/ops.ts';
import type { ValueId } from '../../ir/types.ts';
import { volume } from '../../ir/weight-expr.ts';
import { scalarOf } from './activation.ts';
import { sample } from '../evaluate-op.ts';
import { constantOf, evaluate, looked, type Scenario, shapeUnder } from './evaluate.ts';
import type { Graph } from './graph.ts';
import type { NearMiss } from './near-miss.ts';
import { type Region, regionBetween, regionText, valuesAfter } from './region.ts';

/** A parameter: a constant of the source, or the numbers where none holds them. */
export type Parameter = ValueId | readonly number[];
export type FoundNorm = BlockAttrs['tnorm'] & { readonly region: Region; readonly gamma: Parameter | undefined; readonly beta: Parameter | undefined };

type Shape = BlockAttrs['tnorm'] & { readonly gamma: number | Float64Array | undefined; readonly beta: number | Float64Array | undefined };

/** What a norm passes through besides its reductions. */
const isPointwise = (op: GraphOp): boolean => ['punary', 'pbinary', 'pcast', 'pexpand', 'preshape', 'pwhere', 'preduce'].includes(op.kind);

/** Norms by what they compute. Equal regions are looked at once. */
export class Norms {
  readonly #graph: Graph;
  readonly #scenarios: readonly Scenario[];
  readonly #known = new Map<string, Shape | undefined>();

  constructor(graph: Graph, scenarios: readonly Scenario[]) {
    this.#graph = graph;
    this.#scenarios = scenarios;
  }

  /**
   * The norms whose root an op takes; those of one row with several gains share it. A layer norm comes before an RMS norm, which its second half is;
   * of what a norm may be a function of the nearest, as a norm takes no notice of a factor before it; of what comes after as much as it takes in, but
   * for what is part of another block.
   */
  around(anchor: GraphOp, taken: ReadonlySet<GraphOp>): readonly FoundNorm[] {
    if (!isRoot(this.#graph, anchor)) return [];
    const root = anchor.results[0] as ValueId;
    const starts = this.#starts(root);
    const norms: FoundNorm[] = [];
    for (const end of valuesAfter(this.#graph, root, (op) => isPointwise(op) && op.kind !== 'preduce', 32)) {
      const last = this.#graph.definition(end) as GraphOp;
      if (end === root || taken.has(last)) continue;
      const isInside = norms.some(({ region }) => region.ops.includes(last));
      const found = isInside ? undefined : this.#endingIn(end, starts, anchor);
      if (found !== undefined) norms.push(found);
    }
    return norms;
  }

  /** What a root is nearly part of. */
  nearMiss(op: GraphOp): NearMiss | undefined {
    if (!isRoot(this.#graph, op) || this.around(op, new Set()).length > 0) return undefined;
    const [x] = this.#starts(op.results[0] as ValueId);
    const region = x === undefined ? undefined : regionBetween(this.#graph, x, op.results[0] as ValueId);
    if (region === undefined) return undefined;
    const axes = [...new Set(region.ops.flatMap((each) => (each.kind === 'preduce' ? each.attrs.axes : [])))];
    return {
      kind: 'norm', op, matched: region.ops, stop: this.#graph.users(op.results[0] as ValueId)[0],
      expected: 'x / sqrt(mean(x^2) + epsilon), or of x - mean(x), over axes of fixed size, times a gain, plus a bias',
      actual: `the nearest is a norm, but the values differ: it reduces axis ${axes.join(', ')} of [${this.#graph.type(region.x).shape.join(', ')}]`,
      help: 'put epsilon under the root and reduce over features alone, or write the layer as a custom layer (`--plugin`)',
    };
  }

  #endingIn(end: ValueId, starts: readonly ValueId[], anchor: GraphOp): FoundNorm | undefined {
    const { shape } = this.#graph.type(end);
    let rms: FoundNorm | undefined;
    for (const x of starts) {
      if (!equalShapes(this.#graph.type(x).shape, shape)) continue;
      const region = regionBetween(this.#graph, x, end);
      if (region === undefined || !region.ops.every(isPointwise) || !region.ops.includes(anchor) || region.sides.some((side) => this.#graph.dependence(side) !== 'nothing')) continue;
      const found = this.#found(region);
      if (found?.norm === 'layer') return found;
      rms ??= found;
    }
    return rms;
  }

  #found(region: Region): FoundNorm | undefined {
    const { text, vectors } = regionText(this.#graph, region);
    // Vectors of one number hide what is done with them: (y + 0) * g is y * g + 0.
    const key = `${text} ${vectors.map((vector) => numberOf(this.#graph, vector) ?? '').join()}`;
    if (!this.#known.has(key)) {
      const shape = findNorm(this.#graph, region, this.#scenarios);
      // Numbers no constant holds are of this region alone.
      if (typeof shape?.gamma === 'object' || typeof shape?.beta === 'object') return named(shape, region, vectors);
      this.#known.set(key, shape);
    }
    const shape = this.#known.get(key);
    return shape === undefined ? undefined : named(shape, region, vectors);
  }

  /** Values before a root that a norm may be a function of: what is reduced, and what that is made of; the nearest first. */
  #starts(root: ValueId): readonly ValueId[] {
    const graph = this.#graph;
    const found = new Map<ValueId, number>();
    const visit = (value: ValueId, depth: number, isReduced: boolean): void => {
      const op = graph.definition(value);
      if (isReduced) {
        if ((found.get(value) ?? Infinity) <= depth) return;
        found.set(value, depth);
      }
      if (op === undefined || depth > 12 || !isPointwise(op)) return;
      for (const operand of op.operands) if (graph.dependence(operand) !== 'sizes') visit(operand, depth + 1, isReduced || op.kind === 'preduce');
    };
    visit(root, 0, false);
    return [...found.keys()].toSorted((a, b) => graph.order(b) - graph.order(a)).slice(0, 8);
  }
}

function numberOf(graph: Graph, vector: ValueId): number | undefined {
  const data = constantOf(graph, vector)?.data;
  return data?.every((each) => each === data[0]) === true ? data[0] : undefined;
}

/** A square root, a power of one half or minus one half, or the logarithm half of which is one. */
function isRoot(graph: Graph, op: GraphOp): boolean {
  if (op.kind === 'punary') return op.attrs.fn === 'sqrt' || op.attrs.fn === 'log';
  return op.kind === 'pbinary' && op.attrs.fn === 'pow' && Math.abs(scalarOf(graph, op.operands[1] as ValueId) ?? 0) === 0.5;
}

function named(shape: Shape, region: Region, vectors: readonly ValueId[]): FoundNorm {
  const parameter = (of: number | Float64Array | undefined): Parameter | undefined => (typeof of === 'number' ? vectors[of] : of === undefined ? undefined : [...of].map(Math.fround));
  return { norm: shape.norm, axes: shape.axes, epsilon: shape.epsilon, region, gamma: parameter(shape.gamma), beta: parameter(shape.beta) };
}

/** A function of rows, each the elements of `x` along the axes. */
type Rows = { readonly at: (rows: readonly Float64Array[]) => readonly Float64Array[]; readonly count: number; readonly width: number };

/**
 * Whether a region is a norm over the axes it reduces, the rest being rows. Parameters are read from the function itself:
 * beta is what the zero row gives, gamma what a huge row gives, epsilon what a tiny row gives; then all is checked on others, at two sizes.
 */
function findNorm(graph: Graph, region: Region, scenarios: readonly Scenario[]): Shape | undefined {
  const { shape } = graph.type(region.x);
  const axes = [...new Set(region.ops.flatMap((op) => (op.kind === 'preduce' ? op.attrs.axes.map((axis) => axisOf(axis, graph.type(op.operands[0] as ValueId).shape.length)) : [])))].toSorted((a, b) => a - b);
  const isWhole = region.ops.every((op) => op.kind !== 'preduce' || op.attrs.axes.length === axes.length);
  if (axes.length === 0 || !isWhole || axes.some((axis) => typeof shape[axis] !== 'number')) return undefined;
  const [probe, ...others] = looked(scenarios, 2, (scenario) => rowsAlong(graph, region, axes, scenario));
  if (probe === undefined || others.length === 0 || probe.width < 2 || probe.count < 1) return undefined;
  const u = Float64Array.from({ length: probe.width }, (_, i) => (i % 2 === 0 ? 1 : -0.8) * (1 + 0.3 * Math.sin(i * 1.3)));
  const [zero, huge, tiny] = [0, 1e8, 1e-9].map((by) => (probe.at([u.map((element) => element * by)]) as [Float64Array])[0]) as [Float64Array, Float64Array, Float64Array];
  for (const norm of ['rms', 'layer'] as const) {
    // 0/0 where there is no epsilon: nothing is added to such a norm that could be read there.
    const beta = zero.some(Number.isNaN) ? new Float64Array(probe.width) : zero;
    if (norm === 'rms' && beta.some((element) => element !== 0)) continue;
    const mean = norm === 'rms' ? 0 : average(u);
    const spread = average(u.map((element) => (element - mean) ** 2));
    const gamma = huge.map((element, i) => ((element - (beta[i] as number)) * Math.sqrt(spread)) / ((u[i] as number) - mean));
    const strongest = gamma.reduce((best, element, i) => (Math.abs(element) > Math.abs(gamma[best] as number) ? i : best), 0);
    const slope = ((tiny[strongest] as number) - (beta[strongest] as number)) / (1e-9 * ((u[strongest] as number) - mean));
    const epsilon = tidyEpsilon(((gamma[strongest] as number) / slope) ** 2 - 1e-18 * spread);
    if (!(epsilon >= 0) || ![probe, ...others].every((rows) => checks(rows, norm, epsilon, gamma, beta))) continue;
    // Rows of length one: no norm of the library.
    if (norm === 'rms' && epsilon === 0 && gamma.every((each) => Math.abs(each * Math.sqrt(probe.width) - 1) < 1e-6)) continue;
    return { norm, axes, epsilon, gamma: parameter(graph, gamma, 1, region), beta: norm === 'rms' ? undefined : parameter(graph, beta, 0, region) };
  }
  return undefined;
}

const average = (row: Float64Array): number => row.reduce((sum, element) => sum + element, 0) / row.length;

/** Epsilons are written in decimal and held in FP32. */
const tidyEpsilon = (value: number): number => {
  const decimal = Number(value.toPrecision(4));
  return Math.fround(decimal) === Math.fround(value) ? decimal : Math.abs(value) < 1e-17 ? 0 : Number(value.toPrecision(9));
};

function checks(rows: Rows, norm: 'rms' | 'layer', epsilon: number, gamma: Float64Array, beta: Float64Array): boolean {
  return [1e-3, 0.1, 1, 30].every((by, seed) => {
    const x = Array.from({ length: rows.count }, (_, i) => sample([rows.width], seed * 5 + i, by).data.map((element) => element + 0.2 * by));
    return rows.at(x).every((y, r) => {
      const row = x[r] as Float64Array;
      const mean = norm === 'rms' ? 0 : average(row);
      const scale = 1 / Math.sqrt(average(row.map((element) => (element - mean) ** 2)) + epsilon);
      const wanted = row.map((element, i) => (element - mean) * scale * (gamma[i] as number) + (beta[i] as number));
      const largest = wanted.reduce((most, element) => Math.max(most, Math.abs(element)), 0);
      return y.every((element, i) => Math.abs(element - (wanted[i] as number)) <= 1e-6 * largest);
    });
  });
}

/** Which constant of the region a probed parameter is; its numbers if it is none; undefined where it changes nothing. */
function parameter(graph: Graph, probed: Float64Array, neutral: number, region: Region): number | Float64Array | undefined {
  const close = (data: ArrayLike<number>): boolean => data.length === probed.length && probed.every((element, i) => Math.abs(element - (data[i] as number)) <= 1e-6 * (1e-6 + Math.abs(element)));
  const at = regionText(graph, region).vectors.findIndex((side) => close(constantOf(graph, side)?.data ?? []));
  if (at >= 0) return at;
  return probed.every((element) => Math.abs(element - neutral) < 1e-9) ? undefined : probed;
}

/** The region as a function of its rows along axes; rows beyond those given are filled with others. */
function rowsAlong(graph: Graph, { x, value }: Region, axes: readonly number[], scenario: Scenario): Rows {
  const concrete = shapeUnder(graph.type(x).shape, scenario.sizes);
  const kept = concrete.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const count = volume(kept);
  const rowOf = broadcastIndex(kept, concrete);
  const width = rowOf.length / Math.max(1, count);
  const places = Array.from({ length: count }, (): number[] => []);
  rowOf.forEach((row, i) => (places[row] as number[]).push(i));
  const at = (given: readonly Float64Array[]): readonly Float64Array[] => {
    const data = sample(concrete, 99).data;
    given.forEach((row, r) => row.forEach((element, i) => (data[(places[r] as number[])[i] as number] = element)));
    const result = evaluate(graph, value, scenario, new Map([[x, { shape: concrete, data }]])).data;
    return given.map((_, r) => Float64Array.from(places[r] as number[], (place) => result[place] as number));
  };
  return { at, count, width };
}
