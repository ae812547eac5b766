import type { Emitter } from '../emit.ts';
import type { Value } from '../value.ts';
import { rotary } from './attention.ts';
import { gelu, swish } from './elementwise.ts';
import { layerNorm, rmsNorm } from './norm.ts';
import { matmul } from './products.ts';
import type { Call, Rules } from './rule.ts';

/** Operators of ONNX Runtime (domain com.microsoft) with an exact meaning in primitives. Source: its docs/ContribOperators.md. */
export const contrib: Rules = {
  Gelu: (call, emit) => gelu(emit, call.input(0), false),
  FastGelu: (call, emit) => gelu(emit, biased(emit, call.input(0), call.inputs[1]), true),
  BiasGelu: (call, emit) => gelu(emit, biased(emit, call.input(0), call.inputs[1]), false),
  QuickGelu: (call, emit) => swish(emit, call.input(0), call.float('alpha', 1.702)),
  FusedMatMul: (call, emit) => {
    const turned = (x: Value, name: string): Value => {
      const last = x.shape.length - 1;
      return call.int(name, 0) === 0 ? x : emit.transpose(x, [...x.shape.keys()].slice(0, -2).concat(last, last - 1));
    };
    const product = matmul(emit, turned(call.input(0), 'transA'), turned(call.input(1), 'transB'));
    return call.float('alpha', 1) === 1 ? product : emit.binary('mul', product, emit.scalar(product, call.float('alpha')));
  },
  SimplifiedLayerNormalization: (call, emit) => rmsNorm(emit, call.input(0), [-1], call.float('epsilon', 1e-5), call.inputs[1]),
  SkipLayerNormalization: (call, emit) => {
    const sum = skipped(call, emit, call.inputs[4]);
    const [result, mean, deviation] = layerNorm(emit, sum, [-1], call.float('epsilon', 1e-12), { scale: call.inputs[2], bias: call.inputs[3] });
    return [result, mean, deviation, sum];
  },
  SkipSimplifiedLayerNormalization: (call, emit) => {
    const sum = skipped(call, emit, call.inputs[3]);
    return [rmsNorm(emit, sum, [-1], call.float('epsilon', 1e-12), call.inputs[2]), sum, sum, sum];
  },
  RotaryEmbedding: (call, emit) => rotary(call, emit, call.input(0), { positions: call.input(1), cos: call.input(2), sin: call.input(3) }),
};

const biased = (emit: Emitter, x: Value, bias: Value | undefined): Value => (bias === undefined ? x : emit.binary('add', x, bias));
const skipped = (call: Call, emit: Emitter, bias: Value | undefined): Value => biased(emit, emit.binary('add', call.input(0), call.input(1)), bias);
