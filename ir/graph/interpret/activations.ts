import type { BlockAttrs } from '../ops.ts';
import { unary } from './elementwise.ts';

const { erf, sigmoid, softplus } = unary;

/** The activations in real numbers. */
export const blockActivation: Readonly<Record<BlockAttrs['tactivate']['activation'], (x: number) => number>> = {
  relu: unary.relu,
  silu: (x) => x * sigmoid(x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  tanh: Math.tanh,
  sigmoid,
  relu2: (x) => Math.max(0, x) ** 2,
  softplus,
  mish: (x) => x * Math.tanh(softplus(x)),
  hardswish: (x) => (x * Math.min(6, Math.max(0, x + 3))) / 6,
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
};
