import { addDims, equalDims, equalShapes, parseDim, subDims } from '../../ir/dims.ts';
import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import { volume } from '../../ir/weight-expr.ts';
import { expanded, type Layout, merged, reshaped, strided, transposed } from './axes.ts';
import { sourcesOf } from '../../diagnostics/diagnostic.ts';
import { liftBefore } from './before.ts';
import { constantOf, evaluate, scenarioOf, unpadded } from './evaluate.ts';
import { lastRows } from './kept.ts';
import type { Lifted, Raising } from './raising.ts';
import { findSample } from './pool.ts';
import type { Sample, View } from './rows.ts';
import type { Source } from './source.ts';

type ViewOp = OpOf<'ptranspose' | 'preshape' | 'pexpand' | 'pslice' | 'pgather'>;

/** What moves elements without changing them: the view of the operand, its axes moved. */
export function liftView(op: ViewOp, raising: Raising): Lifted {
  const { source } = raising;
  const operand = op.operands[0] as ValueId;
  const view = raising.view(operand);
  if (view === undefined) return undefined;
  const from = source.type(operand).shape;
  const to = source.type(op.results[0] as ValueId).shape;
  const within = (layout: Layout | undefined): Lifted => (layout === undefined ? `its cut [${from.join(', ')}] to [${to.join(', ')}] does not keep sequences, rows and features apart` : { ...view, layout });
  switch (op.kind) {
    case 'ptranspose':
      return within(transposed(view.layout, op.attrs.perm));
    case 'preshape':
      return within(reshaped(view.layout, to));
    case 'pexpand':
      return within(expanded(view.layout, from, to));
    case 'pslice': {
      const axis = axisOf(op.attrs.axis, from.length);
      return sliced(view, { axis, start: parseDim(op.attrs.start), step: op.attrs.step, from: from[axis] as Dim, count: to[axis] as Dim, value: op.results[0] as ValueId }, raising);
    }
    case 'pgather': {
      const axis = axisOf(op.attrs.axis, from.length);
      const index = op.operands[1] as ValueId;
      if (source.dependence(index) === 'prepared' && source.type(index).shape.length === 1) return picked(view, axis, index, raising);
      const indices = constantOf(source, index);
      if (indices === undefined || indices.shape.length > 1) return isConvolution(op) ? overlapping : 'it looks rows up by an index that is no row list';
      const [first = 0, second] = indices.data;
      const step = second === undefined ? 1 : second - first;
      if (!indices.data.every((index, i) => index === first + i * step)) return 'it picks features in no regular order';
      const start = first < 0 ? addDims(from[axis] as Dim, first) : first;
      const part = sliced(view, { axis, start, step, from: from[axis] as Dim, count: indices.data.length, value: op.results[0] as ValueId }, raising);
      if (typeof part !== 'object' || indices.shape.length === 1) return part;
      return { ...part, layout: { ...part.layout, axes: part.layout.axes.toSpliced(axis, 1) } };
    }
  }
}

/** Keys put in their places by the length of each sequence: where all are of one length, as they are. */
export function liftPick(op: OpOf<'ppick'>, raising: Raising): Lifted {
  const { source } = raising;
  const [data, indices] = op.operands as readonly [ValueId, ValueId];
  const view = raising.view(data);
  if (view === undefined) return undefined;
  const [from, to] = [data, op.results[0] as ValueId].map((value) => source.type(value).shape) as [readonly Dim[], readonly Dim[]];
  const axis = axisOf(op.attrs.axis, from.length);
  const [only, ...more] = merged(view.layout.axes[axis] ?? []);
  const isRolled = only?.axis === 'key' && more.length === 0 && !equalShapes(from, to) && source.dependence(indices) !== 'active' && raising.isResult(op.results[0] as ValueId);
  if (isRolled) return { ...view, kept: Infinity };
  if (only?.axis !== 'key' || more.length > 0 || !equalShapes(from, to) || source.dependence(indices) === 'active') return 'it picks rows by an index that is no row list';
  const stays = unpadded.every((wanted) => {
    const scenario = scenarioOf(source, wanted);
    const { shape, data: places } = evaluate(source, indices, scenario, new Map());
    const inner = volume(shape.slice(axis + 1));
    return places.every((place, i) => place === Math.floor(i / inner) % (shape[axis] as number));
  });
  return stays ? view : 'it changes the order of cached keys or values';
}

type Slice = { readonly axis: number; readonly start: Dim; readonly step: number; readonly from: Dim; readonly count: Dim; readonly value: ValueId };

function sliced(view: View, { axis, start, step, from, count, value }: Slice, raising: Raising): Lifted {
  if (step === 1 && equalDims(start, 0) && equalDims(count, from)) return view;
  const [only, ...more] = merged(view.layout.axes[axis] ?? []);
  if (only?.axis === 'row' && more.length === 0 && equalDims(count, 1)) {
    const sample: Sample | undefined = equalDims(start, 0) ? 'first' : equalDims(start, subDims(from, 1)) ? 'last' : undefined;
    if (sample === undefined) return 'it picks a row that is neither the first nor the last of each sequence';
    return raising.samples(sample) ? sampled(view, axis) : 'outputs are of different rows of each sequence';
  }
  const last = (only?.axis === 'row' || only?.axis === 'key') && more.length === 0 ? lastRows({ start, count, of: from }) : undefined;
  if (last !== undefined) return raising.isResult(value) ? { ...view, kept: last } : `it keeps only the last ${last} rows of each sequence`;
  if (typeof start !== 'number' || typeof count !== 'number') return 'it picks some of the rows of each sequence';
  const layout = strided({ ...view.layout, axes: view.layout.axes.with(axis, merged(view.layout.axes[axis] ?? [])) }, axis, start, step, count);
  return layout === undefined ? 'it picks features across the parts of an axis' : { ...view, layout };
}

/** One row of each sequence, by its place among all rows. */
function picked(view: View, axis: number, index: ValueId, raising: Raising): Lifted {
  const [batch, row, ...more] = view.layout.axes[axis] ?? [];
  if (batch?.axis !== 'batch' || row?.axis !== 'row' || more.length > 0) return 'it looks rows up by an index that is no row list';
  const sample = findSample(raising.source, index);
  if (sample === undefined) return 'it picks a row of each sequence that is neither the first nor the last, nor that of the largest id';
  if (!raising.samples(sample)) return 'outputs are of different rows of each sequence';
  const one = sampled(view, axis);
  return typeof one === 'object' ? { ...one, layout: { ...one.layout, axes: one.layout.axes.with(axis, [batch]) } } : one;
}

function sampled(view: View, axis: number): Lifted {
  if (view.past !== undefined) return 'it picks a row of cached keys or values';
  const row = view.row.of === 'samples' ? view.row : ({ kind: 'sampleRows', attrs: {}, rows: [view.row], weights: [], width: view.row.width, of: 'samples', from: [] } as const);
  return { ...view, row, layout: { ...view.layout, axes: view.layout.axes.with(axis, []) } };
}

const isConvolution = (op: GraphOp): boolean => sourcesOf(op.origin).some((node) => node.kind === 'onnx' && node.op === 'Conv');
const overlapping = 'its windows overlap or are padded: of convolutions those are taken that go from patch to patch';

/** Whether features are put side by side, not rows. */
const isOfFeatures = (op: OpOf<'pconcat'>, source: Source): boolean => {
  const rank = source.type(op.results[0] as ValueId).shape.length;
  return axisOf(op.attrs.axis, rank) === rank - 1;
};
const besides = 'it puts features of several ops side by side, as the heads of latent attention (MLA) do: that is not lowered';

/** A past input followed by new rows: the same rows, seen with those cached before them. */
export function liftConcat(op: OpOf<'pconcat'>, raising: Raising): Lifted {
  const { source } = raising;
  const [kept, present, ...more] = op.operands as readonly [ValueId, ValueId, ...ValueId[]];
  const cut = source.definition(kept);
  const past = cut?.kind === 'pslice' && source.role(cut.operands[0] as ValueId) === 'past' ? (cut.operands[0] as ValueId) : kept;
  if (op.operands.every((operand, i) => (source.dependence(operand) === 'active') === (i === op.operands.length - 1))) return liftBefore(op, raising);
  if (more.length > 0 || source.role(past) !== 'past') return isConvolution(op) ? overlapping : isOfFeatures(op, source) ? besides : 'it puts side by side what is not rows of one op';
  const view = raising.view(present);
  if (view === undefined) return undefined;
  const axis = axisOf(op.attrs.axis, view.layout.axes.length);
  const [only, ...others] = view.layout.axes[axis] ?? [];
  if (only?.axis !== 'row' || others.length > 0 || axis !== 2) return 'it appends to a past along an axis that is not its rows';
  const size = source.type(op.results[0] as ValueId).shape[axis] as Dim;
  const [all, count] = [past, kept].map((value) => source.type(value).shape[axis] as Dim) as [Dim, Dim];
  const last = cut?.kind === 'pslice' && past !== kept ? lastRows({ start: parseDim(cut.attrs.start), count, of: all }) : Infinity;
  if (last === undefined) return 'it keeps some rows of a past that are not its last';
  return { ...view, ...(last === Infinity ? {} : { kept: last }), past: source.name(past), layout: { ...view.layout, axes: view.layout.axes.with(axis, [{ axis: 'key', size }]) } };
}
