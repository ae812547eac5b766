import { addDims, leastOf, subDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { type Value, dimAt, knownValue } from '../value.ts';
import { places } from './attend.ts';

/**
 * Where new rows go among cached ones: the first to place `first`, one number or one a sequence [batch, 1, 1, 1]. `length`: rows
 * there are afterwards. Those beyond the last new row may hold anything.
 */
export type Cache = { readonly first: Value; readonly length: Dim };

export const number = (value: Dim): Value => knownValue('i64', [], [value]);

/** New rows after all that are cached. */
export const growing = (past: Dim, rows: Dim): Cache => ({ first: number(past), length: addDims(past, rows) });

/** Keys or values [batch, heads, rows, headDim] after those cached. */
export function appended(emit: Emitter, past: Value | undefined, now: Value, { first, length }: Cache): Value {
  const cached = past?.shape[2] ?? 0;
  if (past === undefined) return now;
  const both = emit.concat([past, now], 2);
  if (first.known?.[0] === cached) return both;
  const place = places(emit, number(0), length, 2);
  const fresh = emit.binary('add', emit.binary('sub', place, first), number(cached));
  return rowsAt(emit, both, emit.where(emit.binary('less', place, first), place, fresh));
}

/** Rows [batch, heads, rows, headDim] at places of each sequence; the last, where there are none. */
function rowsAt(emit: Emitter, x: Value, rows: Value): Value {
  const held = emit.binary('min', rows, number(subDims(dimAt(x, 2), 1)));
  return emit.pick(x, emit.reshape(held, [...Array.from({ length: 4 - held.shape.length }, () => 1), ...held.shape]), 2);
}

/** The last `kept` of `count` rows, and room for more. */
export const latest = (emit: Emitter, x: Value, { count, kept, length }: { readonly count: Value; readonly kept: Value; readonly length: Dim }): Value =>
  rowsAt(emit, x, places(emit, emit.binary('sub', count, kept), length, 2));

/**
 * How many rows ONNX Runtime has in a cache of `capacity` after so many in all, where only the last `window` matter: once it is
 * full, room is made by keeping those alone.
 */
export function keptOf(emit: Emitter, all: Value, capacity: Dim, window: number): Value {
  const since = emit.binary('sub', all, number(addDims(capacity, 1)));
  const more = emit.binary('mod', since, number(addDims(subDims(capacity, window), 1)));
  return emit.where(emit.binary('lessEqual', all, number(capacity)), all, emit.binary('add', more, number(window)));
}

/** Rows there are after a step, where the whole is said: a cache that grows, or one with room for more. */
export function lengthOf(emit: Emitter, past: Dim, rows: Dim, total: Dim | undefined): Dim {
  const grown = addDims(past, rows);
  if (total === undefined || past === 0) return grown;
  if (typeof past === 'number' && (typeof total === 'string' || total <= past)) return past;
  if (leastOf(subDims(past, total)) >= 0) return past;
  emit.sizes.equate(total, grown);
  return grown;
}
