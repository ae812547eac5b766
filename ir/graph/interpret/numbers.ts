import { activate, exp2f, roundTo } from '../../../isa-spec/numerics.ts';
import type { Activation } from '../../../isa-spec/instructions.ts';
import type { DType } from '../../types.ts';
import { ropeRow } from '../../weight-regions.ts';

/** `real`: double precision, nothing rounded or quantised. `normative`: what the machine gives, to the bit. */
export type Arithmetic = 'real' | 'normative';

/** What the two meanings differ in, for the ops that are otherwise one formula. */
export type Numbers = {
  /** Applied after each + - * / and sqrt. */
  readonly single: (x: number) => number;
  readonly activate: (fn: Activation, x: number) => number;
  /** e to the power of x, as a softmax computes it. */
  readonly exp: (x: number) => number;
  /** Cosines, then sines, of a position. */
  readonly turn: (frequencies: readonly number[], position: number, amplitude: number) => Float64Array;
  /** Rounds to a stored format. */
  readonly roundTo: (dtype: DType) => (x: number) => number;
};

const same = (x: number): number => x;

export const numbersOf: Readonly<Record<Arithmetic, Numbers>> = {
  real: {
    single: same,
    activate: (fn, x) => realActivations[fn](x),
    exp: Math.exp,
    turn: (frequencies, position, amplitude) =>
      Float64Array.from([...frequencies.map((f) => amplitude * Math.cos(position * f)), ...frequencies.map((f) => amplitude * Math.sin(position * f))]),
    roundTo: () => same,
  },
  normative: {
    single: Math.fround,
    activate,
    exp: (x) => exp2f(Math.fround(x * Math.fround(Math.LOG2E))),
    turn: ropeRow,
    roundTo: (dtype) => {
      if (dtype !== 'f32' && dtype !== 'bf16' && dtype !== 'e4m3' && dtype !== 'i32') throw new Error(`the machine does not store ${dtype}`);
      return (x) => roundTo(dtype, x);
    },
  },
};

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const realActivations: Readonly<Record<Activation, (x: number) => number>> = {
  none: same,
  relu: (x) => Math.max(0, x),
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  tanh: Math.tanh,
  sigmoid,
};

/** The error function, to about 1e-15: its series below 2.5, the continued fraction of erfc above (Abramowitz and Stegun 7.1.6, 7.1.14). */
export function erf(x: number): number {
  const z = Math.abs(x);
  const scale = Math.exp(-z * z) / Math.sqrt(Math.PI);
  if (z >= 2.5) {
    let tail = z;
    for (let k = 60; k >= 1; k--) tail = z + k / 2 / tail;
    return Math.sign(x) * (1 - (z > 30 ? 0 : scale / tail));
  }
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return 2 * scale * sum;
}
