import { volumeOf } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value } from '../value.ts';
import { einsum } from './einsum.ts';
import { alike } from './elementwise.ts';
import { type Call, type Rule, type Rules } from './rule.ts';
import { axesOf } from './views.ts';

/** Sums of products, and what reduces axes. */
export const products: Rules = {
  MatMul: (call, emit) => matmul(emit, ...(alike(call, 0, 2) as [Value, Value])),
  Gemm: (call, emit) => gemm(call, emit),
  Einsum: (call, emit) => einsum(emit, call.string('equation'), call.rest(0)),
  ReduceSum: reduced((emit, x, axes, keep) => emit.reduce('sum', x, axes, keep)),
  ReduceMean: reduced((emit, x, axes, keep) => emit.reduce('mean', x, axes, keep)),
  ReduceMax: reduced((emit, x, axes, keep) => emit.reduce('max', x, axes, keep)),
  ReduceMin: reduced((emit, x, axes, keep) => emit.reduce('min', x, axes, keep)),
  ReduceProd: reduced((emit, x, axes, keep) => emit.reduce('prod', x, axes, keep)),
  ReduceSumSquare: reduced((emit, x, axes, keep) => emit.reduce('sum', emit.binary('mul', x, x), axes, keep)),
  ReduceL1: reduced((emit, x, axes, keep) => emit.reduce('sum', emit.unary('abs', x), axes, keep)),
  ReduceL2: reduced((emit, x, axes, keep) => emit.unary('sqrt', emit.reduce('sum', emit.binary('mul', x, x), axes, keep))),
  ReduceLogSum: reduced((emit, x, axes, keep) => emit.unary('log', emit.reduce('sum', x, axes, keep))),
  // As the logarithm of a softmax's sum: the largest is taken out, unless it is infinite.
  ReduceLogSumExp: reduced((emit, x, axes, keep) => {
    const most = emit.reduce('max', x, axes, true);
    const finite = emit.binary('less', emit.unary('abs', most), emit.scalar(x, Infinity));
    const shift = emit.where(finite, most, emit.scalar(x, 0));
    const sum = emit.reduce('sum', emit.unary('exp', emit.binary('sub', x, shift)), axes, keep);
    return emit.binary('add', emit.unary('log', sum), keep ? shift : emit.reshape(shift, sum.shape));
  }),
  Softmax: softmax,
  LogSoftmax: (call, emit) => emit.unary('log', softmax(call, emit)),
};

const times = (emit: Emitter, x: Value, by: number): Value => (by === 1 ? x : emit.binary('mul', x, emit.scalar(x, by)));

export function gemm(call: Call, emit: Emitter): Value {
  const turned = (x: Value, name: string): Value => (call.int(name, 0) === 0 ? x : emit.transpose(x, [1, 0]));
  const product = emit.matmul(turned(call.input(0), 'transA'), turned(call.input(1), 'transB'));
  const scaled = times(emit, product, call.float('alpha', 1));
  const added = call.inputs[2];
  return added === undefined ? scaled : emit.binary('add', scaled, times(emit, added, call.float('beta', 1)));
}

/** NumPy's matmul: an operand of one axis is a row on the left, a column on the right. */
export function matmul(emit: Emitter, x: Value, y: Value): Value {
  if (x.shape.length === 0 || y.shape.length === 0) throw new CannotImport('E1003', 'a product of a single number does not exist');
  const left = x.shape.length === 1 ? emit.reshape(x, [1, ...x.shape]) : x;
  const right = y.shape.length === 1 ? emit.reshape(y, [...y.shape, 1]) : y;
  const product = emit.matmul(left, right);
  const rows = x.shape.length === 1 ? [] : product.shape.slice(-2, -1);
  const columns = y.shape.length === 1 ? [] : product.shape.slice(-1);
  return emit.reshape(product, [...product.shape.slice(0, -2), ...rows, ...columns]);
}

function reduced(reduce: (emit: Emitter, x: Value, axes: readonly number[], keep: boolean) => Value): Rule {
  return (call, emit) => {
    const x = call.input(0);
    const axes = axesOf(call, 1) ?? [];
    if (axes.length === 0 && call.int('noop_with_empty_axes', 0) === 1) return reduce(emit, x, [], true);
    return reduce(emit, x, axes.length === 0 ? x.shape.map((_, axis) => axis) : axes, call.int('keepdims', 1) === 1);
  };
}

function softmax(call: Call, emit: Emitter): Value {
  return softmaxOf(emit, call.input(0), call.int('axis', call.opset < 13 ? 1 : -1), call.opset);
}

/** Before opset 13 over all axes from `from` on, as if they were one. */
export function softmaxOf(emit: Emitter, x: Value, from: number, opset: number): Value {
  const axis = emit.axis(from, x);
  if (opset >= 13 || axis === x.shape.length - 1) return emit.softmax(x, axis);
  const flat: readonly Dim[] = [volumeOf(x.shape.slice(0, axis)), volumeOf(x.shape.slice(axis))];
  return emit.reshape(emit.softmax(emit.reshape(x, flat), 1), x.shape);
}
