import { equalDims, equalShapes, volumeOf } from '../../ir/dims.ts';
import { routed, type Routing as Chosen, tmoe } from '../../ir/graph/interpret/experts.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import { type BlockAttrs, moeScores } from '../../ir/graph/ops.ts';
import { isFloat, type ValueId } from '../../ir/types.ts';
import { CannotEvaluate, sample } from '../evaluate-op.ts';
import { constantOf, evaluate, looked, type Scenario, shapeUnder } from './evaluate.ts';
import type { Graph } from './graph.ts';
import { type Region, regionBetween } from './region.ts';
import { type Shrunk, shrunk } from './shrunk.ts';
import { volume } from '../../ir/weight-expr.ts';
import { scalarOf } from './activation.ts';

type Attrs = BlockAttrs['tmoe'];
type Routing = Chosen & Pick<Attrs, 'biased'>;

/** Matrices of all experts: one constant [E, a, b], or one [a, b] of each. */
export type Stack = readonly [ValueId, ...ValueId[]];
/** A matrix of every expert: whether its last two axes are swapped to be [in, out], and which of its columns. */
export type ExpertMatrix = { readonly stack: Stack; readonly swapped: boolean; readonly columns: Columns } | Even;
/** One number everywhere: experts without a gate are gated by 0 x + 1. */
export type Even = { readonly even: number; readonly shape: readonly number[] };
/** All columns, a half of them, or every other. */
export type Columns = { readonly start: number; readonly step: number; readonly count: number } | undefined;

export type FoundExperts = {
  readonly attrs: Attrs;
  readonly region: Region;
  readonly logits: ValueId;
  readonly choiceBias: ValueId | undefined;
  readonly matrices: readonly [gate: ExpertMatrix, up: ExpertMatrix, down: ExpertMatrix];
  /** [E, out] of each of them, if they have any. */
  readonly biases: readonly ExpertMatrix[];
};

const isRouting = (op: GraphOp): boolean => ['ppick', 'ptopk', 'pbinary', 'psoftmax', 'preduce', 'pcast', 'pexpand', 'punary', 'preshape', 'tactivate', 'ptranspose', 'pscatter', 'pwhere', 'pslice'].includes(op.kind);

/** Matrices of more elements are looked at in small, with other numbers. */
const readable = 1 << 16;

/** Ops of an expert written out by itself. */
const opsEach = 32;

/**
 * The mixture of experts around a choice of the best. What it chooses by and how it weighs is read off the region between logits and weights;
 * which constant is which matrix is tried, and the whole compared with the region it stands for.
 */
export function expertsAround(graph: Graph, choice: OpOf<'ptopk'>, scenarios: readonly Scenario[]): FoundExperts | undefined {
  for (const weights of weightsAfter(graph, choice.results[0] as ValueId)) {
    for (const logits of logitsBefore(graph, choice)) {
      const routing = routingOf(graph, { logits, weights, choice }, scenarios);
      if (routing === undefined) continue;
      const experts = graph.type(logits).shape.at(-1) as number;
      for (const { x, value } of ends(graph, logits, weights, 48 + opsEach * experts)) {
        const region = regionBetween(graph, x, value, 96 + opsEach * experts);
        if (region === undefined || !region.ops.includes(choice) || region.sides.some((side) => graph.dependence(side) === 'inputs')) continue;
        const found = matchExperts(graph, { region, logits, routing: routing.routing, choiceBias: routing.bias }, scenarios);
        if (found !== undefined) return found;
      }
    }
  }
  return undefined;
}

/** What may be the weights of the chosen, before they meet what the experts make: as many as there are chosen; the last first. */
function weightsAfter(graph: Graph, chosen: ValueId): readonly ValueId[] {
  const { shape } = graph.type(chosen);
  const reached = new Set([chosen]);
  for (const at of reached) for (const user of graph.users(at)) if (isRouting(user) && user.kind !== 'preshape' && reached.size < 32) reached.add(user.results[0] as ValueId);
  const fitting = [...reached].filter((value) => value !== chosen && equalShapes(graph.type(value).shape, shape) && graph.type(value).dtype.includes('f'));
  return fitting.toSorted((a, b) => graph.order(b) - graph.order(a));
}

/** What may be the logits: values before the choice, as wide as it; the farthest first. */
function logitsBefore(graph: Graph, choice: OpOf<'ptopk'>): readonly ValueId[] {
  const [scores] = choice.operands as readonly [ValueId];
  const found = new Set([scores]);
  for (const at of found) {
    const op = graph.definition(at);
    if (op !== undefined && isRouting(op) && found.size < 24) for (const operand of op.operands) if (graph.dependence(operand) === 'inputs') found.add(operand);
  }
  return [...found].filter((value) => equalDims(graph.type(value).shape.at(-1) ?? 0, graph.type(scores).shape.at(-1) ?? 0)).toSorted((a, b) => graph.order(a) - graph.order(b));
}

/** Rows to route under each scenario: two routers may choose the same of a few. */
const rowsLooked = 96;

type Choice = { readonly logits: ValueId; readonly weights: ValueId; readonly choice: OpOf<'ptopk'> };

function routingOf(graph: Graph, { logits, weights, choice }: Choice, scenarios: readonly Scenario[]): { readonly routing: Routing; readonly bias: ValueId | undefined } | undefined {
  const region = regionBetween(graph, logits, weights);
  const k = Number(choice.attrs.k);
  const { shape } = graph.type(logits);
  const experts = shape.at(-1);
  if (region === undefined || !Number.isInteger(k) || typeof experts !== 'number' || !region.ops.every(isRouting)) return undefined;
  const biases = region.sides.filter((side) => graph.dependence(side) === 'nothing' && graph.type(side).shape.at(-1) === experts && experts > 1);
  const read = looked(scenarios, 2, (scenario) => {
    const concrete = shapeUnder(shape, scenario.sizes);
    const times = Math.ceil((rowsLooked * experts) / volume(concrete));
    return Array.from({ length: times }, (_, seed) => {
      const plain = sample(concrete, 11 + seed, 2);
      // Every other row has scores near the ends of what they can be: biases count there.
      const given = { ...plain, data: plain.data.map((each, i) => (((seed + Math.floor(i / experts)) % 2 === 0 ? 1 : 3) * each)) };
      const [idx, w] = [choice.results[0] as ValueId, weights].map((value) => evaluate(graph, value, scenario, new Map([[logits, given]])).data) as [Float64Array, Float64Array];
      return { rows: Array.from({ length: given.data.length / experts }, (_row, r) => given.data.subarray(r * experts, (r + 1) * experts)), idx, w };
    });
  }).flat();
  if (read.length === 0) return undefined;
  for (const bias of [undefined, ...biases]) {
    const added = bias === undefined ? undefined : constantOf(graph, bias)?.data;
    for (const scores of moeScores) {
      for (const { normalise, ...limit } of limitsOf(region, choice, graph)) {
        const plain = { k, scores, normalise, factor: 1, ...limit };
        const [first] = routed((read[0] as (typeof read)[number]).rows[0] as Float64Array, added, plain);
        const factor = Math.fround((read[0] as (typeof read)[number]).w[0] as number / (first?.weight ?? NaN));
        // Weights of nothing but zeros are those of an expert none chose.
        const agrees = factor !== 0 && read.every(({ rows, idx, w }) => rows.every((row, r) => routed(row, added, { ...plain, factor }).every(({ expert, weight }, i) => idx[r * k + i] === expert && Math.abs((w[r * k + i] as number) - weight) <= 1e-6 * Math.abs(weight))));
        if (agrees) return { routing: { ...plain, factor: Math.abs(factor - 1) < 1e-6 ? 1 : factor, biased: bias !== undefined }, bias };
      }
    }
  }
  return undefined;
}

/** Which groups a router may choose among, as other choices on the way say: all are one, or the best are kept, judged by their best or their best two. */
function limitsOf({ ops }: Region, choice: GraphOp, graph: Graph): readonly Pick<Routing, 'normalise' | 'groups' | 'kept' | 'judged'>[] {
  const experts = graph.type(choice.operands[0] as ValueId).shape.at(-1) as number;
  const grouped = ops.flatMap((op) => {
    const groups = op.kind === 'ptopk' && op !== choice ? graph.type(op.operands[0] as ValueId).shape.at(-1) : undefined;
    if (op.kind !== 'ptopk' || typeof groups !== 'number' || groups < 2 || experts % groups !== 0 || !Number.isInteger(Number(op.attrs.k))) return [];
    return [1, 2].filter((judged) => judged <= experts / groups).map((judged) => ({ groups, kept: Number(op.attrs.k), judged }));
  });
  return [{ groups: 1, kept: 1, judged: 1 }, ...grouped].flatMap((limit) => [false, true].map((normalise) => ({ normalise, ...limit })));
}

/** Rows the router takes, by any view of them, and rows of the same features the experts' outputs are added up to. */
function ends(graph: Graph, logits: ValueId, weights: ValueId, most: number): readonly { readonly x: ValueId; readonly value: ValueId }[] {
  const before = new Set([logits]);
  for (const at of before) {
    const op = graph.definition(at);
    if (op === undefined || before.size > 8) continue;
    if (['pmatmul', 'pbinary', 'preshape', 'pcast'].includes(op.kind)) for (const operand of op.operands) if (graph.dependence(operand) === 'inputs') before.add(operand);
  }
  const after = new Set([weights]);
  for (const at of after) for (const user of graph.users(at)) if (after.size < most && user.kind !== 'tnorm') after.add(user.results[0] as ValueId);
  const starts = [...before].filter((value) => value !== logits).slice(0, 4).toSorted((a, b) => graph.order(a) - graph.order(b));
  const stops = [...after].filter((value) => ['preduce', 'pbinary', 'pwhere'].includes(graph.definition(value)?.kind ?? '')).toSorted((a, b) => graph.order(a) - graph.order(b));
  return starts.flatMap((x) => stops.filter((value) => equalDims(graph.type(value).shape.at(-1) ?? 0, graph.type(x).shape.at(-1) ?? 0)).map((value) => ({ x, value })));
}

type Question = { readonly region: Region; readonly logits: ValueId; readonly routing: Routing; readonly choiceBias: ValueId | undefined };

function matchExperts(graph: Graph, { region, logits, routing, choiceBias }: Question, scenarios: readonly Scenario[]): FoundExperts | undefined {
  const experts = graph.type(logits).shape.at(-1) as number;
  const { matrices, vectors } = stacksOf(graph, { region, logits, routing, choiceBias });
  if (matrices.length !== 2 && matrices.length !== 3) return undefined;
  const parts = [...matrices, ...vectors].flat();
  const isLarge = parts.some((part) => volume(graph.type(part).shape as readonly number[]) > readable);
  const view = isLarge ? shrunk(graph, withoutRouter(graph, region, logits), parts, [1, experts, routing.k]) : { graph, given: new Map<ValueId, Tensor>() };
  if (view === undefined) return undefined;
  const question = { region, logits, routing, choiceBias };
  const seen = isLarge ? [] : looked(scenarios, 2, (scenario) => {
    const x = sample(shapeUnder(graph.type(region.x).shape, scenario.sizes), 3);
    return answered(view, question, scenario, { x, logits: evaluate(graph, logits, scenario, new Map([[region.x, x]])) });
  });
  const bias = choiceBias === undefined ? undefined : constantOf(graph, choiceBias);
  const rowsOf = ({ data }: Tensor): readonly Float64Array[] => Array.from({ length: data.length / experts }, (_, r) => data.subarray(r * experts, (r + 1) * experts));
  const turns = inTurn(view, question, scenarios);
  if (Math.max(seen.length, turns.length) < 2 || [...seen, ...turns].some(({ x, y }) => y.length !== x.data.length)) return undefined;
  const met = new Set(turns.flatMap((turn) => rowsOf(turn.logits).flatMap((row) => routed(row, bias?.data, routing).map(({ expert }) => expert))));
  // Experts written out one by one may each be another: all have to be seen.
  if (met.size < experts && (matrices.some(({ length }) => length > 1) || region.ops.some((op) => isOfAllRows(graph, op, experts)))) return undefined;
  const functions = [...new Map(region.ops.flatMap((op) => (op.kind === 'tactivate' && (op.results[0] as ValueId) !== logits ? [[JSON.stringify(op.attrs), op.attrs] as const] : []))).values()];
  const limit = limitOf(graph, region);
  const tried = (of: Graph): readonly Trial[] => [...trials(matrices, vectors, (stack) => stackShape(of, stack, experts), of.type(region.x).shape.at(-1) as number)];
  const [whole, looks] = [tried(graph), tried(view.graph)];
  if (whole.length !== looks.length) return undefined;
  for (const [i, trial] of looks.entries()) {
    const operands = [...trial.matrices, ...trial.biases].map((matrix) => tensorOf(view, matrix));
    if (operands.includes(undefined)) return undefined;
    for (const { activation, slope } of functions) {
      for (const shift of [0, 1]) {
        const attrs: Attrs = { ...routing, activation, slope, limit, shift, expertBias: trial.biases.length > 0 };
        const agrees = ({ x, logits: z, y }: Answer): boolean => {
          const got = tmoe(attrs, [x, z, ...(bias === undefined ? [] : [bias]), ...(operands as Tensor[])]).data;
          return got.every((value, at) => Math.abs(value - (y[at] as number)) <= 1e-6 * (1e-3 + Math.abs(value)));
        };
        if (seen.every(agrees) && turns.every(agrees)) return { attrs, region, logits, choiceBias, ...(whole[i] as Trial) };
      }
    }
  }
  return undefined;
}

/** A region as a function of rows and logits: what makes those of the rows is no part of it. */
function withoutRouter(graph: Graph, region: Region, logits: ValueId): Region {
  const router = new Set(regionBetween(graph, region.x, logits)?.ops);
  const ops = region.ops.filter((op) => !router.has(op));
  const used = new Set(ops.flatMap(({ operands }) => operands));
  return { ...region, ops, sides: region.sides.filter((side) => used.has(side)) };
}

/** What a region makes of rows and their logits. */
type Answer = { readonly x: Tensor; readonly logits: Tensor; readonly y: Float64Array };

const answered = ({ graph, given }: Shrunk, { region, logits }: Question, scenario: Scenario, { x, logits: z }: Omit<Answer, 'y'>): Answer =>
  ({ x, logits: z, y: evaluate(graph, region.value, scenario, new Map([...given, [region.x, x], [logits, z]])).data });

/** Whether an op looks up matrices for all rows, which the data chooses: then only rows that choose all experts show that none is left out. */
function isOfAllRows(graph: Graph, op: GraphOp, experts: number): boolean {
  if (op.kind !== 'pgather') return false;
  const [matrices, indices] = op.operands as readonly [ValueId, ValueId];
  const count = volumeOf(graph.type(indices).shape);
  return graph.dependence(matrices) === 'nothing' && graph.dependence(indices) === 'inputs' && typeof count === 'number' && count <= experts;
}

/**
 * Answers where all experts are chosen, at two sizes: at once, if rows may be as many as that takes. A source may mean nothing where more of them are chosen than
 * were when it was exported: then as many at a time.
 */
function inTurn(view: Shrunk, question: Question, [first]: readonly Scenario[]): readonly Answer[] {
  const { graph } = view;
  const { region, logits, routing: { k } } = question;
  const { shape } = graph.type(logits);
  const experts = shape.at(-1) as number;
  const names = [...(first?.sizes.keys() ?? [])];
  const sized = (size: number): Scenario => ({ sizes: new Map(names.map((name) => [name, size])), seed: size, known: new Map() });
  const rowsOf = (scenario: Scenario): number => volume(shapeUnder(shape, scenario.sizes)) / experts;
  const fewer = region.ops.flatMap((op) => (op.kind === 'ptopk' && graph.type(op.operands[0] as ValueId).shape.length === 1 && Number(op.attrs.k) < experts ? [Number(op.attrs.k)] : []));
  const turns = (scenario: Scenario, together: number): readonly Answer[] =>
    Array.from({ length: Math.ceil(experts / together) }, (_, turn) => {
      const z = { shape: shapeUnder(shape, scenario.sizes), data: logitsInTurn(rowsOf(scenario), experts, { k, together, turn }) };
      return answered(view, question, scenario, { x: sample(shapeUnder(graph.type(region.x).shape, scenario.sizes), 23 + turn), logits: z });
    });
  return looked([2, 3, 4, 6, 8, 12, 16, 32, 64].map(sized), 2, (scenario) => {
    const places = rowsOf(scenario) * k;
    const isFixed = rowsOf(scenario) === rowsOf(sized(1));
    if (places < experts && !isFixed) throw new CannotEvaluate('too few rows to choose all experts');
    return attempted([Math.min(experts, places), ...fewer.filter((count) => k <= count && count <= places)], (together) => turns(scenario, together));
  }).flat();
}

/** Logits of rows that choose k experts each, all of some that are `together`, and no other: those after each other from a turn's first on. */
function logitsInTurn(rows: number, experts: number, { k, together, turn }: { readonly k: number; readonly together: number; readonly turn: number }): Float64Array {
  const data = sample([rows, experts], 17 + turn).data.map((each) => each - (together < experts ? 20 : 0));
  const at = (row: number, i: number): number => row * experts + ((turn * together + i) % experts);
  for (let row = 0; row < rows; row++) {
    if (together < experts) for (let i = 0; i < together; i++) data[at(row, i)] = (data[at(row, i)] as number) + 20;
    for (let i = 0; i < k; i++) data[at(row, (row * k + i) % together)] = (data[at(row, (row * k + i) % together)] as number) + 4;
  }
  return data;
}

/** What the first of some choices comes to that can be evaluated. */
function attempted<C, T>([choice, ...others]: readonly C[], look: (choice: C) => T): T {
  try {
    return look(choice as C);
  } catch (error) {
    if (!(error instanceof CannotEvaluate) || others.length === 0) throw error;
    return attempted(others, look);
  }
}

/** The bound experts' inner values are kept within; 0: none. */
function limitOf(graph: Graph, { ops }: Region): number {
  for (const op of ops) {
    const bound = op.kind === 'pbinary' && op.attrs.fn === 'min' ? scalarOf(graph, op.operands[1] as ValueId) : undefined;
    if (bound !== undefined && bound > 0) return bound;
  }
  return 0;
}

const stackShape = (graph: Graph, [first, ...others]: Stack, experts: number): readonly number[] => [...(others.length > 0 ? [experts] : []), ...(graph.type(first).shape as readonly number[])];

/** The constants of a region that may be matrices and biases of its experts, in the order of their use: those of all in one, or else of one expert after the other. */
function stacksOf(graph: Graph, { region, logits, choiceBias }: Question): { readonly matrices: readonly Stack[]; readonly vectors: readonly Stack[] } {
  const [width, experts] = [graph.type(region.x).shape.at(-1) as number, graph.type(logits).shape.at(-1) as number];
  const shapeOf = (value: ValueId): readonly number[] => graph.type(value).shape as readonly number[];
  const router = regionBetween(graph, region.x, logits)?.sides ?? [];
  const sides = new Set(region.sides);
  const constants = [...new Set(region.ops.flatMap(({ operands }) => operands))].filter((value) => sides.has(value) && graph.dependence(value) === 'nothing' && value !== choiceBias);
  const isMatrix = (value: ValueId): boolean => shapeOf(value).length === 3 && shapeOf(value)[0] === experts && shapeOf(value)[1] !== 1 && shapeOf(value).slice(1).includes(width);
  const matrices = constants.filter(isMatrix);
  if (matrices.length > 0) return { matrices: matrices.map((value) => [value]), vectors: constants.filter((value) => !isMatrix(value) && shapeOf(value)[0] === experts && shapeOf(value).length > 1).map((value) => [value]) };
  const single = constants.filter((value) => !router.includes(value));
  return {
    matrices: dealt(single.filter((value) => shapeOf(value).length === 2 && shapeOf(value)[0] !== 1 && shapeOf(value).includes(width)), experts),
    vectors: dealt(single.filter((value) => shapeOf(value).length === 1 && shapeOf(value)[0] !== 1 && isFloat(graph.type(value).dtype)), experts),
  };
}

/** As many values for each expert, one expert after the other: the first of each, the second of each, ...; none if they do not come out even. */
function dealt(values: readonly ValueId[], experts: number): readonly Stack[] {
  const each = values.length / experts;
  return Number.isInteger(each) ? Array.from({ length: each }, (_, at) => Array.from({ length: experts }, (_expert, e) => values[e * each + at] as ValueId) as unknown as Stack) : [];
}

type Trial = Pick<FoundExperts, 'matrices' | 'biases'>;

/** Which constant may be which matrix, either way round; gates and ups may share one, side by side or in turn. */
function* trials(matrices: readonly Stack[], vectors: readonly Stack[], shapeOf: (stack: Stack) => readonly number[], width: number): Generator<Trial> {
  const ways = (stack: Stack, side: 'in' | 'out'): readonly Exclude<ExpertMatrix, Even>[] => [false, true].filter((swapped) => shapeOf(stack)[(side === 'in') !== swapped ? 1 : 2] === width).map((swapped) => ({ stack, swapped, columns: undefined }));
  if (matrices.length === 2) yield* ungated(matrices, vectors, shapeOf, ways);
  const orders = matrices.length === 3 ? permutations(matrices) : matrices.length === 2 ? permutations(matrices).map(([first, last]) => [first, first, last] as Stack[]) : [];
  for (const [gateOf, upOf, downOf] of orders as readonly (readonly [Stack, Stack, Stack])[]) {
    for (const down of ways(downOf, 'out')) {
      for (const gate of ways(gateOf, 'in')) {
        for (const up of ways(upOf, 'in')) {
          if (gateOf !== upOf) {
            yield { matrices: [gate, up, down], biases: vectors.length === 3 ? vectors.map((stack) => ({ stack, swapped: false, columns: undefined })) : [] };
            continue;
          }
          if (gate.swapped !== up.swapped) continue;
          const wide = shapeOf(gateOf)[gate.swapped ? 1 : 2] as number;
          for (const [a, b] of halves(wide)) {
            const [wideBias, narrowBias] = biasesOf(vectors, shapeOf, wide, width);
            const biases = wideBias === undefined || narrowBias === undefined ? [] : [{ stack: wideBias, swapped: false, columns: a }, { stack: wideBias, swapped: false, columns: b }, { stack: narrowBias, swapped: false, columns: undefined }];
            yield { matrices: [{ ...gate, columns: a }, { ...up, columns: b }, down], biases };
          }
        }
      }
    }
  }
}

/** down(act(x first)), which is gated by a second matrix of zeros and a bias of ones. */
function* ungated(matrices: readonly Stack[], vectors: readonly Stack[], shapeOf: (stack: Stack) => readonly number[], ways: (stack: Stack, side: 'in' | 'out') => readonly Exclude<ExpertMatrix, Even>[]): Generator<Trial> {
  for (const [firstOf, downOf] of permutations(matrices) as readonly (readonly [Stack, Stack])[]) {
    for (const first of ways(firstOf, 'in')) {
      const [experts, ...sides] = shapeOf(firstOf) as readonly [number, number, number];
      const [width, inner] = first.swapped ? sides.toReversed() as [number, number] : sides;
      for (const down of ways(downOf, 'out')) {
        if (shapeOf(downOf)[down.swapped ? 2 : 1] !== inner) continue;
        const even = (number: number, ...shape: readonly number[]): Even => ({ even: number, shape: [experts, ...shape] });
        const orders: readonly (readonly ExpertMatrix[])[] = vectors.length === 2 ? permutations(vectors.map((stack) => ({ stack, swapped: false, columns: undefined }))) : [[even(0, inner), even(0, width)]];
        for (const [wide, narrow] of orders as readonly (readonly [ExpertMatrix, ExpertMatrix])[]) {
          yield { matrices: [first, even(0, width, inner), down], biases: [wide, even(1, inner), narrow] };
        }
      }
    }
  }
}

const biasesOf = (vectors: readonly Stack[], shapeOf: (stack: Stack) => readonly number[], wide: number, narrow: number): readonly [Stack | undefined, Stack | undefined] => [
  vectors.find((stack) => shapeOf(stack).at(-1) === wide), vectors.find((stack) => shapeOf(stack).at(-1) === narrow),
];

/** The columns of gates and ups in one matrix: halves, or every other, either first. */
function halves(wide: number): readonly (readonly [Columns, Columns])[] {
  const count = wide / 2;
  const beside = [{ start: 0, step: 1, count }, { start: count, step: 1, count }] as const;
  const inTurn = [{ start: 0, step: 2, count }, { start: 1, step: 2, count }] as const;
  return [beside, beside.toReversed() as unknown as typeof beside, inTurn, inTurn.toReversed() as unknown as typeof inTurn];
}

const permutations = <T>(values: readonly T[]): readonly (readonly T[])[] => (values.length <= 1 ? [values] : values.flatMap((value, i) => permutations(values.toSpliced(i, 1)).map((rest) => [value, ...rest])));

/** The numbers of a matrix as it is used: [E, in, out], or [E, out] of a bias. */
function tensorOf({ graph, given }: Shrunk, matrix: ExpertMatrix): Tensor | undefined {
  if ('even' in matrix) return { shape: matrix.shape, data: new Float64Array(volume(matrix.shape)).fill(matrix.even) };
  const { stack, swapped, columns } = matrix;
  const each = stack.map((value) => given.get(value) ?? constantOf(graph, value));
  if (each.includes(undefined)) return undefined;
  const stored = { shape: stackShape(graph, stack, stack.length), data: (each as readonly Tensor[]).flatMap(({ data }) => [...data]) };
  const experts = stored.shape[0] as number;
  const [a, b] = stored.shape.length === 3 ? (stored.shape.slice(1) as [number, number]) : [1, stored.shape.at(-1) as number];
  const [rows, wide] = swapped ? [b, a] : [a, b];
  const { start, step, count } = columns ?? { start: 0, step: 1, count: wide };
  const data = new Float64Array(experts * rows * count);
  for (let e = 0; e < experts; e++) {
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < count; c++) {
        const column = start + c * step;
        data[(e * rows + r) * count + c] = stored.data[e * a * b + (swapped ? column * b + r : r * b + column)] as number;
      }
    }
  }
  return { shape: stored.shape.length === 3 ? [experts, rows, count] : [experts, count], data };
}
