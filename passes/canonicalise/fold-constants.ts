import { parseDim } from '../../ir/dims.ts';
import { type Around, primitives } from '../../ir/graph/interpret/primitives.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphModule, GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { OpKind, PrimitiveAttrs } from '../../ir/graph/ops.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { type Near, type Rule, rewrite } from '../rewrite.ts';

/** Elements of a result that is written out. */
const mostElements = 256;

/** f(constants) = a constant, when it is small and no size of the run is in it. Computed in double precision, as the interpreter does. */
export const foldConstants = (module: GraphModule): GraphModule => {
  const constants = new Map<ValueId, Tensor>();
  return rewrite(module, 'fold-constants', ruleFor((op, near) => fold(op, near, constants)));
};

const folding = ['punary', 'pbinary', 'pwhere', 'preduce', 'ptranspose', 'preshape', 'pexpand', 'pslice', 'pconcat', 'pgather', 'pcast', 'piota', 'ptrilu', 'pcumsum', 'ppick', 'pscatter', 'ptopk', 'psizes', 'pmatmul', 'psoftmax'] as const satisfies readonly OpKind[];
type Folding = (typeof folding)[number];

function ruleFor(apply: (op: OpOf<Folding>, near: Near) => readonly ValueId[] | undefined): Rule {
  return Object.fromEntries(folding.map((kind) => [kind, apply])) as Rule;
}

function fold(op: OpOf<Folding>, near: Near, constants: Map<ValueId, Tensor>): readonly ValueId[] | undefined {
  const result = op.results[0] as ValueId;
  const { dtype, shape } = near.type(result);
  const zero = op.kind === 'pbinary' && op.attrs.fn === 'mul' ? zeroTimes(op, near) : undefined;
  if (zero !== undefined) return [near.build.op('pconst', { values: [zero] }, [], { dtype, shape })];
  if (!isSmall(shape) || !isPlain(op)) return undefined;
  const operands = op.operands.map((operand) => constants.get(operand) ?? constantOf(near.definition(operand), near));
  if (!operands.every((operand) => operand !== undefined)) return undefined;
  const rule = primitives[op.kind] as (attrs: PrimitiveAttrs[Folding], operands: readonly Tensor[], around: Around) => Tensor;
  const folded = attempt(() => rule(op.attrs, operands, { env: new Map(), shape, dtype }));
  if (folded === undefined) return undefined;
  constants.set(result, folded);
  const [first] = folded.data;
  const isUniform = folded.data.every((each) => Object.is(each, first));
  return [near.build.op('pconst', { values: isUniform && first !== undefined ? [first] : [...folded.data] }, [], { dtype, shape })];
}

/** 0 * c of finite constants, whatever the size of the run. */
function zeroTimes(op: OpOf<'pbinary'>, near: Near): 0 | undefined {
  const values = op.operands.map((operand) => {
    const constant = near.definition(operand);
    return constant?.kind === 'pconst' && constant.attrs.values.every(Number.isFinite) ? constant.attrs.values : undefined;
  });
  return !values.includes(undefined) && values.some((each) => each?.every((value) => Object.is(value, 0))) && values.every((each) => each?.every((value) => value >= 0)) ? 0 : undefined;
}

/** What cannot be computed (a row beyond a table) is a fault of the source's that shows if it is ever run. */
function attempt(compute: () => Tensor): Tensor | undefined {
  try {
    return compute();
  } catch {
    return undefined;
  }
}

function constantOf(op: GraphOp | undefined, near: Near): Tensor | undefined {
  if (op?.kind !== 'pconst') return undefined;
  const { shape } = near.type(op.results[0] as ValueId);
  return isSmall(shape) ? primitives.pconst(op.attrs, [] as never, { env: new Map(), shape, dtype: 'f64' }) : undefined;
}

const isSmall = (shape: readonly Dim[]): shape is readonly number[] => shape.every((dim) => typeof dim === 'number') && shape.reduce<number>((product, dim) => product * (dim as number), 1) <= mostElements;

/** Whether no size of the run is among the attributes. */
function isPlain(op: OpOf<Folding>): boolean {
  const isNumber = (text: string): boolean => typeof parseDim(text) === 'number';
  if (op.kind === 'pslice') return isNumber(op.attrs.start);
  if (op.kind === 'piota') return isNumber(op.attrs.start);
  if (op.kind === 'ptrilu') return isNumber(op.attrs.k);
  if (op.kind === 'ptopk') return isNumber(op.attrs.k);
  return op.kind !== 'psizes' || op.attrs.sizes.every(isNumber);
}
