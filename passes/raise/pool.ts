import { equalDims } from '../../ir/dims.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Factor, features, merged } from './axes.ts';
import { evaluate, type Scenario, scenarioOf, shapeUnder, type Wanted } from './evaluate.ts';
import type { Lifted, Raising } from './raising.ts';
import { isolated, type RowNode, type Sample, type View } from './rows.ts';
import type { Source } from './source.ts';

/** Sequences that are full, and two of which one is filled up after its third row. */
const unlike: readonly Wanted[] = [{ batch: 2, rows: 5, past: 0 }, { batch: 2, rows: 5, past: 0, mask: [1, 1, 1, 1, 1, 1, 1, 1, 0, 0] }];

const scenarios = (source: Source): readonly Scenario[] => {
  const hasMask = source.module.body.params.some((param) => source.role(param) === 'mask');
  return unlike.slice(0, hasMask ? 2 : 1).map((wanted) => scenarioOf(source, wanted));
};

/** Which row of each sequence an index into all rows picks, read off by evaluating it; undefined if none of those a host knows of. */
export function findSample(source: Source, index: ValueId): Sample | undefined {
  const param = source.module.body.params.find((candidate) => source.role(candidate) === 'ids');
  const rules: Readonly<Record<Sample, (scenario: Scenario, s: number) => number>> = {
    first: () => 0,
    last: ({ rows, mask }, s) => mask.slice(s * rows, (s + 1) * rows).lastIndexOf(1),
    largest: ({ rows, inputs }, s) => {
      const ids = [...(param === undefined ? [] : (inputs.get(param)?.data ?? []))].slice(s * rows, (s + 1) * rows);
      return ids.indexOf(Math.max(...ids));
    },
  };
  return (Object.keys(rules) as Sample[]).find((sample) => scenarios(source).every((scenario) => {
    const { data } = evaluate(source, index, scenario, new Map());
    return data.length === scenario.batch && data.every((place, s) => place === s * scenario.rows + rules[sample](scenario, s));
  }));
}

/**
 * The mean of each sequence's rows, padding aside, however it is written; undefined where an op is none. Attention whose scores are all
 * next to 0 is that mean, the same for every row: any one of them is sampled.
 */
export function liftMean(op: GraphOp, raising: Raising): Lifted {
  const { source } = raising;
  const value = op.results[0] as ValueId;
  const x = source.axes.past === undefined ? rowsBefore(source, value).find((candidate) => scenarios(source).every((scenario) => isMean(source, candidate, value, scenario))) : undefined;
  if (x === undefined) return undefined;
  const view = raising.view(x);
  const whole = view === undefined ? undefined : isolated(view);
  if (view === undefined || whole === undefined) return undefined;
  const { row, layout } = whole;
  const kinds = layout.axes.flatMap(merged).map(({ axis }) => axis);
  const last = merged(layout.axes.at(-1) ?? []);
  if (row.of !== 'tokens' || kinds.includes('key') || kinds.filter((axis) => axis === 'row').length !== 1 || last.length !== 1 || features(last)[0]?.stride !== 1) return 'it is the mean of irregular parts of rows';
  const headDim = headDimOf(row.width);
  const heads = row.width / headDim;
  const attrs = { heads, kvHeads: heads, headDim, scale: nothing, softCap: 0, sinks: false, slopes: false, mask: 'full', window: 0, cache: '' } as const;
  const mean: RowNode = { kind: 'attention', attrs, rows: [row, row, row], weights: [], width: row.width, of: 'tokens', from: [op] };
  raising.samples('first');
  const sampled: RowNode = { kind: 'sampleRows', attrs: {}, rows: [mean], weights: [], width: row.width, of: 'samples', from: [] };
  const without = layout.axes.map((factors) => factors.filter(({ axis }) => axis !== 'row'));
  const rank = source.type(value).shape.length;
  return { ...whole, row: sampled, layout: { ...layout, axes: rank === without.length ? without : without.filter((_, axis) => !isRowAxis(view, axis)) } };
}

const isRowAxis = ({ layout }: View, axis: number): boolean => (layout.axes[axis] ?? []).some(({ axis: of }: Factor) => of === 'row');

/** The nearest values all of `value` is made of that have a row for each of a sequence, if `value` has not: rows, and rows with padding made zero. */
function rowsBefore(source: Source, value: ValueId): readonly ValueId[] {
  const hasRows = (at: ValueId): boolean => {
    const { shape } = source.type(at);
    return shape.length > 2 && equalDims(shape.at(-2) ?? 1, source.axes.row) && typeof shape.at(-1) === 'number';
  };
  if (equalDims(source.axes.row, 1) || hasRows(value)) return [];
  const found: ValueId[] = [];
  for (let at = source.dominator(value); at !== undefined && found.length < 4; at = source.dominator(at)) if (hasRows(at)) found.push(at);
  return found;
}

function isMean(source: Source, x: ValueId, value: ValueId, scenario: Scenario): boolean {
  const shape = shapeUnder(source.type(x).shape, scenario.sizes);
  const width = shape.at(-1) as number;
  const { batch, rows, mask } = scenario;
  if (shape.reduce((product, size) => product * size, 1) !== batch * rows * width) return false;
  const data = Float64Array.from({ length: batch * rows * width }, (_, i) => Math.sin(i * 1.9 + 0.3));
  const found = evaluate(source, value, scenario, new Map([[x, { shape, data }]])).data;
  if (found.length !== batch * width) return false;
  return found.every((element, at) => {
    const [sequence, column] = [Math.floor(at / width), at % width];
    const own = Array.from({ length: rows }, (_, row) => row).filter((row) => mask[sequence * rows + row] === 1);
    const mean = own.reduce((sum, row) => sum + (data[(sequence * rows + row) * width + column] as number), 0) / own.length;
    return Math.abs(element - mean) < 1e-6;
  });
}

/** A scale that leaves no difference between scores; instructions take none of 0. */
const nothing = 2 ** -100;

/** The widest heads, at most as wide as the attention unit's arrays, that cut a row evenly. */
function headDimOf(width: number): number {
  let headDim = Math.min(width, 128);
  while (width % headDim !== 0) headDim--;
  return headDim;
}
