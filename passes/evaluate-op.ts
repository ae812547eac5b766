import { evaluateDim, type SizeEnv, sizesOf } from '../ir/dims.ts';
import type { Tensor } from '../ir/graph/interpret/tensor.ts';
import { runTensorOp } from '../ir/graph/interpret/tensor-op.ts';
import type { GraphModule, GraphOp } from '../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../ir/types.ts';
import { volume } from '../ir/weight-expr.ts';
import { WeightValues } from '../ir/weight-values.ts';
import type { TensorStore, Weight } from '../ir/weights.ts';

/** A region cannot run at some sizes, is too large to look at, or depends on more than it was given. */
export class CannotEvaluate extends Error {}

/** What a region is part of. */
type Around = { readonly module: GraphModule; readonly store: TensorStore; readonly type: (value: ValueId) => TensorType };

/** The sizes a shape has under an environment. Throws `CannotEvaluate` on sizes unknown, negative, or of more elements than `largest`. */
export function shapeWithin(largest: number, shape: readonly Dim[], sizes: SizeEnv): readonly number[] {
  const unknown = shape.flatMap(sizesOf).find((name) => !sizes.has(name));
  if (unknown !== undefined) throw new CannotEvaluate(`size \`${unknown}\` is not that of sequences, rows or a past`);
  const concrete = shape.map((size) => evaluateDim(size, sizes));
  if (concrete.some((size) => size < 0) || volume(concrete) > largest) throw new CannotEvaluate(`a tensor of [${shape.join(', ')}] is too large`);
  return concrete;
}

/** What an op that is no weight makes of its operands, its result being of a shape. Throws `CannotEvaluate` on operands it cannot take. */
export function runOp({ type }: Around, op: GraphOp, operands: readonly Tensor[], { shape, sizes }: { readonly shape: readonly number[]; readonly sizes: SizeEnv }): Tensor {
  try {
    return runTensorOp(op, operands, { env: sizes, shape, dtype: type(op.results[0] as ValueId).dtype });
  } catch (error) {
    throw new CannotEvaluate(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** The numbers of a weight, by its name. Throws `CannotEvaluate` on one of more elements than `largest`. */
export function weightData({ module, store }: Around, name: string, largest: number): Tensor {
  const weight = module.weights.find((candidate) => candidate.name === name) as Weight;
  if (volume(weight.shape) > largest) throw new CannotEvaluate(`weight \`${name}\` is too large to look at`);
  return { shape: weight.shape, data: new WeightValues(store, 1).rowsOf(weight, { instance: 0, rank: 0 }, 0, weight.shape[0] ?? 1) };
}

/** Reproducible numbers between -1 and 1, none near 0: sines of an irrational walk. */
export function sample(shape: readonly number[], seed: number, by = 1): Tensor {
  const data = new Float64Array(volume(shape));
  for (let i = 0; i < data.length; i++) {
    const value = Math.sin((i + 1) * 2.399963 + seed * 1.7);
    data[i] = by * (value + (value < 0 ? -0.1 : 0.1));
  }
  return { shape, data };
}
