import { divDims } from '../../../ir/dims.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf, knownValue } from '../value.ts';
import { places, splitHeads } from './attend.ts';
import { number } from './cache.ts';
import { matmul } from './products.ts';
import type { Rules } from './rule.ts';

/** Numbers ONNX Runtime's attentions add to their scores. Source: its docs/ContribOperators.md. */
export const contribBiases: Rules = {
  RelativePositionBias: (call, emit) => {
    const [rows, keys] = [1, 2].map((i) => call.sizes(i)?.[0]);
    if (rows === undefined || keys === undefined) throw new CannotImport('E1003', 'how many rows and keys there are is missing');
    const apart = emit.binary('sub', places(emit, number(0), keys, 1), places(emit, number(0), rows, 2));
    const table = call.input(0);
    const [buckets] = dimsOf(table, 2);
    if (typeof buckets !== 'number') throw new CannotImport('E3001', 'the number of buckets is not a number that can be told before the run');
    const bias = emit.gather(table, bucketsOf(emit, apart, { buckets, most: call.int('max_distance'), both: call.int('is_bidirectional', 0) === 1 }), 0);
    return emit.reshape(emit.transpose(bias, [2, 0, 1]), [1, dimAt(table, 1), rows, keys]);
  },
  GatedRelativePositionBias: (call, emit) => {
    if (call.inputs[6] !== undefined) throw new CannotImport('E3001', 'packed sequences are not expressed');
    const heads = call.int('num_heads');
    const query = splitHeads(emit, emit.binary('add', call.input(0), call.input(1)), heads);
    const gates = emit.binary('add', matmul(emit, query, call.input(3)), call.input(4));
    const half = divDims(dimAt(gates, 3), 2);
    if (half === undefined) throw new CannotImport('E1003', `gates of ${gates.shape[3]} features are not two`);
    const summed = emit.unary('sigmoid', emit.reduce('sum', emit.reshape(gates, [...gates.shape.slice(0, 3), 2, half]), [4], false));
    const [update, reset] = [0, 1].map((i) => emit.slice(summed, 3, i, i + 1)) as [Value, Value];
    const inner = emit.binary('sub', emit.binary('mul', reset, call.input(5)), emit.scalar(reset, 1));
    return emit.binary('mul', emit.binary('add', emit.binary('mul', update, inner), emit.scalar(update, 2)), call.input(2));
  },
};

type Buckets = { readonly buckets: number; readonly most: number; readonly both: boolean };

/** T5's bucket of a distance: half of them for the near ones, one each, the others on a logarithmic scale up to `most`. */
function bucketsOf(emit: Emitter, apart: Value, { buckets, most, both }: Buckets): Value {
  const own = both ? buckets / 2 : buckets;
  const near = Math.floor(own / 2);
  const nought = emit.scalar(apart, 0);
  const distance = both ? emit.unary('abs', apart) : emit.binary('max', emit.unary('neg', apart), nought);
  // The least distance of each far bucket after the first: counting those passed takes no logarithm.
  const least = Array.from({ length: own - near - 1 }, (_, i) => Math.ceil(near * (most / near) ** ((i + 1) / (own - near)) - 1e-6));
  const passed = emit.binary('greaterEqual', emit.reshape(distance, [...distance.shape, 1]), knownValue('i64', [least.length], least));
  const far = emit.binary('add', emit.reduce('sum', emit.cast(passed, 'i64'), [2], false), emit.scalar(distance, near));
  const bucket = emit.where(emit.binary('less', distance, emit.scalar(distance, near)), distance, far);
  return both ? emit.binary('add', bucket, emit.where(emit.binary('greater', apart, nought), emit.scalar(apart, own), nought)) : bucket;
}
