import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import type { Value } from '../value.ts';
import type { Call, Rules } from './rule.ts';

type Affine = { readonly scale: Value | undefined; readonly bias: Value | undefined };

/** Axes from `axis` to the last. */
function axesFrom(emit: Emitter, x: Value, axis: number): readonly number[] {
  const first = emit.axis(axis, x);
  return x.shape.map((_, at) => at).slice(first);
}

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
  const [result, mean, deviation] = layerNorm(emit, x, axesFrom(emit, x, call.int('axis', -1)), call.float('epsilon', 1e-5), { scale: call.inputs[1], bias: call.inputs[2] });
  return call.outputs.length > 2 ? [result, mean, emit.unary('reciprocal', deviation)] : [result, mean];
}

const rmsNormal = (call: Call, emit: Emitter): Value => rmsNorm(emit, call.input(0), axesFrom(emit, call.input(0), call.int('axis', -1)), call.float('epsilon', 1e-5), call.inputs[1]);

export const norms: Rules = {
  LayerNormalization: layerNormal,
  RMSNormalization: rmsNormal,
  // ONNX Runtime's name, which its model builder writes into the default domain.
  SimplifiedLayerNormalization: rmsNormal,
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
  const size = x.shape[last] as Dim;
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
