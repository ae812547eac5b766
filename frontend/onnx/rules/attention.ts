import { divDims, mulDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, knownValue } from '../value.ts';
import { rotate } from './norm.ts';
import type { Call, Rules } from './rule.ts';

export const attentions: Rules = {
  Attention: (call, emit) => attention(call, emit),
  RotaryEmbedding: (call, emit) => {
    const [x, cos, sin, positions] = [call.input(0), call.input(1), call.input(2), call.inputs[3]];
    return rotary(call, emit, x, { cos, sin, positions });
  },
};

type Tables = { readonly cos: Value; readonly sin: Value; readonly positions: Value | undefined };

/** x is [batch, heads, rows, headDim] or [batch, rows, heads * headDim]; tables are [positions, width], or [batch, rows, width] without positions. */
export function rotary(call: Call, emit: Emitter, x: Value, { cos, sin, positions }: Tables): Value {
  const flat = x.shape.length === 3;
  const heads = flat ? call.int('num_heads') : 0;
  const split = flat ? splitHeads(emit, x, heads) : x;
  const angles = [cos, sin].map((table) => {
    const rows = positions === undefined ? table : emit.gather(table, positions, 0);
    return emit.reshape(rows, [rows.shape[0] as Dim, 1, ...rows.shape.slice(1)]);
  }) as [Value, Value];
  const partial = call.int('rotary_embedding_dim', 0);
  const width = partial === 0 ? divDims(split.shape[3] as Dim, 2) : partial / 2;
  if (typeof width !== 'number') throw new CannotImport('E3001', 'the size of a head is not a number that can be told before the run');
  const used = angles.map((each) => (each.shape[3] === width ? each : emit.slice(each, 3, 0, width))) as [Value, Value];
  const turned = rotate(emit, split, used, width, call.int('interleaved', 0) === 1);
  return flat ? joinHeads(emit, turned) : turned;
}

/** [batch, rows, heads * headDim] -> [batch, heads, rows, headDim] */
function splitHeads(emit: Emitter, x: Value, heads: number): Value {
  const [batch, rows, width] = x.shape as readonly [Dim, Dim, Dim];
  const headDim = divDims(width, heads);
  if (headDim === undefined) throw new CannotImport('E1003', `${width} features are not ${heads} heads of equal size`);
  return emit.transpose(emit.reshape(x, [batch, rows, heads, headDim]), [0, 2, 1, 3]);
}

function joinHeads(emit: Emitter, x: Value): Value {
  const [batch, heads, rows, headDim] = x.shape as readonly [Dim, Dim, Dim, Dim];
  return emit.reshape(emit.transpose(x, [0, 2, 1, 3]), [batch, rows, mulDims(heads, headDim)]);
}

/** Keys and values of [batch, kvHeads, ...] for `heads` query heads: each serves heads / kvHeads neighbours. */
function repeatHeads(emit: Emitter, x: Value, heads: Dim): Value {
  const [batch, kvHeads, keys, headDim] = x.shape as readonly [Dim, Dim, Dim, Dim];
  if (kvHeads === heads) return x;
  const group = divDims(heads, kvHeads);
  if (group === undefined) throw new CannotImport('E1003', `${heads} query heads do not share ${kvHeads} key heads evenly`);
  const wide = emit.expand(emit.reshape(x, [batch, kvHeads, 1, keys, headDim]), [batch, kvHeads, group, keys, headDim]);
  return emit.reshape(wide, [batch, heads, keys, headDim]);
}

/** Attention of opset 23 to 25, as its definition's function body has it. */
function attention(call: Call, emit: Emitter): readonly Value[] {
  if (call.inputs[6] !== undefined) throw new CannotImport('E3001', 'keys of a length of their own (`nonpad_kv_seqlen`) are not computed');
  const flat = call.input(0).shape.length === 3;
  const headed = (i: number, name: string): Value => (flat ? splitHeads(emit, call.input(i), call.int(name)) : call.input(i));
  const q = headed(0, 'q_num_heads');
  const joined = (i: number, past: number): Value => {
    const now = headed(i, 'kv_num_heads');
    const before = call.inputs[past];
    return before === undefined ? now : emit.concat([before, now], 2);
  };
  const [k, v] = [joined(1, 4), joined(2, 5)];
  const heads = q.shape[1] as Dim;
  const headDim = q.shape[3];
  if (typeof headDim !== 'number') throw new CannotImport('E3001', 'the size of a head is not a number that can be told before the run');
  const scores = emit.matmul(q, emit.transpose(repeatHeads(emit, k, heads), [0, 1, 3, 2]));
  const scaled = emit.binary('mul', scores, emit.scalar(scores, call.float('scale', 1 / Math.sqrt(headDim))));
  const cap = call.float('softcap', 0);
  const capped = cap === 0 ? scaled : emit.binary('mul', emit.unary('tanh', emit.binary('div', scaled, emit.scalar(scaled, cap))), emit.scalar(scaled, cap));
  const masked = maskScores(call, emit, capped, call.inputs[4]?.shape[2] ?? 0);
  const shares = emit.softmax(masked, 3);
  // A row that may see no key has zero shares, not 0/0.
  const weights = masked === capped ? shares : emit.where(emit.unary('isnan', shares), emit.scalar(shares, 0), shares);
  const mixed = emit.matmul(weights, repeatHeads(emit, v, heads));
  const observed = [scaled, capped, masked, weights][call.int('qk_matmul_output_mode', 0)] ?? weights;
  return [flat ? joinHeads(emit, mixed) : mixed, k, v, observed];
}

function maskScores(call: Call, emit: Emitter, scores: Value, past: Dim): Value {
  const floor = emit.scalar(scores, -Infinity);
  const mask = call.inputs[3];
  const given = mask === undefined ? scores : mask.dtype === 'bool' ? emit.where(mask, scores, floor) : emit.binary('add', scores, mask);
  const [rows, keys] = scores.shape.slice(2) as [Dim, Dim];
  const row = emit.binary('add', emit.reshape(emit.iota('i64', 0, 1, rows), [rows, 1]), knownValue('i64', [], [past]));
  const key = emit.iota('i64', 0, 1, keys);
  const [left, right] = [call.int('left_window_size', -1), call.int('is_causal', 0) === 1 ? 0 : call.int('right_window_size', -1)];
  const early = right < 0 ? given : emit.where(emit.binary('lessEqual', key, moved(emit, row, right)), given, floor);
  return left < 0 ? early : emit.where(emit.binary('greaterEqual', key, moved(emit, row, -left)), early, floor);
}

const moved = (emit: Emitter, place: Value, by: number): Value => (by === 0 ? place : emit.binary('add', place, emit.scalar(place, by)));
