import { stepsAcross, subDims, volumeOf } from '../../../ir/dims.ts';
import type { Dim, DType } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import { type Call, type Rules, dtypeOf } from './rule.ts';

/** What makes tensors out of sizes and constants. */
export const constants: Rules = {
  Constant: (call) => constant(call),
  ConstantOfShape: (call, emit) => {
    const value = call.tensor('value');
    const fill = value === undefined ? knownValue('f32', [], [0]) : emit.reshape(call.stored(value, 'value'), []);
    return emit.expand(fill, call.sizes(0) ?? []);
  },
  Shape: (call, emit) => {
    const { shape } = call.input(0);
    const at = (name: string, otherwise: number): number => {
      const index = call.int(name, otherwise);
      return Math.min(Math.max(index < 0 ? index + shape.length : index, 0), shape.length);
    };
    const sizes = shape.slice(at('start', 0), at('end', shape.length)).map((dim) => emit.sizes.settle(dim));
    return knownValue('i64', [sizes.length], sizes);
  },
  Size: (call) => knownValue('i64', [], [volumeOf(call.input(0).shape)]),
  Range: (call, emit) => range(emit, call.input(0).dtype, [0, 1, 2].map((i) => call.single(i)) as [Dim, Dim, Dim]),
  EyeLike: (call, emit) => {
    const x = call.input(0);
    const dtype = call.has('dtype') ? dtypeOf(call.int('dtype')) : x.dtype;
    const [rows, columns] = [0, 1].map((axis) => emit.iota('i64', 0, 1, dimAt(x, axis))) as [Value, Value];
    const below = emit.binary('add', columnOf(emit, rows), knownValue('i64', [], [call.int('k', 0)]));
    return emit.cast(emit.binary('equal', below, columns), dtype);
  },
};

function constant(call: Call): Value {
  const value = call.tensor('value');
  if (value !== undefined) return call.stored(value, call.outputs[0] ?? '');
  const dtype: DType = call.has('value_int') || call.has('value_ints') ? 'i64' : 'f32';
  const list = call.ints('value_ints') ?? call.floats('value_floats');
  if (list !== undefined) return knownValue(dtype, [list.length], list);
  if (call.has('value_int')) return knownValue(dtype, [], [call.int('value_int')]);
  if (call.has('value_float')) return knownValue(dtype, [], [call.float('value_float')]);
  throw new CannotImport('E3001', 'a constant is neither numbers nor a dense tensor of them');
}

function range(emit: Emitter, dtype: DType, [start, limit, delta]: readonly [Dim, Dim, Dim]): Value {
  if (typeof delta !== 'number' || delta === 0) throw new CannotImport('E3001', `the step of a range, ${delta}, is not a number that can be told before the run`);
  const span = subDims(limit, start);
  if (typeof span === 'string' && !Number.isInteger(delta)) throw new CannotImport('E3001', `the length of a range from ${start} to ${limit} in steps of ${delta} cannot be told before the run`);
  const length = typeof span === 'number' ? Math.max(0, Math.ceil(span / delta)) : stepsAcross(span, delta);
  if (Number.isInteger(delta) && (typeof start === 'string' || Number.isInteger(start))) return emit.iota(dtype, start, delta, length);
  const steps = emit.binary('mul', emit.iota(dtype, 0, 1, length), knownValue(dtype, [], [delta]));
  return emit.binary('add', steps, knownValue(dtype, [], [start]));
}

const columnOf = (emit: Emitter, x: Value): Value => emit.reshape(x, [...x.shape, 1]);

