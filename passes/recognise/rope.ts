import { equalDims, volumeOf } from '../../ir/dims.ts';
import { blocks } from '../../ir/graph/interpret/blocks.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import { type BlockAttrs, ropePairs } from '../../ir/graph/ops.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { sample } from '../evaluate-op.ts';
import { evaluate, looked, type Scenario, shapeUnder } from './evaluate.ts';
import type { Graph } from './graph.ts';
import { type Region, regionBetween, regionText, valuesBefore } from './region.ts';

/** A rotation of the first 2 * `turning` elements of the last axis of a `shape`, of which the region's ends may be other views. Its cosines and sines are what the region makes of ones and zeros. */
export type FoundRope = { readonly pairs: BlockAttrs['trope']['pairs']; readonly turning: number; readonly shape: readonly Dim[]; readonly region: Region };

/** A head is no wider: what moves elements of it is a square of these. */
const widest = 512;

/** What a rotation is made of: it moves elements and adds multiples of them. */
const isLinear = (graph: Graph) => (op: GraphOp): boolean =>
  isMove(graph, op) || ['preshape', 'ptranspose', 'pslice', 'pconcat', 'pcast', 'pexpand', 'pgather', 'preduce'].includes(op.kind) || (op.kind === 'punary' && op.attrs.fn === 'neg') || (op.kind === 'pbinary' && ['add', 'sub', 'mul'].includes(op.attrs.fn));

/** A product with a constant square matrix may do nothing but move elements. */
function isMove(graph: Graph, op: GraphOp): boolean {
  if (op.kind !== 'pmatmul') return ['pslice', 'pconcat', 'pgather', 'preshape'].includes(op.kind);
  const matrix = op.operands[1] as ValueId;
  const [rows, columns] = graph.type(matrix).shape.slice(-2);
  return graph.dependence(matrix) === 'nothing' && rows === columns && typeof rows === 'number' && rows <= widest;
}

/** Rotations by what they compute. Equal regions are looked at once. */
export class Ropes {
  readonly #graph: Graph;
  readonly #scenarios: readonly Scenario[];
  readonly #known = new Map<string, Omit<FoundRope, 'region'> | undefined>();

  constructor(graph: Graph, scenarios: readonly Scenario[]) {
    this.#graph = graph;
    this.#scenarios = scenarios;
  }

  /** The rotation that ends in an op, and not already in what that is a view of. */
  endingIn(op: GraphOp): FoundRope | undefined {
    if (!this.#mayEnd(op)) return undefined;
    const viewed = op.kind === 'preshape' || op.kind === 'ptranspose' ? this.#graph.definition(op.operands[0] as ValueId) : undefined;
    if (viewed !== undefined && this.endingIn(viewed) !== undefined) return undefined;
    const value = op.results[0] as ValueId;
    const { shape } = this.#graph.type(value);
    const volume = volumeOf(shape);
    for (const x of valuesBefore(this.#graph, value, isLinear(this.#graph), 48).toReversed()) {
      const start = this.#graph.type(x).shape;
      if (!equalDims(volumeOf(start), volume)) continue;
      const region = regionBetween(this.#graph, x, value);
      if (region === undefined || !region.ops.every(isLinear(this.#graph)) || !turns(this.#graph, region)) continue;
      const { text, vectors } = regionText(this.#graph, region);
      const key = `${text} ${vectors.join()}`;
      if (!this.#known.has(key)) this.#known.set(key, rowsOf(start, shape).map((dims) => findRope(this.#graph, region, dims, this.#scenarios)).find((rope) => rope !== undefined));
      const found = this.#known.get(key);
      if (found !== undefined) return { ...found, region };
    }
    return undefined;
  }

  /** Whether an op is a sum of two products, or puts such sums in place: a rotation ends in nothing else. */
  #mayEnd(op: GraphOp, depth = 0): boolean {
    const before = (): readonly GraphOp[] => op.operands.flatMap((operand) => this.#graph.definition(operand) ?? []);
    if (op.kind === 'pbinary' && (op.attrs.fn === 'add' || (op.attrs.fn === 'sub' && depth > 0))) return before().filter((each) => each.kind === 'pbinary' && each.attrs.fn === 'mul').length === 2;
    return depth < 4 && (op.kind === 'pconcat' || op.kind === 'preshape' || op.kind === 'ptranspose') && before().some((each) => this.#mayEnd(each, depth + 1));
  }
}

/** Shapes whose last axis may be what is turned: heads whose pairs have an axis of their own, then the shape as it is. */
function rowsOf(start: readonly Dim[], end: readonly Dim[]): readonly (readonly Dim[])[] {
  const dims = narrower(start, end);
  const at = dims.findLastIndex((size, axis) => axis < dims.length - 1 && size !== 1);
  const count = dims[at];
  return dims.at(-1) === 2 && typeof count === 'number' && count <= widest ? [[...dims.slice(0, at), 2 * count], dims] : [dims];
}

/** The shape of two that has rows of fewer elements: heads and not all of them. */
function narrower(one: readonly Dim[], other: readonly Dim[]): readonly Dim[] {
  const [a, b] = [one.at(-1), other.at(-1)];
  return typeof b === 'number' && (typeof a !== 'number' || b < a) ? other : one;
}

/** Whether elements change places and are multiplied by what differs between them. */
function turns(graph: Graph, { ops, x }: Region): boolean {
  const on = new Set([x, ...ops.flatMap(({ results }) => results)]);
  const isFactor = (op: GraphOp): boolean => op.kind === 'pbinary' && op.attrs.fn === 'mul' && op.operands.some((operand) => !on.has(operand) && graph.type(operand).shape.some((size) => size !== 1));
  return ops.some((op) => isMove(graph, op)) && ops.some(isFactor);
}

function findRope(graph: Graph, region: Region, dims: readonly Dim[], scenarios: readonly Scenario[]): Omit<FoundRope, 'region'> | undefined {
  const width = dims.at(-1);
  if (typeof width !== 'number') return undefined;
  const kinds = looked(scenarios, 2, (scenario) => {
    const [shape, own] = [dims, graph.type(region.x).shape].map((each) => shapeUnder(each, scenario.sizes)) as [readonly number[], readonly number[]];
    const through = (data: Float64Array): Float64Array => evaluate(graph, region.value, scenario, new Map([[region.x, { shape: own, data }]])).data;
    const x = sample(shape, 5);
    const y = through(x.data);
    let most = 0;
    y.forEach((element, i) => element !== x.data[i] && (most = Math.max(most, (i % width) + 1)));
    const turning = Math.ceil(most / 2);
    if (turning === 0) return undefined;
    const agrees = (pairs: (typeof ropePairs)[number]): boolean => {
      const { cos, sin } = tablesOf(shape, turning, pairs, through);
      if (sin.data.every((element) => element === 0)) return false;
      const wanted = blocks.trope({ pairs }, [x, cos, sin]).data;
      return wanted.every((element, i) => Math.abs(element - (y[i] as number)) <= 1e-9 * (1 + Math.abs(element)));
    };
    const pairs = ropePairs.find((each) => 2 * turning <= width && agrees(each));
    return pairs === undefined ? undefined : { pairs, turning, shape: dims };
  });
  const [first, second] = kinds;
  if (kinds.length < 2 || first === undefined || second === undefined) return undefined;
  return first.pairs === second.pairs && first.turning === second.turning ? first : undefined;
}

/** What turns (1, 0) pairs into (cos, sin). */
function tablesOf(shape: readonly number[], turning: number, pairs: (typeof ropePairs)[number], through: (data: Float64Array) => Float64Array): { readonly cos: Tensor; readonly sin: Tensor } {
  const width = shape.at(-1) as number;
  const rows = shape.reduce((a, b) => a * b, 1) / width;
  const first = (i: number): number => (pairs === 'halves' ? i : 2 * i);
  const [step, apart] = pairs === 'interleaved' ? [2, 1] : [1, turning];
  const ones = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) for (let i = 0; i < turning; i++) ones[row * width + first(i)] = 1;
  const y = through(ones);
  const table = (shift: number): Tensor => ({
    shape: [...shape.slice(0, -1), turning],
    data: Float64Array.from({ length: rows * turning }, (_, at) => y[Math.floor(at / turning) * width + step * (at % turning) + shift] as number),
  });
  return { cos: table(0), sin: table(apart) };
}
