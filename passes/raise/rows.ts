import type { GraphAttrs } from '../../ir/graph/ops.ts';
import type { GraphOp, Unfold } from '../../ir/graph/module.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import type { Factor, Layout } from './axes.ts';
import { features, merged } from './axes.ts';

type RowKind = 'embed' | 'norm' | 'linear' | 'rope' | 'attention' | 'activate' | 'add' | 'multiply' | 'scale' | 'sampleRows' | 'columns' | 'custom' | 'experts';

/** What rows there is one of: tokens of the step, those of them that are sampled, or what sequences attend to besides. */
export type RowsOf = 'tokens' | 'samples' | 'memory';

/** A row list the host makes. */
export type RowFeed = 'ids' | 'positions' | 'types';

/**
 * An op of the raised module: rows (or a row list) in, then its weights; `width` features out for every row.
 * `from` are the source ops it stands for.
 */
export type RowNode = InputNode | OpNode;

/** Activations the host brings, made of the elements of one of the source's inputs. */
export type InputNode = { readonly kind: 'input'; readonly attrs: Omit<Unfold, 'input' | 'of'>; readonly rows: readonly (RowNode | RowFeed)[]; readonly weights: readonly Weight[]; readonly width: number; readonly of: RowsOf; readonly from: readonly GraphOp[] };

type OpNode = {
  readonly [K in RowKind]: {
    readonly kind: K;
    readonly attrs: GraphAttrs[K];
    readonly rows: readonly (RowNode | RowFeed)[];
    readonly weights: readonly Weight[];
    readonly width: number;
    readonly of: RowsOf;
    readonly from: readonly GraphOp[];
  };
}[RowKind];

/** A source tensor whose elements are those of rows, times `scale`. `past`: the input whose rows come before the step's own along `key`, or the last `kept` of them. */
export type View = { readonly row: RowNode; readonly layout: Layout; readonly scale: number; readonly past: string | undefined; readonly kept?: number };

/** A row of each sequence: the first, the last, or the first of those with the largest token id (where a vocabulary ends with the token that ends a text). */
export type Sample = 'first' | 'last' | 'largest';

/** The rows that hold just the features a view takes, in the view's order of strides, and the view of them. */
export function isolated(view: View): View | undefined {
  const used = merged([...features(view.layout.axes.flat())].toSorted((a, b) => b.stride - a.stride));
  const size = used.reduce((product, factor) => product * (factor.size as number), 1);
  if (view.layout.base === 0 && size === view.row.width) return view;
  const row = selected(view.row, view.layout.base, used);
  if (row === undefined) return undefined;
  const strides = new Map<number, number>();
  let stride = 1;
  for (const factor of [...features(view.layout.axes.flat())].toSorted((a, b) => a.stride - b.stride)) {
    strides.set(factor.stride, stride);
    stride *= factor.size;
  }
  const axes = view.layout.axes.map((factors) => factors.map((factor): Factor => (factor.axis === 'feature' ? { ...factor, stride: strides.get(factor.stride) as number } : factor)));
  return { ...view, row, layout: { base: 0, axes } };
}

/** Rows of the given features: a linear with those rows of its weights, or columns. */
function selected(row: RowNode, base: number, used: readonly Factor[]): RowNode | undefined {
  const parts = features(used);
  const size = parts.reduce((product, part) => product * part.size, 1);
  if (row.kind === 'linear') {
    const weights = row.weights.map((weight) => selectRows(weight, base, parts));
    if (weights.includes(undefined)) return undefined;
    return { ...row, weights: weights as readonly Weight[], width: size };
  }
  const [only] = parts;
  if (only === undefined || parts.length > 1 || only.stride !== 1) return undefined;
  return { kind: 'columns', attrs: { start: base, end: base + size }, rows: [row], weights: [], width: size, of: row.of, from: [] };
}

/** Rows base, base + ... of a weight, factor by factor: each cuts its rows into runs and takes the start of each. */
function selectRows(weight: Weight, base: number, parts: readonly { readonly size: number; readonly stride: number }[]): Weight | undefined {
  const rest = weight.shape.slice(1);
  let rows = weight.shape[0] as number;
  let expr = weight.instances[0] as WeightExpr;
  let done: readonly number[] = [];
  let offset = base;
  for (const { size, stride } of parts) {
    const length = size * stride;
    const start = Math.floor(offset / stride) * stride;
    if (start + length > rows) return undefined;
    const axis = done.length;
    if (start !== 0 || length !== rows) expr = { kind: 'slice', of: axis === 0 ? expr : { kind: 'reshape', of: expr, shape: [...done, rows, ...rest] }, axis, start, end: start + length };
    expr = stride === 1 && axis === 0 ? expr : { kind: 'reshape', of: expr, shape: [...done, size, stride, ...rest] };
    done = [...done, size];
    rows = stride;
    offset -= start;
  }
  const total = done.reduce((product, size) => product * size, 1);
  if (rows !== 1) expr = { kind: 'slice', of: expr, axis: done.length, start: offset, end: offset + 1 };
  if (rows !== 1 || done.length > 1) expr = { kind: 'reshape', of: expr, shape: [total, ...rest] };
  return { ...weight, name: `${weight.name}[${base}:${parts.map(({ size, stride }) => `${size}x${stride}`).join(',')}]`, shape: [total, ...rest], instances: [expr] };
}

/** The same rows times a factor: said by their weights, if that can be. */
export function scaled(row: RowNode, by: number): RowNode {
  if (by === 1) return row;
  const linear = row.kind === 'linear' && row.attrs.activation === 'none';
  if (!linear && row.kind !== 'embed' && !(row.kind === 'norm' && row.weights.length > 0)) {
    return gained(row, { name: `times.${by}`, dtype: 'f32', shape: [1], instances: [{ kind: 'values', shape: [1], values: [by] }] }, []);
  }
  const weights = row.weights.map((weight): Weight => ({ ...weight, name: `${weight.name}*${by}`, instances: weight.instances.map((of) => ({ kind: 'scale', of, by })) }));
  return { ...row, weights };
}

/** Rows times a number for each feature, or one for all. */
export const gained = (row: RowNode, by: Weight, from: readonly GraphOp[]): RowNode => ({ kind: 'scale', attrs: {}, rows: [row], weights: [by], width: row.width, of: row.of, from });

/** The rows a view shows when it shows them whole: sequences, then rows, then all features in order. */
export function wholeRows(view: View): RowNode | undefined {
  const alone = isolated(view);
  if (alone === undefined || alone.past !== undefined) return undefined;
  const factors = merged(alone.layout.axes.flat());
  const kinds = factors.map(({ axis }) => axis).join(' ');
  const last = factors.at(-1);
  const ordered = ['batch row feature', 'row feature', 'batch feature', 'feature'].includes(kinds) || (alone.row.width === 1 && ['batch row', 'row', 'batch', ''].includes(kinds));
  if (!ordered || (last?.axis === 'feature' && (last.stride !== 1 || last.size !== alone.row.width))) return undefined;
  return scaled(alone.row, alone.scale);
}
