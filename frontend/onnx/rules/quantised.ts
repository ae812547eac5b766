import { equalShapes, volumeOf } from '../../../ir/dims.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import { type DType, isFloat } from '../../../ir/types.ts';
import { elementBits } from '../../weights/elements.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, elementCount, dimAt, isStatic } from '../value.ts';
import { clamp } from './elementwise.ts';
import { type Call, type Rules, dtypeOf } from './rule.ts';

/**
 * How codes stand for numbers: (code - zeroPoint) * scale. Both are single numbers, or of the rank of the codes; `blocked`: so many
 * neighbours along an axis share one. No scale is 1, no zero point 0.
 */
export type Scales = { readonly scale: Value | undefined; readonly zeroPoint: Value | undefined; readonly blocked?: { readonly axis: number; readonly size: number } | undefined };

/** The numbers codes stand for. Of stored codes they are a weight made of what is stored. */
export function dequantise(emit: Emitter, codes: Value, scales: Scales, dtype: DType): Value {
  const stored = storedNumbers(emit, codes, scales, dtype);
  if (stored !== undefined) return stored;
  const [scale, zero] = [scales.scale, scales.zeroPoint].map((each) => each && emit.cast(spread(emit, each, codes, scales), dtype));
  const numbers = emit.cast(codes, dtype);
  const apart = zero === undefined || isZero(zero) ? numbers : emit.binary('sub', numbers, zero);
  return scale === undefined ? apart : emit.binary('mul', apart, scale);
}

function storedNumbers(emit: Emitter, codes: Value, { scale, zeroPoint, blocked }: Scales, dtype: DType): Value | undefined {
  const of = emit.exprOf(codes);
  const { shape } = codes;
  if (of === undefined || !isStatic(shape) || shape.includes(0)) return undefined;
  const zero = zeroPoint === undefined || isZero(zeroPoint) ? undefined : zeroPoint;
  const [factor, nought] = [scale, zero].map((part) => part && ranked(emit, part, shape, blocked));
  if ((scale !== undefined && factor === undefined) || (zero !== undefined && nought === undefined)) return undefined;
  const step = (from: WeightExpr, like: Part, by: Part | undefined, less: Part | undefined): WeightExpr => ({ kind: 'dequantise', of: from, scale: by?.expr ?? { kind: 'values', shape: like.shape, values: [1] }, zeroPoint: less?.expr, block: like.block });
  const alike = factor === undefined || nought === undefined || equalShapes(factor.shape, nought.shape);
  const only = factor ?? nought;
  const expr = only === undefined ? of : alike ? step(of, only, factor, nought) : step(step(of, nought, undefined, nought), factor, factor, undefined);
  return emit.derived(dtype, shape, expr);
}

type Part = { readonly expr: WeightExpr; readonly shape: readonly number[]; readonly block: readonly number[] };

/** What a scale or zero point is made of, as a tensor of the rank of the codes, and how many of these share an element of it. */
function ranked(emit: Emitter, part: Value, codes: readonly number[], blocked: Scales['blocked']): Part | undefined {
  const of = emit.exprOf(part);
  if (of === undefined || !isStatic(part.shape)) return undefined;
  const shape = part.shape.length === codes.length || elementCount(part.shape) !== 1 ? part.shape : codes.map(() => 1);
  const block = codes.map((size, axis) => (axis === blocked?.axis ? blocked.size : shape[axis] === 1 ? Math.max(size, 1) : 1));
  const wanted = codes.map((size, axis) => Math.ceil(size / (block[axis] as number)));
  if (!equalShapes(shape, wanted)) throw new CannotImport('E1003', `scales of [${part.shape.join(', ')}] are not those of [${codes.join(', ')}] codes`);
  if (part.shape.length === codes.length) return { expr: of, shape, block };
  return { expr: of.kind === 'values' ? { ...of, shape } : { kind: 'reshape', of, shape }, shape, block };
}

/** The code nearest to each number. */
export function quantise(emit: Emitter, x: Value, scales: Scales & { readonly scale: Value }, dtype: DType): Value {
  const { scale } = scales;
  const ratio = emit.binary('div', emit.cast(x, scale.dtype), spread(emit, scale, x, scales));
  if (isFloat(dtype)) return emit.cast(ratio, dtype);
  const whole = emit.unary('round', ratio);
  const zero = scales.zeroPoint;
  const moved = zero === undefined || isZero(zero) ? whole : emit.binary('add', whole, emit.cast(spread(emit, zero, x, scales), scale.dtype));
  const [low, high] = rangeOf(dtype).map((bound) => emit.scalar(moved, bound)) as [Value, Value];
  // What is no number has the least code, as it has in ONNX Runtime.
  const raised = emit.where(emit.binary('greater', moved, low), moved, low);
  return emit.cast(emit.binary('min', raised, high), dtype);
}

/** The least and the greatest integer of a type. */
function rangeOf(dtype: DType): readonly [number, number] {
  const span = 2 ** elementBits[dtype];
  return dtype.startsWith('i') ? [-span / 2, span / 2 - 1] : [0, span - 1];
}

const isZero = ({ known }: Value): boolean => known?.every((each) => each === 0) === true;

/** A scale or zero point for each element, or broadcasting to them. */
function spread(emit: Emitter, part: Value, like: Value, { blocked }: Scales): Value {
  if (blocked === undefined || part.shape.length === 0) return part;
  const { axis, size } = blocked;
  if (part.shape.length !== like.shape.length) throw new CannotImport('E1003', `[${part.shape.join(', ')}] is not one for each block of [${like.shape.join(', ')}]`);
  const blocks = dimAt(part, axis);
  const apart = emit.reshape(part, [...part.shape.slice(0, axis + 1), 1, ...part.shape.slice(axis + 1)]);
  const wide = emit.expand(apart, apart.shape.with(axis + 1, size));
  if (typeof blocks !== 'number') throw new CannotImport('E3001', 'the number of blocks that share a scale cannot be told before the run');
  return emit.slice(emit.reshape(wide, part.shape.with(axis, blocks * size)), axis, 0, dimAt(like, axis));
}

/** A single number, or one for each index of an axis, to broadcast against a tensor of a rank. */
export function alongAxis(emit: Emitter, part: Value | undefined, rank: number, axis: number): Value | undefined {
  if (part === undefined || part.shape.length > 1) return part;
  const [size = 1] = part.shape;
  return emit.reshape(part, size === 1 ? [] : Array.from({ length: rank }, (_, at) => (at === axis ? size : 1)));
}

/** Scales as the standard's operators take them: a number, one for each index of `axis`, or one for each block along it. */
function scalesOf(call: Call, emit: Emitter): Scales & { readonly scale: Value } {
  const x = call.input(0);
  const size = call.int('block_size', 0);
  // A single number has no axis, whatever is said.
  const axis = size === 0 && volumeOf(call.input(1).shape) === 1 ? 0 : emit.axis(call.int('axis', 1), x);
  const part = (value: Value | undefined): Value | undefined => alongAxis(emit, value, x.shape.length, axis);
  return { scale: part(call.input(1)) as Value, zeroPoint: part(call.inputs[2]), blocked: size === 0 ? undefined : { axis, size } };
}

/** x as unsigned bytes, by a scale and zero point that make the most of what it holds, 0 among it. */
export function dynamicQuantise(emit: Emitter, x: Value): { readonly codes: Value; readonly scale: Value; readonly zeroPoint: Value } {
  const axes = x.shape.map((_, axis) => axis);
  const nought = emit.scalar(x, 0);
  const low = emit.binary('min', emit.reduce('min', x, axes, false), nought);
  const high = emit.binary('max', emit.reduce('max', x, axes, false), nought);
  const span = emit.binary('sub', high, low);
  const scale = emit.binary('div', span, emit.scalar(x, 255));
  const zero = emit.unary('round', clamp(emit, emit.binary('sub', nought, emit.binary('div', low, scale)), 0, 255));
  const zeroPoint = emit.cast(zero, 'u8');
  return { codes: quantise(emit, x, { scale, zeroPoint }, 'u8'), scale, zeroPoint };
}

/** Conversions between numbers and codes, the same in both domains. */
export const quantisation: Rules = {
  DequantizeLinear: (call, emit) => {
    const scales = scalesOf(call, emit);
    return dequantise(emit, call.input(0), scales, call.int('output_dtype', 0) === 0 ? scales.scale.dtype : dtypeOf(call.int('output_dtype')));
  },
  QuantizeLinear: (call, emit) => {
    if (call.int('saturate', 1) === 0) throw new CannotImport('E3001', 'codes beyond the largest are not made infinite');
    const given = call.int('output_dtype', 0);
    return quantise(emit, call.input(0), scalesOf(call, emit), given === 0 ? (call.inputs[2]?.dtype ?? 'u8') : dtypeOf(given));
  },
};

export const dynamicQuantisation: Rules = {
  DynamicQuantizeLinear: (call, emit) => {
    const { codes, scale, zeroPoint } = dynamicQuantise(emit, call.input(0));
    return [codes, scale, zeroPoint];
  },
};
