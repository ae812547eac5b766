import type { GraphOp } from '../module.ts';
import type { TensorAttrs } from '../ops.ts';
import { blocks } from './blocks.ts';
import { type Around, primitives } from './primitives.ts';
import type { Tensor } from './tensor.ts';

type Rule = (attrs: TensorAttrs[keyof TensorAttrs], operands: readonly Tensor[], around: Around) => Tensor;
const rules = { ...primitives, ...blocks } as unknown as Readonly<Record<string, Rule | undefined>>;

/** What an op on tensors makes of its operands. Throws on ops that work on the rows of a step. */
export function runTensorOp(op: GraphOp, operands: readonly Tensor[], around: Around): Tensor {
  const rule = rules[op.kind];
  if (rule === undefined) throw new Error(`\`${op.kind}\` works on the rows of a step, not on tensors`);
  return rule(op.attrs as TensorAttrs[keyof TensorAttrs], operands, around);
}
