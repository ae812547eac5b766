import { axisOf } from '../../ir/graph/infer-primitives.ts';
import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { features, merged } from './axes.ts';
import { weightOf } from './constants.ts';
import type { Lifted, Raising } from './raising.ts';
import { isolated, type RowNode } from './rows.ts';
import type { Source } from './source.ts';
import { byPosition } from './tables.ts';

/**
 * Constant rows before those of a sequence (a class token, registers): the input has as many rows of zeros before its own, and what the
 * constant rows differ from what becomes of zeros is added by position.
 */
export function liftBefore(op: OpOf<'pconcat'>, raising: Raising): Lifted {
  const { source } = raising;
  const operand = op.operands.at(-1) as ValueId;
  const view = raising.view(operand);
  const x = view === undefined ? undefined : isolated(view);
  if (view === undefined) return undefined;
  if (x === undefined || x.scale !== 1 || x.past !== undefined) return 'it puts rows before irregular parts of rows';
  const axis = axisOf(op.attrs.axis, x.layout.axes.length);
  const rows = merged(x.layout.axes[axis] ?? []);
  const [only] = rows;
  const count = source.type(operand).shape[axis];
  const isWhole = features(x.layout.axes.at(-1) ?? []).length > 0 && features(x.layout.axes.slice(0, -1).flat()).length === 0 && axis === x.layout.axes.length - 2;
  if (rows.length > 1 || (only !== undefined && only.axis !== 'row') || typeof count !== 'number' || !isWhole) return 'it puts side by side what is not rows of one op';
  const first = op.operands.slice(0, -1).map((value) => constantRows(source, value, x.row.width));
  const constants = first.flatMap((weight) => weight ?? []);
  if (constants.length < first.length) return 'the rows it puts before others are not constants, the same in each sequence';
  const before = constants.reduce((sum, weight) => sum + (weight.shape[0] as number), 0);
  const moved = later(x.row, before);
  const zero = ofZeros(x.row);
  if (moved === undefined || zero === undefined) return 'the rows it puts others before are not a product of an input\'s';
  const row: RowNode = { kind: 'add', attrs: {}, rows: [moved, byPosition(differences(constants, zero, count), [op])], weights: [], width: x.row.width, of: 'tokens', from: [op] };
  return { row, layout: { ...x.layout, axes: x.layout.axes.with(axis, [{ axis: 'row', size: before + count }]) }, scale: 1, past: undefined };
}

/** Constant rows [.., n, width] that are repeated for each sequence at most. */
function constantRows(source: Source, value: ValueId, width: number): Weight | undefined {
  const op = source.definition(value);
  if (source.dependence(value) !== 'constant' && op?.kind === 'pexpand') return constantRows(source, op.operands[0] as ValueId, width);
  const weight = weightOf(source, value);
  if (weight === undefined || weight.shape.at(-1) !== width || weight.shape.slice(0, -2).some((size) => size !== 1)) return undefined;
  const shape = [weight.shape.at(-2) ?? 1, width];
  return { ...weight, shape, instances: weight.instances.map((of) => ({ kind: 'reshape', of, shape })) };
}

/** The same rows `by` rows later, computed from rows of zeros before. */
function later(row: RowNode, by: number): RowNode | undefined {
  if (row.kind === 'input') return { ...row, attrs: { ...row.attrs, before: row.attrs.before + by } };
  if (row.kind === 'embed' && row.rows[0] === 'positions') return { ...row, weights: row.weights.map((table) => padded(table, by)) };
  if (row.kind !== 'linear' && row.kind !== 'add') return undefined;
  const rows = row.rows.map((each) => (typeof each === 'string' ? undefined : later(each, by)));
  const known = rows.flatMap((each) => each ?? []);
  return known.length < rows.length ? undefined : { ...row, rows: known };
}

/** What becomes of a row of zeros: a vector, or zeros; undefined where that is no constant of the source. */
function ofZeros(row: RowNode): Weight | 'zeros' | undefined {
  if (row.kind === 'input' || row.kind === 'embed') return 'zeros';
  const below = row.rows.map((each) => (typeof each === 'string' ? undefined : ofZeros(each)));
  if (row.kind === 'linear' && row.attrs.activation === 'none' && below[0] === 'zeros') return row.attrs.bias ? row.weights[1] : 'zeros';
  return row.kind === 'add' ? (below[0] === 'zeros' ? below[1] : below[1] === 'zeros' ? below[0] : undefined) : undefined;
}

const zeros = (rows: number, width: number): WeightExpr => ({ kind: 'values', shape: [rows, width], values: [0] });

const padded = (table: Weight, by: number): Weight => ({
  ...table, name: `${by}+${table.name}`, shape: [by + (table.shape[0] as number), table.shape[1] as number],
  instances: table.instances.map((of) => ({ kind: 'concat', axis: 0, of: [zeros(by, table.shape[1] as number), of] })),
});

/** A table of constant rows less what becomes of zeros, then `count` rows of zeros. */
function differences(constants: readonly Weight[], zero: Weight | 'zeros', count: number): Weight {
  const [first] = constants as readonly [Weight, ...Weight[]];
  const [, width] = first.shape as readonly [number, number];
  const rows = constants.flatMap(({ shape, instances }): readonly WeightExpr[] => {
    const [of] = instances as readonly [WeightExpr];
    if (zero === 'zeros') return [of];
    const like: WeightExpr = { kind: 'reshape', of: zero.instances[0] as WeightExpr, shape: [1, width] };
    return Array.from({ length: shape[0] as number }, (_, i) => less({ kind: 'slice', of, axis: 0, start: i, end: i + 1 }, like, width));
  });
  const before = constants.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
  return { name: `${first.name}+${count}`, dtype: first.dtype, shape: [before + count, width], instances: [{ kind: 'concat', axis: 0, of: [...rows, zeros(count, width)] }] };
}

/** a - b of [1, width] each. */
const less = (a: WeightExpr, b: WeightExpr, width: number): WeightExpr => ({ kind: 'dequantise', of: a, zeroPoint: b, scale: { kind: 'values', shape: [1, width], values: [1] }, block: [1, 1] });
