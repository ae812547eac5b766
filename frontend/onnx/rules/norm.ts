import { divDims, equalShapes, volumeOf } from '../../../ir/dims.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt } from '../value.ts';
import type { Call, Rules } from './rule.ts';

type Affine = { readonly scale: Value | undefined; readonly bias: Value | undefined };

/** Attributes are of single precision, the one that is not written too. */
const usualEpsilon = Math.fround(1e-5);

/** Axes from `axis` to the last. */
function axesFrom(emit: Emitter, x: Value, axis: number): readonly number[] {
  const first = emit.axis(axis, x);
  return x.shape.map((_, at) => at).slice(first);
}

/** A value of each channel, the second axis of x. */
const ofChannels = (emit: Emitter, x: Value, values: Value): Value => emit.reshape(values, [dimAt(values, 0), ...x.shape.slice(2).map(() => 1)]);

/** x / sqrt(mean(x^2) + epsilon) * scale over the last axes. */
export function rmsNorm(emit: Emitter, x: Value, axes: readonly number[], epsilon: number, scale: Value | undefined): Value {
  const power = emit.reduce('mean', emit.binary('mul', x, x), axes, true);
  const normal = emit.binary('div', x, emit.unary('sqrt', emit.binary('add', power, emit.scalar(x, epsilon))));
  return scale === undefined ? normal : emit.binary('mul', normal, scale);
}

/** (x - mean) / sqrt(variance + epsilon) * scale + bias; with the mean and the inverse deviation. */
export function layerNorm(emit: Emitter, x: Value, axes: readonly number[], epsilon: number, { scale, bias }: Affine): readonly [Value, Value, Value] {
  const mean = emit.reduce('mean', x, axes, true);
  const apart = emit.binary('sub', x, mean);
  const variance = emit.reduce('mean', emit.binary('mul', apart, apart), axes, true);
  const deviation = emit.unary('sqrt', emit.binary('add', variance, emit.scalar(x, epsilon)));
  const normal = emit.binary('div', apart, deviation);
  const scaled = scale === undefined ? normal : emit.binary('mul', normal, scale);
  return [bias === undefined ? scaled : emit.binary('add', scaled, bias), mean, deviation];
}

function layerNormal(call: Call, emit: Emitter): readonly Value[] {
  const x = call.input(0);
  const axes = axesFrom(emit, x, call.int('axis', -1));
  const [scale, bias] = [call.inputs[1], call.inputs[2]];
  // All of it is one row of its function body: where that is kept whole, nothing says which axes it is of.
  const isFlat = axes.length === x.shape.length && axes.length > 1 && [scale, bias].every((each) => each === undefined || equalShapes(each.shape, x.shape));
  const row = (value: Value | undefined): Value | undefined => (value === undefined || !isFlat ? value : emit.reshape(value, [1, volumeOf(x.shape)]));
  const [result, mean, deviation] = layerNorm(emit, row(x) as Value, isFlat ? [1] : axes, call.float('epsilon', usualEpsilon), { scale: row(scale), bias: row(bias) });
  const ones = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const moments = (call.outputs.length > 2 ? [mean, emit.unary('reciprocal', deviation)] : [mean]).map((each) => emit.reshape(each, ones));
  return [emit.reshape(result, x.shape), ...moments];
}

const rmsNormal = (call: Call, emit: Emitter): Value => rmsNorm(emit, call.input(0), axesFrom(emit, call.input(0), call.int('axis', -1)), call.float('epsilon', usualEpsilon), call.inputs[1]);

export const norms: Rules = {
  LayerNormalization: layerNormal,
  RMSNormalization: rmsNormal,
  // ONNX Runtime's name, which its model builder writes into the default domain.
  SimplifiedLayerNormalization: rmsNormal,
  BatchNormalization: (call, emit) => {
    if (call.int('training_mode', 0) === 1 || (call.opset < 7 && call.int('is_test', 0) === 0)) throw new CannotImport('E3001', 'the statistics of a batch are computed in training');
    const x = call.input(0);
    const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => ofChannels(emit, x, call.input(i))) as [Value, Value, Value, Value];
    const deviation = emit.unary('sqrt', emit.binary('add', variance, emit.scalar(x, call.float('epsilon', usualEpsilon))));
    return emit.binary('add', emit.binary('mul', emit.binary('div', emit.binary('sub', x, mean), deviation), scale), bias);
  },
  InstanceNormalization: (call, emit) => {
    const x = call.input(0);
    const [scale, bias] = [1, 2].map((i) => ofChannels(emit, x, call.input(i))) as [Value, Value];
    return layerNorm(emit, x, axesFrom(emit, x, 2), call.float('epsilon', usualEpsilon), { scale, bias })[0];
  },
  GroupNormalization: (call, emit) => {
    const x = call.input(0);
    const [batch, channels] = [dimAt(x, 0), dimAt(x, 1)];
    const groups = call.int('num_groups');
    const own = divDims(channels, groups);
    if (own === undefined) throw new CannotImport('E1003', `${channels} channels are not ${groups} groups`);
    const grouped = emit.reshape(x, [batch, groups, volumeOf([own, ...x.shape.slice(2)])]);
    const each = (value: Value): Value => emit.reshape(value, [groups, 1]);
    // Before opset 21 scale and bias were of groups, not of channels.
    const affine = call.opset < 21 ? { scale: each(call.input(1)), bias: each(call.input(2)) } : { scale: undefined, bias: undefined };
    const normal = emit.reshape(layerNorm(emit, grouped, axesFrom(emit, grouped, 2), call.float('epsilon', usualEpsilon), affine)[0], x.shape);
    if (call.opset < 21) return normal;
    return emit.binary('add', emit.binary('mul', normal, ofChannels(emit, x, call.input(1))), ofChannels(emit, x, call.input(2)));
  },
  /** (x - mean) / (sqrt(mean(x^2) - mean^2) + 1e-9), as its function body has it. */
  MeanVarianceNormalization: (call, emit) => {
    const x = call.input(0);
    const axes = call.ints('axes') ?? [0, 2, 3];
    const mean = emit.reduce('mean', x, axes, true);
    const variance = emit.binary('sub', emit.reduce('mean', emit.binary('mul', x, x), axes, true), emit.binary('mul', mean, mean));
    return emit.binary('div', emit.binary('sub', x, mean), emit.binary('add', emit.unary('sqrt', variance), emit.scalar(x, 1e-9)));
  },
  LpNormalization: (call, emit) => {
    const x = call.input(0);
    const axis = [emit.axis(call.int('axis', -1), x)];
    const length = call.int('p', 2) === 1 ? emit.reduce('sum', emit.unary('abs', x), axis, true) : emit.unary('sqrt', emit.reduce('sum', emit.binary('mul', x, x), axis, true));
    return emit.where(emit.binary('equal', length, emit.scalar(length, 0)), emit.scalar(x, 0), emit.binary('div', x, length));
  },
};

/** Rotates the first `2 * width` elements of the last axis by angles whose cosines and sines broadcast to [..., width]. */
export function rotate(emit: Emitter, x: Value, [cos, sin]: readonly [Value, Value], width: number, interleaved: boolean): Value {
  const last = x.shape.length - 1;
  const size = dimAt(x, last);
  const turning = emit.slice(x, last, 0, 2 * width);
  const [a, b] = interleaved
    ? [emit.slice(turning, last, 0, 2 * width, 2), emit.slice(turning, last, 1, 2 * width, 2)]
    : [emit.slice(turning, last, 0, width), emit.slice(turning, last, width, 2 * width)];
  const real = emit.binary('sub', emit.binary('mul', a, cos), emit.binary('mul', b, sin));
  const other = emit.binary('add', emit.binary('mul', a, sin), emit.binary('mul', b, cos));
  const apart = (value: Value): Value => emit.reshape(value, [...value.shape, 1]);
  const turned = interleaved ? emit.reshape(emit.concat([apart(real), apart(other)], last + 1), real.shape.with(last, 2 * width)) : emit.concat([real, other], last);
  return size === 2 * width ? turned : emit.concat([turned, emit.slice(x, last, 2 * width, size)], last);
}
