import type { GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { type Factor, type Layout, offsets } from './axes.ts';
import { weightOf } from './constants.ts';
import type { RowNode } from './rows.ts';
import type { Source } from './source.ts';

/** A constant with a row of its own for each row of a sequence, as rows of a table by position: [rows, width]. */
export function tableOf(source: Source, value: ValueId, { axes }: Layout, width: number): Weight | undefined {
  const { shape } = source.type(value);
  if (source.axes.past !== undefined || shape.length > axes.length) return undefined;
  const varying = axes.slice(axes.length - shape.length).flatMap((factors, i) => (shape[i] === 1 ? [] : factors));
  const isOf = (axis: Factor['axis']) => (factor: Factor): boolean => factor.axis === axis && typeof factor.size === 'number';
  const [rows, columns] = [varying.filter(isOf('row')), varying.filter(isOf('feature'))];
  const inOrder = (factors: readonly Factor[], stride: (factor: Factor) => number): boolean =>
    offsets(factors.map((factor) => ({ axis: 'feature', size: factor.size as number, stride: stride(factor) }))).every((at, i) => at === i);
  const strideOf = (factor: Factor): number => ('stride' in factor ? Number(factor.stride ?? 1) : 1);
  if (rows.length === 0 || rows.length + columns.length < varying.length || !inOrder(rows, strideOf) || !inOrder(columns, strideOf)) return undefined;
  const count = rows.reduce((product, { size }) => product * (size as number), 1);
  if (columns.reduce((product, { size }) => product * (size as number), 1) !== width) return undefined;
  const weight = weightOf(source, value);
  const rowsFirst = varying.slice(0, rows.length).every(isOf('row'));
  if (weight === undefined || !(rowsFirst || varying.slice(0, columns.length).every(isOf('feature')))) return undefined;
  const [of] = weight.instances as readonly [WeightExpr];
  const flat: WeightExpr = { kind: 'reshape', of, shape: rowsFirst ? [count, width] : [width, count] };
  return { ...weight, name: `${weight.name}[rows]`, shape: [count, width], instances: [rowsFirst ? flat : { kind: 'transpose', of: flat }] };
}

/** The rows of a table by position. */
export const byPosition = (table: Weight, from: readonly GraphOp[]): RowNode => ({ kind: 'embed', attrs: {}, rows: ['positions'], weights: [table], width: table.shape[1] as number, of: 'tokens', from });
