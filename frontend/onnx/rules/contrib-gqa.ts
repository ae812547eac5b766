import { addDims, divDims, mulDims, volumeOf } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt } from '../value.ts';
import { attend, joinHeads, places, splitHeads } from './attend.ts';
import { type Cache, appended, keptOf, latest, lengthOf, number } from './cache.ts';
import { type Scope, causal } from './contrib-masks.ts';
import { rmsNorm, rotate } from './norm.ts';
import type { Call, Rules } from './rule.ts';

/** Attention of ONNX Runtime's decoders, each sequence of a batch with a length of its own. Source: its docs/ContribOperators.md. */
export const groupedAttentions: Rules = { GroupQueryAttention: groupQuery };

function groupQuery(call: Call, emit: Emitter): readonly Value[] {
  refuseVariants(call);
  const { q, k, v } = headed(call, emit);
  const [batch, rows] = [dimAt(q, 0), dimAt(q, 2)];
  const [past, lengths] = [call.inputs[3], call.input(5)];
  const total = emit.binary('add', emit.cast(emit.reshape(lengths, [volumeOf(lengths.shape), 1, 1, 1]), 'i64'), number(1));
  // Sequences of a first prompt may be shorter than it is.
  const first = emit.binary('max', emit.binary('sub', total, number(rows)), number(0));
  const { cache, present } = caching(call, emit, { rows, total, first });
  const turn = call.int('do_rotary', 0) === 1 ? turning(call, emit, past === undefined ? number(0) : first, rows) : (x: Value): Value => x;
  const [keys, values] = [appended(emit, past, turn(k), cache), appended(emit, call.inputs[4], v, cache)];
  const bias = call.inputs[10];
  const seen = (x: Value): Value => (bias === undefined ? x : emit.slice(x, 2, 0, dimAt(bias, 3)));
  const isSeen = (scores: Value): Value => {
    const scope: Scope = { batch, rows, keys: dimAt(scores, 3), first: cache.first };
    return call.int('causal', 1) === 1 ? causal(emit, scope, Math.max(call.int('local_window_size', -1), 0)) : emit.binary('less', places(emit, number(0), scope.keys, 1), total);
  };
  const biased = (scores: Value): Value => (bias === undefined ? scores : emit.binary('add', scores, bias));
  const { mixed, capped, weights } = attend(emit, {
    q: turn(q), k: seen(keys), v: seen(values),
    scale: call.float('scale', 0),
    softCap: call.float('softcap', 0),
    mask: (scores) => emit.where(isSeen(scores), biased(scores), emit.scalar(scores, -Infinity)),
    sink: call.inputs[11] ?? (call.int('smooth_softmax', 0) === 1 ? emit.expand(emit.scalar(q, 0), [dimAt(q, 1)]) : undefined),
  });
  const result = [joinHeads(emit, mixed), present(keys), present(values)];
  if ((call.outputs[3] ?? '') === '') return result;
  // What is not seen has a score of 0 there.
  return [...result, call.int('qk_output', 0) === 1 ? emit.where(isSeen(capped), biased(capped), emit.scalar(capped, 0)) : weights];
}

function refuseVariants(call: Call): void {
  if ([12, 13].some((i) => call.inputs[i] !== undefined) || ['k_quant_type', 'v_quant_type'].some((name) => call.string(name, 'NONE') !== 'NONE')) throw new CannotImport('E3001', 'caches stored quantised are not read');
}

type Counts = { readonly rows: Dim; readonly total: Value; readonly first: Value };

/** Where new rows go, and what of all of them is kept for the next step. */
function caching(call: Call, emit: Emitter, { rows, total, first }: Counts): { readonly cache: Cache; readonly present: (x: Value) => Value } {
  const past = call.inputs[3]?.shape[2];
  if (past === undefined) return { cache: { first: number(0), length: rows }, present: (x) => x };
  if (call.int('sliding_window_cache', 0) === 0) return { cache: { first, length: lengthOf(emit, past, rows, call.inputs[6]?.known?.[0]) }, present: (x) => x };
  const window = call.int('local_window_size');
  const before = keptOf(emit, first, past, window);
  const count = emit.binary('add', before, number(rows));
  return { cache: { first: before, length: addDims(past, rows) }, present: (x) => latest(emit, x, { count, kept: keptOf(emit, total, past, window), length: past }) };
}

/** Queries, keys and values with heads, each head normalised if there are weights for that. */
function headed(call: Call, emit: Emitter): { readonly q: Value; readonly k: Value; readonly v: Value } {
  const [heads, kvHeads] = [call.int('num_heads'), call.int('kv_num_heads')];
  const query = call.input(0);
  const key = call.inputs[1];
  const split = (): readonly Value[] => {
    const headDim = divDims(dimAt(query, 2), heads + 2 * kvHeads);
    if (headDim === undefined) throw new CannotImport('E1003', `${query.shape[2]} features are not ${heads} + 2 * ${kvHeads} heads of equal size`);
    const part = (from: number, to: number): Value => emit.slice(query, 2, mulDims(from, headDim), mulDims(to, headDim));
    return [part(0, heads), part(heads, heads + kvHeads), part(heads + kvHeads, heads + 2 * kvHeads)];
  };
  const parts = key === undefined ? split() : [query, key, call.input(2)];
  const [q, k, v] = parts.map((x, i) => splitHeads(emit, x, i === 0 ? heads : kvHeads)) as [Value, Value, Value];
  const normal = (x: Value, weight: Value | undefined): Value => (weight === undefined ? x : rmsNorm(emit, x, [3], call.float('qk_norm_epsilon', 1e-6), weight));
  return { q: normal(q, call.inputs[14]), k: normal(k, call.inputs[15]), v };
}

/** Turns heads by the tables [positions, width] of cosines and sines, at positions that are given or follow the cached ones. */
function turning(call: Call, emit: Emitter, first: Value, rows: Dim): (x: Value) => Value {
  const [cos, sin] = [call.input(7), call.input(8)];
  const width = cos.shape[1];
  if (typeof width !== 'number') throw new CannotImport('E3001', 'how much of a head is turned is not a number that can be told before the run');
  const given = call.inputs[9];
  // [batch, 1, rows]
  const own = places(emit, first, rows, 2);
  const positions = given === undefined ? emit.reshape(own, own.shape.length === 2 ? [1, 1, rows] : own.shape.slice(0, 3)) : emit.reshape(given, [dimAt(given, 0), 1, dimAt(given, 1)]);
  const angles = [cos, sin].map((table) => emit.gather(table, positions, 0)) as [Value, Value];
  return (x) => rotate(emit, x, angles, width, call.int('rotary_interleaved', 0) === 1);
}
