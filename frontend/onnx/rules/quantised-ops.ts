import type { Emitter } from '../emit.ts';
import { CannotImport, type Value } from '../value.ts';
import { leakyRelu } from './elementwise.ts';
import { matmul, softmaxOf } from './products.ts';
import { alongAxis, dequantise, dynamicQuantise, quantise } from './quantised.ts';
import type { Call, Rule, Rules } from './rule.ts';
import { convolution } from './windows.ts';

/** The numbers of codes that come with a scale and a zero point; these may be one for each index of an axis, -1 the last. */
function numbersOf(emit: Emitter, codes: Value, { scale, zeroPoint, axis }: { readonly scale: Value | undefined; readonly zeroPoint: Value | undefined; readonly axis: number }): Value {
  const rank = codes.shape.length;
  const part = (value: Value | undefined): Value | undefined => alongAxis(emit, value, rank, axis < 0 ? rank + axis : axis);
  return dequantise(emit, codes, { scale: part(scale), zeroPoint: part(zeroPoint) }, scale?.dtype ?? 'i32');
}

const operand = (call: Call, emit: Emitter, at: number, axis: number): Value => numbersOf(emit, call.input(at), { scale: call.input(at + 1), zeroPoint: call.inputs[at + 2], axis });

/** The result as codes of the scale and zero point from input `at` on. Without a zero point they are of the type of the first operand. */
function coded(call: Call, emit: Emitter, result: Value, at: number): Value {
  const zeroPoint = call.inputs[at + 1];
  const rank = result.shape.length;
  const part = (value: Value | undefined): Value | undefined => alongAxis(emit, value, rank, rank - 2);
  return quantise(emit, result, { scale: part(call.input(at)) as Value, zeroPoint: part(zeroPoint) }, zeroPoint?.dtype ?? call.input(0).dtype);
}

/** An operator on the numbers its first input's codes stand for, whose result is codes again. */
const coding = (make: (call: Call, emit: Emitter, x: Value) => Value): Rule => (call, emit) => coded(call, emit, make(call, emit, operand(call, emit, 0, -1)), 3);
const codingTwo = (fn: 'add' | 'mul'): Rule => (call, emit) => coded(call, emit, emit.binary(fn, operand(call, emit, 0, -1), operand(call, emit, 3, -1)), 6);

/** Operators of ai.onnx on codes. */
export const codeProducts: Rules = {
  MatMulInteger: (call, emit) => {
    const whole = (i: number, axis: number): Value => numbersOf(emit, call.input(i), { scale: undefined, zeroPoint: call.inputs[i + 2], axis });
    return matmul(emit, whole(0, -2), whole(1, -1));
  },
  QLinearMatMul: (call, emit) => coded(call, emit, matmul(emit, operand(call, emit, 0, -2), operand(call, emit, 3, -1)), 6),
  ConvInteger: (call, emit) => convolution(call, emit, { x: centred(emit, call.input(0), call.inputs[2]), w: centred(emit, call.input(1), call.inputs[3]), bias: undefined }),
  QLinearConv: (call, emit) => {
    const filters = { scale: alongAxis(emit, call.input(4), call.input(3).shape.length, 0), zeroPoint: alongAxis(emit, call.inputs[5], call.input(3).shape.length, 0) };
    const w = dequantise(emit, call.input(3), filters, call.input(4).dtype);
    const bias = call.inputs[8];
    // What is added has the scale of the products, filter by filter.
    const unit = emit.binary('mul', emit.reshape(call.input(1), []), call.input(4));
    const added = bias === undefined ? undefined : emit.binary('mul', emit.cast(bias, unit.dtype), unit);
    return coded(call, emit, convolution(call, emit, { x: operand(call, emit, 0, -1), w, bias: added }), 6);
  },
};

/** Codes less their zero point, which may be one for each of the first axis. */
const centred = (emit: Emitter, codes: Value, zeroPoint: Value | undefined): Value => dequantise(emit, codes, { scale: undefined, zeroPoint: alongAxis(emit, zeroPoint, codes.shape.length, 0) }, 'i32');

/** Operators of ONNX Runtime on codes. Source: its docs/ContribOperators.md. */
export const contribCodes: Rules = {
  MatMulInteger16: (call, emit) => matmul(emit, emit.cast(call.input(0), 'i32'), emit.cast(call.input(1), 'i32')),
  MatMulIntegerToFloat: (call, emit) => {
    const side = (i: number, axis: number): Value => numbersOf(emit, call.input(i), { scale: call.input(i + 2), zeroPoint: call.inputs[i + 4], axis });
    return plus(emit, matmul(emit, side(0, -1), side(1, -1)), call.inputs[6]);
  },
  DynamicQuantizeMatMul: (call, emit) => {
    const x = call.input(0);
    const { codes, scale, zeroPoint } = dynamicQuantise(emit, x);
    const weight = numbersOf(emit, call.input(1), { scale: call.input(2), zeroPoint: call.inputs[3], axis: -1 });
    return plus(emit, matmul(emit, numbersOf(emit, codes, { scale, zeroPoint, axis: -1 }), weight), call.inputs[4]);
  },
  QGemm: (call, emit) => {
    const turned = (x: Value, name: string): Value => (call.int(name, 0) === 0 ? x : emit.transpose(x, [1, 0]));
    const [x, y] = [turned(operand(call, emit, 0, -1), 'transA'), turned(numbersOf(emit, call.input(3), { scale: call.input(4), zeroPoint: call.inputs[5], axis: call.int('transB', 0) === 0 ? -1 : -2 }), 'transB')];
    const product = emit.matmul(x, y);
    const alpha = call.float('alpha', 1);
    const scaled = alpha === 1 ? product : emit.binary('mul', product, emit.scalar(product, alpha));
    const added = call.inputs[6];
    // What is added has the scale of the product, column by column.
    const unit = emit.binary('mul', emit.reshape(call.input(1), []), alongAxis(emit, call.input(4), 1, 0) as Value);
    const step = alpha === 1 ? unit : emit.binary('mul', unit, emit.scalar(unit, alpha));
    const sum = added === undefined ? scaled : emit.binary('add', scaled, emit.binary('mul', emit.cast(added, step.dtype), step));
    return call.inputs[7] === undefined ? sum : coded(call, emit, sum, 7);
  },
  QLinearAdd: codingTwo('add'),
  QLinearMul: codingTwo('mul'),
  QLinearSigmoid: coding((_, emit, x) => emit.unary('sigmoid', x)),
  QLinearLeakyRelu: coding((call, emit, x) => leakyRelu(emit, x, call.float('alpha', 0.01))),
  QLinearSoftmax: coding((call, emit, x) => softmaxOf(emit, x, call.int('axis', call.int('opset') < 13 ? 1 : -1), call.int('opset'))),
  QLinearReduceMean: coding((call, emit, x) => emit.reduce('mean', x, call.ints('axes') ?? x.shape.map((_, axis) => axis), call.int('keepdims', 1) === 1)),
  QLinearConcat: (call, emit) => {
    const { length } = call.inputs;
    if (length < 5 || (length - 2) % 3 !== 0) throw new CannotImport('E1003', `${length} inputs are not a scale, a zero point and three for each part`);
    const parts = Array.from({ length: (length - 2) / 3 }, (_, i) => operand(call, emit, 2 + 3 * i, -1));
    return quantise(emit, emit.concat(parts, call.int('axis')), { scale: alongAxis(emit, call.input(0), 0, 0) as Value, zeroPoint: alongAxis(emit, call.input(1), 0, 0) }, call.input(1).dtype);
  },
  QLinearWhere: (call, emit) => coded(call, emit, emit.where(call.input(0), operand(call, emit, 1, -1), operand(call, emit, 4, -1)), 7),
};

const plus = (emit: Emitter, x: Value, bias: Value | undefined): Value => (bias === undefined ? x : emit.binary('add', x, bias));
