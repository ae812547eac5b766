import { addDims, floorDims, mulDims, stepsAcross, subDims, volumeOf } from '../../../ir/dims.ts';
import { type Dim, isFloat } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, elementCount, isStatic, knownValue } from '../value.ts';
import { type Padding, pad } from './pad.ts';
import type { Call, Rule, Rules } from './rule.ts';

/** How windows lie along one axis: `count` of them, over the elements and their padding. */
type Windows = { readonly axis: number; readonly kernel: number; readonly stride: number; readonly dilation: number; readonly padding: Padding; readonly count: Dim };

/** Convolutions are products of a matrix with the windows of a tensor; pools reduce windows. */
export const windowed: Rules = {
  Conv: (call, emit) => convolution(call, emit, { x: call.input(0), w: call.input(1), bias: call.inputs[2] }),
  MaxPool: pool((emit, x, windows) => reduced(emit, 'max', x, windows, emit.scalar(x, lowest(x)))),
  AveragePool: pool((emit, x, windows, call) => emit.binary('div', reduced(emit, 'sum', x, windows, emit.scalar(x, 0)), counts(emit, x, windows, call.int('count_include_pad', 0) === 1))),
  LpPool: pool((emit, x, windows, call) => root(emit, reduced(emit, 'sum', power(emit, x, call.float('p', 2)), windows, emit.scalar(x, 0)), call.float('p', 2))),
  GlobalMaxPool: overAll((emit, x, axes) => emit.reduce('max', x, axes, true)),
  GlobalAveragePool: overAll((emit, x, axes) => emit.reduce('mean', x, axes, true)),
  GlobalLpPool: overAll((emit, x, axes, call) => root(emit, emit.reduce('sum', power(emit, x, call.float('p', 2)), axes, true), call.float('p', 2))),
  /** x / (bias + alpha / size * sum of squares of `size` neighbouring channels) ^ beta */
  LRN: (call, emit) => {
    const x = call.input(0);
    const size = call.int('size');
    if (!(size >= 1)) throw new CannotImport('E1003', `${size} channels are none`);
    const padding = { before: Math.floor((size - 1) / 2), after: Math.ceil((size - 1) / 2) };
    const sums = reduced(emit, 'sum', emit.binary('mul', x, x), [{ axis: 1, kernel: size, stride: 1, dilation: 1, padding, count: dimAt(x, 1) }], emit.scalar(x, 0));
    const base = emit.binary('add', emit.binary('mul', sums, emit.scalar(x, call.float('alpha', 1e-4) / size)), emit.scalar(x, call.float('bias', 1)));
    return emit.binary('div', x, emit.binary('pow', base, emit.scalar(x, call.float('beta', 0.75))));
  },
};

const power = (emit: Emitter, x: Value, p: number): Value => (p === 1 ? emit.unary('abs', x) : p === 2 ? emit.binary('mul', x, x) : emit.binary('pow', emit.unary('abs', x), emit.scalar(x, p)));
const root = (emit: Emitter, x: Value, p: number): Value => (p === 1 ? x : p === 2 ? emit.unary('sqrt', x) : emit.binary('pow', x, emit.scalar(x, 1 / p)));

const lowest = ({ dtype }: Value): number => (isFloat(dtype) ? -Infinity : dtype.startsWith('u') ? 0 : -(2 ** (Number(dtype.slice(1)) - 1)));

/** Of all axes after batch and channels. */
function overAll(reduce: (emit: Emitter, x: Value, axes: readonly number[], call: Call) => Value): Rule {
  return (call, emit) => reduce(emit, call.input(0), call.input(0).shape.map((_, axis) => axis).slice(2), call);
}

function pool(reduce: (emit: Emitter, x: Value, windows: readonly Windows[], call: Call) => Value): Rule {
  return (call, emit) => {
    const kernel = call.ints('kernel_shape');
    if (kernel === undefined) throw new CannotImport('E1003', 'attribute `kernel_shape` is missing');
    return reduce(emit, call.input(0), windowsOf(call, call.input(0).shape, kernel), call);
  };
}

function reduced(emit: Emitter, fn: 'max' | 'sum', x: Value, windows: readonly Windows[], fill: Value): Value {
  // Each axis cut has its windows' elements one axis further.
  return emit.reduce(fn, cutAll(emit, x, windows, fill), windows.map(({ axis }, i) => axis + i + 1), false);
}

/** How many elements each window averages: those of the axis, and the padding too if that counts (what rounding up adds never does). */
function counts(emit: Emitter, x: Value, windows: readonly Windows[], padded: boolean): Value {
  const each = windows.map(({ axis, kernel, stride, dilation, padding, count }) => {
    const size = dimAt(x, axis);
    if (fits(size, { kernel, stride, dilation, padding, count, axis })) return emit.scalar(x, kernel);
    if (typeof size !== 'number' || typeof count !== 'number' || typeof padding.before !== 'number' || typeof padding.after !== 'number') throw new CannotImport('E3001', `windows over the edge of an axis of ${size} are not averaged`);
    const [low, high] = padded ? [-padding.before, size + padding.after] : [0, size];
    const start = -padding.before;
    const inside = Array.from({ length: count }, (_, i) => Array.from({ length: kernel }, (_each, k) => start + i * stride + k * dilation).filter((place) => place >= low && place < high).length);
    return knownValue(x.dtype, x.shape.slice(axis).map((_, i) => (i === 0 ? count : 1)), inside);
  });
  return each.reduce((product, one) => emit.binary('mul', product, one));
}

/** Whether every window lies within the axis. */
const fits = (size: Dim, { kernel, stride, dilation, padding, count }: Windows): boolean =>
  padding.before === 0 && padding.after === 0 && (typeof count === 'string' || typeof size === 'string' || (count - 1) * stride + (kernel - 1) * dilation < size);

/** The windows of the axes after batch and channels, as convolutions and pools name them. */
function windowsOf(call: Call, shape: readonly Dim[], kernels: readonly number[]): readonly Windows[] {
  const [strides, dilations, pads] = [call.ints('strides'), call.ints('dilations'), call.ints('pads')];
  const auto = call.string('auto_pad', 'NOTSET');
  if (kernels.length !== shape.length - 2) throw new CannotImport('E1003', `a kernel of [${kernels.join(', ')}] does not go over [${shape.join(', ')}]`);
  return kernels.map((kernel, i) => {
    const size = shape[i + 2] as Dim;
    const [stride, dilation] = [strides?.[i] ?? 1, dilations?.[i] ?? 1];
    if (!(kernel >= 1 && stride >= 1 && dilation >= 1)) throw new CannotImport('E1003', `kernel ${kernel}, stride ${stride} and dilation ${dilation} do not exist`);
    const reach = (kernel - 1) * dilation + 1;
    const padding = auto.startsWith('SAME') ? same(size, reach, stride, auto) : { before: pads?.[i] ?? 0, after: pads?.[i + kernels.length] ?? 0 };
    const total = addDims(size, addDims(padding.before, padding.after));
    const steps = subDims(total, reach);
    const whole = floorDims(steps, stride);
    const count = addDims(call.int('ceil_mode', 0) === 1 ? upTo(steps, whole, { size, before: padding.before, stride }) : whole, 1);
    if (typeof count === 'number' && count < 1) throw new CannotImport('E1003', `a window of ${reach} does not fit ${total} elements`);
    return { axis: i + 2, kernel, stride, dilation, padding, count };
  });
}

/** Padding that makes ceil(size / stride) windows, the odd element after (SAME_UPPER) or before (SAME_LOWER). */
function same(size: Dim, reach: number, stride: number, auto: string): Padding {
  const missing = stride === 1 ? reach - 1 : addDims(mulDims(subDims(stepsAcross(size, stride), 1), stride), subDims(reach, size));
  const total = typeof missing === 'number' ? Math.max(0, missing) : missing;
  const [less, more] = [floorDims(total, 2), subDims(total, floorDims(total, 2))];
  return auto === 'SAME_LOWER' ? { before: more, after: less } : { before: less, after: more };
}

/** Steps rounded up, but for a last window that would begin beyond the elements. */
function upTo(steps: Dim, whole: Dim, { size, before, stride }: { readonly size: Dim; readonly before: Dim; readonly stride: number }): Dim {
  const up = stepsAcross(steps, stride);
  if (typeof up === 'number' && typeof size === 'number' && typeof before === 'number') return up * stride >= size + before ? up - 1 : up;
  if (up !== whole) throw new CannotImport('E3001', `how many windows an axis of ${size} has, rounded up, cannot be told before the run`);
  return whole;
}

/** Cuts each of the axes into [windows, elements of a window]. */
function cutAll(emit: Emitter, x: Value, windows: readonly Windows[], fill: Value): Value {
  return windows.reduce((cut, each, i) => cutAxis(emit, cut, each.axis + i, each, fill), x);
}

/** Windows side by side are a reshape; others are looked up. */
function cutAxis(emit: Emitter, x: Value, axis: number, { kernel, stride, dilation, padding, count }: Windows, fill: Value): Value {
  const size = dimAt(x, axis);
  // A window more than fits, where their number is rounded up, needs more after.
  const missing = subDims((typeof count === 'number' ? (count - 1) * stride + (kernel - 1) * dilation + 1 : 0), addDims(size, padding.before));
  const isShort = typeof count === 'number' && typeof missing === 'number' && typeof padding.after === 'number' && missing > padding.after;
  const padded = pad(emit, x, axis, isShort ? { ...padding, after: missing } : padding, fill);
  if (kernel === 1 && stride === 1) return emit.reshape(padded, padded.shape.toSpliced(axis + 1, 0, 1));
  const used = mulDims(count, kernel);
  if (kernel === stride && dilation === 1) return emit.reshape(emit.slice(padded, axis, 0, used), padded.shape.toSpliced(axis, 1, count, kernel));
  const starts = emit.reshape(emit.iota('i64', 0, stride, count), [count, 1]);
  return emit.gather(padded, emit.binary('add', starts, emit.iota('i64', 0, dilation, kernel)), axis);
}

/** x [n, c, spatial...], w [m, c/group, kernel...], bias [m]: sums of products over the channels and elements of each window. */
export function convolution(call: Call, emit: Emitter, { x, w, bias }: { readonly x: Value; readonly w: Value; readonly bias: Value | undefined }): Value {
  const kernels = w.shape.slice(2);
  if (!isStatic(kernels)) throw new CannotImport('E3001', 'the size of the kernel cannot be told before the run');
  const windows = windowsOf(call, x.shape, kernels);
  const group = call.int('group', 1);
  const [batch, channels] = [dimAt(x, 0), dimAt(x, 1)];
  const [outs, own] = [dimAt(w, 0), dimAt(w, 1)];
  if (typeof outs !== 'number' || typeof own !== 'number' || outs % group !== 0) throw new CannotImport('E1003', `${outs} outputs are not ${group} groups`);
  if (emit.sizes.equate(channels, own * group) === undefined) throw new CannotImport('E1003', `${group} groups of ${own} channels are not ${channels}`);
  const length = own * elementCount(kernels);
  const space = windows.map(({ count }) => count);
  const cut = cutAll(emit, x, windows, emit.scalar(x, 0));
  // [n, group, c/group, windows and their elements in turn] -> [n, group, windows..., c/group, elements...]
  const groups = group === 1 ? [] : [group];
  const first = 1 + groups.length;
  const grouped = emit.reshape(cut, [batch, ...groups, own, ...cut.shape.slice(2)]);
  const turned = emit.transpose(grouped, [...grouped.shape.keys()].slice(0, first).concat(windows.map((_, i) => first + 1 + 2 * i), first, windows.map((_, i) => first + 2 + 2 * i)));
  const rows = emit.reshape(turned, [batch, ...groups, volumeOf(space), length]);
  const columns = swapped(emit, emit.reshape(w, [...groups, outs / group, length]));
  const result = emit.reshape(swapped(emit, emit.matmul(rows, columns)), [batch, outs, ...space]);
  return bias === undefined ? result : emit.binary('add', result, emit.reshape(bias, [outs, ...space.map(() => 1)]));
}

/** The last two axes the other way round. */
const swapped = (emit: Emitter, x: Value): Value => emit.transpose(x, [...x.shape.keys()].slice(0, -2).concat(x.shape.length - 1, x.shape.length - 2));
