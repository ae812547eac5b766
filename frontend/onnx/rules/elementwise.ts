import type { PrimitiveAttrs } from '../../../ir/graph/ops.ts';
import type { DType } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, knownValue } from '../value.ts';
import { type Call, dtypeOf, type Rule, type Rules } from './rule.ts';

/** Definitions: onnx/docs/Operators.md; those made of others follow the function bodies given there. */
const unary = (fn: PrimitiveAttrs['punary']['fn']): Rule => (call, emit) => emit.unary(fn, call.input(0));
const binary = (fn: PrimitiveAttrs['pbinary']['fn']): Rule => (call, emit) => emit.binary(fn, ...(alike(call, 0, 2) as [Value, Value]));
const fold = (fn: PrimitiveAttrs['pbinary']['fn']): Rule => (call, emit) => alike(call, 0, call.inputs.length).reduce((sum, each) => emit.binary(fn, sum, each));

const scaled = (emit: Emitter, x: Value, by: number): Value => (by === 1 ? x : emit.binary('mul', x, emit.scalar(x, by)));
const shifted = (emit: Emitter, x: Value, by: number): Value => (by === 0 ? x : emit.binary('add', x, emit.scalar(x, by)));
const positive = (emit: Emitter, x: Value): Value => emit.binary('greater', x, emit.scalar(x, 0));
export const clamp = (emit: Emitter, x: Value, low: number, high: number): Value => emit.binary('min', emit.binary('max', x, emit.scalar(x, low)), emit.scalar(x, high));

/** Inputs from `first` up to `end`. ONNX converts no operand: they are of one type, or the exporter has forgotten a cast. */
export function alike(call: Call, first: number, end: number): readonly Value[] {
  const operands = Array.from({ length: end - first }, (_, i) => call.input(first + i));
  const [one] = operands;
  const other = operands.find(({ dtype }) => dtype !== one?.dtype);
  if (one !== undefined && other !== undefined) call.doubt(`its operands are of ${one.dtype} and ${other.dtype}: they are read as the numbers they are`);
  return operands;
}

/** x/2 (1 + erf(x/sqrt 2)), or with tanh(sqrt(2/pi) (x + 0.044715 x^3)) for erf. */
export function gelu(emit: Emitter, x: Value, approximate: boolean): Value {
  const inner = approximate
    ? emit.unary('tanh', scaled(emit, emit.binary('add', x, scaled(emit, emit.binary('pow', x, emit.scalar(x, 3)), 0.044715)), Math.sqrt(2 / Math.PI)))
    : emit.unary('erf', scaled(emit, x, Math.SQRT1_2));
  return emit.binary('mul', scaled(emit, x, 0.5), shifted(emit, inner, 1));
}

/** x sigmoid(alpha x) */
export const swish = (emit: Emitter, x: Value, alpha: number): Value => emit.binary('mul', x, emit.unary('sigmoid', scaled(emit, x, alpha)));

export const leakyRelu = (emit: Emitter, x: Value, alpha: number): Value => emit.where(positive(emit, x), x, scaled(emit, x, alpha));

export const elementwise: Rules = {
  Neg: unary('neg'),
  Abs: unary('abs'),
  Sqrt: unary('sqrt'),
  Reciprocal: unary('reciprocal'),
  Exp: unary('exp'),
  Log: unary('log'),
  Tanh: unary('tanh'),
  Sigmoid: unary('sigmoid'),
  Erf: unary('erf'),
  Relu: unary('relu'),
  Sin: unary('sin'),
  Cos: unary('cos'),
  Floor: unary('floor'),
  Ceil: unary('ceil'),
  Round: unary('round'),
  Not: unary('not'),
  IsNaN: unary('isnan'),
  IsInf: (call, emit) => {
    const x = call.input(0);
    const [below, above] = [call.int('detect_negative', 1) === 1, call.int('detect_positive', 1) === 1];
    const infinite = (value: Value): Value => emit.binary('equal', value, emit.scalar(x, Infinity));
    if (below && above) return infinite(emit.unary('abs', x));
    return above ? infinite(x) : below ? infinite(emit.unary('neg', x)) : emit.expand(knownValue('bool', [], [0]), x.shape);
  },
  Sign: unary('sign'),
  Softplus: unary('softplus'),
  Add: binary('add'),
  Sub: binary('sub'),
  Mul: binary('mul'),
  Div: binary('div'),
  Pow: (call, emit) => emit.binary('pow', call.input(0), emit.cast(call.input(1), call.input(0).dtype)),
  Equal: binary('equal'),
  Less: binary('less'),
  LessOrEqual: binary('lessEqual'),
  Greater: binary('greater'),
  GreaterOrEqual: binary('greaterEqual'),
  And: binary('and'),
  Or: binary('or'),
  Xor: (call, emit) => emit.unary('not', emit.binary('equal', call.input(0), call.input(1))),
  Min: fold('min'),
  Max: fold('max'),
  Sum: fold('add'),
  Mean: (call, emit) => scaled(emit, call.rest(1).reduce((sum, each) => emit.binary('add', sum, each), call.input(0)), 1 / call.inputs.length),
  Where: (call, emit) => emit.where(call.input(0), ...(alike(call, 1, 3) as [Value, Value])),
  Mod: (call, emit) => {
    const [x, y] = [call.input(0), call.input(1)];
    if (call.int('fmod', 0) === 0) return emit.binary('mod', x, y);
    // The remainder with the sign of the dividend, as C has it.
    const rest = emit.binary('mod', emit.unary('abs', x), emit.unary('abs', y));
    return emit.binary('mul', emit.unary('sign', x), rest);
  },
  Clip: (call, emit) => {
    // Opset 11 made the bounds inputs.
    const x = call.input(0);
    const low = call.inputs[1] ?? (call.has('min') ? emit.scalar(x, call.float('min')) : undefined);
    const high = call.inputs[2] ?? (call.has('max') ? emit.scalar(x, call.float('max')) : undefined);
    const raised = low === undefined ? x : emit.binary('max', x, low);
    return high === undefined ? raised : emit.binary('min', raised, high);
  },
  Gelu: (call, emit) => gelu(emit, call.input(0), call.string('approximate', 'none') === 'tanh'),
  Swish: (call, emit) => swish(emit, call.input(0), call.float('alpha', 1)),
  SwiGLU: (call, emit) => emit.binary('mul', swish(emit, call.input(0), call.float('alpha', 1)), call.input(1)),
  Mish: (call, emit) => emit.binary('mul', call.input(0), emit.unary('tanh', emit.unary('softplus', call.input(0)))),
  HardSigmoid: (call, emit) => clamp(emit, shifted(emit, scaled(emit, call.input(0), call.float('alpha', 0.2)), call.float('beta', 0.5)), 0, 1),
  HardSwish: (call, emit) => emit.binary('mul', call.input(0), clamp(emit, shifted(emit, scaled(emit, call.input(0), 1 / 6), 0.5), 0, 1)),
  LeakyRelu: (call, emit) => leakyRelu(emit, call.input(0), call.float('alpha', 0.01)),
  PRelu: (call, emit) => emit.where(positive(emit, call.input(0)), call.input(0), emit.binary('mul', call.input(0), call.input(1))),
  ThresholdedRelu: (call, emit) => {
    const x = call.input(0);
    return emit.where(emit.binary('greater', x, emit.scalar(x, call.float('alpha', 1))), x, emit.scalar(x, 0));
  },
  Elu: (call, emit) => {
    const x = call.input(0);
    return emit.where(positive(emit, x), x, scaled(emit, shifted(emit, emit.unary('exp', x), -1), call.float('alpha', 1)));
  },
  Celu: (call, emit) => {
    const [x, alpha] = [call.input(0), call.float('alpha', 1)];
    return emit.where(positive(emit, x), x, scaled(emit, shifted(emit, emit.unary('exp', scaled(emit, x, 1 / alpha)), -1), alpha));
  },
  Selu: (call, emit) => {
    const [x, alpha] = [call.input(0), call.float('alpha', 1.67326319217681884765625)];
    return scaled(emit, emit.where(positive(emit, x), x, scaled(emit, shifted(emit, emit.unary('exp', x), -1), alpha)), call.float('gamma', 1.05070102214813232421875));
  },
  Shrink: (call, emit) => {
    const [x, bias, edge] = [call.input(0), call.float('bias', 0), call.float('lambd', 0.5)];
    const high = emit.where(emit.binary('greater', x, emit.scalar(x, edge)), shifted(emit, x, -bias), emit.scalar(x, 0));
    return emit.where(emit.binary('less', x, emit.scalar(x, -edge)), shifted(emit, x, bias), high);
  },
  Tan: (call, emit) => emit.binary('div', emit.unary('sin', call.input(0)), emit.unary('cos', call.input(0))),
  Sinh: (call, emit) => scaled(emit, emit.binary('sub', emit.unary('exp', call.input(0)), emit.unary('exp', emit.unary('neg', call.input(0)))), 0.5),
  Cosh: (call, emit) => scaled(emit, emit.binary('add', emit.unary('exp', call.input(0)), emit.unary('exp', emit.unary('neg', call.input(0)))), 0.5),
  Softsign: (call, emit) => emit.binary('div', call.input(0), shifted(emit, emit.unary('abs', call.input(0)), 1)),
  Identity: (call) => call.input(0),
  // Outside training it does nothing, and its mask lets everything through.
  Dropout: (call, emit) => {
    if (call.inputs[2] !== undefined && call.single(2) !== 0) throw new CannotImport('E3001', 'it drops elements, as in training');
    return call.outputs.length < 2 ? call.input(0) : [call.input(0), emit.expand(knownValue('bool', [], [1]), call.input(0).shape)];
  },
  Cast: (call, emit) => cast(call, emit, dtypeOf(call.int('to'))),
  CastLike: (call, emit) => cast(call, emit, call.input(1).dtype),
};

function cast(call: Call, emit: Emitter, dtype: DType): Value {
  const x = call.input(0);
  if (dtype.startsWith('e') && x.dtype !== dtype) {
    if (call.int('saturate', 1) === 0) throw new CannotImport('E3001', 'casts that make what is too large infinite are not computed');
    if (dtype === 'e8m0') throw new CannotImport('E3001', 'casts to powers of two are not computed');
  }
  return emit.cast(x, dtype);
}
