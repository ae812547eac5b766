import { addDims, mulDims, subDims } from '../../../ir/dims.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf } from '../value.ts';
import { attend, joinHeads, places, splitHeads } from './attend.ts';
import { number } from './cache.ts';
import { cut, sides, withBias } from './contrib-attention.ts';
import { matmul } from './products.ts';
import type { Call, Rules } from './rule.ts';

/** Attentions of sequences one after the other, without padding. Source: ONNX Runtime's docs/ContribOperators.md. */
export const packedAttentions: Rules = {
  PackedAttention: (call, emit) => ragged(call, emit, sides(call, emit, withBias(emit, matmul(emit, call.input(0), call.input(1)), call.inputs[2])), { ends: call.input(4), bias: call.inputs[5] }),
  PackedMultiHeadAttention: (call, emit) => {
    const [query, key, value] = [call.input(0), call.inputs[1], call.inputs[2]];
    const part = (i: number): Value => {
      const [tokens, heads, , headDim] = dimsOf(query, 4);
      return emit.reshape(emit.slice(query, 2, i, i + 1), [tokens, mulDims(heads, headDim)]);
    };
    const parts = query.shape.length === 4 ? [part(0), part(1), part(2)] : [query, key ?? query, value ?? query];
    const biases = call.inputs[3] === undefined ? [] : cut(emit, call.inputs[3], parts.map((x) => dimAt(x, 1)));
    return ragged(call, emit, parts.map((x, i) => withBias(emit, x, biases[i])), { ends: call.input(5), bias: call.inputs[6] });
  },
};

/** Attention of tokens [tokens, features] to those of their own sequence; `ends`: 0, and where each sequence ends. */
function ragged(call: Call, emit: Emitter, parts: readonly Value[], { ends, bias }: { readonly ends: Value; readonly bias: Value | undefined }): Value {
  if (bias !== undefined) throw new CannotImport('E3001', 'a bias on the scores of packed sequences is not expressed');
  const [q, k, v] = parts.map((x) => splitHeads(emit, emit.reshape(x, [1, ...x.shape]), call.int('num_heads'))) as [Value, Value, Value];
  const tokens = dimAt(q, 2);
  const sequences = subDims(dimAt(ends, 0), 1);
  const last = emit.cast(emit.slice(ends, 0, 1, addDims(sequences, 1)), 'i64');
  // The sequence of a token is how many end before it.
  const past = emit.cast(emit.binary('greaterEqual', places(emit, number(0), tokens, 2), last), 'i64');
  const own = emit.reduce('sum', past, [1], false);
  const alike = emit.binary('equal', emit.reshape(own, [tokens, 1]), own);
  const { mixed } = attend(emit, { q, k, v, scale: call.float('scale', 0), softCap: 0, mask: (scores) => emit.where(alike, scores, emit.scalar(scores, -Infinity)) });
  const joined = joinHeads(emit, mixed);
  return emit.reshape(joined, joined.shape.slice(1));
}
