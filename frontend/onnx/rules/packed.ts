import type { DType } from '../../../ir/types.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, elementCount, isStatic, knownValue } from '../value.ts';
import { matmul } from './products.ts';
import { dequantise } from './quantised.ts';
import type { Rules } from './rule.ts';

/** Weights stored as bytes that hold several codes each. Source: ONNX Runtime's docs/ContribOperators.md. */
export const packedWeights: Rules = {
  MatMulNBits: (call, emit) => {
    if (call.inputs[4] !== undefined) throw new CannotImport('E3001', 'features in groups of any order (`g_idx`) are not read');
    if (call.int('weight_prepacked', 0) !== 0) throw new CannotImport('E3001', 'a weight in the order of another machine (`weight_prepacked`) is not read');
    const [n, k, bits] = [call.int('N'), call.int('K'), call.int('bits', 4)];
    const numbers = unpackedNumbers(emit, { codes: call.input(1), scale: call.input(2), zeroPoint: call.inputs[3] }, { shape: [n, k], axis: 1, block: call.int('block_size'), bits });
    const product = matmul(emit, call.input(0), emit.transpose(numbers, [1, 0]));
    return call.inputs[5] === undefined ? product : emit.binary('add', product, call.input(5));
  },
  GatherBlockQuantized: (call, emit) => {
    const [data, indices, scale, zeroPoint] = [call.input(0), call.input(1), call.input(2), call.inputs[3]];
    const bits = data.dtype === 'u8' ? call.int('bits', 4) : 8;
    const shape = data.shape.map((size, i) => (i === data.shape.length - 1 ? sizeOf(size) * (8 / bits) : sizeOf(size)));
    const axis = emit.axis(call.int('quantize_axis', 1), data);
    const block = call.int('block_size', 128);
    const numbers =
      data.dtype === 'u8' ? unpackedNumbers(emit, { codes: data, scale, zeroPoint }, { shape, axis, block, bits }) : dequantise(emit, data, { scale, zeroPoint, blocked: { axis, size: block } }, scale.dtype);
    return emit.gather(numbers, indices, call.int('gather_axis', 0));
  },
};

/** Codes, their scales, and zero points that may be packed like the codes or be numbers like the scales. */
export type Packed = { readonly codes: Value; readonly scale: Value; readonly zeroPoint: Value | undefined };
/** The shape codes have when unpacked, `block` of which along `axis` share a scale. */
export type Unpacked = { readonly shape: readonly number[]; readonly axis: number; readonly block: number; readonly bits: number };

/** The numbers that packed codes stand for. Without zero points these are the middle of the codes. */
export function unpackedNumbers(emit: Emitter, { codes, scale, zeroPoint }: Packed, { shape, axis, block, bits }: Unpacked): Value {
  if (![2, 4, 8].includes(bits)) throw new CannotImport('E3001', `codes of ${bits} bits are not read`);
  const blocks = shape.map((size, i) => (i === axis ? Math.ceil(size / block) : size));
  const middle = knownValue('u8', blocks.map(() => 1), [2 ** (bits - 1)]);
  const zeros = zeroPoint === undefined ? expandStored(emit, middle, blocks) : zeroPoint.dtype === 'u8' ? unpackZeros(emit, zeroPoint, blocks, bits) : reshapeStored(emit, zeroPoint, blocks);
  return dequantise(emit, unpack(emit, codes, shape, bits), { scale: reshapeStored(emit, scale, blocks), zeroPoint: zeros, blocked: { axis, size: block } }, scale.dtype);
}

/** Codes of a shape from bytes whose rows, along the last axis, may be filled up to whole bytes and blocks. */
function unpack(emit: Emitter, bytes: Value, shape: readonly number[], bits: number): Value {
  const of = storedExpr(emit, bytes);
  const last = shape.length - 1;
  const rows = elementCount(shape.slice(0, -1));
  const wide = rows === 0 ? 0 : elementCount(bytes.shape as readonly number[]) / rows;
  const held = wide * (8 / bits);
  if (!Number.isInteger(wide) || held < (shape[last] as number)) throw new CannotImport('E1003', `[${bytes.shape.join(', ')}] bytes do not hold [${shape.join(', ')}] codes of ${bits} bits`);
  const flat: WeightExpr = { kind: 'reshape', of, shape: shape.with(last, wide) };
  const codes: WeightExpr = bits === 8 ? flat : { kind: 'unpack', of: flat, bits };
  return emit.derived('u8', shape, held === shape[last] ? codes : { kind: 'slice', of: codes, axis: last, start: 0, end: shape[last] as number });
}

/** One zero point for each of a row is packed along the rows before. */
const unpackZeros = (emit: Emitter, bytes: Value, shape: readonly number[], bits: number): Value =>
  shape.at(-1) === 1 && bytes.shape.length < shape.length ? reshapeStored(emit, unpack(emit, bytes, shape.slice(0, -1), bits), shape) : unpack(emit, bytes, shape, bits);

function reshapeStored(emit: Emitter, x: Value, shape: readonly number[]): Value {
  const of = storedExpr(emit, x);
  if (elementCount(x.shape as readonly number[]) !== elementCount(shape)) throw new CannotImport('E1003', `[${x.shape.join(', ')}] is not one for each block of [${shape.join(', ')}]`);
  return emit.derived(x.dtype, shape, { kind: 'reshape', of, shape });
}

/** One number for all of a shape. */
const expandStored = (emit: Emitter, { dtype, known }: Value, shape: readonly number[]): Value => emit.derived(dtype as DType, shape, { kind: 'values', shape, values: known as readonly number[] });

function storedExpr(emit: Emitter, x: Value): WeightExpr {
  const expr = emit.exprOf(x);
  if (expr === undefined || !isStatic(x.shape)) throw new CannotImport('E3001', 'packed codes that are not stored in the model are not read');
  return expr;
}

function sizeOf(size: number | string): number {
  if (typeof size !== 'number') throw new CannotImport('E3001', 'packed codes that are not stored in the model are not read');
  return size;
}
