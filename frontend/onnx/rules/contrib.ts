import { divDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf, knownValue } from '../value.ts';
import { knownSize, places } from './attend.ts';
import { rotary } from './attention.ts';
import { elementwise, gelu, swish } from './elementwise.ts';
import { layerNorm, rmsNorm } from './norm.ts';
import { gemm, matmul, softmaxOf } from './products.ts';
import type { Call, Rules } from './rule.ts';
import { convolution } from './windows.ts';

/** Operators of ONNX Runtime (domain com.microsoft) with an exact meaning in primitives. Source: its docs/ContribOperators.md. */
export const contrib: Rules = {
  Gelu: (call, emit) => gelu(emit, call.input(0), false),
  FastGelu: (call, emit) => gelu(emit, biased(emit, call.input(0), call.inputs[1]), true),
  BiasGelu: (call, emit) => gelu(emit, biased(emit, call.input(0), call.inputs[1]), false),
  QuickGelu: (call, emit) => swish(emit, call.input(0), call.float('alpha', 1.702)),
  BiasAdd: (call, emit) => emit.binary('add', biased(emit, call.input(0), call.input(1)), call.input(2)),
  BiasSplitGelu: (call, emit) => {
    const sum = biased(emit, call.input(0), call.input(1));
    const half = knownSize(divDims(dimAt(sum, -1), 2));
    return emit.binary('mul', emit.slice(sum, -1, 0, half), gelu(emit, emit.slice(sum, -1, half, 2 * half), false));
  },
  BiasSoftmax: (call, emit) => softmaxOf(emit, emit.binary('add', call.input(0), call.input(1)), call.int('axis', 1), 1),
  FusedMatMul: (call, emit) => fusedMatMul(call, emit),
  TransposeMatMul: (call, emit) => fusedMatMul(call, emit),
  FusedMatMulActivation: (call, emit) => activated(call, emit, fusedMatMul(call, emit)),
  FusedGemm: (call, emit) => activated(call, emit, gemm(call, emit)),
  FusedConv: (call, emit) => {
    const sum = convolution(call, emit, { x: call.input(0), w: call.input(1), bias: call.inputs[2] });
    return activated(call, emit, biased(emit, sum, call.inputs[3]));
  },
  GemmFastGelu: (call, emit) => gelu(emit, biased(emit, matmul(emit, call.input(0), call.input(1)), call.inputs[2]), true),
  SimplifiedLayerNormalization: (call, emit) => rmsNorm(emit, call.input(0), [-1], call.float('epsilon', 1e-5), call.inputs[1]),
  SkipLayerNormalization: (call, emit) => {
    const sum = skipped(call, emit, call.inputs[4]);
    const [result, mean, deviation] = layerNorm(emit, sum, [-1], call.float('epsilon', 1e-12), { scale: call.inputs[2], bias: call.inputs[3] });
    return [result, mean, wanted(call, 2) ? emit.unary('reciprocal', deviation) : deviation, sum];
  },
  SkipSimplifiedLayerNormalization: (call, emit) => {
    const sum = skipped(call, emit, call.inputs[3]);
    const epsilon = call.float('epsilon', 1e-12);
    const result = rmsNorm(emit, sum, [-1], epsilon, call.inputs[2]);
    if (!wanted(call, 1) && !wanted(call, 2)) return [result, sum, sum, sum];
    // Statistics some exporters name, though nobody reads them.
    const power = emit.reduce('mean', emit.binary('mul', sum, sum), [-1], true);
    const inverse = emit.unary('reciprocal', emit.unary('sqrt', emit.binary('add', power, emit.scalar(power, epsilon))));
    return [result, emit.reduce('mean', sum, [-1], true), inverse, sum];
  },
  EmbedLayerNormalization: (call, emit) => embedding(call, emit),
  GroupNorm: (call, emit) => groupNorm(call, emit, call.input(0)),
  SkipGroupNorm: (call, emit) => {
    const [x, skip] = [call.input(0), call.input(3)];
    const pixels = skip.shape.length === 2 ? emit.reshape(skip, channelShape(call, [dimAt(skip, 0)], dimAt(skip, 1))) : skip;
    const bias = call.inputs[4];
    const sum = biased(emit, emit.binary('add', x, pixels), bias && emit.reshape(bias, channelShape(call, [1], dimAt(bias, 0))));
    return [groupNorm(call, emit, sum), sum];
  },
  RotaryEmbedding: (call, emit) => {
    if (call.float('scale', 1) !== 1 || call.int('is_packed_batching', 0) === 1) throw new CannotImport('E3001', 'rotary embeddings that are scaled, or of packed sequences, are not defined');
    const [x, given] = [call.input(0), call.input(1)];
    const rows = dimAt(x, -2);
    // A single number is the place of the first row.
    const positions = given.shape.length > 1 ? given : emit.reshape(places(emit, emit.cast(given, 'i64'), x.shape.length === 3 ? dimAt(x, 1) : rows, 1), [1, x.shape.length === 3 ? dimAt(x, 1) : rows]);
    return rotary(call, emit, x, { positions, cos: call.input(2), sin: call.input(3) });
  },
};

const biased = (emit: Emitter, x: Value, bias: Value | undefined): Value => (bias === undefined ? x : emit.binary('add', x, bias));
const skipped = (call: Call, emit: Emitter, bias: Value | undefined): Value => biased(emit, emit.binary('add', call.input(0), call.input(1)), bias);
const wanted = (call: Call, output: number): boolean => (call.outputs[output] ?? '') !== '';

function fusedMatMul(call: Call, emit: Emitter): Value {
  const turned = (x: Value, side: 'A' | 'B'): Value => {
    const axes = [...x.shape.keys()];
    const batched = call.int(`transBatch${side}`, 0) === 0 ? axes : [...axes.slice(1, -1), 0, axes.length - 1];
    return emit.transpose(x, call.int(`trans${side}`, 0) === 0 || axes.length < 2 ? batched : [...batched.slice(0, -2), batched.at(-1) as number, batched.at(-2) as number]);
  };
  const product = matmul(emit, turned(call.input(0), 'A'), turned(call.input(1), 'B'));
  return call.float('alpha', 1) === 1 ? product : emit.binary('mul', product, emit.scalar(product, call.float('alpha')));
}

const activations: ReadonlySet<string> = new Set(['Relu', 'LeakyRelu', 'Tanh', 'Sigmoid', 'HardSigmoid', 'Elu', 'Softplus', 'Softsign', 'ThresholdedRelu', 'Gelu']);

/** The activation a fused operator names, its attributes called `activation_...`. */
function activated(call: Call, emit: Emitter, x: Value): Value {
  const name = call.string('activation', '');
  if (name === '') return x;
  const rule = activations.has(name) ? elementwise[name] : undefined;
  if (rule === undefined) throw new CannotImport('E3001', `activation \`${name}\` is not computed`);
  return rule(call.inner(name, [x], 'activation_'), emit) as Value;
}

/** Words, positions and segments looked up and normalised; how many words of each sequence count; and the sum before it is normalised. */
function embedding(call: Call, emit: Emitter): readonly Value[] {
  const [ids, segments, words, table, segmentTable] = [call.input(0), call.inputs[1], call.input(2), call.input(3), call.inputs[4]];
  const [batch, rows] = dimsOf(ids, 2);
  const positions = call.inputs[8] ?? emit.iota('i64', 0, 1, rows);
  const placed = emit.binary('add', emit.gather(words, ids, 0), emit.gather(table, positions, 0));
  const sum = segments === undefined || segmentTable === undefined ? placed : emit.binary('add', placed, emit.gather(segmentTable, segments, 0));
  const [result] = layerNorm(emit, sum, [-1], call.float('epsilon', 1e-12), { scale: call.input(5), bias: call.input(6) });
  const mask = call.inputs[7];
  const lengths = mask === undefined ? emit.expand(knownValue('i32', [], [0]), [batch]) : emit.reduce('sum', emit.cast(emit.binary('equal', mask, emit.scalar(mask, 1)), 'i32'), [1], false);
  return [result, lengths, sum];
}

const isLast = (call: Call): boolean => call.int('channels_last', 1) === 1;
/** Values of each channel as they lie in an image. */
const channelShape = (call: Call, batch: readonly Dim[], channels: Dim): readonly Dim[] => (isLast(call) ? [...batch, 1, 1, channels] : [...batch, channels, 1, 1]);

/** Normalises groups of channels over an image. */
function groupNorm(call: Call, emit: Emitter, x: Value): Value {
  const groups = call.int('groups');
  const [batch, channels, rest] = [dimAt(x, 0), dimAt(x, isLast(call) ? -1 : 1), x.shape.slice(1)];
  const own = divDims(channels, groups);
  if (own === undefined) throw new CannotImport('E1003', `${channels} channels are not ${groups} groups`);
  const [shape, axes] = isLast(call) ? [[batch, ...rest.slice(0, -1), groups, own], [1, 2, 4]] : [[batch, groups, own, ...rest.slice(1)], [2, 3, 4]];
  const normal = emit.reshape(layerNorm(emit, emit.reshape(x, shape), axes, call.float('epsilon', 1e-5), { scale: undefined, bias: undefined })[0], x.shape);
  const [scale, bias] = [1, 2].map((i) => emit.reshape(call.input(i), channelShape(call, [1], channels))) as [Value, Value];
  const scaled = emit.binary('add', emit.binary('mul', normal, scale), bias);
  return call.int('activation') === 1 ? swish(emit, scaled, 1) : scaled;
}
