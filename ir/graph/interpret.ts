import { memoryOf, type Step, type StepSequence, tokensOf } from '../step.ts';
import type { DType, ValueId } from '../types.ts';
import { isScale, isShardedWeight, type WeightValues } from '../weight-values.ts';
import type { Weight } from '../weights.ts';
import { attention, normativeHead, realHead } from './interpret/attention.ts';
import { innerRows, mixed } from './interpret/mixture.ts';
import type { Cached, KvState } from './interpret/kv-state.ts';
import { dotsOf, linear } from './interpret/linear.ts';
import { type Arithmetic, type Numbers, numbersOf } from './interpret/numbers.ts';
import { columns, embed, norm, pickRows, quantise, rope, sideBySide } from './interpret/rows.ts';
import { map, type Operand, operandAt, type Tensor, stacked, tensorAt, whole } from './interpret/tensor.ts';
import type { Block, BodyKind, GraphModule, GraphOp, OpOf } from './module.ts';
import type { OpKind, TensorAttrs } from './ops.ts';

/** What a run of steps has in common. The weights say how many chips there are. */
export type Run = { readonly weights: WeightValues; readonly arithmetic: Arithmetic; readonly state: KvState };

/** Told of every op but `weight`, after it: `results[i][chip]`, one chip's only where all have the same; `path`: the iterations of the loops around it. */
export type Observe = (op: GraphOp, results: readonly (readonly Tensor[])[], path: readonly number[]) => void;

/**
 * What a module of row ops computes on a step: its outputs by name. `real` takes every conversion and scale as the identity;
 * `normative` is the machine's arithmetic to the bit, and wants the storage formats assigned. Appends to the caches of
 * `run.state`. Throws on ops on tensors, and on ids, caches and formats that do not fit.
 */
export function interpret(module: GraphModule, step: Step, run: Run, observe?: Observe): ReadonlyMap<string, Tensor> {
  const values: (readonly Operand[])[] = [];
  const context: Context = { ...run, module, step, values, observe, numbers: numbersOf[run.arithmetic], named: new Map(module.weights.map((weight) => [weight.name, weight])) };
  module.inputs.forEach((input, i) => {
    if (input.feed === 'tensor') throw new Error(`input \`${input.name}\` is a tensor; a step has rows`);
    const param = module.body.params[i] as ValueId;
    values[param] = [input.feed === 'rows' ? given(input.name, param, context) : { shape: [step[input.feed].length], data: Float64Array.from(step[input.feed]) }];
  });
  runBlock(module.body, context, { path: [], layer: 0 });
  return new Map(module.outputs.map((output, i) => [output.name, whole(valueOf(module.body.yields[i] as ValueId, values)[0] as Operand)]));
}

/** The activations a step brings, in the format the module takes them in. */
function given(name: string, param: ValueId, context: Context): Tensor {
  const data = context.step.rows?.get(name);
  const [of, width] = context.module.types[param]?.shape ?? [];
  const rows = of === 'memory' ? memoryOf(context.step) : tokensOf(context.step);
  if (typeof width !== 'number' || data?.length !== rows * width) throw new Error(`the step has ${data?.length ?? 'no'} elements of \`${name}\` for ${rows} rows of ${String(width)}`);
  const tensor = { shape: [rows, width], data };
  return context.arithmetic === 'real' ? tensor : map(tensor, context.numbers.roundTo(dtypeOf(param, context)));
}

type Context = Run & {
  readonly module: GraphModule;
  readonly step: Step;
  readonly numbers: Numbers;
  readonly named: ReadonlyMap<string, Weight>;
  /** By id, of each chip; one where all have the same. */
  readonly values: (readonly Operand[])[];
  readonly observe: Observe | undefined;
};
/** Where in the loops: `layer` counts all iterations before this one. */
type Place = { readonly path: readonly number[]; readonly layer: number };

function runBlock(block: Block, context: Context, place: Place): void {
  for (const op of block.ops) {
    const operands = op.operands.map((value) => valueOf(value, context.values));
    const results = runOp(op, operands, context, place);
    op.results.forEach((value, i) => {
      context.values[value] = results[i] as readonly Operand[];
    });
    if (op.kind !== 'weight') context.observe?.(op, results.map((chips) => chips.map(whole)), place.path);
  }
}

function runOp(op: GraphOp, operands: readonly (readonly Operand[])[], context: Context, place: Place): readonly (readonly Operand[])[] {
  switch (op.kind) {
    case 'weight':
      return [weightOf(op.attrs.name, context, place.path.at(-1) ?? 0)];
    case 'loop':
      return runLoop(op, operands, context, place);
    case 'fused':
      return runBody(op.body, operands, context, place);
    case 'allgather':
      return [[gathered(op.attrs, Array.from({ length: op.attrs.parts }, (_, chip) => whole(onChip(operandAtChips(operands, 0), chip))))]];
    case 'experts':
      return [runExperts(op, operands, context)];
    case 'take':
      return [[zeros(op.results[0] as ValueId, context)]];
    case 'give':
      return operands;
    default: {
      const chips = Math.max(1, ...operands.map((values) => values.length));
      const each = Array.from({ length: chips }, (_, chip) => apply(op as RowOp, operands.map((values) => onChip(values, chip)), context, { ...place, chip }));
      return op.results.map((_, i) => each.map((results) => results[i] as Tensor));
    }
  }
}

/** Strip by strip, the chips' columns side by side. */
function gathered({ strips }: OpOf<'allgather'>['attrs'], chips: readonly Tensor[]): Tensor {
  const width = ((chips[0] as Tensor).shape[1] as number) / strips;
  return sideBySide(Array.from({ length: strips }, (_, strip) => chips.map((chip) => columns(chip, { start: strip * width, end: (strip + 1) * width }))).flat());
}

/** Chips that share every expert gather their inner rows before they go on; of those that have whole experts each gets its columns of the result. */
function runExperts(op: OpOf<'experts'>, operands: readonly (readonly Operand[])[], context: Context): readonly Tensor[] {
  const { attrs } = op;
  const how = { dots: dotsOf(context.arithmetic, dtypeOf(op.operands[2], context)), numbers: context.numbers, arithmetic: context.arithmetic };
  if (attrs.whole) {
    const all = operands.map(stacked);
    const made = rounded(mixed(all, attrs, how, innerRows(all, attrs, how)), op, context);
    const width = (made.shape[1] as number) / attrs.parts;
    return Array.from({ length: attrs.parts }, (_, chip) => columns(made, { start: chip * width, end: (chip + 1) * width }));
  }
  const chips = Array.from({ length: Math.max(1, ...operands.map((values) => values.length)) }, (_, chip) => operands.map((values) => onChip(values, chip)));
  const inner = chips.map((own) => innerRows(own, attrs, how));
  const whole = attrs.parts === 1 ? undefined : sideBySide(inner);
  return chips.map((own, chip) => rounded(mixed(own, attrs, how, whole ?? (inner[chip] as Tensor)), op, context));
}

function zeros(value: ValueId, { module, step }: Context): Tensor {
  const shape = [tokensOf(step), module.types[value]?.shape[1] as number];
  return { shape, data: new Float64Array((shape[0] as number) * (shape[1] as number)) };
}

function runLoop(op: OpOf<'loop'>, operands: readonly (readonly Operand[])[], context: Context, place: Place): readonly (readonly Operand[])[] {
  let carried = operands;
  for (let i = 0; i < op.attrs.trip; i++) {
    carried = runBody(op.body, carried, context, { path: [...place.path, i], layer: place.layer * op.attrs.trip + i });
  }
  return carried;
}

function runBody(body: Block, operands: readonly (readonly Operand[])[], context: Context, place: Place): readonly (readonly Operand[])[] {
  body.params.forEach((param, at) => {
    context.values[param] = operands[at] as readonly Operand[];
  });
  runBlock(body, context, place);
  return body.yields.map((value) => valueOf(value, context.values));
}

type RowKind = Exclude<OpKind, keyof TensorAttrs | 'weight' | BodyKind | 'allgather' | 'take' | 'give' | 'experts'>;
type RowOp = OpOf<RowKind>;
type OneChip = Place & { readonly chip: number };

function apply(op: RowOp, operands: readonly Operand[], context: Context, place: OneChip): readonly Tensor[] {
  const rule = (rules as Readonly<Record<string, RowRule<RowKind> | undefined>>)[op.kind];
  if (rule === undefined) throw new Error(`\`${op.kind}\` works on tensors; a step is run on row ops`);
  return rule(op, operands, context, place);
}

type RowRule<K extends RowKind> = (op: OpOf<K>, operands: readonly Operand[], context: Context, place: OneChip) => readonly Tensor[];

const rules: { readonly [K in RowKind]: RowRule<K> } = {
  embed: (op, operands, context) => [rounded(embed(tensorAt(operands, 0), operandAt(operands, 1)), op, context)],
  norm: (op, operands, context) => [rounded(norm(tensorAt(operands, 0), operands.slice(1).map(whole), op.attrs, context.numbers), op, context)],
  linear: (op, operands, context) => {
    const dots = dotsOf(context.arithmetic, dtypeOf(op.operands[1], context));
    return [rounded(linear(operands, op.attrs, dots, context.numbers), op, context)];
  },
  rope: (op, operands, context) => [rounded(rope(tensorAt(operands, 0), tensorAt(operands, 1), op.attrs, context.numbers), op, context)],
  attention: (op, operands, context, place) => {
    const { attrs } = op;
    const ofMemory = context.module.types[op.operands[1] as ValueId]?.shape[0] === 'memory';
    const rowsOf = ({ rows, memory = 0 }: StepSequence): number => (ofMemory ? memory : rows);
    const remember = (sequence: StepSequence, keys: Float64Array, values: Float64Array): Cached & { past: number } => {
      if (attrs.cache === '') return { keys, values, rows: rowsOf(sequence), past: 0 };
      const key = { cache: attrs.cache, layer: place.layer, sequence: sequence.id, chip: place.chip };
      return { ...context.state.append(key, sequence.past, keys, values, sequence.rows), past: sequence.past };
    };
    const exact = dtypeOf(op.operands[2], context) === 'e4m3';
    const head = context.arithmetic === 'real' ? realHead(attrs) : normativeHead(attrs, dotsOf('normative', dtypeOf(op.operands[0], context)), exact);
    return [rounded(attention(operands.map(whole) as [Tensor, Tensor, Tensor, ...Tensor[]], attrs, context.step, { rowsOf, remember }, head), op, context)];
  },
  sampleRows: (_, operands, context) => [pickRows(tensorAt(operands, 0), context.step.samples)],
  activate: (op, operands, context) => [rounded(map(tensorAt(operands, 0), (x) => context.numbers.activate(op.attrs.activation, x)), op, context)],
  add: (op, operands, context) => pointwise((x, y) => x + y, operands, op, context),
  multiply: (op, operands, context) => pointwise((x, y) => x * y, operands, op, context),
  scale: (op, operands, context) => {
    const [x, by] = [tensorAt(operands, 0), tensorAt(operands, 1).data];
    return [rounded(map(x, (value, i) => context.numbers.single(value * (by[i % by.length] as number))), op, context)];
  },
  columns: (op, operands) => [columns(tensorAt(operands, 0), op.attrs)],
  quantise: (op, operands, context) => quantise(tensorAt(operands, 0), op.attrs, context.arithmetic),
  convert: (op, operands, context) => [rounded(tensorAt(operands, 0), op, context)],
  custom: (op, operands, context) => {
    const layer = context.module.customLayers.find((candidate) => candidate.name === op.attrs.layer);
    if (layer === undefined || context.arithmetic !== 'real') throw new Error(`custom layer \`${op.attrs.layer}\` has a reference in real numbers only, and only where it is defined`);
    const first = tensorAt(operands, 0);
    const data = layer.reference(operands.map(whole), op.attrs.attrs);
    return [{ shape: [first.shape[0] ?? 1, data.length / (first.shape[0] ?? 1)], data }];
  },
};

function pointwise(f: (x: number, y: number) => number, operands: readonly Operand[], op: GraphOp, context: Context): readonly Tensor[] {
  const y = tensorAt(operands, 1).data;
  return [rounded(map(tensorAt(operands, 0), (x, i) => context.numbers.single(f(x, y[i] as number))), op, context)];
}

/** A result in the format its type says. */
const rounded = (tensor: Tensor, op: GraphOp, context: Context): Tensor =>
  context.arithmetic === 'real' ? tensor : map(tensor, context.numbers.roundTo(dtypeOf(op.results[0], context)));

const dtypeOf = (value: ValueId | undefined, context: Context): DType => (value === undefined ? 'f32' : (context.module.types[value]?.dtype ?? 'f32'));

function weightOf(name: string, { weights, named, arithmetic }: Context, instance: number): readonly Operand[] {
  const weight = named.get(name);
  if (weight === undefined) throw new Error(`the module has no weight \`${name}\``);
  const ranks = isShardedWeight(weight) ? weights.tp : 1;
  return Array.from({ length: ranks }, (_, rank) => {
    const part = { instance, rank };
    const read = (start: number, count: number): Float64Array => {
      if (arithmetic === 'normative') return weights.storedRows(weight, part, start, count);
      return isScale(weight, weights.store) ? new Float64Array(count).fill(1) : weights.rowsOf(weight, part, start, count);
    };
    return { shape: weight.shape, read };
  });
}

function valueOf(value: ValueId, values: readonly (readonly Operand[])[]): readonly Operand[] {
  const found = values[value];
  if (found === undefined) throw new Error(`internal: value ${value} is read before it is made`);
  return found;
}

const operandAtChips = (operands: readonly (readonly Operand[])[], i: number): readonly Operand[] => {
  const found = operands[i];
  if (found === undefined) throw new Error(`internal: operand ${i} is missing`);
  return found;
};

const onChip = (chips: readonly Operand[], chip: number): Operand => operandAt(chips, chips.length === 1 ? 0 : chip);
