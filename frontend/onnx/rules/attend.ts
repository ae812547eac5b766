import { divDims, mulDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf } from '../value.ts';

/** Attention of heads [batch, heads, rows, headDim]; keys and values [batch, kvHeads, keys, ...] may have fewer. */
export type Attending = {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  /** 0: one over the root of a head's size. */
  readonly scale: number;
  /** 0: none. */
  readonly softCap: number;
  /** What masks and biases make of the scores. */
  readonly mask: (scores: Value) => Value;
  /** A logit [heads] that takes part in the softmax and has no value. */
  readonly sink?: Value | undefined;
  /** What the mask adds to the scores: rows of -Infinity see no key, and get nothing. `undefined` where every row sees one. */
  readonly blind?: Value | undefined;
  /** Whether queries and keys are scaled each by the root of the scale, not the scores, if it has one. */
  readonly onBothSides?: boolean;
  /** What becomes of the shares before they weigh values. */
  readonly weigh?: ((shares: Value) => Value) | undefined;
};

/** The mixed values [batch, heads, rows, vDim], and what became of the scores on the way. */
export type Attended = { readonly mixed: Value; readonly scaled: Value; readonly capped: Value; readonly masked: Value; readonly weights: Value };

/** softmax(cap(scale * q k^T), masked) v */
export function attend(emit: Emitter, { q, k, v, scale, softCap, mask, sink, blind, onBothSides, weigh }: Attending): Attended {
  const heads = dimAt(q, 1);
  const factor = scale === 0 ? 1 / Math.sqrt(knownSize(q.shape[3])) : scale;
  const times = (x: Value, by: number): Value => (by === 1 ? x : emit.binary('mul', x, emit.scalar(x, by)));
  const isSplit = onBothSides === true && factor > 0;
  const side = isSplit ? Math.sqrt(factor) : 1;
  const scores = emit.matmul(times(q, side), times(emit.transpose(repeatHeads(emit, k, heads), [0, 1, 3, 2]), side));
  const scaled = isSplit ? scores : times(scores, factor);
  const cap = emit.scalar(scaled, softCap);
  const capped = softCap === 0 ? scaled : emit.binary('mul', emit.unary('tanh', emit.binary('div', scaled, cap)), cap);
  const masked = mask(capped);
  const shares = sink === undefined ? emit.softmax(masked, 3) : sunk(emit, masked, sink);
  const guarded = blind === undefined ? shares : emit.where(emit.binary('equal', emit.reduce('max', blind, [blind.shape.length - 1], true), emit.scalar(shares, -Infinity)), emit.scalar(shares, 0), shares);
  const weights = weigh?.(guarded) ?? guarded;
  return { mixed: emit.matmul(weights, repeatHeads(emit, v, heads)), scaled, capped, masked, weights };
}

/** The softmax of logits and one more, without that one's share. */
function sunk(emit: Emitter, logits: Value, sink: Value): Value {
  const [heads, keys] = [dimAt(logits, 1), dimAt(logits, 3)];
  const column = emit.expand(emit.reshape(emit.cast(sink, logits.dtype), [1, heads, 1, 1]), logits.shape.with(3, 1));
  return emit.slice(emit.softmax(emit.concat([logits, column], 3), 3), 3, 0, keys);
}

/** A size that has to be a number. */
export function knownSize(size: Dim | undefined): number {
  if (typeof size !== 'number') throw new CannotImport('E3001', 'the size of a head is not a number that can be told before the run');
  return size;
}

/** [batch, rows, heads * headDim] -> [batch, rows, heads, headDim] */
export function headsInRows(emit: Emitter, x: Value, heads: number): Value {
  const [batch, rows, width] = dimsOf(x, 3);
  const headDim = divDims(width, heads);
  if (headDim === undefined) throw new CannotImport('E1003', `${width} features are not ${heads} heads of equal size`);
  return emit.reshape(x, [batch, rows, heads, headDim]);
}

/** [batch, rows, heads * headDim] -> [batch, heads, rows, headDim] */
export const splitHeads = (emit: Emitter, x: Value, heads: number): Value => emit.transpose(headsInRows(emit, x, heads), [0, 2, 1, 3]);

/** [batch, heads, rows, headDim] -> [batch, rows, heads * headDim] */
export function joinHeads(emit: Emitter, x: Value): Value {
  const [batch, heads, rows, headDim] = dimsOf(x, 4);
  return emit.reshape(emit.transpose(x, [0, 2, 1, 3]), [batch, rows, mulDims(heads, headDim)]);
}

/** Keys and values of [batch, kvHeads, ...] for `heads` query heads: each serves heads / kvHeads neighbours. */
export function repeatHeads(emit: Emitter, x: Value, heads: Dim): Value {
  const [batch, kvHeads, keys, headDim] = dimsOf(x, 4);
  if (kvHeads === heads) return x;
  const group = divDims(heads, kvHeads);
  if (group === undefined) throw new CannotImport('E1003', `${heads} query heads do not share ${kvHeads} key heads evenly`);
  const wide = emit.expand(emit.reshape(x, [batch, kvHeads, 1, keys, headDim]), [batch, kvHeads, group, keys, headDim]);
  return emit.reshape(wide, [batch, heads, keys, headDim]);
}

/** Rows before, of a past if there is one, and now. */
export const joined = (emit: Emitter, past: Value | undefined, now: Value): Value => (past === undefined ? now : emit.concat([past, now], 2));

/** Places `first`, `first` + 1, ... of the rows (axis 2 from the last) or the keys (1) of scores. */
export function places(emit: Emitter, first: Value, count: Dim, axisFromLast: 1 | 2): Value {
  const row = emit.iota('i64', 0, 1, count);
  const turned = axisFromLast === 1 ? row : emit.reshape(row, [count, 1]);
  return first.known?.[0] === 0 ? turned : emit.binary('add', turned, first);
}
