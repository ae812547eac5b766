import { addDims, equalShapes, leastOf, mulDims, stepsAcross, subDims, volumeOf } from '../../ir/dims.ts';
import { exactKey } from '../../ir/exact-key.ts';
import { GraphBuilder } from '../../ir/graph/build.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import { casts, isWide } from '../../ir/graph/interpret/casts.ts';
import type { GraphAttrs, PrimitiveAttrs } from '../../ir/graph/ops.ts';
import { type DType, type Dim, type TensorType, type ValueId, isFloat } from '../../ir/types.ts';
import { tensorsOf } from '../../ir/weight-expr.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import type { TensorStore, Weight, WeightExpr } from '../../ir/weights.ts';
import { Chosen } from './chosen.ts';
import { Sizes } from './sizes.ts';
import { CannotImport, type StoredWeight, type Value, dimAt, elementCount, flatAt, flatIndex, foldBinary, foldUnary, isStatic, knownElements, knownValue, pickKnown, soundShape, writtenKnown } from './value.ts';

type Unary = PrimitiveAttrs['punary']['fn'];
type Binary = PrimitiveAttrs['pbinary']['fn'];
type Reduce = PrimitiveAttrs['preduce']['fn'];

const truths: ReadonlySet<string> = new Set(['equal', 'less', 'lessEqual', 'greater', 'greaterEqual', 'and', 'or']);

const noTensors: TensorStore = { names: () => [], describe: () => undefined, read: () => new Float64Array(0) };

/** Makes primitive ops one after the other, or works them out at once where the elements are known. */
export class Emitter {
  readonly build = new GraphBuilder(inferResults);
  readonly sizes = new Sizes();
  readonly chosen = new Chosen(this);
  readonly weights = new Map<string, Weight>();
  readonly #ids = new Map<string | StoredWeight, ValueId>();
  /** The least and the greatest element, where they are known though not all are. */
  readonly #ranges = new Map<ValueId, readonly [Dim, Dim]>();

  /** The module's value of a tensor; a known one becomes a constant. */
  id(value: Value): ValueId {
    if (value.id !== undefined) return value.id;
    if (value.parts !== undefined) throw new CannotImport('E3001', `a list of ${value.parts.length} tensors is no tensor`);
    const key = value.weight ?? `${value.dtype} ${value.shape.join()} ${keyOf(value.known ?? [])}`;
    const made = this.#ids.get(key) ?? (value.weight === undefined ? this.#constant(value) : this.#weight(value.weight));
    this.#ids.set(key, made);
    return made;
  }

  /** What a value that is stored is made of; undefined if it is computed. */
  exprOf({ weight, known, shape }: Value): WeightExpr | undefined {
    if (weight !== undefined) return weight.expr;
    return isStatic(shape) && known?.every((each) => typeof each === 'number') === true ? { kind: 'values', shape, values: known } : undefined;
  }

  /** What is made of what is stored; if it is small and made of known numbers, those. */
  derived(dtype: DType, shape: readonly number[], expr: WeightExpr): Value {
    soundShape(shape);
    if (tensorsOf(expr).length > 0 || elementCount(shape) > knownElements) return { dtype, shape, weight: { dtype, shape, expr } };
    return knownValue(dtype, shape, [...new WeightValues(noTensors, 1).rowsOf({ name: '', dtype, shape, instances: [expr] }, { instance: 0, rank: 0 }, 0, shape[0] ?? 1)]);
  }

  /** A number of the same type as another tensor. */
  scalar(like: Value, value: number): Value {
    return knownValue(like.dtype, [], [value]);
  }

  unary(fn: Unary, x: Value): Value {
    const dtype: DType = fn === 'not' || fn === 'isnan' ? 'bool' : x.dtype;
    return this.#folded(dtype, x.shape, x.known?.map((each) => foldUnary(fn, each))) ?? this.#op('punary', { fn }, [x], { dtype, shape: x.shape });
  }

  binary(fn: Binary, x: Value, y: Value): Value {
    const shape = this.broadcast(x.shape, y.shape);
    const dtype: DType = truths.has(fn) ? 'bool' : x.dtype;
    const [left, right] = [this.#spread(x, shape), this.#spread(y, shape)];
    const known = left?.map((each, i) => (right === undefined ? undefined : foldBinary(fn, !isFloat(x.dtype), each, right[i] as Dim)));
    return this.#folded(dtype, shape, known) ?? this.#op('pbinary', { fn }, [x, y], { dtype, shape });
  }

  where(condition: Value, x: Value, y: Value): Value {
    const shape = this.broadcast(condition.shape, this.broadcast(x.shape, y.shape));
    const [which, left, right] = [condition, x, y].map((each) => this.#spread(each, shape));
    const known = which?.map((each, i) => (typeof each === 'number' ? (each === 0 ? right : left)?.[i] : undefined));
    return this.#folded(x.dtype, shape, known) ?? this.#op('pwhere', {}, [condition, x, y], { dtype: x.dtype, shape });
  }

  /** Of the last two axes; both operands have at least two. */
  matmul(x: Value, y: Value): Value {
    const [rows, inner, height, columns] = [dimAt(x, -2), dimAt(x, -1), dimAt(y, -2), dimAt(y, -1)];
    if (this.sizes.equate(inner, height) === undefined) throw new CannotImport('E1003', `a product of [${x.shape.join(', ')}] and [${y.shape.join(', ')}] does not exist`);
    return this.#op('pmatmul', {}, [x, y], { dtype: x.dtype, shape: [...this.broadcast(x.shape.slice(0, -2), y.shape.slice(0, -2)), rows, columns] });
  }

  reduce(fn: Reduce, x: Value, axes: readonly number[], keepDims: boolean): Value {
    const reduced = axes.map((axis) => this.axis(axis, x));
    if (reduced.length === 0) return x;
    const shape = x.shape.flatMap((dim, i) => (reduced.includes(i) ? (keepDims ? [1] : []) : [dim]));
    return this.#reducedKnown(fn, x, reduced, shape) ?? this.#op('preduce', { fn, axes: reduced, keepDims }, [x], { dtype: x.dtype, shape });
  }

  softmax(x: Value, axis: number): Value {
    return this.#op('psoftmax', { axis: this.axis(axis, x) }, [x], x);
  }

  transpose(x: Value, perm: readonly number[]): Value {
    if (perm.length !== x.shape.length || perm.toSorted((a, b) => a - b).some((axis, i) => axis !== i)) throw new CannotImport('E1003', `[${perm.join(', ')}] does not permute ${x.shape.length} axes`);
    const shape = perm.map((axis) => dimAt(x, axis));
    if (perm.every((axis, i) => axis === i)) return x;
    const known = pickKnown(x, shape, (index) => flatIndex(x.shape, perm.map((_, axis) => index[perm.indexOf(axis)] as number)));
    return this.#folded(x.dtype, shape, known) ?? this.#op('ptranspose', { perm }, [x], { dtype: x.dtype, shape });
  }

  /** To a shape of as many elements. */
  reshape(x: Value, shape: readonly Dim[]): Value {
    if (equalShapes(x.shape, soundShape(shape))) return x;
    const [from, to] = [volumeOf(x.shape), volumeOf(shape)];
    if (typeof from === 'number' && typeof to === 'number' && from !== to) throw new CannotImport('E1003', `[${x.shape.join(', ')}] cannot be reshaped to [${shape.join(', ')}]`);
    if (x.known !== undefined && isStatic(shape)) return knownValue(x.dtype, shape, x.known);
    if (x.weight !== undefined && isStatic(shape)) return { ...x, shape, weight: { dtype: x.weight.dtype, shape, expr: { kind: 'reshape', of: x.weight.expr, shape } } };
    return this.#ranging(this.#op('preshape', {}, [x], { dtype: x.dtype, shape }), this.#rangeOf(x));
  }

  /** Broadcasts to a shape. */
  expand(x: Value, shape: readonly Dim[]): Value {
    if (equalShapes(x.shape, soundShape(shape))) return x;
    const known = this.#folded(x.dtype, shape, this.#spread(x, shape));
    if (known !== undefined) return known;
    const expanded = this.#op('pexpand', {}, [x], { dtype: x.dtype, shape });
    const [fill, more] = x.known ?? [];
    return fill === undefined || more !== undefined ? expanded : this.#ranging(expanded, [fill, fill]);
  }

  /** The number every element of a tensor is, where that is known. */
  fillOf(x: Value): number | undefined {
    const [least, most] = this.#rangeOf(x) ?? [];
    return typeof least === 'number' && least === most ? least : undefined;
  }

  /** Indices start, start + step, ... before (after, if step is negative) end, all within the axis. */
  slice(x: Value, axis: number, start: Dim, end: Dim, step = 1): Value {
    const at = this.axis(axis, x);
    const span = stepsAcross(subDims(end, start), step);
    const length = step === 1 || typeof span === 'string' ? span : Math.max(0, span);
    if (typeof length === 'number' && (length < 0 || !reaches(dimAt(x, at), start, { length, step }))) throw new CannotImport('E1003', `elements ${start} to ${end} of an axis of ${x.shape[at]} do not exist`);
    if (length === x.shape[at] && start === 0 && step === 1) return x;
    const shape = x.shape.with(at, length);
    const known = typeof start === 'number' ? pickKnown(x, shape, (index) => flatAt(x.shape, index.with(at, start + (index[at] as number) * step))) : undefined;
    return this.#folded(x.dtype, shape, known) ?? this.#op('pslice', { axis: at, start: String(start), end: String(end), step }, [x], { dtype: x.dtype, shape });
  }

  concat(parts: readonly Value[], axis: number): Value {
    const [first, ...rest] = parts as readonly [Value, ...Value[]];
    if (rest.length === 0) return first;
    const at = this.axis(axis, first);
    const length = parts.map((part) => dimAt(part, at)).reduce<Dim>(addDims, 0);
    const shape = first.shape.map((dim, i) => (i === at ? length : rest.reduce((sum, part) => this.#same(sum, part, i), dim)));
    const known = at === 0 && parts.every((part) => part.known !== undefined) ? parts.flatMap((part) => part.known ?? []) : undefined;
    return this.#folded(first.dtype, shape, known) ?? this.#op('pconcat', { axis: at }, parts, { dtype: first.dtype, shape });
  }

  gather(data: Value, indices: Value, axis: number): Value {
    const at = this.axis(axis, data);
    const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)];
    const wanted = indices.known;
    const size = data.shape[at];
    const known =
      wanted?.every((each) => typeof each === 'number') === true && typeof size === 'number'
        ? pickKnown(data, shape, (index) => {
            const each = wanted[flatAt(indices.shape, index.slice(at, at + indices.shape.length))] as number;
            return flatAt(data.shape, [...index.slice(0, at), each < 0 ? each + size : each, ...index.slice(at + indices.shape.length)]);
          })
        : undefined;
    return this.#folded(data.dtype, shape, known) ?? this.#op('pgather', { axis: at }, [data, indices], { dtype: data.dtype, shape });
  }

  /** Data at an index for each element along an axis; the other axes broadcast. */
  pick(data: Value, indices: Value, axis: number): Value {
    const at = this.axis(axis, data);
    const shape = this.broadcast(data.shape.with(at, 1), indices.shape.with(at, 1)).with(at, dimAt(indices, at));
    return this.#op('ppick', { axis: at }, [data, indices], { dtype: data.dtype, shape });
  }

  /** Data with the elements at indices along an axis written or combined; indices broadcast to the updates. */
  scatter(data: Value, indices: Value, updates: Value, { axis, reduction }: PrimitiveAttrs['pscatter']): Value {
    const at = this.axis(axis, data);
    if (indices.shape.length !== data.shape.length || updates.shape.length !== data.shape.length) throw new CannotImport('E1003', `updates of [${updates.shape.join(', ')}] at [${indices.shape.join(', ')}] do not go into [${data.shape.join(', ')}]`);
    if (!equalShapes(this.broadcast(indices.shape, updates.shape), updates.shape)) throw new CannotImport('E1003', `indices of [${indices.shape.join(', ')}] are not those of updates of [${updates.shape.join(', ')}]`);
    updates.shape.forEach((dim, i) => {
      const size = dimAt(data, i);
      if (i !== at && typeof dim === 'number' && typeof size === 'number' && dim > size) throw new CannotImport('E1003', `${dim} updates do not go into an axis of ${size}`);
    });
    return this.#folded(data.dtype, data.shape, reduction === 'none' ? writtenKnown(data, indices, updates, at) : undefined) ?? this.#op('pscatter', { axis: at, reduction }, [data, indices, updates], data);
  }

  /** Indices of the k largest or smallest along an axis, best first. */
  topk(x: Value, { axis, k, largest }: { readonly axis: number; readonly k: Dim; readonly largest: boolean }): Value {
    const at = this.axis(axis, x);
    const size = dimAt(x, at);
    if (leastOf(subDims(k, size)) > 0) throw new CannotImport('E1003', `an axis of ${size} has no ${k} elements`);
    return this.#op('ptopk', { axis: at, k: String(k), largest }, [x], { dtype: 'i64', shape: x.shape.with(at, k) });
  }

  /** Between wide floats only the type's name changes; to bool is a comparison with 0. */
  cast(x: Value, dtype: DType): Value {
    if (x.dtype === dtype) return x;
    if (isWide(dtype) && isFloat(x.dtype) && (isWide(x.dtype) || x.id === undefined)) return { ...x, dtype };
    if (dtype === 'bool') return this.unary('not', this.binary('equal', x, this.scalar(x, 0)));
    const known = x.known?.map((each) => (typeof each === 'string' ? each : casts[dtype](each)));
    return this.#folded(dtype, x.shape, known) ?? this.#ranging(this.#op('pcast', {}, [x], { dtype, shape: x.shape }), isFloat(x.dtype) ? undefined : this.#rangeOf(x));
  }

  /** start, start + step, ... */
  iota(dtype: DType, start: Dim, step: number, length: Dim): Value {
    if (typeof length === 'number' && length <= knownElements) return knownValue(dtype, [length], Array.from({ length }, (_, i) => foldBinary('add', true, start, i * step) as Dim));
    const last = addDims(start, mulDims(step, subDims(length, 1)));
    return this.#ranging(this.#op('piota', { start: String(start), step }, [], { dtype, shape: [length] }), step < 0 ? [last, start] : [start, last]);
  }

  /** Zero outside the upper or lower triangle, whose diagonal is moved by k. */
  trilu(x: Value, upper: boolean, k: Dim): Value {
    if (x.shape.length < 2) throw new CannotImport('E1003', 'a triangle is taken of at least two axes');
    return this.#op('ptrilu', { upper, k: String(k) }, [x], x);
  }

  cumsum(x: Value, axis: number): Value {
    return this.#op('pcumsum', { axis: this.axis(axis, x) }, [x], x);
  }

  custom(layer: string, attrs: GraphAttrs['custom']['attrs'], operands: readonly Value[], type: TensorType): Value {
    const id = this.build.op('custom', { layer, attrs }, operands.map((operand) => this.id(operand)), type);
    return { ...type, id };
  }

  /** An axis counted from the first. */
  axis(axis: number, x: Value): number {
    if (axis < -x.shape.length || axis >= x.shape.length) throw new CannotImport('E1003', `axis ${axis} of a tensor of rank ${x.shape.length} does not exist`);
    return axisOf(axis, x.shape.length);
  }

  /** The shape two shapes broadcast to; names that meet are the same size from then on. */
  broadcast(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] {
    const rank = Math.max(a.length, b.length);
    return Array.from({ length: rank }, (_, i) => {
      const [left, right] = [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1];
      const size = left === 1 ? right : right === 1 ? left : this.sizes.unify(left, right);
      if (size === undefined) throw new CannotImport('E1003', `shapes [${a.join(', ')}] and [${b.join(', ')}] do not broadcast`);
      return size;
    });
  }

  #same(sum: Dim, part: Value, axis: number): Dim {
    const dim = part.shape[axis];
    const same = dim === undefined ? undefined : this.sizes.equate(sum, dim);
    if (same === undefined) throw new CannotImport('E1003', `a part of shape [${part.shape.join(', ')}] does not join others of size ${sum} in axis ${axis}`);
    return same;
  }

  /** Known elements for each element of a shape to broadcast to. */
  #spread(x: Value, shape: readonly Dim[]): readonly Dim[] | undefined {
    return pickKnown(x, shape, (index) => flatIndex(x.shape, index));
  }

  #folded(dtype: DType, shape: readonly Dim[], known: readonly (Dim | undefined)[] | undefined): Value | undefined {
    if (known === undefined || !isStatic(shape) || known.length > knownElements || known.includes(undefined)) return undefined;
    return knownValue(dtype, shape, known as readonly Dim[]);
  }

  #rangeOf = (x: Value): readonly [Dim, Dim] | undefined => (x.id === undefined ? undefined : this.#ranges.get(x.id));

  #ranging(x: Value, range: readonly [Dim, Dim] | undefined): Value {
    if (range !== undefined) this.#ranges.set(x.id as ValueId, range);
    return x;
  }

  #reducedKnown(fn: Reduce, x: Value, axes: readonly number[], shape: readonly Dim[]): Value | undefined {
    const [least, most] = this.#rangeOf(x) ?? [];
    if (fn === 'max' && most !== undefined && volumeOf(shape) === 1) return this.#folded(x.dtype, shape, [most]);
    if (fn === 'min' && least !== undefined && volumeOf(shape) === 1) return this.#folded(x.dtype, shape, [least]);
    if (x.known === undefined || fn === 'mean' || axes.length !== x.shape.length || x.known.length === 0) return undefined;
    const combine = ({ sum: 'add', prod: 'mul', max: 'max', min: 'min' } as const)[fn];
    const total = x.known.reduce<Dim | undefined>((sum, each, i) => (i === 0 ? each : sum === undefined ? undefined : foldBinary(combine, !isFloat(x.dtype), sum, each)), undefined);
    return this.#folded(x.dtype, shape, [total]);
  }

  #op<K extends Exclude<keyof PrimitiveAttrs, 'pconst' | 'psizes'>>(kind: K, attrs: PrimitiveAttrs[K], operands: readonly Value[], type: TensorType): Value {
    const shape = soundShape(type.shape.map((dim) => this.sizes.settle(dim)));
    const ids = operands.map((operand) => this.id(operand));
    const id = this.build.op(kind, attrs as GraphAttrs[K], ids, { dtype: this.#storedDtype(kind, ids, type.dtype), shape });
    return { dtype: type.dtype, shape, id };
  }

  /** What the module says of a result's type: that of the operand it comes from, as casts between floats are no ops. */
  #storedDtype(kind: keyof PrimitiveAttrs, ids: readonly ValueId[], dtype: DType): DType {
    if (!isFloat(dtype) || kind === 'pcast' || kind === 'piota') return dtype;
    const from = ids[kind === 'pwhere' ? 1 : 0];
    return from === undefined ? dtype : (this.build.types[from] as TensorType).dtype;
  }

  #constant({ dtype, shape, known }: Value): ValueId {
    if (known === undefined) throw new Error('internal: a value that is neither known nor made');
    if (known.every((each) => typeof each === 'number')) return this.build.op('pconst', { values: known }, [], { dtype, shape });
    const list: TensorType = { dtype: 'i64', shape: [known.length] };
    let id = this.build.op('psizes', { sizes: known.map(String) }, [], list);
    if (shape.length !== 1) id = this.build.op('preshape', {}, [id], { dtype: 'i64', shape });
    return dtype === 'i64' ? id : this.build.op('pcast', {}, [id], { dtype, shape });
  }

  /** A weight is called as the first tensor it is made of, or something like it that is free. */
  #weight({ dtype, shape, expr }: StoredWeight): ValueId {
    const base = tensorsOf(expr)[0] ?? 'constant';
    let name = base;
    for (let i = 2; this.weights.has(name); i++) name = `${base}.${i}`;
    this.weights.set(name, { name, dtype, shape, instances: [expr] });
    return this.build.op('weight', { name }, [], { dtype, shape });
  }
}

const keyOf = (known: readonly Dim[]): string => (isNumbers(known) ? exactKey(known) : known.join());
const isNumbers = (known: readonly Dim[]): known is readonly number[] => known.every((each) => typeof each === 'number');

/** Whether an axis has so many elements from `start` on, as far as numbers say. */
function reaches(size: Dim, start: Dim, { length, step }: { readonly length: number; readonly step: number }): boolean {
  if (length === 0 || typeof size === 'string' || typeof start === 'string') return true;
  return [start, start + step * (length - 1)].every((place) => place >= 0 && place < size);
}
