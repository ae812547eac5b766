import type { GraphAttrs } from '../../ir/graph/ops.ts';
import type { ValueId } from '../../ir/types.ts';
import { offsets, type Axes } from './axes.ts';
import { coneOf, evaluate, type Scenario, scenarioOf, shapeUnder } from './evaluate.ts';
import { isAnchor, type Source } from './source.ts';
import { tidy } from '../recognise/tidy.ts';

type FoundRope = Pick<GraphAttrs['rope'], 'frequencies' | 'amplitude' | 'interleaved'>;

/** A rotation, and how many positions its table has if it has one. */
export type LimitedRope = { readonly rope: FoundRope; readonly positions: number | undefined };

/** Vectors of the last axis, by batch and row. */
type Heads = (fill: (i: number, at: number) => number) => readonly { readonly position: number; readonly x: Float64Array; readonly y: Float64Array }[];

/** Positions to look at: consecutive where the source counts them itself, else with gaps and out of order. */
const asked = [1, 0, 2, 3, 5, 4, 9, 17, 30, 1, 0, 2, 3, 5, 4, 9, 17, 30];

/**
 * Whether `value` rotates pairs of the last axis of `x` by position times frequency. The vectors (1, 0) turn to
 * (amplitude cos, amplitude sin), from which position 1 says the frequencies; then all is checked at other positions.
 */
export function findRope(source: Source, x: ValueId, value: ValueId, axes: Axes): LimitedRope | undefined {
  const positions = tableOf(source, value);
  const limit = positions ?? Infinity;
  const given = scenarioOf(source, { batch: 2, rows: 9, past: 2, positions: asked.map((position) => position % limit) });
  const counted = [{ batch: 1, rows: Math.min(31, limit), past: 0 }, { batch: 2, rows: 5, past: Math.min(7, limit - 5) }].map((wanted) => scenarioOf(source, wanted));
  for (const [first, ...others] of [[given], counted]) {
    if (first === undefined) continue;
    const read = readRope(headsOf(source, x, value, axes, first));
    const found = read === undefined || positions === undefined ? read : meant(read);
    if (found === undefined || !others.every((scenario) => turnsAll(headsOf(source, x, value, axes, scenario), found))) continue;
    const far = scenarioOf(source, { batch: 1, rows: 2, past: 0, positions: [50_000, 131_000] });
    if (first === given && positions === undefined && !turnsAll(headsOf(source, x, value, axes, far), found)) continue;
    return { rope: found, positions };
  }
  return undefined;
}

/** Rows of the table the angles come from, if they are looked up. */
function tableOf(source: Source, value: ValueId): number | undefined {
  const prepared = coneOf(source, value, (each) => source.dependence(each) === 'active' && isAnchorValue(source, each));
  const looked = prepared.flatMap((each) => {
    const op = source.definition(each);
    const isTable = (op?.kind === 'pgather' || op?.kind === 'ppick') && source.dependence(each) === 'prepared' && /^(f|bf)/.test(source.type(each).dtype);
    return isTable ? coneOf(source, op.operands[0] as ValueId, () => false) : [];
  });
  const rows = looked.flatMap((each) => (source.dependence(each) === 'constant' && source.type(each).shape.length > 1 ? (source.type(each).shape.at(-2) as number) : []));
  return rows.length === 0 ? undefined : Math.min(...rows);
}

const isAnchorValue = (source: Source, value: ValueId): boolean => {
  const op = source.definition(value);
  return op !== undefined && isAnchor(op, source.dependence);
};

function readRope(heads: Heads): FoundRope | undefined {
  const random = heads(noise);
  const rotary = 2 * Math.ceil(Math.max(0, ...random.map(({ x, y }) => 1 + x.findLastIndex((element, i) => Math.abs(element - (y[i] as number)) > 1e-9))) / 2);
  if (rotary === 0 || rotary > (random[0]?.x.length ?? 0)) return undefined;
  return [false, true].map((interleaved) => readFrequencies(heads, rotary, interleaved)).find((found) => found !== undefined && turnsAll(heads, found));
}

const noise = (i: number, at: number): number => Math.sin(i * 2.1 + at * 0.7 + 0.4);

const turnsAll = (heads: Heads, found: FoundRope): boolean => heads(noise).every((vector) => turns(vector, found, 2 * found.frequencies.length));

/** Elements of pair i. */
const pair = (i: number, rotary: number, interleaved: boolean): readonly [number, number] => (interleaved ? [2 * i, 2 * i + 1] : [i, i + rotary / 2]);

function readFrequencies(heads: Heads, rotary: number, interleaved: boolean): FoundRope | undefined {
  const isFirst = (i: number): boolean => i < rotary && (interleaved ? i % 2 === 0 : i < rotary / 2);
  const ones = heads((i) => (isFirst(i) ? 1 : 0));
  const at = (wanted: number): Float64Array | undefined => ones.find(({ position }) => position === wanted)?.y;
  const one = at(1);
  if (one === undefined) return undefined;
  const pairs = Array.from({ length: rotary / 2 }, (_, i) => pair(i, rotary, interleaved));
  const frequencies = pairs.map(([a, b]) => sharpened(Math.atan2(one[b] as number, one[a] as number), a, b, at));
  const [a, b] = pairs[0] as readonly [number, number];
  return { frequencies, amplitude: tidy(Math.hypot(one[a] as number, one[b] as number)), interleaved };
}

/** Tables hold FP32 sines, whose error in the angle shrinks with the position: the highest position known says the frequency best. */
function sharpened(frequency: number, a: number, b: number, at: (position: number) => Float64Array | undefined): number {
  let best = frequency;
  for (const position of [2, 3, 4, 5, 9, 17, 30]) {
    const y = at(position);
    if (y === undefined) continue;
    const angle = Math.atan2(y[b] as number, y[a] as number);
    const turns = Math.round((best * position - angle) / (2 * Math.PI));
    best = (angle + 2 * Math.PI * turns) / position;
  }
  return Math.abs(best - frequency) < 1e-11 ? tidy(frequency) : tidy(best);
}

/**
 * What a table of FP32 sines was made of: the powers of a base of five digits, in the FP32 steps of the published code, and an amplitude of 1,
 * where the rows looked at agree with them to the last bits. So tables of any length, and no table, say the same.
 */
function meant({ frequencies, amplitude, interleaved }: FoundRope): FoundRope {
  const nearest = (wanted: number): number => frequencies.reduce((best, each, i) => (Math.abs(each - wanted) < Math.abs((frequencies[best] as number) - wanted) ? i : best), 0);
  const count = frequencies.length;
  // The error of a frequency being much the same for all, this one says the base best.
  const i = nearest(1 / Math.E);
  const base = Number(((frequencies[i] as number) ** (-count / i)).toPrecision(5));
  const series = frequencies.map((_, at) => Math.fround(1 / Math.fround(base ** Math.fround(at / count))));
  const isSeries = series.every((each, at) => Math.abs(each - (frequencies[at] as number)) < 4e-9 + 1e-7 * each);
  return { frequencies: isSeries ? series : frequencies, amplitude: Math.abs(amplitude - 1) < 1e-7 ? 1 : amplitude, interleaved };
}

function turns({ position, x, y }: { readonly position: number; readonly x: Float64Array; readonly y: Float64Array }, { frequencies, amplitude, interleaved }: FoundRope, rotary: number): boolean {
  const wanted = Float64Array.from(x);
  frequencies.forEach((frequency, i) => {
    const [a, b] = pair(i, rotary, interleaved);
    const [cos, sin] = [amplitude * Math.cos(position * frequency), amplitude * Math.sin(position * frequency)];
    wanted[a] = (x[a] as number) * cos - (x[b] as number) * sin;
    wanted[b] = (x[b] as number) * cos + (x[a] as number) * sin;
  });
  return wanted.every((element, i) => Math.abs(element - (y[i] as number)) < 1e-5);
}

/** The region as a function of vectors along the last axis of a tensor whose other axes are batch, row and heads. */
function headsOf(source: Source, x: ValueId, value: ValueId, axes: Axes, scenario: Scenario): Heads {
  const shape = shapeUnder(source.type(x).shape, scenario.sizes);
  const width = shape.at(-1) as number;
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const indexOf = rowIndex(axes.slice(0, -1), shape.slice(0, -1), scenario);
  return (fill) => {
    const data = Float64Array.from({ length: rows * width }, (_, at) => fill(at % width, Math.floor(at / width)));
    const result = evaluate(source, value, scenario, new Map([[x, { shape, data }]])).data;
    return Array.from({ length: rows }, (_, at) => ({
      position: scenario.positions[indexOf[at] as number] as number,
      x: data.subarray(at * width, (at + 1) * width),
      y: result.subarray(at * width, (at + 1) * width),
    }));
  };
}

/** For each index of the axes, row-major, which row of the scenario it belongs to. */
export function rowIndex(axes: Axes, shape: readonly number[], scenario: Pick<Scenario, 'batch' | 'rows'>): readonly number[] {
  const factors = axes.flatMap((parts, i) =>
    parts.map((part) => ({
      axis: 'feature' as const,
      size: typeof part.size === 'number' ? part.size : part.axis === 'batch' ? scenario.batch : part.axis === 'row' ? scenario.rows : (shape[i] as number),
      stride: part.axis === 'batch' ? scenario.rows : part.axis === 'row' ? ((part.stride ?? 1) as number) : 0,
    })),
  );
  return offsets(factors);
}
