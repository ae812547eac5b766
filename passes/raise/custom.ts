import type { OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { weightOf } from './constants.ts';
import { rowAxes } from './lookup.ts';
import { lastAxisRows } from './products.ts';
import type { Lifted, Raising } from './raising.ts';
import { scaled } from './rows.ts';

/** A layer of the user's on whole rows: activations first, then its constants. */
export function liftCustom(op: OpOf<'custom'>, raising: Raising): Lifted {
  const { source } = raising;
  const shape = source.type(op.results[0] as ValueId).shape;
  const axes = rowAxes(source, shape.slice(0, -1));
  const width = shape.at(-1);
  if (axes === undefined || typeof width !== 'number') return `its result, [${shape.join(', ')}], is not the features of each token`;
  const active = op.operands.filter((operand) => source.dependence(operand) === 'active');
  const constants = op.operands.slice(active.length);
  if (!active.every((operand, i) => operand === op.operands[i])) return 'its activations do not all come before its constants';
  const views = active.map(raising.view);
  if (views.includes(undefined)) return undefined;
  const rows = views.map((view) => (view === undefined ? undefined : lastAxisRows(view))).map((row, i) => (row === undefined ? undefined : scaled(row, views[i]?.scale ?? 1)));
  const weights = constants.map((constant) => weightOf(source, constant));
  const fit = rows.flatMap((row) => row ?? []);
  const given = weights.flatMap((weight) => weight ?? []);
  if (fit.some(({ of }) => of !== fit[0]?.of) || fit.length !== rows.length || given.length !== weights.length) return 'its operands are not whole rows, then constants';
  return {
    row: { kind: 'custom', attrs: op.attrs, rows: fit, weights: given, width, of: fit[0]?.of ?? 'tokens', from: [op] },
    layout: { base: 0, axes: [...axes, [{ axis: 'feature', size: width, stride: 1 }]] },
    scale: 1,
    past: undefined,
  };
}
