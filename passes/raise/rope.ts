import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphAttrs } from '../../ir/graph/ops.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { offsets, type Axes } from './axes.ts';
import { coneOf, evaluate, type Scenario, scenarioOf, shapeUnder, type Wanted } from './evaluate.ts';
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
  const table = tableOf(source, value);
  const positions = table?.positions;
  const within = Math.max(1e-5, 4 * (table?.error ?? 0));
  const limit = positions ?? Infinity;
  const given = scenarioOf(source, { batch: 2, rows: 9, past: 2, positions: asked.map((position) => position % limit) });
  const counted = [{ batch: 1, rows: Math.min(31, limit), past: 0 }, { batch: 2, rows: 5, past: Math.min(7, limit - 5) }].map((wanted) => scenarioOf(source, wanted));
  for (const [first, ...others] of [[given], counted]) {
    if (first === undefined) continue;
    const read = readRope(headsOf(source, x, value, axes, first), within);
    const found = read === undefined || table === undefined ? read : meant(read, table.error);
    if (found === undefined || !others.every((scenario) => turnsAll(headsOf(source, x, value, axes, scenario), found, within))) continue;
    const far = first === given ? { batch: 1, rows: 2, past: 0, positions: table === undefined ? [50_000, 131_000] : [limit >> 1, limit - 1] } : lastOf(source, positions ?? 1);
    // Tables hold FP32 products of positions and frequencies.
    const farWithin = within + (positions ?? 0) * 2 ** -23;
    if (!turnsAll(headsOf(source, x, value, axes, scenarioOf(source, far)), found, farWithin)) continue;
    return { rope: found, positions };
  }
  return undefined;
}

/** A step whose last row is the last of a table, where rows count from the past; without one, as many rows as there is time for. */
function lastOf({ axes }: Source, positions: number): Wanted {
  if (axes.past === undefined) return { batch: 1, rows: Math.min(positions, 1024), past: 0 };
  return { batch: 1, rows: 1, past: Math.max(0, positions - (typeof axes.row === 'number' ? axes.row : 1)) };
}

/** The rows of the table the angles come from, if they are looked up, and how far its numbers are from what they say. */
function tableOf(source: Source, value: ValueId): { readonly positions: number; readonly error: number } | undefined {
  const prepared = coneOf(source, value, (each) => source.dependence(each) === 'active' && isAnchorValue(source, each));
  const tables = prepared.flatMap((each): readonly { readonly positions: number; readonly dtype: TensorType['dtype'] }[] => {
    const op = source.definition(each);
    const { dtype } = source.type(each);
    if (source.dependence(each) !== 'prepared' || !/^(f|bf)/.test(dtype)) return [];
    // The first rows, or those from a past on.
    if (op?.kind === 'pslice' && source.dependence(op.operands[0] as ValueId) === 'constant') {
      const { shape } = source.type(op.operands[0] as ValueId);
      return [{ positions: (shape[axisOf(op.attrs.axis, shape.length)] as number) - (Number(op.attrs.start) || 0), dtype }];
    }
    // What a constant index picks is elements of rows.
    if ((op?.kind !== 'pgather' && op?.kind !== 'ppick') || source.dependence(op.operands[1] as ValueId) === 'constant') return [];
    const from = coneOf(source, op.operands[0] as ValueId, () => false).filter((table) => source.dependence(table) === 'constant').map(source.type);
    return from.filter(({ shape }) => shape.length > 1).map((table) => ({ positions: table.shape.at(-2) as number, dtype: table.dtype }));
  });
  if (tables.length === 0) return undefined;
  return { positions: Math.min(...tables.map(({ positions }) => positions)), error: Math.max(...tables.map(({ dtype }) => (dtype === 'f16' ? 2 ** -11 : 2 ** -24))) };
}

const isAnchorValue = (source: Source, value: ValueId): boolean => {
  const op = source.definition(value);
  return op !== undefined && isAnchor(op, source.dependence);
};

function readRope(heads: Heads, within: number): FoundRope | undefined {
  const random = heads(noise);
  const rotary = 2 * Math.ceil(Math.max(0, ...random.map(({ x, y }) => 1 + x.findLastIndex((element, i) => Math.abs(element - (y[i] as number)) > 1e-9))) / 2);
  if (rotary === 0 || rotary > (random[0]?.x.length ?? 0)) return undefined;
  return [false, true].map((interleaved) => readFrequencies(heads, rotary, interleaved)).find((found) => found !== undefined && turnsAll(heads, found, within));
}

const noise = (i: number, at: number): number => Math.sin(i * 2.1 + at * 0.7 + 0.4);

const turnsAll = (heads: Heads, found: FoundRope, within: number): boolean => heads(noise).every((vector) => turns(vector, found, within));

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
 * What a table of rounded sines was made of: the powers of the roundest base, in the FP32 steps of the published code, and an amplitude of 1,
 * where the rows looked at agree with them to the last bits. So tables of any length, and no table, say the same. Halves say too little alone.
 */
function meant({ frequencies, amplitude, interleaved }: FoundRope, error: number): FoundRope | undefined {
  const nearest = (wanted: number): number => frequencies.reduce((best, each, i) => (Math.abs(each - wanted) < Math.abs((frequencies[best] as number) - wanted) ? i : best), 0);
  const count = frequencies.length;
  // The error of a frequency being much the same for all, this one says the base best.
  const i = nearest(1 / Math.E);
  const base = (frequencies[i] as number) ** (-count / i);
  const series = [1, 2, 3, 4, 5]
    .map((digits) => powers(Number(base.toPrecision(digits)), count))
    .find((powers) => powers.every((each, at) => Math.abs(each - (frequencies[at] as number)) < error / 15 + 1e-7 * each));
  if (series === undefined && error > 1e-6) return undefined;
  return { frequencies: series ?? frequencies, amplitude: Math.abs(amplitude - 1) < 2 * error ? 1 : amplitude, interleaved };
}

const powers = (base: number, count: number): readonly number[] => Array.from({ length: count }, (_, at) => Math.fround(1 / Math.fround(base ** Math.fround(at / count))));

function turns({ position, x, y }: { readonly position: number; readonly x: Float64Array; readonly y: Float64Array }, { frequencies, amplitude, interleaved }: FoundRope, within: number): boolean {
  const rotary = 2 * frequencies.length;
  const wanted = Float64Array.from(x);
  frequencies.forEach((frequency, i) => {
    const [a, b] = pair(i, rotary, interleaved);
    const [cos, sin] = [amplitude * Math.cos(position * frequency), amplitude * Math.sin(position * frequency)];
    wanted[a] = (x[a] as number) * cos - (x[b] as number) * sin;
    wanted[b] = (x[b] as number) * cos + (x[a] as number) * sin;
  });
  return wanted.every((element, i) => Math.abs(element - (y[i] as number)) < within);
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
