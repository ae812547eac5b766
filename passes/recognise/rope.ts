import { equalShapes } from '../../ir/dims.ts';
import { blocks } from '../../ir/graph/interpret/blocks.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import { type BlockAttrs, ropePairs } from '../../ir/graph/ops.ts';
import type { ValueId } from '../../ir/types.ts';
import { sample } from '../evaluate-op.ts';
import { evaluate, looked, type Scenario, shapeUnder } from './evaluate.ts';
import type { Graph } from './graph.ts';
import { type Region, regionBetween, regionText, valuesBefore } from './region.ts';

/** A rotation of the first 2 * `turning` elements of the last axis. Its cosines and sines are what the region makes of ones and zeros. */
export type FoundRope = { readonly pairs: BlockAttrs['trope']['pairs']; readonly turning: number; readonly region: Region };

/** What a rotation is made of: it moves elements and adds multiples of them. */
const isLinear = (op: GraphOp): boolean =>
  ['preshape', 'ptranspose', 'pslice', 'pconcat', 'pcast', 'pexpand', 'pgather', 'preduce'].includes(op.kind) || (op.kind === 'punary' && op.attrs.fn === 'neg') || (op.kind === 'pbinary' && ['add', 'sub', 'mul'].includes(op.attrs.fn));

const moves: ReadonlySet<string> = new Set(['pslice', 'pconcat', 'pgather', 'preshape']);

/** Rotations by what they compute. Equal regions are looked at once. */
export class Ropes {
  readonly #graph: Graph;
  readonly #scenarios: readonly Scenario[];
  readonly #known = new Map<string, Omit<FoundRope, 'region'> | undefined>();

  constructor(graph: Graph, scenarios: readonly Scenario[]) {
    this.#graph = graph;
    this.#scenarios = scenarios;
  }

  /** The rotation that ends in an op. */
  endingIn(op: GraphOp): FoundRope | undefined {
    if (!this.#mayEnd(op)) return undefined;
    const value = op.results[0] as ValueId;
    const { shape } = this.#graph.type(value);
    if (typeof shape.at(-1) !== 'number') return undefined;
    for (const x of valuesBefore(this.#graph, value, isLinear, 48).toReversed()) {
      if (!equalShapes(this.#graph.type(x).shape, shape)) continue;
      const region = regionBetween(this.#graph, x, value);
      if (region === undefined || !region.ops.every(isLinear) || !turns(this.#graph, region)) continue;
      const { text } = regionText(this.#graph, region);
      if (!this.#known.has(text)) this.#known.set(text, findRope(this.#graph, region, this.#scenarios));
      const found = this.#known.get(text);
      if (found !== undefined) return { ...found, region };
    }
    return undefined;
  }

  /** Whether an op is a sum of two products, or puts such sums in place: a rotation ends in nothing else. */
  #mayEnd(op: GraphOp, depth = 0): boolean {
    const before = (): readonly GraphOp[] => op.operands.flatMap((operand) => this.#graph.definition(operand) ?? []);
    if (op.kind === 'pbinary' && (op.attrs.fn === 'add' || (op.attrs.fn === 'sub' && depth > 0))) return before().filter((each) => each.kind === 'pbinary' && each.attrs.fn === 'mul').length === 2;
    return depth < 4 && (op.kind === 'pconcat' || op.kind === 'preshape') && before().some((each) => this.#mayEnd(each, depth + 1));
  }
}

/** Whether elements change places and are multiplied by what differs between them. */
function turns(graph: Graph, { ops, x }: Region): boolean {
  const on = new Set([x, ...ops.flatMap(({ results }) => results)]);
  const isFactor = (op: GraphOp): boolean => op.kind === 'pbinary' && op.attrs.fn === 'mul' && op.operands.some((operand) => !on.has(operand) && graph.type(operand).shape.some((size) => size !== 1));
  return ops.some((op) => moves.has(op.kind)) && ops.some(isFactor);
}

function findRope(graph: Graph, region: Region, scenarios: readonly Scenario[]): Omit<FoundRope, 'region'> | undefined {
  const width = graph.type(region.x).shape.at(-1) as number;
  const kinds = looked(scenarios, 2, (scenario) => {
    const shape = shapeUnder(graph.type(region.x).shape, scenario.sizes);
    const through = (data: Float64Array): Float64Array => evaluate(graph, region.value, scenario, new Map([[region.x, { shape, data }]])).data;
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
    return pairs === undefined ? undefined : { pairs, turning };
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
