import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';
import { vectorOf } from './constants.ts';
import { constantOf, evaluate, sample, type Scenario, shapeUnder } from './evaluate.ts';
import type { Source } from './source.ts';

/** A norm; its parameters are constants of the source (their values), or numbers where no constant holds them. */
export type FoundNorm = { readonly norm: 'rms' | 'layer'; readonly epsilon: number; readonly gamma: Parameter | undefined; readonly beta: Parameter | undefined };
export type Parameter = ValueId | readonly number[];

/** Where to look for a norm: from `x` to `value`, `values` being what lies between, along an axis of `x`. */
type NormRegion = { readonly x: ValueId; readonly value: ValueId; readonly values: readonly ValueId[]; readonly axis: number };

/** A function of rows, and how the rows lie in its tensors: along an axis, `width` elements each. */
type Rows = { readonly at: (rows: readonly Float64Array[]) => readonly Float64Array[]; readonly count: number; readonly width: number };

/**
 * Whether a region is a norm along an axis, the rest being rows. Parameters are read from the function itself:
 * beta is what the zero row gives, gamma what a huge row gives, epsilon what a tiny row gives; then all is checked on others.
 */
export function findNorm(source: Source, region: NormRegion, scenario: Scenario): FoundNorm | undefined {
  const rows = rowsAlong(source, region, scenario);
  const { width } = rows;
  if (width < 2) return undefined;
  const u = Float64Array.from({ length: width }, (_, i) => (i % 2 === 0 ? 1 : -0.8) * (1 + 0.3 * Math.sin(i * 1.3)));
  const [zero, huge, tiny] = [0, 1e8, 1e-9].map((by) => (rows.at([u.map((element) => element * by)]) as [Float64Array])[0]) as [Float64Array, Float64Array, Float64Array];
  for (const norm of ['rms', 'layer'] as const) {
    const beta = zero;
    if (norm === 'rms' && beta.some((element) => element !== 0)) continue;
    const mean = norm === 'rms' ? 0 : average(u);
    const spread = average(u.map((element) => (element - mean) ** 2));
    const gamma = huge.map((element, i) => ((element - (beta[i] as number)) * Math.sqrt(spread)) / ((u[i] as number) - mean));
    const strongest = gamma.reduce((best, element, i) => (Math.abs(element) > Math.abs(gamma[best] as number) ? i : best), 0);
    const slope = ((tiny[strongest] as number) - (beta[strongest] as number)) / (1e-9 * ((u[strongest] as number) - mean));
    const epsilon = tidyEpsilon(((gamma[strongest] as number) / slope) ** 2 - 1e-18 * spread);
    if (!(epsilon >= 0) || !checks(rows, norm, epsilon, gamma, beta)) continue;
    return { norm, epsilon, gamma: parameter(source, gamma, 1, region), beta: norm === 'rms' ? undefined : parameter(source, beta, 0, region) };
  }
  return undefined;
}

const average = (row: Float64Array): number => row.reduce((sum, element) => sum + element, 0) / row.length;

/** Epsilons are written in decimal and held in FP32. */
const tidyEpsilon = (value: number): number => {
  const decimal = Number(value.toPrecision(4));
  return Math.fround(decimal) === Math.fround(value) ? decimal : Math.abs(value) < 1e-20 ? 0 : Number(value.toPrecision(9));
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

/** The constant of the region a probed parameter is; its numbers if it is none; undefined where it changes nothing. */
function parameter(source: Source, probed: Float64Array, neutral: number, { values }: NormRegion): Parameter | undefined {
  const close = (data: ArrayLike<number>): boolean => probed.every((element, i) => Math.abs(element - (data[i] as number)) <= 1e-6 * (1e-6 + Math.abs(element)));
  const operands = values.flatMap((each) => source.definition(each)?.operands ?? []);
  const constant = operands.find((operand) => isVector(source, operand, probed.length) && close((constantOf(source, operand) as Tensor).data));
  if (constant !== undefined) return constant;
  return probed.every((element) => Math.abs(element - neutral) < 1e-9) ? undefined : [...probed].map(Math.fround);
}

const isVector = (source: Source, value: ValueId, width: number): boolean => source.dependence(value) === 'constant' && source.type(value).shape.every((size, i, shape) => size === (i === shape.length - 1 ? width : 1)) && source.type(value).shape.length > 0;

/** A parameter as a weight of its own. */
export function parameterWeight(source: Source, parameter: Parameter, value: ValueId): Weight | undefined {
  if (typeof parameter === 'number') return vectorOf(source, parameter, source.type(parameter).shape.at(-1) as number);
  return { name: `constant.${value}`, dtype: 'f32', shape: [parameter.length], instances: [{ kind: 'values', shape: [parameter.length], values: parameter }] };
}

/** The region as a function of its rows along an axis; rows beyond those given are filled with others. */
function rowsAlong(source: Source, { x, value, axis }: NormRegion, scenario: Scenario): Rows {
  const concrete = shapeUnder(source.type(x).shape, scenario.sizes);
  const width = concrete[axis] as number;
  const inner = concrete.slice(axis + 1).reduce((a, b) => a * b, 1);
  const count = concrete.reduce((a, b) => a * b, 1) / width;
  const place = (row: number, i: number): number => (Math.floor(row / inner) * width + i) * inner + (row % inner);
  const at = (given: readonly Float64Array[]): readonly Float64Array[] => {
    const data = sample(concrete, 99).data;
    given.forEach((row, r) => row.forEach((element, i) => {
      data[place(r, i)] = element;
    }));
    const result = evaluate(source, value, scenario, new Map([[x, { shape: concrete, data }]]));
    return given.map((_, r) => Float64Array.from({ length: width }, (_element, i) => result.data[place(r, i)] as number));
  };
  return { at, count, width };
}
