import { subDims } from '../../ir/dims.ts';
import { expand } from '../../ir/graph/interpret/elementwise.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { volume } from '../../ir/weight-expr.ts';
import type { Axes } from './axes.ts';
import { offsets } from './axes.ts';
import { coneOf, constantOf, evaluate, type Scenario, scenarioOf, shapeUnder, unpadded, type Wanted } from './evaluate.ts';
import { headAt } from './sinks.ts';
import type { Source } from './source.ts';

/** `slopes`: what is added to scores for each place a key is after its row, by head; undefined where nothing is. */
export type FoundMask = { readonly mask: 'full' | 'causal'; readonly window: number; readonly slopes: readonly number[] | undefined };

/** Below this a score's weight is nothing beside one of size 1: masks add anything from -10000 to -Infinity. */
const masked = -5000;

/** Which keys each row sees: allowed[sequence][row][key], rows of padding undefined; and by head how scores rise from key to key, where a row sees two. */
type Seen = { readonly allowed: readonly (readonly (readonly boolean[] | undefined)[])[]; readonly slopes: readonly (number | undefined)[] };

/** What is added to the scores of queries and keys; nothing where there is no bias. Beside a sink, scores that are all higher by one number are others. */
type Scores = { readonly q: ValueId; readonly k: ValueId; readonly bias: ValueId | undefined; readonly sunk: boolean; readonly heads: number; readonly headDim: number };

/**
 * Which mask a bias is, read off by evaluating it at a few sizes, with and without padding. A string says what stands in the way.
 */
export function findMask(source: Source, scores: Scores, lead: Axes): FoundMask | string {
  const common = maskAt(source, scores, lead, unpadded);
  if (typeof common === 'string') return common;
  // A source takes sequences that are filled up at one side, not always at either.
  const [left, right] = [paddedLeft, paddedRight].map((wanted) => maskAt(source, scores, lead, [...unpadded.slice(0, 1), ...wanted]));
  if (typeof left === 'string' && typeof right === 'string') return left;
  const window = common.window === 0 && common.mask === 'causal' ? distantWindow(source, scores, lead) : common.window;
  return { ...common, window };
}

const paddedLeft: readonly Wanted[] = [
  { batch: 2, rows: 5, past: 0, mask: [0, 0, 1, 1, 1, 1, 1, 1, 1, 1] },
  { batch: 2, rows: 2, past: 3, mask: [0, 1, 1, 1, 1, 1, 1, 1, 1, 1] },
];
const paddedRight: readonly Wanted[] = [{ batch: 2, rows: 5, past: 0, mask: [1, 1, 1, 1, 1, 1, 1, 1, 0, 0] }];

/** The one mask a bias is at all of some sizes. */
function maskAt(source: Source, scores: Scores, lead: Axes, sizes: readonly Wanted[]): FoundMask | string {
  let common: FoundMask | undefined;
  for (const wanted of sizes) {
    const scenario = scenarioOf(source, wanted);
    // So many cached rows are taken for granted.
    const [rows, keys] = [scores.q, scores.k].map((side) => source.type(side).shape.at(-2)) as [Dim, Dim];
    const least = subDims(keys, rows);
    if (typeof least === 'number' && scenario.past < least) continue;
    const seen = look(source, scores, lead, { scenario, overrides: new Map() });
    if (typeof seen === 'string') return seen;
    const rule = classify(seen, scenario);
    const slopes = seen.slopes.every((slope) => slope === 0 || slope === undefined) ? undefined : seen.slopes.map((slope) => slope ?? 0);
    const found = rule === undefined ? undefined : { ...rule, slopes };
    if (found === undefined) return 'the mask is neither causal nor full nor a sliding window';
    if (common === undefined) common = found;
    // One row sees the same under every mask, so only rows with later keys can tell.
    else if (scenario.rows > 1 && !alike(common.slopes, slopes)) return 'what is added to its scores depends on how many keys there are';
    else if (scenario.rows > 1 && common.mask !== found.mask) return `the mask is ${common.mask} at some sizes and ${found.mask} at others`;
  }
  return common ?? 'the mask cannot be read';
}

/** Sizes at which memory is as long as it can be, and filled up. */
const memories: readonly Wanted[] = [{ batch: 2, rows: 3, past: 0 }, { batch: 2, rows: 3, past: 0, memoryMask: [1, 1, 1, 0, 0, 1, 1, 1, 1, 1] }];

/** That a bias hides nothing of what sequences attend to besides their own rows, padding aside. A string says what it does instead. */
export function findMemoryMask(source: Source, { q, k, bias }: Scores, lead: Axes): FoundMask | string {
  for (const wanted of bias === undefined ? [] : memories) {
    const scenario = scenarioOf(source, wanted);
    const leadSizes = shapeUnder(source.type(q).shape, scenario.sizes).slice(0, -2);
    const [rows, keys] = [q, k].map((side) => shapeUnder(source.type(side).shape, scenario.sizes).at(-2)) as [number, number];
    if (keys !== scenario.memory) return `the scores are of ${keys} keys for ${scenario.memory} rows of memory`;
    const added = expand(evaluate(source, bias as ValueId, scenario, new Map()), [...leadSizes, rows, keys]).data;
    const sequences = sequencesOf(lead, scenario.batch);
    const wrong = added.findIndex((value, at) => {
      const hidden = scenario.memoryMask[(sequences[Math.floor(at / (rows * keys))] as number) * keys + (at % keys)] === 0;
      return hidden ? !(value <= masked) : !(Math.abs(value) <= 1e-6);
    });
    if (wrong >= 0) return `a bias of ${added[wrong]} is added to the scores`;
  }
  return { mask: 'full', window: 0, slopes: undefined };
}

/** Of each index of the leading axes: its sequence. */
const sequencesOf = (lead: Axes, batch: number): readonly number[] =>
  offsets(lead.flat().map((factor) => ({ axis: 'feature' as const, size: factor.axis === 'batch' ? batch : (factor.size as number), stride: factor.axis === 'batch' ? 1 : 0 })));

const alike = (a: readonly number[] | undefined, b: readonly number[] | undefined): boolean => (a === undefined || b === undefined ? a === b : a.every((slope, head) => Math.abs(slope - (b[head] as number)) < 1e-5));

type At = { readonly scenario: Scenario; readonly overrides: ReadonlyMap<ValueId, Tensor> };

function look(source: Source, { q, k, bias, sunk, heads, headDim }: Scores, lead: Axes, { scenario, overrides }: At): Seen | string {
  const [rows, keys] = [q, k].map((side) => shapeUnder(source.type(side).shape, scenario.sizes).at(-2)) as [number, number];
  const leadSizes = shapeUnder(source.type(q).shape, scenario.sizes).slice(0, -2);
  const all = scenario.rows + scenario.past;
  // Cached rows that are not kept are hidden.
  const hidden = all - keys;
  if (rows !== scenario.rows || hidden < 0 || hidden > scenario.past) return `the scores are [${rows}, ${keys}] for ${scenario.rows} rows after ${scenario.past}`;
  const leads = volume(leadSizes);
  const added = bias === undefined ? new Float64Array(leads * rows * keys) : expand(evaluate(source, bias, scenario, overrides), [...leadSizes, rows, keys]).data;
  const sequences = sequencesOf(lead, scenario.batch);
  const headOf = headAt({ lead, headDim }, scenario.batch);
  const slopes: (number | undefined)[] = Array.from({ length: heads });
  const allowed: (boolean[] | undefined)[][] = Array.from({ length: scenario.batch }, () => []);
  for (let at = 0; at < leads * rows; at++) {
    const sequence = sequences[Math.floor(at / rows)] as number;
    const row = at % rows;
    if (scenario.mask[sequence * all + scenario.past + row] === 0) continue;
    const shown = Array.from({ length: keys }, (_, key) => (added[at * keys + key] as number) > masked);
    const sees = [...Array.from({ length: hidden }, () => false), ...shown];
    const known = (allowed[sequence] as (boolean[] | undefined)[])[row];
    if (known !== undefined && known.some((each, key) => each !== sees[key])) return 'heads have different masks';
    (allowed[sequence] as (boolean[] | undefined)[])[row] = sees;
    const head = headOf[Math.floor(at / rows)] as number;
    const line = lineOf(added.subarray(at * keys, (at + 1) * keys), shown);
    if (line === undefined) return `what is added to its scores, ${added[at * keys + shown.lastIndexOf(true)]} for one, is no slope of the distance: the machine adds nothing else`;
    if (sunk && Math.abs(line.at(scenario.past + row - hidden)) > 1e-6) return 'its scores are all higher by a number, beside a sink that is not';
    if (line.slope !== undefined && Math.abs((slopes[head] ??= line.slope) - line.slope) > 1e-5) return 'what is added to its scores rises differently in rows of one head';
  }
  return allowed.every((of) => of.every((row) => row === undefined || row.every((each) => !each))) ? 'every key is masked' : { allowed, slopes };
}

/** The straight line the biases of the keys that are seen lie on, if there is one; its slope is not known from one key. */
function lineOf(added: Float64Array, sees: readonly boolean[]): { readonly slope: number | undefined; readonly at: (key: number) => number } | undefined {
  const [first, last] = [sees.indexOf(true), sees.lastIndexOf(true)];
  const from = added[first] ?? 0;
  const slope = last > first ? ((added[last] as number) - from) / (last - first) : undefined;
  const at = (key: number): number => from + (slope ?? 0) * (key - first);
  return sees.every((each, key) => !each || Math.abs((added[key] as number) - at(key)) <= 1e-5 * Math.max(1, Math.abs(from))) ? { slope: slope === undefined || Math.abs(slope) < 1e-7 ? slope && 0 : Math.fround(slope), at } : undefined;
}

/** What rule says the keys each row sees, those of padding aside. */
function classify({ allowed }: Pick<Seen, 'allowed'>, { past, mask, rows }: Scenario): Omit<FoundMask, 'slopes'> | undefined {
  const keys = past + rows;
  const real = allowed.flatMap((of, sequence) => of.flatMap((sees, row) => (sees === undefined ? [] : [{ row, sees: sees.map((each, key) => (mask[sequence * keys + key] === 0 ? undefined : each)) }])));
  const obeys = (rule: (position: number, key: number) => boolean): boolean => real.every(({ row, sees }) => sees.every((each, key) => each === undefined || each === rule(past + row, key)));
  if (rows > 1 && obeys(() => true)) return { mask: 'full', window: 0 };
  if (obeys((position, key) => key <= position)) return { mask: 'causal', window: 0 };
  for (let window = 1; window < keys; window++) if (obeys((position, key) => key <= position && key > position - window)) return { mask: 'causal', window };
  return undefined;
}

/**
 * A window longer than the sizes looked at is a number in the region: made small it must show, and one more of it must show as
 * one more key.
 */
function distantWindow(source: Source, scores: Scores, lead: Axes): number {
  const numbers = integersAround(source, scores);
  for (const { value, number } of numbers) {
    const [two, three] = [2, 3].map((small) => {
      const scenario = scenarioOf(source, { batch: 1, rows: 6, past: 0 });
      const { shape } = source.type(value);
      const override = { shape: shape as readonly number[], data: Float64Array.of(small) };
      const seen = look(source, scores, lead, { scenario, overrides: new Map([[value, override]]) });
      return typeof seen === 'string' ? 0 : (classify(seen, scenario)?.window ?? 0);
    }) as [number, number];
    if (two > 0 && three === two + 1) return number + two - 2;
  }
  return 0;
}

/** Whole numbers above the sizes looked at that the region, its mask included, depends on. */
function integersAround(source: Source, { bias }: Scores): readonly { readonly value: ValueId; readonly number: number }[] {
  return (bias === undefined ? [] : coneOf(source, bias, () => false)).flatMap((value) => {
    const { shape } = source.type(value);
    if (source.definition(value)?.kind !== 'pconst' || shape.some((size) => size !== 1)) return [];
    const number = constantOf(source, value)?.data[0] as number;
    return Number.isSafeInteger(number) && number > 8 ? [{ value, number }] : [];
  });
}
