import { addDims, subDims, volumeOf } from '../../../ir/dims.ts';
import { type Dim, isFloat } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, elementCount, knownValue } from '../value.ts';
import type { Rules } from './rule.ts';

/** What picks elements by index, and what makes indices. */
export const gathers: Rules = {
  Gather: (call, emit) => gather(emit, call.input(0), call.input(1), call.int('axis', 0)),
  GatherND: (call, emit) => gatherNd(emit, call.input(0), call.input(1), call.int('batch_dims', 0)),
  GatherElements: (call, emit) => {
    const [data, indices] = [call.input(0), call.input(1)];
    const axis = emit.axis(call.int('axis', 0), data);
    if (indices.shape.length !== data.shape.length) throw new CannotImport('E1003', `indices of [${indices.shape.join(', ')}] do not go with [${data.shape.join(', ')}]`);
    // Of the other axes it is the first places that are picked from.
    const front = indices.shape.reduce((part, size, at) => (at === axis || typeof size === 'string' ? part : emit.slice(part, at, 0, size)), data);
    return emit.pick(front, indices, axis);
  },
  OneHot: (call, emit) => {
    const indices = emit.cast(call.input(0), 'i64');
    const depth = call.single(1);
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
    if (x.shape.length === 1 && (emit.fillOf(x) ?? 0) !== 0) return emit.reshape(emit.iota('i64', 0, 1, dimAt(x, 0)), [1, dimAt(x, 0)]);
    if (x.shape.length === 0) throw new CannotImport('E3001', 'how many elements there are depends on data');
    return emit.chosen.places(x);
  },
  Compress: (call, emit) => {
    const kept = call.numbers(1)?.flatMap((each, at) => (each === 0 ? [] : [at])) ?? [];
    const x = call.input(0);
    const data = call.has('axis') ? x : emit.reshape(x, [volumeOf(x.shape)]);
    return emit.gather(data, knownValue('i64', [kept.length], kept), call.int('axis', 0));
  },
};

/** Indices that are one number, or numbers in a row, are a slice. */
function gather(emit: Emitter, data: Value, indices: Value, axis: number): Value {
  if (isFloat(indices.dtype)) throw new CannotImport('E1003', 'indices are not integers');
  const at = emit.axis(axis, data);
  const size = dimAt(data, at);
  const { known } = indices;
  const first = known?.[0];
  const inRow = first !== undefined && indices.shape.length <= 1 && data.known === undefined && known?.every((each, i) => subDims(each, first) === i) === true;
  if (!inRow) return emit.gather(data, indices, at);
  const start = typeof first === 'number' && first < 0 ? addDims(size, first) : first;
  if (typeof start === 'number' && typeof size === 'number' && start + known.length > size) throw new CannotImport('E1003', `index ${start} of an axis of ${size} does not exist`);
  const part = emit.slice(data, at, start, addDims(start, known.length));
  return indices.shape.length === 1 ? part : emit.reshape(part, data.shape.toSpliced(at, 1));
}

/** The first `batch` axes of both are one; each of a batch looks up in a table of its own. */
function gatherNd(emit: Emitter, data: Value, indices: Value, batch: number): Value {
  const { places, depth, outer } = placesIn(emit, data, indices, batch);
  const shared = data.shape.slice(0, batch);
  const rest = data.shape.slice(batch + depth);
  const table = emit.reshape(data, [...shared, volumeOf(data.shape.slice(batch, batch + depth)), ...rest]);
  if (batch === 0) return emit.gather(table, places, 0);
  const width = volumeOf(rest);
  const count = volumeOf(outer.slice(batch));
  const picked = emit.pick(emit.reshape(table, [...table.shape.slice(0, batch + 1), width]), emit.reshape(places, [...outer.slice(0, batch), count, 1]), batch);
  return emit.reshape(picked, [...outer, ...rest]);
}

type Places = { readonly places: Value; readonly depth: number; readonly outer: readonly Dim[] };

/** Indices [outer..., depth] into the axes of data from `batch` on, as places [outer...] in those axes taken together. */
export function placesIn(emit: Emitter, data: Value, indices: Value, batch: number): Places {
  const depth = indices.shape.at(-1);
  if (typeof depth !== 'number' || depth === 0 || batch < 0 || batch + depth > data.shape.length || batch >= indices.shape.length) throw new CannotImport('E1003', `places of ${depth} indices do not exist in [${data.shape.join(', ')}]`);
  const outer = indices.shape.slice(0, -1);
  if (depth === 1) return { places: emit.reshape(indices, outer), depth, outer };
  const front = data.shape.slice(batch, batch + depth);
  const each = front.map((dim, i) => wrapped(emit, emit.reshape(emit.slice(indices, -1, i, i + 1), outer), dim));
  const places = each.reduce((at, place, axis) => (axis === 0 ? place : emit.binary('add', emit.binary('mul', at, knownValue(at.dtype, [], [front[axis] as Dim])), place)));
  return { places, depth, outer };
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
