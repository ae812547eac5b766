import protobuf from 'protobufjs/minimal.js';

/** Writes the few messages of onnx.proto the tests need, by field number, so that a test can also write what a writer would not. */
export type Fields = readonly (readonly [field: number, value: number | string | Uint8Array | { readonly packed: readonly number[] } | { readonly float: number }])[];

export function message(fields: Fields): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.uint32(field * 8).int64(value);
    else if (typeof value === 'string') writer.uint32(field * 8 + 2).string(value);
    else if (value instanceof Uint8Array) writer.uint32(field * 8 + 2).bytes(value);
    else if ('float' in value) writer.uint32(field * 8 + 5).float(value.float);
    else {
      writer.uint32(field * 8 + 2).fork();
      for (const each of value.packed) writer.int64(each);
      writer.ldelim();
    }
  }
  return new Uint8Array(writer.finish());
}

export const opset = (version: number, domain = ''): Uint8Array => message([[1, domain], [2, version]]);

export type AttributeValue = number | string | readonly number[] | { readonly float: number } | { readonly tensor: Uint8Array } | { readonly graph: Uint8Array };

function attribute(name: string, value: AttributeValue): Uint8Array {
  if (typeof value === 'number') return message([[1, name], [3, value], [20, 2]]);
  if (typeof value === 'string') return message([[1, name], [4, value], [20, 3]]);
  if ('float' in value) return message([[1, name], [2, value], [20, 1]]);
  if ('tensor' in value) return message([[1, name], [5, value.tensor], [20, 4]]);
  if ('graph' in value) return message([[1, name], [6, value.graph], [20, 5]]);
  return message([[1, name], [8, { packed: value }], [20, 7]]);
}

export function node(opType: string, inputs: readonly string[], outputs: readonly string[], attributes: Readonly<Record<string, AttributeValue>> = {}, more: Fields = []): Uint8Array {
  return message([
    ...inputs.map((name) => [1, name] as const),
    ...outputs.map((name) => [2, name] as const),
    [3, `${opType}_${outputs[0] ?? ''}`],
    [4, opType],
    ...Object.entries(attributes).map(([name, value]) => [5, attribute(name, value)] as const),
    ...more,
  ]);
}

export function value(name: string, elem: number, dims: readonly (number | string)[]): Uint8Array {
  const shape = message(dims.map((dim) => [1, message([typeof dim === 'number' ? [1, dim] : [2, dim]])]));
  return message([[1, name], [2, message([[1, message([[1, elem], [2, shape]])]])]]);
}

export function tensor(name: string, elem: number, dims: readonly number[], fields: Fields): Uint8Array {
  return message([[1, { packed: dims }], [2, elem], [8, name], ...fields]);
}

export const floats = (name: string, dims: readonly number[], values: readonly number[]): Uint8Array => tensor(name, 1, dims, [[9, new Uint8Array(Float32Array.from(values).buffer)]]);
export const int64s = (name: string, dims: readonly number[], values: readonly number[]): Uint8Array => tensor(name, 7, dims, [[7, { packed: values }]]);

export type GraphParts = { readonly nodes?: readonly Uint8Array[]; readonly initializers?: readonly Uint8Array[]; readonly inputs?: readonly Uint8Array[]; readonly outputs?: readonly Uint8Array[] };

export function graph({ nodes = [], initializers = [], inputs = [], outputs = [] }: GraphParts): Uint8Array {
  const all = (field: number, parts: readonly Uint8Array[]): Fields => parts.map((part) => [field, part]);
  return message([...all(1, nodes), [2, 'g'], ...all(5, initializers), ...all(11, inputs), ...all(12, outputs)]);
}

export const model = (parts: GraphParts, version = 17, more: Fields = []): Uint8Array => message([[1, 8], [2, 'test'], [7, graph(parts)], [8, opset(version)], ...more]);
