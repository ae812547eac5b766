import { equalDims } from '../../ir/dims.ts';
import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { scalarOf } from './activation.ts';
import { sample } from '../evaluate-op.ts';
import { evaluate, looked, type Scenario, shapeUnder } from './evaluate.ts';
import { definedBy, type Graph } from './graph.ts';
import type { NearMiss } from './near-miss.ts';
import { type Region, regionBetween, regionText } from './region.ts';
import { tidy } from './tidy.ts';

/**
 * softmax(cap(scale * q k^T) + bias) v. `scores` is the region from the product of queries and keys to the softmax's operand: with zeros for the
 * product it is the bias.
 */
export type FoundAttention = {
  readonly scale: number;
  readonly softCap: number;
  readonly biased: boolean;
  /** The product of queries and keys, that of weights and values, and whether the latter has them transposed. */
  readonly product: OpOf<'pmatmul'>;
  readonly mixing: OpOf<'pmatmul'>;
  readonly transposed: boolean;
  /** From the product to the softmax's operand, sinks aside; undefined where that is the product itself. */
  readonly scores: Region | undefined;
  readonly sinks: ValueId | undefined;
  readonly ops: readonly GraphOp[];
};

/** Logits, and the column of a sink that was put beside them. */
type Sunk = { readonly logits: ValueId; readonly sinks: ValueId | undefined };

type Mixing = Pick<FoundAttention, 'mixing' | 'transposed' | 'ops'>;
type Wrong = Pick<NearMiss, 'actual' | 'stop'>;
type Curve = { readonly scale: number; readonly softCap: number; readonly biased: boolean };

/** What attention is, part by part, and what to change where one is not so. */
const expectedOf = {
  softmax: 'a softmax over the keys, the last axis of its operand',
  values: 'weights that go into a product with values as they are: through views, casts and guards against NaN',
  scores: 'logits made of a product of queries and keys',
  logits: 'logits that are one factor times the scores, capped or not, with masks and biases added',
} as const;
const helpOf = {
  softmax: 'take the softmax over the last axis of the scores',
  values: 'export in evaluation mode (no dropout), without changes to the attention weights; outputs of the weights themselves are fine',
  scores: 'write the layer as a custom layer (`--plugin`) if it is another kind of attention',
  logits: 'scale queries rather than single heads, or write the layer as a custom layer (`--plugin`)',
} as const;

/** Below this a logit's weight is nothing beside one of size 1: masks add anything from -10000 to -Infinity. */
const masked = -5000;

const isWeighing = (op: GraphOp): boolean => op.kind !== 'pmatmul' && op.kind !== 'psoftmax';

/** Attentions by what they compute. Equal regions are looked at once. */
export class Attentions {
  readonly #graph: Graph;
  readonly #scenarios: readonly Scenario[];
  readonly #curves = new Map<string, Curve | string>();

  constructor(graph: Graph, scenarios: readonly Scenario[]) {
    this.#graph = graph;
    this.#scenarios = scenarios;
  }

  /** The attentions around a softmax, one for each product its weights go into. */
  around(softmax: OpOf<'psoftmax'>): readonly FoundAttention[] | NearMiss {
    const graph = this.#graph;
    const weights = softmax.results[0] as ValueId;
    const logits = softmax.operands[0] as ValueId;
    const rank = graph.type(logits).shape.length;
    const miss = (actual: string, more: Partial<NearMiss> = {}): NearMiss => ({ kind: 'attention', op: softmax, matched: [softmax], stop: softmax, expected: expectedOf.softmax, actual, help: helpOf.softmax, ...more });
    if ((softmax.attrs.axis + rank) % rank !== rank - 1) return miss('the weights of its softmax do not sum to one along the last axis');
    const sunk = this.#withoutSinks(logits);
    const mixings = this.#mixings(weights, sunk);
    if ('actual' in mixings) return miss(mixings.actual, { stop: mixings.stop, expected: expectedOf.values, help: helpOf.values });
    const candidates = this.#products(sunk.logits);
    const after = [softmax, ...mixings.flatMap(({ ops, mixing }) => [...ops, mixing])];
    if (candidates.length === 0) return miss('what the softmax normalises is not a product of queries and keys', { matched: after, stop: graph.definition(sunk.logits), expected: expectedOf.scores, help: helpOf.scores });
    let nearest: NearMiss | undefined;
    for (const product of candidates) {
      const value = product.results[0] as ValueId;
      const scores = value === sunk.logits ? undefined : regionBetween(graph, value, sunk.logits);
      if (value !== sunk.logits && scores === undefined) continue;
      const curve = scores === undefined ? { scale: 1, softCap: 0, biased: false } : this.#curve(scores);
      if (typeof curve === 'string') {
        nearest ??= miss(curve, { matched: [product, ...after], stop: scores?.ops[0], expected: expectedOf.logits, help: helpOf.logits });
        continue;
      }
      return mixings.map((mixing) => ({ ...curve, product, ...mixing, scores, sinks: sunk.sinks, ops: [product, ...(scores?.ops ?? []), softmax, ...mixing.ops, mixing.mixing] }));
    }
    return nearest ?? miss('what lies between the product of queries and keys and the softmax is too long to be read', { matched: after, expected: expectedOf.logits, help: helpOf.logits });
  }

  /** Why a softmax is part of none. */
  nearMiss(op: GraphOp): NearMiss | undefined {
    if (op.kind !== 'psoftmax') return undefined;
    const found = this.around(op);
    return 'actual' in found ? found : undefined;
  }

  /** Logits that have a column of others put beside them. */
  #withoutSinks(logits: ValueId): Sunk {
    const concat = definedBy(this.#graph, logits, 'pconcat');
    const { shape } = this.#graph.type(logits);
    if (concat === undefined || concat.operands.length !== 2 || (concat.attrs.axis + shape.length) % shape.length !== shape.length - 1) return { logits, sinks: undefined };
    const [own, sinks] = concat.operands as readonly [ValueId, ValueId];
    return equalDims(this.#graph.type(sinks).shape.at(-1) ?? 0, 1) ? { logits: own, sinks } : { logits, sinks: undefined };
  }

  /** The products the weights go into, whole and in order: through views, casts, guards, and the column of a sink dropped. */
  #mixings(weights: ValueId, sunk: Sunk): readonly Mixing[] | Wrong {
    const graph = this.#graph;
    const reached = new Set([weights]);
    const found: Mixing[] = [];
    let wrong: Wrong | undefined;
    for (const at of reached) {
      if (reached.size > 24) break;
      for (const user of graph.users(at)) {
        if (user.kind !== 'pmatmul') {
          if (isWeighing(user)) for (const result of user.results) reached.add(result);
          continue;
        }
        const side = user.operands.indexOf(at);
        const region = at === weights ? undefined : regionBetween(graph, weights, at);
        if (at !== weights && region === undefined) continue;
        if (region !== undefined && !this.#keeps(region, side === 1, sunk)) wrong ??= { actual: 'the weights are changed after the softmax', stop: region.ops[0] };
        else if (region === undefined && (side !== 0 || sunk.sinks !== undefined)) wrong ??= { actual: 'the weights do not meet values along the axis they sum to one over', stop: user };
        else found.push({ mixing: user, transposed: side === 1, ops: region?.ops ?? [] });
      }
    }
    return found.length > 0 ? found : (wrong ?? { actual: 'its weights do not go into a product with values', stop: graph.users(weights)[0] });
  }

  /** Whether a region hands on every row of weights as it is (transposed, if so), but for a sink's; rows that see nothing may become 0. */
  #keeps({ x, value }: Region, transposed: boolean, { logits, sinks }: Sunk): boolean {
    const graph = this.#graph;
    const outcomes = looked(this.#scenarios, 2, (scenario) => {
      const shape = shapeUnder(graph.type(x).shape, scenario.sizes);
      const keys = shape.at(-1) as number;
      const rows = shape.at(-2) ?? 1;
      const positive = sample(shape, 3).data.map(Math.abs);
      const data = positive.map((each, i) => each / positive.subarray(i - (i % keys), i - (i % keys) + keys).reduce((a, b) => a + b, 0));
      const after = evaluate(graph, value, scenario, new Map([[x, { shape, data }]]));
      const kept = sinks === undefined ? data : data.filter((_, i) => i % keys !== keys - 1);
      const wide = sinks === undefined ? keys : keys - 1;
      const [m, n] = after.shape.slice(-2) as [number, number];
      const inOrder = transposed ? m === wide && n === rows : m === rows && n === wide;
      const at = (i: number): number => {
        if (!transposed) return i;
        const [block, rest] = [Math.floor(i / (m * n)), i % (m * n)];
        return block * m * n + (rest % n) * m + Math.floor(rest / n);
      };
      if (!inOrder || after.data.length !== kept.length) return false;
      const changed = new Set([...after.data.keys()].filter((i) => after.data[i] !== kept[at(i)]).map((i) => Math.floor(at(i) / wide)));
      return changed.size === 0 || (sinks === undefined && this.#seeNothing(logits, scenario, changed));
    });
    return outcomes.length > 0 && outcomes.every(Boolean);
  }

  /** Whether all logits of some rows are -Infinity, whatever the scores. */
  #seeNothing(logits: ValueId, scenario: Scenario, rows: ReadonlySet<number>): boolean {
    const [product] = this.#products(logits);
    if (product === undefined || product.results[0] === logits) return false;
    const x = product.results[0] as ValueId;
    const shape = shapeUnder(this.#graph.type(x).shape, scenario.sizes);
    const { data } = evaluate(this.#graph, logits, scenario, new Map([[x, sample(shape, 1)]]));
    const keys = shape.at(-1) as number;
    return [...rows].every((row) => data.subarray(row * keys, (row + 1) * keys).every((logit) => logit === -Infinity));
  }

  /** Products the logits may be those of: reached through what is no product, the nearest first. */
  #products(logits: ValueId): readonly OpOf<'pmatmul'>[] {
    const graph = this.#graph;
    const found: OpOf<'pmatmul'>[] = [];
    const seen = new Set([logits]);
    for (const at of seen) {
      if (seen.size > 200) break;
      const op = graph.definition(at);
      if (op === undefined || graph.dependence(at) !== 'inputs') continue;
      if (op.kind === 'pmatmul') {
        if (op.operands.every((operand) => graph.dependence(operand) === 'inputs')) found.push(op);
        continue;
      }
      if (op.kind !== 'psoftmax') for (const operand of op.operands) seen.add(operand);
    }
    return found;
  }

  #curve(scores: Region): Curve | string {
    const { text, vectors } = regionText(this.#graph, scores);
    const key = `${text} ${vectors.join()}`;
    const known = this.#curves.get(key);
    if (known !== undefined) return known;
    const curve = curveOf(this.#graph, scores, this.#scenarios);
    this.#curves.set(key, curve);
    return curve;
  }
}

/** How logits come from scores: a factor, a cap, and what is added; the same for each. */
function curveOf(graph: Graph, { x, value, sides }: Region, scenarios: readonly Scenario[]): Curve | string {
  // What comes in from the side may be a mask that hides nothing at these sizes.
  const mayAdd = sides.some((side) => scalarOf(graph, side) === undefined);
  const curves = looked(scenarios, 2, (scenario): Curve | string => {
    const shape = shapeUnder(graph.type(x).shape, scenario.sizes);
    const through = (data: Float64Array): Float64Array => evaluate(graph, value, scenario, new Map([[x, { shape, data }]])).data;
    const given = sample(shape, 7).data;
    const [none, tiny, one, huge] = [0, 1e-4, 1, 1e7].map((by) => through(given.map((each) => each * by))) as [Float64Array, Float64Array, Float64Array, Float64Array];
    if (none.length !== given.length) return 'the logits are not those of the scores, one for one';
    const open = [...given.keys()].filter((i) => (none[i] as number) > masked && (one[i] as number) > masked);
    const [at] = open;
    if (at === undefined) return { scale: NaN, softCap: 0, biased: true };
    const scale = ((tiny[at] as number) - (none[at] as number)) / (1e-4 * (given[at] as number));
    const limit = Math.abs((huge[at] as number) - (none[at] as number));
    const isCapped = limit < 1e5 * Math.abs(scale * (given[at] as number));
    const cap = isCapped ? limit : 0;
    const wanted = (z: number): number => (isCapped ? cap * Math.tanh(z / cap) : z);
    const exact = isCapped ? slopeAt(one, none, given, at, cap) : ((one[at] as number) - (none[at] as number)) / (given[at] as number);
    const agrees = open.every((i) => Math.abs((one[i] as number) - (none[i] as number) - wanted(exact * (given[i] as number))) <= 1e-6 * (1 + Math.abs(exact)) + 1e-9 * Math.abs(none[i] as number));
    if (!agrees) return 'the logits are not the scores times one factor, with something added';
    return { scale: tidy(exact), softCap: tidy(cap), biased: mayAdd || none.some((each) => each !== 0) };
  });
  const wrong = curves.find((curve) => typeof curve === 'string');
  if (wrong !== undefined) return wrong;
  const [first, ...others] = (curves as readonly Curve[]).filter(({ scale }) => !Number.isNaN(scale));
  if (first === undefined || curves.length < 2) return 'the region between scores and softmax could not be evaluated';
  const isOne = others.every(({ scale, softCap }) => Math.abs(scale - first.scale) <= 1e-9 * Math.abs(first.scale) && Math.abs(softCap - first.softCap) <= 1e-6 * first.softCap);
  return isOne ? { ...first, biased: (curves as readonly Curve[]).some(({ biased }) => biased) } : 'the factor on the scores depends on the sizes of the run';
}

/** The factor before a cap, from where the capped curve is: cap * atanh((y - bias) / cap) = scale * x. */
const slopeAt = (one: Float64Array, none: Float64Array, given: Float64Array, at: number, cap: number): number => (cap * Math.atanh(((one[at] as number) - (none[at] as number)) / cap)) / (given[at] as number);
