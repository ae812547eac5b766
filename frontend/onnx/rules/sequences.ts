import { divDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, knownValue } from '../value.ts';
import type { Call, Rules } from './rule.ts';
import { splitParts } from './views.ts';

/** Lists of tensors whose length and places are known before the run: they never are values of the program. */
export const sequences: Rules = {
  SplitToSequence: (call, emit) => listOf(splitToSequence(call, emit)),
  SequenceConstruct: (call) => listOf(call.rest(0)),
  SequenceEmpty: () => listOf([]),
  SequenceInsert: (call) => {
    const parts = call.list(0);
    return listOf(parts.toSpliced(call.inputs[2] === undefined ? parts.length : placeOf(call, 2, parts.length + 1), 0, call.input(1)));
  },
  SequenceErase: (call) => {
    const parts = call.list(0);
    return listOf(parts.toSpliced(call.inputs[1] === undefined ? parts.length - 1 : placeOf(call, 1, parts.length), 1));
  },
  SequenceAt: (call) => {
    const parts = call.list(0);
    return parts[placeOf(call, 1, parts.length)] as Value;
  },
  SequenceLength: (call) => knownValue('i64', [], [call.list(0).length]),
  ConcatFromSequence: (call, emit) => {
    const parts = call.list(0);
    const axis = call.int('axis');
    if (parts.length === 0) throw new CannotImport('E1003', 'an empty list is not joined');
    if (call.int('new_axis', 0) === 0) return emit.concat(parts, axis);
    const at = axis < 0 ? axis + (parts[0] as Value).shape.length + 1 : axis;
    return emit.concat(parts.map((part) => emit.reshape(part, part.shape.toSpliced(at, 0, 1))), at);
  },
};

const listOf = (parts: readonly Value[]): Value => ({ dtype: parts[0]?.dtype ?? 'f32', shape: [], parts });

/** The place input `i` says among `count`, from the end if it is negative. */
function placeOf(call: Call, i: number, count: number): number {
  const place = call.single(i);
  if (typeof place !== 'number') throw new CannotImport('E3001', `place ${place} of a list depends on the sizes of the run`);
  const at = place < 0 ? place + count : place;
  if (!Number.isInteger(at) || at < 0 || at >= count) throw new CannotImport('E1003', `a list of ${count} has no place ${place}`);
  return at;
}

/** In parts of one size, of given sizes, or (`keepdims`) its single elements. */
function splitToSequence(call: Call, emit: Emitter): readonly Value[] {
  const x = call.input(0);
  const axis = emit.axis(call.int('axis', 0), x);
  const size = x.shape[axis] as Dim;
  const given = call.inputs[1];
  if (given?.shape.length === 1) return splitParts(emit, x, axis, call.sizes(1) ?? []);
  const part = given === undefined ? 1 : call.single(1);
  const parts = splitParts(emit, x, axis, equalParts(size, part));
  return given === undefined && call.int('keepdims', 1) === 0 ? parts.map((each) => emit.reshape(each, each.shape.toSpliced(axis, 1))) : parts;
}

function equalParts(size: Dim, part: Dim): readonly Dim[] {
  if (typeof size === 'number' && typeof part === 'number' && part > 0) {
    return Array.from({ length: Math.ceil(size / part) }, (_, i) => Math.min(part, size - i * part));
  }
  const count = divDims(size, part);
  if (typeof count !== 'number') throw new CannotImport('E3001', `how many parts of ${part} there are in ${size} cannot be told before the run`);
  return Array.from({ length: count }, () => part);
}
