import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { memoryFiles } from '../../../frontend/files.ts';
import { importOnnx } from '../../../frontend/onnx/import.ts';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';
import { difference } from './tensors.ts';
import { type AttributeValue, type Fields, message, node, opset, tensor, value } from './write.ts';

const codes = { f32: 1, u8: 2, i8: 3, u16: 4, i16: 5, i32: 6, i64: 7, bool: 9, e4m3: 17, e5m2: 19, u4: 21, i4: 22 } as const;
type Kind = keyof typeof codes;

/** An input of a node: of the run, or stored in the model. `dims`: how the model says its shape, where not as it is. */
export type Given = { readonly kind: Kind; readonly shape: readonly number[]; readonly values: readonly number[]; readonly stored: boolean; readonly dims: readonly (number | string)[] };

export const given = (kind: Kind, shape: readonly number[], values: readonly number[], dims: readonly (number | string)[] = shape): Given => ({ kind, shape, values, stored: false, dims });
/** 4-bit numbers are given as the bytes that hold them. */
export const stored = (kind: Kind, shape: readonly number[], values: readonly number[]): Given => ({ kind, shape, values, stored: true, dims: shape });

/** Numbers between -1 and 1, the same every time. */
export function noise(shape: readonly number[], seed = 1): readonly number[] {
  let state = seed * 2654435761;
  return Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround((state / 2 ** 31 - 1) * 0.999);
  });
}
export const floatsOf = (shape: readonly number[], seed = 1, dims: readonly (number | string)[] = shape): Given => given('f32', shape, noise(shape, seed), dims);
/** Whole numbers from low up to, and without, high. */
export const wholeNoise = (shape: readonly number[], low: number, high: number, seed = 1): readonly number[] => noise(shape, seed).map((x) => Math.floor(low + ((x + 1) / 2) * (high - low)));

export type One = {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly (Given | undefined)[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly outputs?: number;
  readonly version?: number;
};

const arrays = { f32: Float32Array, u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array, i32: Int32Array, bool: Uint8Array, e4m3: Uint8Array, e5m2: Uint8Array, u4: Uint8Array, i4: Uint8Array } as const;
const typed = (kind: Kind, values: readonly number[]): Uint8Array =>
  kind === 'i64' ? new Uint8Array(BigInt64Array.from(values, BigInt).buffer) : new Uint8Array(arrays[kind].from(values).buffer);

/** A model of one node, its inputs called x0, x1, ... and its outputs y0, y1, ... */
function modelOf({ op, domain = '', inputs, attributes = {}, outputs = 1, version = 21 }: One): Uint8Array {
  const names = inputs.map((each, i) => (each === undefined ? '' : `x${i}`));
  const results = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const one = node(op, names, results, attributes, domain === '' ? [] : [[7, domain]]);
  const fields: Fields = [
    [1, one],
    [2, 'g'],
    ...inputs.flatMap((each, i) => (each?.stored === true ? [[5, tensor(`x${i}`, codes[each.kind], each.shape, [[9, typed(each.kind, each.values)]])] as const] : [])),
    ...inputs.flatMap((each, i) => (each?.stored === false ? [[11, value(`x${i}`, codes[each.kind], each.dims)] as const] : [])),
    // ONNX Runtime cannot tell the type of a fourth output, which is scores where there is one.
    ...results.map((name, i) => [12, message(i === 3 ? [[1, name], [2, message([[1, message([[1, 1]])]])]] : [[1, name]])] as const),
  ];
  return message([[1, 10], [7, message(fields)], [8, opset(version)], [8, opset(1, 'com.microsoft')]]);
}

type Imported = { readonly module: GraphModule; readonly store: TensorStore };

/** The import of a model of one node, which must succeed and keep the rules. */
export function imported(one: One): Imported {
  const { result, told } = tried(one);
  expect(told).toEqual([]);
  const diagnostics = new Diagnostics();
  verifyGraph((result as Imported).module, diagnostics);
  expect(diagnostics.all).toEqual([]);
  return result as Imported;
}

export function tried(one: One): { readonly result: Imported | undefined; readonly told: readonly string[] } {
  const diagnostics = new Diagnostics();
  const result = importOnnx(memoryFiles(new Map([['m.onnx', modelOf(one)]])), 'm.onnx', [], diagnostics);
  return { result, told: diagnostics.all.map(({ code, message: text }) => `${code} ${text}`) };
}

/** What the import of a node computes, in double precision. */
export function ours(one: One): readonly Tensor[] {
  const { module, store } = imported(one);
  const inputs = new Map(one.inputs.flatMap((each, i) => (each?.stored === false ? [[`x${i}`, { shape: each.shape, data: Float64Array.from(each.values) }] as const] : [])));
  return [...interpretTensors(module, inputs, new WeightValues(store, 1)).values()];
}

/** What ONNX Runtime computes, in single precision. */
export async function theirs(one: One): Promise<readonly Tensor[]> {
  const session = await ort.InferenceSession.create(modelOf(one), { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 });
  const feeds = one.inputs.flatMap((each, i) => (each?.stored === false ? [[`x${i}`, ortTensor(each)] as const] : []));
  const results = await session.run(Object.fromEntries(feeds));
  return session.outputNames.map((name) => {
    const { dims, data } = results[name] as ort.Tensor;
    return { shape: dims, data: Float64Array.from(data as ArrayLike<number>, Number) };
  });
}

const ortTypes = { f32: 'float32', u8: 'uint8', i8: 'int8', u16: 'uint16', i16: 'int16', i32: 'int32', i64: 'int64', bool: 'bool' } as const;

function ortTensor({ kind, shape, values }: Given): ort.Tensor {
  if (kind === 'i64') return new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
  if (!(kind in ortTypes)) throw new Error(`no input of kind ${kind} is given to ONNX Runtime`);
  const make = ort.Tensor as unknown as new (type: string, data: unknown, dims: readonly number[]) => ort.Tensor;
  return new make(ortTypes[kind as keyof typeof ortTypes], arrays[kind].from(values), shape);
}

/** Both agree to a tolerance, relative where values are above 1: single precision's, unless something is rounded. */
export async function agree(one: One, tolerance = 1e-5): Promise<void> {
  const [mine, wanted] = [ours(one), await theirs(one)];
  expect(mine.map(({ shape }) => shape)).toEqual(wanted.map(({ shape }) => shape));
  mine.forEach((each, i) => expect(difference(each, wanted[i] as Tensor), `output ${i}`).toBeLessThan(tolerance));
}
