import { addDims, divDims, mulDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf, knownValue } from '../value.ts';
import { type Attended, attend, joinHeads, knownSize, places, splitHeads } from './attend.ts';
import { type Cache, appended, growing, number } from './cache.ts';
import { type Scope, causal, visible } from './contrib-masks.ts';
import { rotate } from './norm.ts';
import { matmul } from './products.ts';
import { alongAxis, dequantise } from './quantised.ts';
import type { Call, Rules } from './rule.ts';

/** Attentions of ONNX Runtime. Source: its docs/ContribOperators.md. */
export const contribAttentions: Rules = {
  Attention: (call, emit) => merged(call, emit, withBias(emit, matmul(emit, call.input(0), call.input(1)), call.inputs[2]), { mask: call.inputs[3], past: call.inputs[4], bias: call.inputs[5], length: call.inputs[6] }),
  QAttention: (call, emit) => {
    const number8 = (i: number, scale: number, zero: number): Value => {
      const part = (value: Value | undefined): Value | undefined => alongAxis(emit, value, call.input(i).shape.length, call.input(i).shape.length - 1);
      return dequantise(emit, call.input(i), { scale: part(call.input(scale)), zeroPoint: part(call.inputs[zero]) }, call.input(scale).dtype);
    };
    const qkv = emit.binary('add', matmul(emit, number8(0, 3, 6), number8(1, 4, 7)), call.input(2));
    return merged(call, emit, qkv, { mask: call.inputs[5], past: call.inputs[8], bias: undefined, length: undefined });
  },
  MultiHeadAttention: (call, emit) =>
    separate(call, emit, {
      parts: unpacked(call, emit), bias: call.inputs[3], mask: call.inputs[4], scoreBias: call.inputs[5],
      pastKey: call.inputs[6], pastValue: call.inputs[7], length: call.inputs[8], beams: call.inputs[9],
    }),
  DecoderMaskedMultiHeadAttention: (call, emit) =>
    separate(call, emit, {
      parts: call.inputs[1] === undefined ? thirds(emit, call.input(0)) : unpacked(call, emit), bias: call.inputs[10], mask: call.inputs[3], scoreBias: call.inputs[4],
      pastKey: call.inputs[5], pastValue: call.inputs[6], length: call.int('past_present_share_buffer', 0) === 1 ? call.input(7) : undefined, beams: call.inputs[9],
    }),
};

export const withBias = (emit: Emitter, x: Value, bias: Value | undefined): Value => (bias === undefined ? x : emit.binary('add', x, bias));

/** Features cut where parts of these sizes end. */
export function cut(emit: Emitter, x: Value, sizes: readonly Dim[]): readonly Value[] {
  let from: Dim = 0;
  return sizes.map((size) => {
    const start = from;
    from = addDims(from, size);
    return emit.slice(x, -1, start, from);
  });
}

/** Queries, keys and values side by side, of sizes that may be given. */
export function sides(call: Call, emit: Emitter, x: Value): readonly Value[] {
  const sizes = call.ints('qkv_hidden_sizes');
  if (sizes !== undefined && sizes.length !== 3) throw new CannotImport('E1003', `${sizes.length} sizes are not those of queries, keys and values`);
  return sizes === undefined ? thirds(emit, x) : cut(emit, x, sizes);
}

function thirds(emit: Emitter, x: Value): readonly Value[] {
  const third = divDims(dimAt(x, -1), 3);
  if (third === undefined) throw new CannotImport('E1003', `${x.shape.at(-1)} features are not queries, keys and values of equal size`);
  return cut(emit, x, [third, third, third]);
}

type Extras = { readonly mask: Value | undefined; readonly past: Value | undefined; readonly bias: Value | undefined; readonly length: Value | undefined };

/** Attention of queries, keys and values side by side [batch, rows, features]; the past is keys, then values [2, batch, heads, past, headDim]. */
function merged(call: Call, emit: Emitter, qkv: Value, { mask, past, bias, length }: Extras): readonly Value[] {
  const half = (i: number): Value | undefined => past && emit.reshape(emit.slice(past, 0, i, i + 1), past.shape.slice(1));
  const flat = sides(call, emit, qkv);
  const parts = call.int('do_rotary', 0) === 0 ? flat : flat.map((x, i) => (i === 2 ? x : turned(call, emit, x, past?.shape[3] ?? 0)));
  const shared = call.int('past_present_share_buffer', 0) === 1 ? length : undefined;
  const [output, keys, values] = separate(call, emit, { parts, bias: undefined, mask, scoreBias: bias, pastKey: half(0), pastValue: half(1), length: shared, beams: undefined }) as [Value, Value, Value];
  const lead = (x: Value): Value => emit.reshape(x, [1, ...x.shape]);
  return [output, ...(call.outputs.length < 2 ? [] : [emit.concat([lead(keys), lead(values)], 0)])];
}

/** Heads turned by their places, pairs being halves and angles those of a base of 10000. */
function turned(call: Call, emit: Emitter, x: Value, past: Dim): Value {
  const heads = splitHeads(emit, x, call.int('num_heads'));
  const width = divDims(call.int('rotary_embedding_dim', knownSize(heads.shape[3])), 2);
  if (typeof width !== 'number') throw new CannotImport('E1003', 'features that turn are not pairs');
  const frequencies = knownValue(x.dtype, [width], Array.from({ length: width }, (_, i) => 10000 ** (-i / width)));
  const angles = emit.binary('mul', emit.cast(places(emit, number(past), dimAt(heads, 2), 2), x.dtype), frequencies);
  return joinHeads(emit, rotate(emit, heads, [emit.unary('cos', angles), emit.unary('sin', angles)], width, false));
}

/** Queries, keys and values [batch, rows, features], or with heads if they came with them, from inputs that may hold several. */
function unpacked(call: Call, emit: Emitter): readonly Value[] {
  const [query, key, value] = [call.input(0), call.inputs[1], call.inputs[2]];
  const part = (x: Value, i: number): Value => {
    const [batch, rows, heads, , headDim] = dimsOf(x, 5);
    return emit.reshape(emit.slice(x, 3, i, i + 1), [batch, rows, mulDims(heads, headDim)]);
  };
  if (query.shape.length === 5) return [0, 1, 2].map((i) => part(query, i));
  if (key?.shape.length === 5) return [query, part(key, 0), part(key, 1)];
  return [query, key ?? query, value ?? query];
}

type Parts = {
  /** Queries, keys and values; those that have heads already are of another sequence. */
  readonly parts: readonly Value[];
  /** Added to queries, keys and values, one after the other. */
  readonly bias: Value | undefined;
  readonly mask: Value | undefined;
  readonly scoreBias: Value | undefined;
  readonly pastKey: Value | undefined;
  readonly pastValue: Value | undefined;
  /** How many rows of the past count, where it has room for more. */
  readonly length: Value | undefined;
  /** Which beam each cached row of a beam is of: [batch, beams, most]. */
  readonly beams: Value | undefined;
};

/** The output, keys and values with those of the past, and the scores as the softmax has them. */
function separate(call: Call, emit: Emitter, { parts, bias, mask, scoreBias, pastKey, pastValue, length, beams }: Parts): readonly Value[] {
  const heads = call.int('num_heads');
  const biases = bias === undefined ? [] : cut(emit, bias, parts.map((x) => (x.shape.length === 4 ? mulDims(heads, dimAt(x, 3)) : dimAt(x, 2))));
  const [q, k, v] = parts.map((x, i) => (x.shape.length === 4 ? x : splitHeads(emit, withBias(emit, x, biases[i]), heads))) as [Value, Value, Value];
  const [past, rows] = [pastKey?.shape[2] ?? 0, dimAt(k, 2)];
  const cache: Cache = length === undefined ? growing(past, rows) : { first: emit.cast(emit.reshape(length, []), 'i64'), length: past };
  const [keys, values] = [appended(emit, pastKey, k, cache), appended(emit, pastValue, v, cache)];
  const seen = (whole: Value, cached: Value | undefined, now: Value): Value => {
    const own = beams === undefined || cached === undefined ? whole : appended(emit, ofBeams(emit, cached, beams), now, cache);
    // What masks say nothing of is not there.
    return length === undefined ? own : emit.slice(own, 2, 0, (mask?.shape.length === 1 ? undefined : mask?.shape.at(-1)) ?? scoreBias?.shape[3] ?? cache.length);
  };
  const { mixed, masked } = filtered(call, emit, { q, k: seen(keys, pastKey, k), v: seen(values, pastValue, v) }, { mask, bias: scoreBias, first: cache.first, partly: length !== undefined });
  return [joinHeads(emit, mixed), keys, values, masked];
}

/** Cached rows [batch * beams, heads, rows, headDim], each from the beam it is of. */
function ofBeams(emit: Emitter, cached: Value, beams: Value): Value {
  const [batch, count] = [dimAt(beams, 0), dimAt(beams, 1)];
  const all = mulDims(batch, count);
  const base = emit.binary('mul', emit.binary('div', emit.iota('i64', 0, 1, all), number(count)), number(count));
  const index = emit.binary('add', emit.cast(emit.reshape(beams, [all, 1, dimAt(beams, 2), 1]), 'i64'), emit.reshape(base, [all, 1, 1, 1]));
  return emit.pick(cached, emit.slice(index, 2, 0, dimAt(cached, 2)), 0);
}

type Heads = { readonly q: Value; readonly k: Value; readonly v: Value };
/** `partly`: keys from the rows' own on are none. */
type Filter = { readonly mask: Value | undefined; readonly bias: Value | undefined; readonly first: Value; readonly partly: boolean };

/** The least number of single precision. */
const lowest = -3.4028234663852886e38;

/** Attention whose mask is a number added to the scores of what does not count; what comes later is not seen at all. */
function filtered(call: Call, emit: Emitter, heads: Heads, { mask, bias, first, partly }: Filter): Attended {
  const scope: Scope = { batch: dimAt(heads.q, 0), rows: dimAt(heads.q, 2), keys: dimAt(heads.k, 2), first };
  const apply = (scores: Value): Value => {
    const least = emit.scalar(scores, call.float('mask_filter_value', -10000));
    const masked = mask === undefined ? scores : emit.binary('add', scores, emit.where(visible(emit, mask, scope), emit.scalar(scores, 0), least));
    const early = call.int('unidirectional', 0) === 0 && !partly ? masked : emit.where(causal(emit, scope), masked, emit.scalar(scores, lowest));
    return bias === undefined ? early : emit.binary('add', early, bias);
  };
  return attend(emit, { ...heads, scale: call.float('scale', 0), softCap: 0, mask: apply });
}
