import { onnx } from 'onnx-proto';
import { InferenceSession, Tensor } from 'onnxruntime-node';

type Shape = readonly number[];
type Node = readonly [op: string, inputs: readonly string[], output: string];

/** A graph of FP32 in onnxruntime, on one thread; the last node's output is its result. */
export async function session(inputs: Readonly<Record<string, Shape>>, nodes: readonly Node[], output: Shape): Promise<InferenceSession> {
  const io = (name: string, shape: Shape) => ({ name, type: { tensorType: { elemType: 1, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } } });
  const model = onnx.ModelProto.create({
    irVersion: 8, opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'bench', node: nodes.map(([opType, input, out]) => ({ opType, input: [...input], output: [out] })),
      input: Object.entries(inputs).map(([name, shape]) => io(name, shape)), output: [io(nodes.at(-1)![2], output)],
    },
  });
  return InferenceSession.create(onnx.ModelProto.encode(model).finish(), { intraOpNumThreads: 1, interOpNumThreads: 1 });
}

export const tensor = (draw: (i: number) => number, ...dims: readonly number[]): Tensor => new Tensor('float32', Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => draw(i)), [...dims]);
