import { type Activation, activations } from '../../isa-spec/instructions.ts';
import { unary } from '../../ir/graph/interpret/elementwise.ts';
import type { ValueId } from '../../ir/types.ts';
import { tidy } from './constants.ts';
import { evaluate, scenarioOf, shapeUnder } from './evaluate.ts';
import type { Source } from './source.ts';

const cubic = 0.044715;
const { erf, sigmoid, tanh, relu } = unary;

/** The activations in real numbers. */
const meanings: { readonly [A in Exclude<Activation, 'none'>]: (x: number) => number } = {
  relu,
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + tanh(Math.sqrt(2 / Math.PI) * (x + cubic * x ** 3))),
  tanh,
  sigmoid,
};

/** Constants of a source are FP32, so its function is the library's up to about 1e-7; the nearest two of the library differ by 4e-4. */
const tolerance = 2e-5;

/** act(slope * x) / slope; `nearest` and its distance where it is no activation. */
export type FoundActivation = { readonly found: Activation | undefined; readonly slope: number; readonly nearest: Activation; readonly distance: number };

/** Elements to look at, at least. */
const wanted = 500;

/** The activation `value` is of `x`, element by element. */
export function findActivation(source: Source, x: ValueId, value: ValueId): FoundActivation {
  const width = source.type(x).shape.at(-1);
  const rows = Math.ceil(wanted / (typeof width === 'number' ? width : 1));
  const scenario = scenarioOf(source, { batch: 1, rows, past: 1 });
  const shape = shapeUnder(source.type(x).shape, scenario.sizes);
  const length = shape.reduce((a, b) => a * b, 1);
  const data = Float64Array.from({ length }, (_, i) => -9 + (18 * ((i * 0.6180339887498949 + 0.013) % 1)));
  const given = { shape, data };
  const y = evaluate(source, value, scenario, new Map([[x, given]])).data;
  const farthest = (meaning: (element: number) => number): number => data.reduce((most, element, i) => Math.max(most, Math.abs((y[i] as number) - meaning(element))), 0);
  const distances = activations.flatMap((activation) => {
    if (activation === 'none') return [];
    const distance = farthest(meanings[activation]);
    return [{ activation, distance: Number.isNaN(distance) ? Infinity : distance }];
  });
  const [best] = distances.toSorted((a, b) => a.distance - b.distance) as [(typeof distances)[number]];
  const nearest = { nearest: best.activation, distance: best.distance };
  if (best.distance < tolerance) return { found: best.activation, slope: 1, ...nearest };
  const slope = slopeOf(data, y);
  const steeper = (element: number): number => meanings.silu(slope * element) / slope;
  return { found: slope > 0 && farthest(steeper) < tolerance ? 'silu' : undefined, slope, ...nearest };
}

/** The slope a of x * sigmoid(a * x): the logit of y/x, where that is neither near 0 nor near 1. */
function slopeOf(data: Float64Array, y: Float64Array): number {
  const at = data.findIndex((element) => element > 0.4 && element < 1.6);
  const gate = (y[at] as number) / (data[at] as number);
  return tidy(Math.log(gate / (1 - gate)) / (data[at] as number));
}
