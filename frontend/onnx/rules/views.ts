import { addDims, divDims, leastOf, minDims, mulDims, stepsAcross, subDims, volumeOf } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt, dimsOf, soundShape } from '../value.ts';
import type { Call, Rules } from './rule.ts';

/** Axes of an operator that had them as an attribute before they became an input. */
export function axesOf(call: Call, input: number): readonly number[] | undefined {
  return call.ints('axes') ?? call.numbers(input);
}

export const views: Rules = {
  Reshape: (call, emit) => {
    const target = call.sizes(1) ?? call.ints('shape');
    if (target === undefined) throw new CannotImport('E1003', 'the new shape is missing');
    return emit.reshape(call.input(0), targetShape(emit, call.input(0), target, call.int('allowzero', 0) === 1));
  },
  Flatten: (call, emit) => {
    const x = call.input(0);
    const axis = call.int('axis', 1);
    const at = axis < 0 ? axis + x.shape.length : axis;
    return emit.reshape(x, [volumeOf(x.shape.slice(0, at)), volumeOf(x.shape.slice(at))]);
  },
  Squeeze: (call, emit) => {
    const x = call.input(0);
    const axes = axesOf(call, 1)?.map((axis) => emit.axis(axis, x));
    const wrong = axes?.find((axis) => typeof x.shape[axis] === 'number' && x.shape[axis] !== 1);
    if (wrong !== undefined) throw new CannotImport('E1003', `axis ${wrong} of [${x.shape.join(', ')}] is not of size 1`);
    return emit.reshape(x, x.shape.filter((dim, axis) => (axes === undefined ? dim !== 1 : !axes.includes(axis))));
  },
  Unsqueeze: (call, emit) => {
    const x = call.input(0);
    const axes = axesOf(call, 1) ?? [];
    return emit.reshape(x, unsqueezed(x.shape, axes));
  },
  Transpose: (call, emit) => emit.transpose(call.input(0), call.ints('perm') ?? call.input(0).shape.map((_, axis) => axis).toReversed()),
  Expand: (call, emit) => emit.expand(call.input(0), emit.broadcast(call.input(0).shape, call.sizes(1) ?? [])),
  Tile: (call, emit) => tile(emit, call.input(0), call.sizes(1) ?? []),
  /** Blocks of channels become blocks of an image. */
  DepthToSpace: (call, emit) => {
    const x = call.input(0);
    const size = call.int('blocksize');
    const [batch, channels, height, width] = dimsOf(x, 4);
    const depth = divDims(channels, size * size);
    if (depth === undefined) throw new CannotImport('E1003', `${channels} channels are not blocks of ${size} times ${size}`);
    const columns = call.string('mode', 'DCR') === 'CRD';
    const apart = emit.reshape(x, columns ? [batch, depth, size, size, height, width] : [batch, size, size, depth, height, width]);
    const turned = emit.transpose(apart, columns ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]);
    return emit.reshape(turned, [batch, depth, mulDims(height, size), mulDims(width, size)]);
  },
  /** The other way round. */
  SpaceToDepth: (call, emit) => {
    const x = call.input(0);
    const size = call.int('blocksize');
    const [batch, depth, height, width] = dimsOf(x, 4);
    const [rows, columns] = [height, width].map((each) => divDims(each, size));
    if (rows === undefined || columns === undefined) throw new CannotImport('E1003', `${height} times ${width} are not blocks of ${size} times ${size}`);
    const apart = emit.reshape(x, [batch, depth, rows, size, columns, size]);
    const turned = emit.transpose(apart, call.string('mode', 'DCR') === 'CRD' ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]);
    return emit.reshape(turned, [batch, mulDims(depth, size * size), rows, columns]);
  },
  Concat: (call, emit) => emit.concat(call.rest(0), call.int('axis', 1)),
  Split: (call, emit) => {
    const x = call.input(0);
    const axis = emit.axis(call.int('axis', 0), x);
    const size = dimAt(x, axis);
    const parts = call.ints('split') ?? call.sizes(1) ?? evenParts(size, call.has('num_outputs') ? call.int('num_outputs') : call.outputs.length);
    const sum = parts.reduce<Dim>(addDims, 0);
    const rows = emit.chosen.first(x, axis, sum);
    if (rows !== undefined) call.doubt(`it is of what is not zero, and takes for granted that there are ${sum}, as there were when the model was exported: where there are more it means nothing`);
    return splitParts(emit, rows ?? x, axis, parts);
  },
  Slice: (call, emit) => {
    // Opset 10 made the bounds inputs.
    const starts = call.ints('starts') ?? call.sizes(1) ?? [];
    const ends = call.ints('ends') ?? call.sizes(2) ?? [];
    const axes = call.ints('axes') ?? call.numbers(3) ?? starts.map((_, i) => i);
    const steps = call.numbers(4) ?? starts.map(() => 1);
    if ([starts, ends, steps].some(({ length }) => length !== axes.length)) throw new CannotImport('E1003', `${starts.length} starts, ${ends.length} ends, ${axes.length} axes and ${steps.length} steps do not go together`);
    return axes.reduce((x, axis, i) => sliceAxis(emit, x, emit.axis(axis, x), { start: starts[i] as Dim, end: ends[i] as Dim, step: steps[i] as number }), call.input(0));
  },
};

function unsqueezed(shape: readonly Dim[], axes: readonly number[]): readonly Dim[] {
  const rank = shape.length + axes.length;
  const at = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  if (at.size !== axes.length || [...at].some((axis) => !Number.isInteger(axis) || axis < 0 || axis >= rank)) throw new CannotImport('E1003', `axes ${axes.join(', ')} cannot be put into [${shape.join(', ')}]`);
  const old = [...shape];
  return Array.from({ length: rank }, (_, axis) => (at.has(axis) ? 1 : (old.shift() as Dim)));
}

/** A target of Reshape with its 0 (as it was) and -1 (the rest) worked out. */
function targetShape(emit: Emitter, x: Value, target: readonly Dim[], allowZero: boolean): readonly Dim[] {
  const copied = target.map((size, i) => (size === 0 && !allowZero ? (x.shape[i] ?? missingAxis(x, i)) : emit.sizes.settle(size)));
  const total = volumeOf(x.shape.map((dim) => emit.sizes.settle(dim)));
  const open = copied.indexOf(-1);
  soundShape(open < 0 ? copied : copied.toSpliced(open, 1));
  if (open < 0) return agree(emit, copied, total);
  const rest = volumeOf(copied.toSpliced(open, 1));
  const size = rest === 0 ? 0 : divDims(total, rest);
  if (size === undefined) throw new CannotImport('E3001', `[${x.shape.join(', ')}] has no number of elements for [${target.join(', ')}] that can be told before the run`);
  return copied.with(open, size);
}

const missingAxis = (x: Value, axis: number): never => {
  throw new CannotImport('E1003', `[${x.shape.join(', ')}] has no axis ${axis} to copy the size of`);
};

/** As many elements there must be: a size by itself is what makes it so. */
function agree(emit: Emitter, shape: readonly Dim[], total: Dim): readonly Dim[] {
  if (volumeOf(shape) === total) return shape;
  const [at, rest] = shape.map((dim, i) => [i, typeof dim === 'string' ? divDims(total, volumeOf(shape.toSpliced(i, 1))) : undefined] as const).find(([, each]) => each !== undefined) ?? [];
  if (at === undefined || rest === undefined) emit.sizes.equate(volumeOf(shape), total);
  else emit.sizes.equate(shape[at] as Dim, rest);
  return shape.map((dim) => emit.sizes.settle(dim));
}

function tile(emit: Emitter, x: Value, repeats: readonly Dim[]): Value {
  if (repeats.length !== x.shape.length) throw new CannotImport('E1003', `${repeats.length} repeats of [${x.shape.join(', ')}]`);
  const apart = x.shape.flatMap((dim, axis): Dim[] => (repeats[axis] === 1 ? [dim] : [1, dim]));
  const wide = x.shape.flatMap((dim, axis): Dim[] => (repeats[axis] === 1 ? [dim] : [repeats[axis] as Dim, dim]));
  return emit.reshape(emit.expand(emit.reshape(x, apart), wide), x.shape.map((dim, axis) => mulDims(dim, repeats[axis] as Dim)));
}

/** An axis in parts of these sizes, one after the other. */
export function splitParts(emit: Emitter, x: Value, axis: number, parts: readonly Dim[]): readonly Value[] {
  if (parts.length > mostParts) throw new CannotImport('E1004', `a tensor is split into ${parts.length} parts`);
  let start: Dim = 0;
  return parts.map((part) => {
    const from = start;
    start = addDims(start, part);
    return emit.slice(x, axis, from, start);
  });
}

function evenParts(size: Dim, count: number): readonly Dim[] {
  if (count < 1 || count > mostParts) throw new CannotImport('E1004', `a tensor is split into ${count} parts`);
  const part = stepsAcross(size, count);
  const last = subDims(size, mulDims(part, count - 1));
  return Array.from({ length: count }, (_, i) => (i < count - 1 ? part : last));
}

/** Parts of one split, far above the layers or heads of any model. */
const mostParts = 65_536;

type Range = { readonly start: Dim; readonly end: Dim; readonly step: number };

/** Slice of one axis: bounds count from the end if negative, and stop at the ends; named sizes are taken to reach as far as they say, but for the last few of a sequence: it may be shorter. */
function sliceAxis(emit: Emitter, x: Value, axis: number, { start, end, step }: Range): Value {
  const size = dimAt(x, axis);
  if (step === 0) throw new CannotImport('E1003', 'a step is 0');
  const back = step < 0;
  const place = (bound: Dim, low: Dim, high: Dim): Dim => {
    // Exporters say `to the end` by the largest integer.
    if (typeof bound === 'number' && Math.abs(bound) >= 2 ** 31 - 1) return bound > 0 ? high : low;
    const fromEnd = leastOf(bound) < 0 && leastOf(subDims(0, bound)) >= 0;
    const isCut = fromEnd && typeof bound === 'number' && bound < -1 && bound === start && leastOf(size) >= 0;
    const at = isCut ? subDims(size, minDims(size, -bound)) : fromEnd ? addDims(size, bound) : bound;
    if (leastOf(subDims(at, high)) >= 0) return high;
    return leastOf(subDims(low, at)) >= 0 ? low : at;
  };
  const [low, high]: readonly [Dim, Dim] = back ? [-1, subDims(size, 1)] : [0, size];
  const from = place(start, back ? 0 : low, high);
  const to = place(end, low, high);
  const span = back ? subDims(from, to) : subDims(to, from);
  return emit.slice(x, axis, from, typeof span === 'number' && span < 0 ? from : to, step);
}
