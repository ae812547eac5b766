import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { WeightExpr } from '../../ir/weights.ts';
import { features, merged } from './axes.ts';
import { matrixOf } from './constants.ts';
import type { Lifted, Raising } from './raising.ts';
import { isolated, type RowNode, type View } from './rows.ts';

/** A product with a constant matrix is a linear. */
export function liftProduct(op: OpOf<'pmatmul'>, raising: Raising): Lifted {
  const { source } = raising;
  const [left, right] = op.operands as readonly [ValueId, ValueId];
  if (source.dependence(right) !== 'constant') return source.dependence(right) === 'active' ? 'it multiplies activations with activations, and is part of no attention' : 'it multiplies activations by a matrix that depends on positions or masks';
  const view = raising.view(left);
  if (view === undefined) return undefined;
  const x = lastAxisRows(view);
  if (x === undefined) return 'its operand does not have the features of a row along its last axis';
  const matrix = matrixOf(source, right);
  if (matrix === undefined) return `its second operand, [${source.type(right).shape.join(', ')}], is not one matrix`;
  const w = view.scale === 1 ? matrix : { ...matrix, name: `${matrix.name}*${view.scale}`, instances: matrix.instances.map((of): WeightExpr => ({ kind: 'scale', of, by: view.scale })) };
  const [width] = w.shape as readonly [number];
  const row: RowNode = { kind: 'linear', attrs: { activation: 'none', gated: false, scaled: false, bias: false, residual: false }, rows: [x], weights: [w], width, of: x.of, from: [op] };
  return { row, layout: { base: 0, axes: [...view.layout.axes.slice(0, -1), [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}

/** The rows of a view, its scale aside, whose last axis is all their features in order; its other axes have none. */
export function lastAxisRows(view: View): RowNode | undefined {
  const alone = isolated(view);
  if (alone === undefined || alone.past !== undefined || features(alone.layout.axes.slice(0, -1).flat()).length > 0) return undefined;
  const last = merged(alone.layout.axes.at(-1) ?? []);
  const [only] = last;
  const isWhole = last.length === 1 && only?.axis === 'feature' && only.size === alone.row.width && only.stride === 1;
  return isWhole || (last.length === 0 && alone.row.width === 1) ? alone.row : undefined;
}
