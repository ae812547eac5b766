import { divDims, equalDims, mulDims } from '../../ir/dims.ts';
import { isWide } from '../../ir/graph/interpret/casts.ts';
import type { Stride } from '../../ir/graph/module.ts';
import { type Dim, isFloat, type ValueId } from '../../ir/types.ts';
import { type Axes, expanded, type Factor, type Layout, reshaped, rowFactor, transposed } from './axes.ts';
import type { Lifted, Raising } from './raising.ts';
import type { InputNode } from './rows.ts';

/** The elements of an input, axis by axis, moved but not changed. */
export type Elements = { readonly param: ValueId; readonly layout: Layout };

type Element = Extract<Factor, { axis: 'element' }>;

/** What moves an input's elements: which of them make a row is settled where rows are wanted. */
export function elementsOf(value: ValueId, { source, elements }: Pick<Raising, 'source' | 'elements'>): Elements | undefined {
  const op = source.definition(value);
  const { shape, dtype } = source.type(value);
  if (op === undefined) return source.role(value) === 'rows' ? { param: value, layout: { base: 0, axes: axesOf(shape, source.axes.batch) } } : undefined;
  const moves = op.kind === 'preshape' || op.kind === 'ptranspose' || op.kind === 'pexpand' || (op.kind === 'pcast' && isFloat(dtype) && isWide(dtype));
  const [operand] = op.operands;
  const before = moves && operand !== undefined ? elements(operand) : undefined;
  if (before === undefined || operand === undefined) return undefined;
  const to = (layout: Layout | undefined): Elements | undefined => (layout === undefined ? undefined : { ...before, layout });
  if (op.kind === 'ptranspose') return to(transposed(before.layout, op.attrs.perm));
  if (op.kind === 'preshape') return to(reshaped(before.layout, shape));
  return op.kind === 'pexpand' ? to(expanded(before.layout, source.type(operand).shape, shape)) : before;
}

/** The axes of a tensor that lies row-major, its first the sequences if there are any. */
function axesOf(shape: readonly Dim[], batch: Dim): Axes {
  let stride: Dim = 1;
  const axes: (readonly Factor[])[] = [];
  for (const [i, size] of [...shape.entries()].toReversed()) {
    const isBatch = i === 0 && shape.length > 2 && equalDims(size, batch);
    axes.unshift(equalDims(size, 1) ? [] : [isBatch ? { axis: 'batch', size } : { axis: 'element', size, stride }]);
    stride = mulDims(stride, size);
  }
  return axes;
}

/** Keys or values as a source keeps them, heads before rows: [sequences, heads, rows, features]. Undefined where a value is no such input. */
export function rowsOfHeads(value: ValueId, raising: Raising): Lifted {
  const elements = raising.elements(value);
  if (elements === undefined || elements.layout.axes.length !== 4) return undefined;
  const { layout } = elements;
  const rows = rowsOfElements({ ...elements, layout: reshapedHeads(layout) }, raising);
  if (typeof rows !== 'object') return rows;
  const [headDim, heads] = [layout.axes[3], layout.axes[1]].map((factors) => (factors?.[0]?.size ?? 1) as number) as [number, number];
  const [sequences = [], places = []] = rows.layout.axes;
  const feature = (size: number, stride: number): readonly Factor[] => (size === 1 ? [] : [{ axis: 'feature', size, stride }]);
  return { ...rows, layout: { base: 0, axes: [sequences, feature(heads, headDim), places, feature(headDim, 1)] } };
}

/** [sequences, heads, rows, features] as [sequences, rows, heads and features]. */
const reshapedHeads = ({ base, axes: [sequences = [], heads = [], rows = [], features = []] }: Layout): Layout => ({ base, axes: [sequences, rows, [...heads, ...features]] });

/** Elements as rows: the last axis is the features of one, the others are sequences, then rows. */
export function rowsOfElements({ param, layout }: Elements, { source, known }: Raising): Lifted {
  const tensor = source.name(param) as string;
  const { shape } = source.type(param);
  const columns = layout.axes.at(-1) ?? [];
  const outer = layout.axes.slice(0, -1);
  const rows = outer.flat().filter((factor): factor is Element => factor.axis === 'element');
  if (!columns.every((factor): factor is Element & { readonly size: number } => factor.axis === 'element' && typeof factor.size === 'number')) return `the elements of \`${tensor}\`, [${shape.join(', ')}], are not rows of a fixed number of features here`;
  if (outer.flat().some(({ axis }) => axis !== 'element' && axis !== 'batch')) return `the elements of \`${tensor}\` are repeated`;
  const width = columns.reduce((product, { size }) => product * size, 1);
  const total = rows.reduce<Dim>((product, { size }) => mulDims(product, size), 1);
  if (layout.axes.flat().every(({ axis }) => axis !== 'batch') && shape.length > 2 && !equalDims(shape[0] as Dim, 1)) return `\`${tensor}\`, [${shape.join(', ')}], has not one tensor for each sequence`;
  const strides = (factors: readonly Element[]): readonly Stride[] => factors.map(({ size, stride }) => ({ size, stride }));
  const each = shape.length > 2 ? shape.slice(1) : shape;
  const attrs: InputNode['attrs'] = { tensor, shape, batch: { size: shape.length > 2 ? (shape[0] as Dim) : 1, stride: each.reduce<Dim>(mulDims, 1) }, rows: strides(rows), columns: strides(columns), before: 0 };
  const of = source.axes.memory !== undefined && equalDims(total, source.axes.memory) ? 'memory' : 'tokens';
  const row = known.recall(`input ${JSON.stringify(attrs)}`, (): InputNode => ({ kind: 'input', attrs, rows: [], weights: [], width, of, from: [] }));
  let left = total;
  const place = (factor: Factor): Factor => {
    if (factor.axis !== 'element') return factor;
    if (of === 'memory') return { axis: 'memory', size: factor.size };
    left = divDims(left, factor.size) ?? 1;
    return rowFactor(factor.size, left);
  };
  const axes = [...outer.map((factors) => factors.map(place)), width === 1 ? [] : [{ axis: 'feature' as const, size: width, stride: 1 }]];
  return { row, layout: { base: 0, axes }, scale: 1, past: undefined };
}
