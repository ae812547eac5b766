import { equalDims, type SizeEnv, sizesOf } from '../../ir/dims.ts';
import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { CannotEvaluate, runOp, shapeWithin, weightData } from '../evaluate-op.ts';
import type { Role } from './roles.ts';
import type { Source } from './source.ts';

/** Sizes and integer inputs to evaluate regions under. `known` keeps what does not depend on activations. */
export type Scenario = {
  readonly batch: number;
  readonly rows: number;
  readonly past: number;
  readonly memory: number;
  readonly sizes: ReadonlyMap<string, number>;
  /** Position of each row, sequences in order. */
  readonly positions: readonly number[];
  /** One for each key of each sequence: 0 is padding. */
  readonly mask: readonly number[];
  /** One for each row of each sequence's memory, likewise. */
  readonly memoryMask: readonly number[];
  readonly inputs: ReadonlyMap<ValueId, Tensor>;
  readonly known: Map<ValueId, Tensor>;
};

/** Sizes wanted; those the source fixes stay as they are. Positions count up from the past unless given, nothing is padding unless said. */
export type Wanted = { readonly batch: number; readonly rows: number; readonly past: number; readonly positions?: readonly number[]; readonly mask?: readonly number[]; readonly memoryMask?: readonly number[] };

/** Sizes at which all sequences are as long as they can be. */
export const unpadded: readonly Wanted[] = [{ batch: 2, rows: 6, past: 3 }, { batch: 1, rows: 1, past: 4 }, { batch: 2, rows: 4, past: 0 }];

/** Regions are looked at in small; a tensor of more elements than this says that the source fixes sizes none can look at. */
const largest = 1 << 24;

export const shapeUnder = (shape: readonly Dim[], sizes: SizeEnv): readonly number[] => shapeWithin(largest, shape, sizes);

export function scenarioOf(source: Source, wanted: Wanted): Scenario {
  const { axes, module } = source;
  const fixed = (dim: Dim | undefined, size: number): number => (typeof dim === 'number' ? dim : size);
  const batch = fixed(axes.batch, wanted.batch);
  const rows = fixed(axes.row, wanted.rows);
  const past = axes.past === undefined ? 0 : fixed(axes.past, wanted.past);
  const memory = fixed(axes.memory, 5);
  const sizes = new Map<string, number>();
  const bind = (dim: Dim | undefined, size: number): void => {
    if (typeof dim === 'string' && sizesOf(dim)[0] === dim && !sizes.has(dim)) sizes.set(dim, size);
  };
  bind(axes.batch, batch);
  bind(axes.row, rows);
  bind(axes.past, past);
  bind(axes.memory, memory);
  for (const param of module.body.params) {
    const { shape } = source.type(param);
    if (source.role(param) === 'past') [batch, 0, past].forEach((size, i) => i !== 1 && bind(shape[i], size));
    else if (shape.length === 2) [batch, source.role(param) === 'mask' ? past + rows : rows].forEach((size, i) => bind(shape[i], size));
  }
  const positions = wanted.positions?.length === batch * rows ? wanted.positions : Array.from({ length: batch * rows }, (_, i) => past + (i % rows));
  const mask = wanted.mask?.length === batch * (past + rows) ? wanted.mask : Array.from({ length: batch * (past + rows) }, () => 1);
  const memoryMask = wanted.memoryMask?.length === batch * memory ? wanted.memoryMask : Array.from({ length: batch * memory }, () => 1);
  const fill: Partial<Record<Role, (i: number) => number>> = {
    ids: (i) => 3 + ((i * 7) % 11),
    positions: (i) => positions[i] as number,
    types: (i) => (i * i) % 2,
    mask: (i) => mask[i] as number,
  };
  const inputs = new Map<ValueId, Tensor>();
  for (const param of module.body.params) {
    const value = fill[source.role(param) as Role];
    const { shape } = source.type(param);
    if (value === undefined || !shape.flatMap(sizesOf).every((name) => sizes.has(name))) continue;
    const concrete = shapeUnder(shape, sizes);
    const isOfMemory = source.role(param) === 'mask' && axes.memory !== undefined && equalDims(shape.at(-1) as Dim, axes.memory);
    inputs.set(param, { shape: concrete, data: Float64Array.from({ length: concrete.reduce((a, b) => a * b, 1) }, (_, i) => (isOfMemory ? (memoryMask[i] as number) : value(i))) });
  }
  return { batch, rows, past, memory, sizes, positions, mask, memoryMask, inputs, known: new Map() };
}

/**
 * A value of the source in double precision, given what the values it is to be a function of hold. Throws `CannotEvaluate` when the value
 * depends on others, or on sizes the scenario does not have.
 */
export function evaluate(source: Source, target: ValueId, scenario: Scenario, given: ReadonlyMap<ValueId, Tensor>): Tensor {
  const local = new Map(given);
  const isPure = [...given.keys()].every((value) => source.dependence(value) === 'active');
  const lookup = (value: ValueId): Tensor | undefined => local.get(value) ?? scenario.known.get(value) ?? scenario.inputs.get(value);
  for (const value of coneOf(source, target, (candidate) => lookup(candidate) !== undefined)) {
    const op = source.definition(value);
    if (op === undefined) throw new CannotEvaluate(`input \`${source.name(value) ?? ''}\` has no value here`);
    const result = run(source, op, op.operands.map((operand) => lookup(operand) as Tensor), scenario);
    const isKnown = isPure && source.dependence(value) !== 'active';
    (isKnown ? scenario.known : local).set(value, result);
  }
  return lookup(target) as Tensor;
}

/** The values a target depends on, itself included, up to those `stop` accepts; in program order. */
export function coneOf(source: Source, target: ValueId, stop: (value: ValueId) => boolean): readonly ValueId[] {
  const found = new Set<ValueId>();
  const pending = [target];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (found.has(value) || stop(value)) continue;
    found.add(value);
    pending.push(...(source.definition(value)?.operands ?? []));
  }
  return [...found].toSorted((a, b) => source.order(a) - source.order(b));
}

function run(source: Source, op: GraphOp, operands: readonly Tensor[], { sizes }: Scenario): Tensor {
  if (op.kind === 'weight') return weightData(source, op.attrs.name, Infinity);
  return runOp(source, op, operands, { shape: shapeUnder(source.type(op.results[0] as ValueId).shape, sizes), sizes });
}

const nothing: Scenario = { batch: 1, rows: 1, past: 0, memory: 0, sizes: new Map(), positions: [], mask: [], memoryMask: [], inputs: new Map(), known: new Map() };

/** The data of a value that depends on nothing. */
export const constantOf = (source: Source, value: ValueId): Tensor | undefined => (source.dependence(value) === 'constant' ? evaluate(source, value, { ...nothing, known: new Map() }, new Map()) : undefined);
