import { volumeOf } from '../../../ir/dims.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, isStatic } from '../value.ts';
import { gelu, swish } from './elementwise.ts';
import { unpackedNumbers } from './packed.ts';
import type { Call, Rules } from './rule.ts';

/** Mixtures of experts of ONNX Runtime. Source: its docs/ContribOperators.md. */
export const mixtures: Rules = {
  MoE: (call, emit) => mixture(call, emit, [layer(call.input(2), call.inputs[3]), layer(call.input(4), call.inputs[5]), call.inputs[6] && layer(call.inputs[6], call.inputs[7])], undefined),
  QMoE: (call, emit) => {
    if (call.string('quant_type', 'int') !== 'int') throw new CannotImport('E3001', `weights of type \`${call.string('quant_type')}\` are not read`);
    if (call.int('weights_prepacked', -1) === 1) throw new CannotImport('E3001', 'weights in the order of another machine (`weights_prepacked`) are not read');
    const quantised = (i: number): Layer => layer(expertWeights(call, emit, { codes: call.input(i), scale: call.input(i + 1), zeroPoint: call.inputs[11 + (i - 2) / 3] }), call.inputs[i + 2]);
    return mixture(call, emit, [quantised(2), quantised(5), call.inputs[8] && quantised(8)], call.inputs[14]);
  },
};

/** Weights [experts, outputs, inputs], and what is added [experts, outputs]. */
type Layer = { readonly weights: Value; readonly bias: Value | undefined };
const layer = (weights: Value, bias: Value | undefined): Layer => ({ weights, bias });

type Codes = { readonly codes: Value; readonly scale: Value; readonly zeroPoint: Value | undefined };

/** Codes [experts, outputs, bytes], a scale for each output or each block of inputs. */
function expertWeights(call: Call, emit: Emitter, { codes, scale, zeroPoint }: Codes): Value {
  const bits = call.int('expert_weight_bits', 4);
  if (!isStatic(codes.shape) || codes.shape.length !== 3) throw new CannotImport('E1003', `experts of [${codes.shape.join(', ')}] bytes are not [experts, outputs, bytes]`);
  const [experts, outputs, bytes] = codes.shape as readonly [number, number, number];
  const inputs = (bytes * 8) / bits;
  const size = call.int('block_size', 0);
  return unpackedNumbers(emit, { codes, scale, zeroPoint }, { shape: [experts, outputs, inputs], axis: 2, block: size === 0 ? inputs : size, bits });
}

/** Every expert's answer for every token, times how much of it the token takes: nothing but for its k experts. */
function mixture(call: Call, emit: Emitter, [first, second, gate]: readonly [Layer, Layer, Layer | undefined], mixing: Value | undefined): Value {
  if (call.int('use_sparse_mixer', 0) === 1) throw new CannotImport('E3001', 'the sparse mixer is not computed');
  const x = call.input(0);
  const width = dimAt(x, -1);
  const tokens = volumeOf(x.shape.slice(0, -1));
  const rows = emit.reshape(x, [1, tokens, width]);
  const hidden = activated(call, emit, applied(emit, rows, first), gate && applied(emit, rows, gate));
  const answers = applied(emit, hidden, second);
  const shares = emit.transpose(routed(call, emit, mixing), [1, 0]);
  const weighted = emit.binary('mul', answers, emit.reshape(shares, [...shares.shape, 1]));
  return emit.reshape(emit.reduce('sum', weighted, [0], false), x.shape);
}

function applied(emit: Emitter, rows: Value, { weights, bias }: Layer): Value {
  const product = emit.matmul(rows, emit.transpose(weights, [0, 2, 1]));
  return bias === undefined ? product : emit.binary('add', product, emit.reshape(bias, [dimAt(bias, 0), 1, dimAt(bias, 1)]));
}

/** [tokens, experts]: the shares of the k experts with the highest scores, 0 for the others. */
function routed(call: Call, emit: Emitter, mixing: Value | undefined): Value {
  const scores = call.input(1);
  const shares = mixing ?? emit.softmax(scores, 1);
  const chosen = emit.topk(scores, { axis: 1, k: call.int('k', 1), largest: true });
  const own = emit.pick(shares, chosen, 1);
  const total = emit.reduce('sum', own, [1], true);
  const weights = call.int('normalize_routing_weights', 0) === 1 ? emit.binary('div', own, total) : own;
  return emit.scatter(emit.expand(emit.scalar(shares, 0), shares.shape), chosen, weights, { axis: 1, reduction: 'none' });
}

function activated(call: Call, emit: Emitter, x: Value, gate: Value | undefined): Value {
  const kind = call.string('activation_type', 'relu');
  if (kind === 'swiglu') return swiGlu(call, emit, x, gate);
  const one = { relu: () => emit.unary('relu', x), gelu: () => gelu(emit, x, true), silu: () => swish(emit, x, 1), identity: () => x }[kind];
  if (one === undefined) throw new CannotImport('E3001', `activation \`${kind}\` is not computed`);
  return gate === undefined ? one() : emit.binary('mul', one(), gate);
}

/** min(g, limit) sigmoid(alpha min(g, limit)) (clamp(l, -limit, limit) + beta) */
function swiGlu(call: Call, emit: Emitter, x: Value, gate: Value | undefined): Value {
  const [g, l] = gate === undefined ? halves(call, emit, x) : [x, gate];
  const limit = call.has('swiglu_limit') ? call.float('swiglu_limit') : Infinity;
  const bounded = (each: Value): Value => (limit === Infinity ? each : emit.binary('min', each, emit.scalar(each, limit)));
  const linear = limit === Infinity ? l : emit.binary('max', bounded(l), emit.scalar(l, -limit));
  const beta = call.float('activation_beta', 0);
  const moved = beta === 0 ? linear : emit.binary('add', linear, emit.scalar(linear, beta));
  return emit.binary('mul', swish(emit, bounded(g), call.float('activation_alpha', 1)), moved);
}

/** The two inputs of a gated activation from one: taking turns, or one after the other. */
function halves(call: Call, emit: Emitter, x: Value): readonly [Value, Value] {
  const width = x.shape[2];
  const fusion = call.int('swiglu_fusion', 0);
  if (typeof width !== 'number' || width % 2 !== 0 || fusion === 0) throw new CannotImport('E1003', `${width} features are not two halves of a gated activation`);
  if (fusion === 2) return [emit.slice(x, 2, 0, width / 2), emit.slice(x, 2, width / 2, width)];
  return [emit.slice(x, 2, 0, width, 2), emit.slice(x, 2, 1, width, 2)];
}
