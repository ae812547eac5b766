import { equalDims, mulDims } from '../../ir/dims.ts';
import type { OpOf } from '../../ir/graph/module.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import type { Axes, Factor } from './axes.ts';
import { weightOf } from './constants.ts';
import type { Lifted, Raising } from './raising.ts';
import { coneOf, evaluate, type Scenario, scenarioOf } from './evaluate.ts';
import { rowIndex } from './rope.ts';
import type { RowFeed, RowNode } from './rows.ts';
import type { Role } from './roles.ts';
import type { Source } from './source.ts';

/** A row list, and what is added to it to make the index. */
type FoundIndex = { readonly feed: RowFeed; readonly offset: number };

/** Which row list an integer value is, read off by evaluating it: ids, types, or positions given or counted; undefined if none. */
function findIndex(source: Source, value: ValueId, axes: Axes): FoundIndex | undefined {
  const inputs = new Set(coneOf(source, value, () => false).map((each) => source.role(each)));
  const given = scenarioOf(source, { batch: 2, rows: 5, past: 3, positions: [4, 2, 7, 0, 1, 3, 9, 8, 2, 6] });
  const counted = scenarioOf(source, { batch: 2, rows: 5, past: 3 });
  const offsetOf = (scenario: Scenario, list: readonly number[]): number | undefined => offsetFrom(source, value, axes, scenario, list);
  const fed = (role: Role): readonly number[] => {
    const param = source.module.body.params.find((candidate) => source.role(candidate) === role);
    return param === undefined ? [] : [...(given.inputs.get(param)?.data ?? [])];
  };
  const tries: readonly (readonly [boolean, RowFeed, Scenario, readonly number[]])[] = [
    [inputs.has('ids'), 'ids', given, fed('ids')],
    [inputs.has('types'), 'types', given, fed('types')],
    [inputs.has('positions'), 'positions', given, given.positions],
    [true, 'positions', counted, counted.positions],
  ];
  for (const [applies, feed, scenario, list] of tries) {
    const offset = applies ? offsetOf(scenario, list) : undefined;
    if (offset !== undefined && offset >= 0) return { feed, offset };
  }
  // The same row for every token: token types of a source that does not take any.
  return isZero(source, value, counted) ? { feed: 'types', offset: 0 } : undefined;
}

function offsetFrom(source: Source, value: ValueId, axes: Axes, scenario: Scenario, list: readonly number[]): number | undefined {
  const { shape, data } = evaluate(source, value, scenario, new Map());
  const rows = rowIndex(axes, shape, scenario);
  if (rows.length !== data.length || list.length === 0) return undefined;
  const first = (data[0] as number) - (list[rows[0] as number] as number);
  return rows.every((row, i) => (data[i] as number) - (list[row] as number) === first) ? first : undefined;
}

const isZero = (source: Source, value: ValueId, scenario: Scenario): boolean => evaluate(source, value, scenario, new Map()).data.every((element) => element === 0);

/** The factors of axes that are batch, rows, or both side by side; undefined where one is none of them. */
export function rowAxes(source: Source, shape: readonly Dim[]): Axes | undefined {
  const { batch, row } = source.axes;
  const taken = new Set<string>();
  const axes: (readonly Factor[])[] = [];
  for (const size of shape) {
    const options: readonly (readonly [Dim, readonly Factor[]])[] = [
      [1, []],
      [batch, [{ axis: 'batch', size: batch }]],
      [row, [{ axis: 'row', size: row }]],
      [mulDims(batch, row), [{ axis: 'batch', size: batch }, { axis: 'row', size: row }]],
    ];
    const fit = options.find(([wanted, factors]) => equalDims(wanted, size) && factors.every(({ axis }) => !taken.has(axis)));
    if (fit === undefined) return undefined;
    fit[1].forEach(({ axis }) => taken.add(axis));
    axes.push(fit[1].filter((factor) => factor.size !== 1));
  }
  return axes;
}

/** That an index is made of another sequence's ids, if it is: an encoder and a decoder in one graph are two steps. */
function ofSecond(source: Source, index: ValueId): string {
  const isOther = (value: ValueId): boolean => source.definition(value) === undefined && !equalDims(source.type(value).shape.at(-1) ?? 1, source.axes.row);
  const other = coneOf(source, index, () => false).find(isOther);
  return other === undefined ? '' : `: \`${source.name(other)}\` is a second sequence; export the encoder and the decoder as graphs of their own`;
}

/** Rows of a constant table by a row list. */
export function liftLookup(op: OpOf<'pgather'>, raising: Raising): Lifted {
  const { source } = raising;
  const [table, index] = op.operands as readonly [ValueId, ValueId];
  const weight = weightOf(source, table);
  if (weight === undefined || weight.shape.length !== 2 || op.attrs.axis !== 0) return 'it looks up what is not the rows of a table';
  const axes = rowAxes(source, source.type(index).shape);
  if (axes === undefined) return `its index, [${source.type(index).shape.join(', ')}], is not one of each row${ofSecond(source, index)}`;
  const found = findIndex(source, index, axes);
  if (found === undefined) return 'its index is neither token ids nor positions nor token types';
  const [size, width] = weight.shape as readonly [number, number];
  const of = weight.instances[0] as WeightExpr;
  const rows: Weight = found.offset === 0 ? weight : { ...weight, name: `${weight.name}[${found.offset}:]`, shape: [size - found.offset, width], instances: [{ kind: 'slice', of, axis: 0, start: found.offset, end: size }] };
  const row: RowNode = { kind: 'embed', attrs: {}, rows: [found.feed], weights: [rows], width, of: 'tokens', from: [op] };
  return { row, layout: { base: 0, axes: [...axes, [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}

/** The first rows of a constant table, as many as there are positions: [.., positions, features]. */
export function liftPositions(op: OpOf<'pslice'>, raising: Raising): Lifted {
  const { source } = raising;
  const weight = weightOf(source, op.operands[0] as ValueId);
  const shape = source.type(op.results[0] as ValueId).shape;
  const axes = rowAxes(source, shape.slice(0, -1));
  const [size, width] = weight?.shape.slice(-2) ?? [];
  if (weight === undefined || size === undefined || width === undefined || axes === undefined || axes.flat().length !== 1 || weight.shape.slice(0, -2).some((each) => each !== 1)) return 'it is not a table of positions';
  const start = Number(op.attrs.start);
  const past = source.axes.past;
  const counts = past === undefined ? Number.isInteger(start) && start >= 0 : op.attrs.start === past;
  if (!counts) return 'the positions it starts from are not those of the rows';
  const offset = past === undefined ? start : 0;
  const of: WeightExpr = { kind: 'reshape', of: weight.instances[0] as WeightExpr, shape: [size, width] };
  const rows: Weight = { name: `${weight.name}[${offset}:]`, dtype: weight.dtype, shape: [size - offset, width], instances: [{ kind: 'slice', of, axis: 0, start: offset, end: size }] };
  const row: RowNode = { kind: 'embed', attrs: {}, rows: ['positions'], weights: [rows], width, of: 'tokens', from: [op] };
  return { row, layout: { base: 0, axes: [...axes, [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}
