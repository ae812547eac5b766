import { writeFileSync } from 'node:fs';
import { onnx } from 'onnx-proto';
import { normal } from './measure.ts';

/** Sizes of a decoder; `heads` of an even width each. */
export type Sizes = { readonly layers: number; readonly hidden: number; readonly inner: number; readonly heads: number; readonly vocabulary: number };

const { FLOAT, INT64 } = onnx.TensorProto.DataType;
const int64s = (values: readonly number[]): Uint8Array => new Uint8Array(BigInt64Array.from(values, BigInt).buffer);

/** Writes an ONNX file of a pre-norm decoder without a cache, spelled in primitives as exporters do, with made-up weights in FP32. Returns its number of nodes. */
export function writeDecoder(path: string, { layers, hidden, inner, heads, vocabulary }: Sizes): number {
  const nodes: onnx.INodeProto[] = [];
  const initializers: onnx.ITensorProto[] = [];
  const width = hidden / heads;

  const op = (opType: string, inputs: readonly string[], attribute: readonly onnx.IAttributeProto[] = []): string => {
    const name = `${opType}_${nodes.length}`;
    nodes.push({ opType, name, input: [...inputs], output: [name], attribute: [...attribute] });
    return name;
  };
  const stored = (dims: readonly number[], dataType: number, rawData: Uint8Array): string => {
    const name = `stored_${initializers.length}`;
    initializers.push({ name, dims: [...dims], dataType, rawData });
    return name;
  };
  const ints = (...values: readonly number[]): string => stored([values.length], INT64, int64s(values));
  const whole = (value: number): string => stored([], INT64, int64s([value]));
  const number = (value: number): string => stored([], FLOAT, new Uint8Array(Float32Array.of(value).buffer));
  const weight = (...dims: readonly number[]): string => stored(dims, FLOAT, new Uint8Array(Float32Array.from({ length: dims.reduce((a, b) => a * b) }, () => 0.02 * normal()).buffer));
  const int = (name: string, i: number): onnx.IAttributeProto => ({ name, type: onnx.AttributeProto.AttributeType.INT, i });
  const list = (name: string, values: readonly number[]): onnx.IAttributeProto => ({ name, type: onnx.AttributeProto.AttributeType.INTS, ints: [...values] });

  const norm = (x: string): string => {
    const mean = op('ReduceMean', [op('Pow', [x, number(2)])], [list('axes', [-1])]);
    return op('Mul', [weight(hidden), op('Mul', [x, op('Div', [number(1), op('Sqrt', [op('Add', [mean, number(1e-5)])])])])]);
  };
  const apart = (x: string): string => op('Transpose', [op('Reshape', [op('MatMul', [x, weight(hidden, hidden)]), ints(0, 0, heads, width)])], [list('perm', [0, 2, 1, 3])]);
  const part = (x: string, from: number, to: number): string => op('Slice', [x, ints(from), ints(to), ints(3)]);

  const position = op('Range', [whole(0), op('Gather', [op('Shape', ['ids']), whole(1)]), whole(1)]);
  const frequencies = stored([1, width / 2], FLOAT, new Uint8Array(Float32Array.from({ length: width / 2 }, (_, i) => 10000 ** ((-2 * i) / width)).buffer));
  const angles = op('Mul', [op('Cast', [op('Unsqueeze', [position, ints(1)])], [int('to', FLOAT)]), frequencies]);
  const both = op('Concat', [angles, angles], [int('axis', -1)]);
  const [cos, sin] = [op('Cos', [both]), op('Sin', [both])];
  const isSeen = op('LessOrEqual', [op('Unsqueeze', [position, ints(0)]), op('Unsqueeze', [position, ints(1)])]);
  const rotated = (x: string): string => op('Add', [op('Mul', [x, cos]), op('Mul', [op('Concat', [op('Neg', [part(x, width / 2, width)]), part(x, 0, width / 2)], [int('axis', -1)]), sin])]);

  const layer = (x: string): string => {
    const normed = norm(x);
    const [q, k, v] = [rotated(apart(normed)), rotated(apart(normed)), apart(normed)];
    const scores = op('Mul', [op('MatMul', [q, op('Transpose', [k], [list('perm', [0, 1, 3, 2])])]), number(width ** -0.5)]);
    const shares = op('Softmax', [op('Add', [scores, op('Where', [isSeen, number(0), number(-3e38)])])], [int('axis', -1)]);
    const mixed = op('Reshape', [op('Transpose', [op('MatMul', [shares, v])], [list('perm', [0, 2, 1, 3])]), ints(0, 0, hidden)]);
    const between = op('Add', [x, op('MatMul', [mixed, weight(hidden, hidden)])]);
    const inside = norm(between);
    const gate = op('MatMul', [inside, weight(hidden, inner)]);
    const gated = op('Mul', [op('Mul', [gate, op('Sigmoid', [gate])]), op('MatMul', [inside, weight(hidden, inner)])]);
    return op('Add', [between, op('MatMul', [gated, weight(inner, hidden)])]);
  };
  let x = op('Gather', [weight(vocabulary, hidden), 'ids']);
  for (let i = 0; i < layers; i++) x = layer(x);
  const logits = op('MatMul', [norm(x), weight(hidden, vocabulary)]);

  const shaped = (name: string, elemType: number, dims: readonly onnx.TensorShapeProto.IDimension[]): onnx.IValueInfoProto => ({ name, type: { tensorType: { elemType, shape: { dim: [...dims] } } } });
  const [batch, sequence] = [{ dimParam: 'batch' }, { dimParam: 'sequence' }];
  writeFileSync(path, onnx.ModelProto.encode({
    irVersion: 8, opsetImport: [{ domain: '', version: 17 }],
    graph: { name: 'decoder', node: nodes, initializer: initializers, input: [shaped('ids', INT64, [batch, sequence])], output: [shaped(logits, FLOAT, [batch, sequence, { dimValue: vocabulary }])] },
  }).finish());
  return nodes.length;
}
