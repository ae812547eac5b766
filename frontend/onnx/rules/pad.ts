import { addDims, mulDims, subDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import type { Rules } from './rule.ts';

/** Elements to add before and after those of an axis; fewer than none takes away. */
export type Padding = { readonly before: Dim; readonly after: Dim };

export const pads: Rules = {
  Pad: (call, emit) => {
    const x = call.input(0);
    const mode = call.string('mode', 'constant');
    const counts = call.ints('pads') ?? call.ints('paddings') ?? call.sizes(1) ?? [];
    const axes = call.numbers(3)?.map((axis) => emit.axis(axis, x)) ?? x.shape.map((_, axis) => axis);
    const fill = call.inputs[2] ?? emit.scalar(x, call.float('value', 0));
    if (fill.shape.some((size) => size !== 1)) throw new CannotImport('E1003', `[${fill.shape.join(', ')}] is not one number to pad with`);
    return axes.reduce((padded, axis, i) => {
      const padding = { before: counts[i] ?? 0, after: counts[i + axes.length] ?? 0 };
      return mode === 'constant' ? pad(emit, padded, axis, padding, fill) : repeat(emit, padded, axis, padding, mode);
    }, x);
  },
};

/** Puts one value before and after the elements of an axis. */
export function pad(emit: Emitter, x: Value, axis: number, { before, after }: Padding, fill: Value): Value {
  const size = dimAt(x, axis);
  const [start, end] = [before, after].map((count) => (typeof count === 'number' && count < 0 ? -count : 0)) as [number, number];
  const kept = start + end === 0 ? x : emit.slice(x, axis, start, subDims(size, end));
  const filled = (count: Dim): readonly Value[] => (count === 0 || (typeof count === 'number' && count < 0) ? [] : [emit.expand(emit.reshape(fill, []), x.shape.with(axis, count))]);
  return emit.concat([...filled(before), kept, ...filled(after)], axis);
}

/** Goes on with the elements of the axis itself, beyond its ends. */
function repeat(emit: Emitter, x: Value, axis: number, { before, after }: Padding, mode: string): Value {
  const size = dimAt(x, axis);
  const last = subDims(size, 1);
  const number = (value: Dim): Value => knownValue('i64', [], [value]);
  if (before === 0 && after === 0) return x;
  const places = emit.iota('i64', mulDims(-1, before), 1, addDims(size, addDims(before, after)));
  const within = (): Value => emit.binary('min', emit.binary('max', places, number(0)), number(last));
  // There and back again, the ends once.
  const mirrored = (period: Dim): Value => {
    const turn = emit.binary('mod', places, number(period));
    return emit.binary('min', turn, emit.binary('sub', number(period), turn));
  };
  if (mode === 'edge' || (mode === 'reflect' && size === 1)) return emit.gather(x, within(), axis);
  if (mode === 'reflect') return emit.gather(x, mirrored(mulDims(2, last)), axis);
  if (mode === 'wrap') return emit.gather(x, emit.binary('mod', places, number(size)), axis);
  throw new CannotImport('E1003', `there is no padding \`${mode}\``);
}
