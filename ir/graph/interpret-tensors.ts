import { evaluateDim, sizesOf } from '../dims.ts';
import type { Dim, TensorType, ValueId } from '../types.ts';
import type { WeightValues } from '../weight-values.ts';
import type { Tensor } from './interpret/tensor.ts';
import { runTensorOp } from './interpret/tensor-op.ts';
import type { GraphModule, GraphOp } from './module.ts';

/** Told of every op, after it. */
export type ObserveTensor = (op: GraphOp, result: Tensor) => void;

/**
 * What a module of primitives (a source graph) computes from named tensors, in double precision: its outputs by name. Sizes are
 * found by matching the inputs' shapes against their types. Throws on row ops and loops, and when inputs do not fit.
 */
export function interpretTensors(module: GraphModule, inputs: ReadonlyMap<string, Tensor>, weights: WeightValues, observe?: ObserveTensor): ReadonlyMap<string, Tensor> {
  const values: Tensor[] = [];
  const env = new Map<string, number>();
  module.inputs.forEach((input, i) => {
    const tensor = inputs.get(input.name);
    if (tensor === undefined) throw new Error(`input \`${input.name}\` is not given`);
    const id = module.body.params[i] as ValueId;
    bindSizes((module.types[id] as TensorType).shape, tensor.shape, env, input.name);
    values[id] = tensor;
  });
  for (const op of module.body.ops) {
    const result = runOp(op, op.operands.map((id) => values[id] as Tensor), { module, weights, env });
    values[op.results[0] as ValueId] = result;
    observe?.(op, result);
  }
  return new Map(module.outputs.map(({ name }, i) => [name, values[module.body.yields[i] as ValueId] as Tensor]));
}

/** Sizes named alone by a shape are those of the tensor; others must come out equal. */
function bindSizes(shape: readonly Dim[], sizes: readonly number[], env: Map<string, number>, name: string): void {
  const wrong = (): never => {
    throw new Error(`input \`${name}\` is [${sizes.join(', ')}], not [${shape.join(', ')}]`);
  };
  if (shape.length !== sizes.length) wrong();
  shape.forEach((dim, i) => {
    if (typeof dim === 'string' && sizesOf(dim)[0] === dim && !env.has(dim)) env.set(dim, sizes[i] as number);
  });
  shape.forEach((dim, i) => {
    if (sizesOf(dim).every((size) => env.has(size)) && evaluateDim(dim, env) !== sizes[i]) wrong();
  });
}

type Context = { readonly module: GraphModule; readonly weights: WeightValues; readonly env: ReadonlyMap<string, number> };

function runOp(op: GraphOp, operands: readonly Tensor[], { module, weights, env }: Context): Tensor {
  const type = module.types[op.results[0] as ValueId] as TensorType;
  if (op.kind === 'weight') {
    const weight = module.weights.find((candidate) => candidate.name === op.attrs.name);
    if (weight === undefined) throw new Error(`the module has no weight \`${op.attrs.name}\``);
    return { shape: weight.shape, data: weights.rowsOf(weight, { instance: 0, rank: 0 }, 0, weight.shape[0] ?? 1) };
  }
  const shape = type.shape.map((dim) => evaluateDim(dim, env));
  if (op.kind === 'custom') {
    const layer = module.customLayers.find((candidate) => candidate.name === op.attrs.layer);
    if (layer === undefined) throw new Error(`custom layer \`${op.attrs.layer}\` is not defined`);
    return { shape, data: layer.reference(operands, op.attrs.attrs) };
  }
  const result = runTensorOp(op, operands, { env, shape, dtype: type.dtype });
  if (result.shape.some((size, i) => size !== shape[i])) throw new Error(`\`${op.kind}\` makes [${result.shape.join(', ')}] where its type says [${type.shape.join(', ')}], [${shape.join(', ')}]`);
  return result;
}
