import { addDims, divDims, subDims, volumeOf } from '../../../ir/dims.ts';
import { type Dim, type DType, isFloat } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, elementCount, knownValue } from '../value.ts';
import { type Call, type Rules, dtypeOf } from './rule.ts';

/** What makes tensors out of sizes and constants, and what picks elements by index. */
export const indexing: Rules = {
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
  Range: (call, emit) => range(emit, call.input(0).dtype, [0, 1, 2].map((i) => single(call, i)) as [Dim, Dim, Dim]),
  EyeLike: (call, emit) => {
    const x = call.input(0);
    const dtype = call.has('dtype') ? dtypeOf(call.int('dtype')) : x.dtype;
    const [rows, columns] = [0, 1].map((axis) => emit.iota('i64', 0, 1, x.shape[axis] as Dim)) as [Value, Value];
    const below = emit.binary('add', columnOf(emit, rows), knownValue('i64', [], [call.int('k', 0)]));
    return emit.cast(emit.binary('equal', below, columns), dtype);
  },
  OneHot: (call, emit) => {
    const indices = emit.cast(call.input(0), 'i64');
    const depth = single(call, 1);
    const [off, on] = [0, 1].map((i) => emit.reshape(emit.slice(call.input(2), 0, i, i + 1), [])) as [Value, Value];
    const axis = call.int('axis', -1);
    const at = axis < 0 ? axis + indices.shape.length + 1 : axis;
    const places = emit.reshape(emit.iota('i64', 0, 1, depth), [depth, ...indices.shape.slice(at).map(() => 1)]);
    const from = emit.reshape(wrapped(emit, indices, depth), [...indices.shape.slice(0, at), 1, ...indices.shape.slice(at)]);
    return emit.where(emit.binary('equal', from, places), on, off);
  },
  NonZero: (call, emit) => {
    const x = call.input(0);
    const { known } = x;
    if (known?.every((each) => typeof each === 'number') === true) return knownPlaces(x.shape as readonly number[], known);
    // TorchScript before opset 11 counts rows by the places in a list of ones.
    if (x.shape.length === 1 && (emit.fillOf(x) ?? 0) !== 0) return emit.reshape(emit.iota('i64', 0, 1, x.shape[0] as Dim), [1, x.shape[0] as Dim]);
    throw new CannotImport('E3001', 'how many elements there are depends on data');
  },
  Trilu: (call, emit) => emit.trilu(call.input(0), call.int('upper', 1) === 1, call.inputs[1] === undefined ? 0 : single(call, 1)),
  CumSum: (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(single(call, 1) as number, x);
    const sums = emit.cumsum(x, axis);
    // From the end: what is left of the total, and the element itself.
    const turned = call.int('reverse', 0) === 1 ? emit.binary('add', emit.binary('sub', emit.reduce('sum', x, [axis], true), sums), x) : sums;
    return call.int('exclusive', 0) === 1 ? emit.binary('sub', turned, x) : turned;
  },
  Gather: (call, emit) => gather(emit, call.input(0), call.input(1), call.int('axis', 0)),
  GatherND: (call, emit) => {
    if (call.int('batch_dims', 0) !== 0) throw new CannotImport('E3001', 'lookups of every batch in its own table are not computed');
    return gatherNd(emit, call.input(0), call.input(1));
  },
  GatherElements: (call, emit) => {
    const [data, indices] = [call.input(0), call.input(1)];
    const axis = emit.axis(call.int('axis', 0), data);
    const places = data.shape.map((dim, at) => {
      if (at === axis) return wrapped(emit, indices, dim);
      return emit.reshape(emit.iota(indices.dtype, 0, 1, indices.shape[at] as Dim), indices.shape.map((size, i) => (i === at ? size : 1)));
    });
    return emit.gather(emit.reshape(data, [volumeOf(data.shape)]), linear(emit, places, data.shape), 0);
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

/** The one element of an input. */
function single(call: Call, i: number): Dim {
  const [only, more] = call.sizes(i) ?? [];
  if (only === undefined || more !== undefined) throw new CannotImport('E1003', `input ${i} is not a single number`);
  return only;
}

function range(emit: Emitter, dtype: DType, [start, limit, delta]: readonly [Dim, Dim, Dim]): Value {
  if (typeof delta !== 'number' || delta === 0) throw new CannotImport('E3001', `the step of a range, ${delta}, is not a number that can be told before the run`);
  const span = subDimsOf(limit, start);
  const length = typeof span === 'number' ? Math.max(0, Math.ceil(span / delta)) : divDims(span, delta);
  if (length === undefined) throw new CannotImport('E3001', `the length of a range from ${start} to ${limit} in steps of ${delta} cannot be told before the run`);
  if (Number.isInteger(delta) && (typeof start === 'string' || Number.isInteger(start))) return emit.iota(dtype, start, delta, length);
  const steps = emit.binary('mul', emit.iota(dtype, 0, 1, length), knownValue(dtype, [], [delta]));
  return emit.binary('add', steps, knownValue(dtype, [], [start]));
}

const subDimsOf = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a - b : subDims(a, b));

/** Indices that are one number, or numbers in a row, are a slice. */
function gather(emit: Emitter, data: Value, indices: Value, axis: number): Value {
  const at = emit.axis(axis, data);
  const size = data.shape[at] as Dim;
  const { known } = indices;
  const first = known?.[0];
  const inRow = first !== undefined && indices.shape.length <= 1 && data.known === undefined && known?.every((each, i) => subDimsOf(each, first) === i) === true;
  if (!inRow) return emit.gather(data, indices, at);
  const start = typeof first === 'number' && first < 0 ? addDims(size, first) : first;
  if (typeof start === 'number' && typeof size === 'number' && start + known.length > size) throw new CannotImport('E1003', `index ${start} of an axis of ${size} does not exist`);
  const part = emit.slice(data, at, start, addDims(start, known.length));
  return indices.shape.length === 1 ? part : emit.reshape(part, data.shape.toSpliced(at, 1));
}

function gatherNd(emit: Emitter, data: Value, indices: Value): Value {
  const depth = indices.shape.at(-1);
  if (typeof depth !== 'number' || depth > data.shape.length || depth === 0) throw new CannotImport('E1003', `places of ${depth} indices do not exist in [${data.shape.join(', ')}]`);
  const outer = indices.shape.slice(0, -1);
  if (depth === 1) return emit.gather(data, emit.reshape(indices, outer), 0);
  const front = data.shape.slice(0, depth);
  const places = front.map((dim, i) => wrapped(emit, emit.reshape(emit.slice(indices, -1, i, i + 1), outer), dim));
  return emit.gather(emit.reshape(data, [volumeOf(front), ...data.shape.slice(depth)]), linear(emit, places, front), 0);
}

/** Place in row-major order of an index given axis by axis. */
function linear(emit: Emitter, places: readonly Value[], shape: readonly Dim[]): Value {
  return places.reduce((at, place, axis) => (axis === 0 ? place : emit.binary('add', emit.binary('mul', at, knownValue(at.dtype, [], [shape[axis] as Dim])), place)));
}

/** Indices below 0 count from the end. */
function wrapped(emit: Emitter, indices: Value, size: Dim): Value {
  if (isFloat(indices.dtype)) throw new CannotImport('E1003', 'indices are not integers');
  const isBack = emit.binary('less', indices, emit.scalar(indices, 0));
  return emit.where(isBack, emit.binary('add', indices, knownValue(indices.dtype, [], [size])), indices);
}

/** Indices of the elements that are not zero, axis by axis. */
function knownPlaces(shape: readonly number[], known: readonly Dim[]): Value {
  const places = known.flatMap((each, at) => (each === 0 ? [] : [at]));
  const stride = (axis: number): number => elementCount(shape.slice(axis + 1));
  return knownValue('i64', [shape.length, places.length], shape.flatMap((size, axis) => places.map((at) => Math.floor(at / stride(axis)) % size)));
}

const columnOf = (emit: Emitter, x: Value): Value => emit.reshape(x, [...x.shape, 1]);

