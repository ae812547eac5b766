import { subDims, volumeOf } from '../../../ir/dims.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, knownValue } from '../value.ts';
import type { Rule, Rules } from './rule.ts';

/** What ranks, accumulates or cuts off along axes. */
export const along: Rules = {
  Trilu: (call, emit) => emit.trilu(call.input(0), call.int('upper', 1) === 1, call.inputs[1] === undefined ? 0 : call.single(1)),
  CumSum: (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(call.single(1) as number, x);
    const sums = call.int('reverse', 0) === 1 ? reversed(emit, emit.cumsum(reversed(emit, x, axis), axis), axis) : emit.cumsum(x, axis);
    return call.int('exclusive', 0) === 1 ? emit.binary('sub', sums, x) : sums;
  },
  CumProd: (call, emit) => {
    // Each element is the product of a row of all elements, those it does not have replaced by 1.
    const x = call.input(0);
    const axis = emit.axis(call.single(1) as number, x);
    const factors = emit.iota('i64', 0, 1, dimAt(x, axis));
    const column = emit.reshape(factors, [...factors.shape, 1]);
    const [low, high] = call.int('reverse', 0) === 1 ? [column, factors] : [factors, column];
    const has = emit.binary(call.int('exclusive', 0) === 1 ? 'less' : 'lessEqual', low, high);
    const rows = emit.reshape(x, x.shape.toSpliced(axis, 0, 1));
    const mask = emit.reshape(has, [...has.shape, ...x.shape.slice(axis + 1).map(() => 1)]);
    return emit.reduce('prod', emit.where(mask, rows, emit.scalar(x, 1)), [axis + 1], false);
  },
  TopK: (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(call.int('axis', -1), x);
    // Opset 10 made k an input.
    const k = call.has('k') ? call.int('k') : call.single(1);
    if (typeof k === 'number' && (!Number.isInteger(k) || k < 0)) throw new CannotImport('E1003', `there are no best ${k} elements`);
    const indices = emit.topk(x, { axis, k, largest: call.int('largest', 1) === 1 });
    return [emit.pick(x, indices, axis), indices];
  },
  ArgMax: extreme(true),
  ArgMin: extreme(false),
  /** 1 at the first largest element. Before opset 13 of all axes from `axis` on, as if they were one. */
  Hardmax: (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(call.int('axis', call.opset < 13 ? 1 : -1), x);
    if (call.opset >= 13 || axis === x.shape.length - 1) return peak(emit, x, axis);
    return emit.reshape(peak(emit, emit.reshape(x, [volumeOf(x.shape.slice(0, axis)), volumeOf(x.shape.slice(axis))]), 1), x.shape);
  },
};

/** The axis from its end to its beginning. */
const reversed = (emit: Emitter, x: Value, axis: number): Value => emit.slice(x, axis, subDims(dimAt(x, axis), 1), -1, -1);

function extreme(largest: boolean): Rule {
  return (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(call.int('axis', 0), x);
    const last = call.int('select_last_index', 0) === 1;
    const found = emit.topk(last ? reversed(emit, x, axis) : x, { axis, k: 1, largest });
    const index = last ? emit.binary('sub', knownValue('i64', [], [subDims(dimAt(x, axis), 1)]), found) : found;
    return call.int('keepdims', 1) === 1 ? index : emit.reshape(index, x.shape.toSpliced(axis, 1));
  };
}

function peak(emit: Emitter, x: Value, axis: number): Value {
  const places = emit.iota('i64', 0, 1, dimAt(x, axis));
  const shaped = emit.reshape(places, x.shape.map((size, i) => (i === axis ? size : 1)));
  return emit.cast(emit.binary('equal', shaped, emit.topk(x, { axis, k: 1, largest: true })), x.dtype);
}
