import { divDims, leastOf, mulDims, subDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import { attend, headsInRows, joinHeads, joined, knownSize, places, repeatHeads, splitHeads } from './attend.ts';
import { number } from './cache.ts';
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

/**
 * x is [batch, heads, rows, headDim] or [batch, rows, heads * headDim]; tables are [positions, width], or [batch, rows, width] without positions.
 * It turns in [batch, rows, heads, headDim], as the definition's function body does.
 */
export function rotary(call: Call, emit: Emitter, x: Value, { cos, sin, positions }: Tables): Value {
  const flat = x.shape.length === 3;
  const split = flat ? headsInRows(emit, x, headsOf(call, x, cos)) : emit.transpose(x, rowsBeforeHeads);
  const angles = [cos, sin].map((table) => {
    const rows = positions === undefined ? table : emit.gather(table, positions, 0);
    return emit.reshape(rows, [dimAt(rows, 0), dimAt(rows, 1), 1, dimAt(rows, 2)]);
  }) as [Value, Value];
  const [batch, tables] = [split.shape[0] as Dim, angles[0].shape[0] as Dim];
  if (positions === undefined && tables === 1 && batch !== 1) call.doubt(`its angles are of 1 sequence, and it turns ${batch}: they are read as the same for each`);
  const partial = call.int('rotary_embedding_dim', 0);
  const width = divDims(partial === 0 ? dimAt(split, 3) : partial, 2);
  if (typeof width !== 'number') throw new CannotImport('E3001', 'how many pairs of a head turn is not a number that can be told before the run');
  const used = angles.map((each) => (each.shape[3] === width ? each : emit.slice(each, 3, 0, width))) as [Value, Value];
  const turned = rotate(emit, split, used, width, call.int('interleaved', 0) === 1);
  return flat ? emit.reshape(turned, x.shape) : emit.transpose(turned, rowsBeforeHeads);
}

/** [batch, heads, rows, headDim] <-> [batch, rows, heads, headDim] */
const rowsBeforeHeads = [0, 2, 1, 3];

/** Without a number of heads these are as wide as the tables turn. */
function headsOf(call: Call, x: Value, cos: Value): number {
  const given = call.int('num_heads', 0);
  const heads = given === 0 ? divDims(dimAt(x, 2), mulDims(2, dimAt(cos, -1))) : given;
  if (typeof heads !== 'number') throw new CannotImport('E1003', `${x.shape[2]} features are no number of heads of ${cos.shape.at(-1)} pairs`);
  return heads;
}

/** Attention of opset 23 to 25, as its definition's function body has it. */
function attention(call: Call, emit: Emitter): readonly Value[] {
  const flat = call.input(0).shape.length === 3;
  const headed = (i: number, name: string): Value => (flat ? splitHeads(emit, call.input(i), call.int(name)) : call.input(i));
  const [k, v] = [joined(emit, call.inputs[4], headed(1, 'kv_num_heads')), joined(emit, call.inputs[5], headed(2, 'kv_num_heads'))];
  const q = headed(0, 'q_num_heads');
  const bias = biasOf(call, emit, dimAt(q, 2), dimAt(k, 2));
  const { mixed, scaled, capped, masked, weights } = attend(emit, {
    q, k, v,
    scale: call.float('scale', 0),
    softCap: call.float('softcap', 0),
    onBothSides: true,
    mask: (scores) => (bias === undefined ? scores : emit.binary('add', scores, bias)),
    blind: bias,
  });
  const observed = [scaled, capped, masked, weights][call.int('qk_matmul_output_mode', 0)] ?? weights;
  return [flat ? joinHeads(emit, mixed) : mixed, k, v, observed];
}

/** Attention between whose products graphs of the model's own stand. */
export const previews: Rules = {
  FlexAttention: (call, emit) => {
    const [score, share] = [call.graph('score_mod'), call.graph('prob_mod')];
    const q = call.input(0);
    const k = repeatHeads(emit, call.input(1), dimAt(q, 1));
    const scale = call.float('scale', 1 / Math.sqrt(knownSize(q.shape[3])));
    const rooted = (x: Value): Value => emit.binary('mul', x, emit.scalar(x, Math.sqrt(scale)));
    const { mixed } = attend(emit, {
      ...(scale >= 0 ? { q: rooted(q), k: rooted(k), scale: 1 } : { q, k, scale }),
      v: call.input(2),
      softCap: 0,
      mask: (scores) => score?.([scores]) ?? scores,
      weigh: share === undefined ? undefined : (shares) => share([shares]),
    });
    return mixed;
  },
};

/** What masks add to the scores, one after the other: 0 for what is seen, -Infinity for what is not. */
function biasOf(call: Call, emit: Emitter, rows: Dim, keys: Dim): Value | undefined {
  const [open, hidden] = [0, -Infinity].map((each) => knownValue('f32', [], [each])) as [Value, Value];
  const mask = call.inputs[3];
  const given = mask && reaching(emit, mask.dtype === 'bool' ? emit.where(mask, open, hidden) : mask, keys);
  const [left, right] = [call.int('left_window_size', -1), call.int('right_window_size', -1)];
  // Keys of a length of their own end with the rows at hand.
  const lengths = call.inputs[6];
  const first = lengths === undefined ? number(call.inputs[4]?.shape[2] ?? 0) : emit.reshape(emit.binary('sub', lengths, number(rows)), [dimAt(lengths, 0), 1, 1, 1]);
  const key = places(emit, number(0), keys, 1);
  const row = lengths === undefined ? places(emit, first, rows, 2) : emit.binary('add', emit.reshape(places(emit, number(0), rows, 2), [1, 1, rows, 1]), first);
  const terms = [
    call.int('is_causal', 0) === 1 ? emit.where(emit.binary('less', row, key), hidden, open) : undefined,
    left < 0 ? undefined : emit.where(emit.binary('lessEqual', emit.binary('sub', row, key), emit.scalar(row, left)), open, hidden),
    right < 0 ? undefined : emit.where(emit.binary('lessEqual', emit.binary('sub', key, row), emit.scalar(row, right)), open, hidden),
    lengths && emit.reshape(emit.where(emit.binary('less', key, emit.reshape(lengths, [dimAt(lengths, 0), 1])), open, hidden), [dimAt(lengths, 0), 1, 1, keys]),
  ].filter((term) => term !== undefined);
  return terms.reduce<Value | undefined>((sum, term) => (sum === undefined ? term : emit.binary('add', sum, emit.cast(term, sum.dtype))), given);
}

/** A mask that ends before the keys do hides the others. */
function reaching(emit: Emitter, mask: Value, keys: Dim): Value {
  const missing = subDims(keys, emit.sizes.settle(dimAt(mask, -1)));
  if (mask.shape.at(-1) === 1 || leastOf(missing) <= 0) return mask;
  return emit.concat([mask, emit.expand(emit.scalar(mask, -Infinity), mask.shape.with(-1, missing))], -1);
}
