/**
 * The messages of onnx.proto (IR 14) as far as compiling needs them: field name -> [number, type]. `name[]` is repeated;
 * `chunk` is a piece of tensor data (bytes, or packed floats or doubles, which are laid out like raw data). Fields not listed are
 * skipped unread: documentation, metadata, and the shapes exporters note beside the graph, which are worked out here. Source: onnx/onnx.proto.
 */
export const messages = {
  model: {
    irVersion: [1, 'int'],
    producerName: [2, 'string'],
    producerVersion: [3, 'string'],
    graph: [7, 'graph'],
    opsetImport: [8, 'opset[]'],
    functions: [25, 'function[]'],
  },
  opset: { domain: [1, 'string'], version: [2, 'int'] },
  graph: {
    node: [1, 'node[]'],
    name: [2, 'string'],
    initializer: [5, 'tensor[]'],
    input: [11, 'valueInfo[]'],
    output: [12, 'valueInfo[]'],
    sparseInitializer: [15, 'sparseTensor[]'],
  },
  node: {
    input: [1, 'string[]'],
    output: [2, 'string[]'],
    name: [3, 'string'],
    opType: [4, 'string'],
    attribute: [5, 'attribute[]'],
    domain: [7, 'string'],
    overload: [8, 'string'],
  },
  attribute: {
    name: [1, 'string'],
    f: [2, 'float'],
    i: [3, 'int'],
    s: [4, 'string'],
    t: [5, 'tensor'],
    g: [6, 'graph'],
    floats: [7, 'float[]'],
    ints: [8, 'int[]'],
    strings: [9, 'string[]'],
    tensors: [10, 'tensor[]'],
    graphs: [11, 'graph[]'],
    type: [20, 'int'],
    refAttrName: [21, 'string'],
    sparseTensor: [22, 'sparseTensor'],
  },
  tensor: {
    dims: [1, 'int[]'],
    dataType: [2, 'int'],
    floatData: [4, 'chunk4[]'],
    int32Data: [5, 'int[]'],
    stringData: [6, 'string[]'],
    int64Data: [7, 'int[]'],
    name: [8, 'string'],
    rawData: [9, 'chunk'],
    doubleData: [10, 'chunk8[]'],
    uint64Data: [11, 'uint[]'],
    externalData: [13, 'entry[]'],
    dataLocation: [14, 'int'],
  },
  sparseTensor: { values: [1, 'tensor'] },
  entry: { key: [1, 'string'], value: [2, 'string'] },
  valueInfo: { name: [1, 'string'], type: [2, 'type'] },
  type: { tensor: [1, 'tensorType'], sequence: [4, 'wrappedType'], map: [5, 'wrappedType'], optional: [9, 'wrappedType'], sparse: [8, 'tensorType'] },
  wrappedType: { elem: [1, 'type'] },
  tensorType: { elemType: [1, 'int'], shape: [2, 'shape'] },
  shape: { dim: [1, 'dim[]'] },
  dim: { value: [1, 'int'], param: [2, 'string'] },
  function: {
    name: [1, 'string'],
    input: [4, 'string[]'],
    output: [5, 'string[]'],
    attribute: [6, 'string[]'],
    node: [7, 'node[]'],
    opsetImport: [9, 'opset[]'],
    domain: [10, 'string'],
    attributeProto: [11, 'attribute[]'],
    overload: [13, 'string'],
  },
} as const satisfies Record<string, Readonly<Record<string, readonly [number, string]>>>;

export type MessageName = keyof typeof messages;

/** A piece of tensor data: where it lies in the file, and the bytes themselves if there are few. */
export type Chunk = { readonly offset: number; readonly length: number; readonly bytes: Uint8Array | undefined };

type Item<T> = T extends 'int' | 'uint' | 'float' ? number : T extends 'string' ? string : T extends `chunk${string}` ? Chunk : T extends MessageName ? Parsed<T> : never;
/** A message as the file has it: only the fields that were there. */
export type Parsed<M extends MessageName> = {
  -readonly [F in keyof (typeof messages)[M]]?: (typeof messages)[M][F] extends readonly [number, infer T] ? (T extends `${infer E}[]` ? Item<E>[] : Item<T>) : never;
};
