import { equalDims, parseDim, sizeName, sizesOf, volumeOf } from '../../ir/dims.ts';
import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { PrimitiveAttrs } from '../../ir/graph/ops.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { Dim, TensorType, ValueId } from '../../ir/types.ts';
import type { Emitter } from './emit.ts';
import { CannotImport, type Value, knownValue } from './value.ts';

/** What is not zero of a tensor's elements, in a row; there are `total`. */
type Choice = { readonly mask: Value; readonly total: Dim };

/**
 * Rows of which the data says how many there are: the places of what is not zero, and what is made of them. In the module they are the rows of all
 * places, chosen or not, which is the same as long as each row is worked on by itself, and those not chosen are left out where rows are
 * written to their places. While a graph is imported their number is a size with a name of its own, which tells them from all others.
 */
export class Chosen {
  readonly #emit: Emitter;
  readonly #choices = new Map<string, Choice>();
  /** Results of ops that keep to that by the way they were made. */
  readonly #sound = new Set<ValueId>();

  constructor(emit: Emitter) {
    this.#emit = emit;
  }

  /** The indices [rank, rows] of the elements that are not zero. */
  places(x: Value): Value {
    const emit = this.#emit;
    if (x.shape.some(this.#isRows)) throw new CannotImport('E3001', 'it chooses among what was chosen by data');
    const total = volumeOf(x.shape);
    const count = sizeName(`nonzero.${this.#choices.size}.`);
    emit.sizes.declare(count);
    this.#choices.set(count, { mask: emit.reshape(emit.cast(x, 'bool'), [total]), total });
    const along = x.shape.map((size, axis) => emit.reshape(emit.iota('i64', 0, 1, size), x.shape.map((_, at) => (at === axis ? size : 1))));
    return this.#kept(emit.reshape(emit.concat(along.map((each) => emit.reshape(emit.expand(each, x.shape), [1, total])), 0), [x.shape.length, count]));
  }

  /** The rows along an axis, where there are `count`; if there are more, an index that does not exist. `undefined` if they are none whose number the data says. */
  first(x: Value, axis: number, count: Dim): Value | undefined {
    const choice = this.#choices.get(String(x.shape[axis]));
    if (choice === undefined) return undefined;
    const emit = this.#emit;
    const [total, most, none] = [choice.total, count, 0].map((each) => knownValue('i64', [], [each])) as [Value, Value, Value];
    const place = emit.iota('i64', 0, 1, choice.total);
    const ordered = emit.topk(emit.where(choice.mask, emit.binary('sub', total, place), emit.binary('sub', none, place)), { axis: 0, k: count, largest: true });
    const isMore = emit.binary('greater', emit.reduce('sum', emit.cast(choice.mask, 'i64'), [0], false), most);
    return this.#kept(emit.gather(x, emit.where(isMore, total, ordered), axis));
  }

  /** A tensor with rows written to their places, if `updates` are rows; no place is written twice, as the standard has it. */
  written(data: Value, indices: Value, updates: Value, { axis, reduction }: PrimitiveAttrs['pscatter']): Value | undefined {
    const emit = this.#emit;
    const at = emit.axis(axis, data);
    const count = updates.shape[at];
    const choice = this.#choices.get(String(count));
    if (choice === undefined || count === undefined) return undefined;
    if (reduction !== 'add' && reduction !== 'none') throw new CannotImport('E3001', `rows whose number depends on data are combined by \`${reduction}\``);
    const mask = this.#kept(emit.reshape(choice.mask, updates.shape.map((_, i) => (i === at ? count : 1))));
    const chosen = (rows: Value): Value => emit.where(mask, rows, emit.scalar(rows, 0));
    const added = (to: Value, rows: Value): Value => this.#kept(emit.scatter(to, indices, chosen(rows), { axis: at, reduction: 'add' }));
    if (reduction === 'add' || emit.fillOf(data) === 0) return added(data, updates);
    const zeros = emit.expand(emit.scalar(data, 0), data.shape);
    const isWritten = emit.binary('greater', added(zeros, emit.expand(emit.scalar(updates, 1), updates.shape)), emit.scalar(data, 0));
    return emit.where(isWritten, added(zeros, updates), data);
  }

  /**
   * The first op that does not work on each row by itself, or makes results of rows: what the data says the number of cannot be told before the run.
   * From then on the rows are those of all places.
   */
  settle(ops: readonly GraphOp[], yields: readonly ValueId[]): GraphOp | undefined {
    if (this.#choices.size === 0) return undefined;
    const { sizes, build } = this.#emit;
    const type = (value: ValueId): TensorType => build.types[value] as TensorType;
    const isOfRows = (value: ValueId): boolean => type(value).shape.some(this.#isRows);
    // As many as something else: that would have to be the data's doing.
    const isTied = [...this.#choices.keys()].some((count) => sizes.settle(count) !== count);
    const results = new Set(yields);
    const wrong = ops.find((op) => {
      const [value] = op.results as readonly [ValueId];
      if (![...op.operands, value].some(isOfRows)) return dimsOfOp(op).some((dim) => this.#isRows(parseDim(dim)));
      return isTied || (results.has(value) && isOfRows(value)) || !(this.#sound.has(value) || isByRow(op, type, this.#isRows));
    });
    for (const [count, { total }] of this.#choices) sizes.replace(count, total);
    return wrong;
  }

  readonly #isRows = (dim: Dim): boolean => sizesOf(dim).some((name) => this.#choices.has(name));

  #kept(value: Value): Value {
    this.#sound.add(this.#emit.id(value));
    return value;
  }
}

type Kind = 'punary' | 'pcast' | 'pbinary' | 'pwhere' | 'pexpand' | 'ptranspose' | 'preshape' | 'pslice' | 'pconcat' | 'preduce' | 'psoftmax' | 'pmatmul' | 'pgather';
type Shapes = { readonly from: readonly (readonly Dim[])[]; readonly to: readonly Dim[]; /** Where the rows are in each of the operands, and in the result; -1: nowhere. */ readonly rows: readonly number[]; readonly made: number };

/** Whether an op of a kind makes rows of rows, each of the one in its place. */
const byRow: { readonly [K in Kind]: (op: OpOf<K>, shapes: Shapes) => boolean } = {
  punary: () => true,
  pcast: () => true,
  pbinary: (_, shapes) => isAligned(shapes),
  pwhere: (_, shapes) => isAligned(shapes),
  pexpand: (_, shapes) => isAligned(shapes),
  ptranspose: () => true,
  preshape: (_, { from: [from = []], to, rows: [at = -1], made }) => at >= 0 && made >= 0 && equalDims(volumeOf(from.slice(0, at)), volumeOf(to.slice(0, made))),
  pslice: ({ attrs }, { from: [from = []], rows: [at = -1] }) => axisOf(attrs.axis, from.length) !== at,
  pconcat: ({ attrs }, { to, rows, made }) => rows.every((at) => at === made) && axisOf(attrs.axis, to.length) !== made,
  preduce: ({ attrs }, { from: [from = []], rows: [at = -1] }) => !attrs.axes.some((axis) => axisOf(axis, from.length) === at),
  psoftmax: ({ attrs }, { from: [from = []], rows: [at = -1] }) => axisOf(attrs.axis, from.length) !== at,
  pmatmul: (_, { from: [x = []], rows: [left = -1, right = -1] }) => right < 0 && left >= 0 && left < x.length - 1,
  pgather: ({ attrs }, { from: [data = []], rows: [table = -1, indices = -1] }) => (table < 0) !== (indices < 0) && (table < 0 || table !== axisOf(attrs.axis, data.length)),
};

/** Sizes an op says in words: none of them may be a number of rows. */
function dimsOfOp(op: GraphOp): readonly string[] {
  switch (op.kind) {
    case 'pslice':
      return [op.attrs.start, op.attrs.end];
    case 'piota':
      return [op.attrs.start];
    case 'ptrilu':
    case 'ptopk':
      return [op.attrs.k];
    case 'psizes':
      return op.attrs.sizes;
    default:
      return [];
  }
}

/** Whether the rows are the same axis, counted from the last, of all that have them, and others are repeated along it. */
const isAligned = ({ from, to, rows, made }: Shapes): boolean =>
  made >= 0 && from.every((shape, i) => {
    const at = made - to.length + shape.length;
    return rows[i] === -1 ? at < 0 || shape[at] === 1 : rows[i] === at;
  });

function isByRow(op: GraphOp, type: (value: ValueId) => TensorType, isRows: (dim: Dim) => boolean): boolean {
  const from = op.operands.map((operand) => type(operand).shape);
  const to = type(op.results[0] as ValueId).shape;
  const isSingle = [...from, to].every((shape) => shape.filter(isRows).every((dim, _, all) => all.length === 1 && sizesOf(dim)[0] === dim));
  const isOfOne = new Set([...from, to].flat().filter(isRows)).size === 1;
  const [made = -1, ...rows] = [to, ...from].map((shape) => shape.findIndex(isRows));
  const rule = byRow[op.kind as Kind] as ((op: GraphOp, shapes: Shapes) => boolean) | undefined;
  return isSingle && isOfOne && made >= 0 && !dimsOfOp(op).some((dim) => isRows(parseDim(dim))) && rule?.(op, { from, to, rows, made }) === true;
}
