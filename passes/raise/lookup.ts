import { equalDims, mulDims } from '../../ir/dims.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import type { Axes, Factor } from './axes.ts';
import { coneOf, evaluate, type Scenario, scenarioOf } from './evaluate.ts';
import { rowIndex } from './rope.ts';
import type { RowFeed } from './rows.ts';
import { type Role, type Source } from './source.ts';

/** A row list, and what is added to it to make the index. */
type FoundIndex = { readonly feed: RowFeed; readonly offset: number };

/** Which row list an integer value is, read off by evaluating it: ids, types, or positions given or counted; undefined if none. */
export function findIndex(source: Source, value: ValueId, axes: Axes): FoundIndex | undefined {
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
