import { describe, expect, it } from 'vitest';
import { quantise } from '../../ir/graph/interpret/rows.ts';
import { quantiseRows } from '../../ir/tile/interpret/rows.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import type { Format } from '../../isa-spec/fields.ts';
import { emptyStore } from './graph/modules.ts';

/** Below 448 * 2^-150 FP32 has no scale; just above, its least number is one. */
const [lost, kept] = [[2 ** -145, -(2 ** -142), 0], [0, -(2 ** -141), 2 ** -142]];

const inGraph = (row: readonly number[]) => {
  const [codes, scales] = quantise({ shape: [1, row.length], data: Float64Array.from(row) }, { blocks: false }, 'normative');
  return { values: [...codes.data], scale: scales.data[0] };
};

const inTiles = (row: readonly number[]) => {
  const viewOf = (format: Format, data: Float64Array) => ({ format, rows: 1, columns: data.length, row: () => data });
  const [out, scales] = [new Float64Array(row.length), new Float64Array(1)];
  quantiseRows(viewOf('f32', Float64Array.from(row)), viewOf('e4m3', out), viewOf('f32', scales), { first: 0, count: 1 });
  return { values: [...out], scale: scales[0] };
};

const inWeights = (row: readonly number[]) => {
  const values = new WeightValues(emptyStore, 1);
  const weight = { name: 'w', dtype: 'e4m3', shape: [1, row.length], instances: [{ kind: 'values', shape: [1, row.length], values: row }] } as const;
  const part = { instance: 0, rank: 0 };
  return { values: [...values.storedRows(weight, part, 0, 1)], scale: values.quantisedRows(weight, part, 0, 1).scales[0] };
};

describe.each([['graph', inGraph], ['tiles', inTiles], ['weights', inWeights]] as const)('rows of nearly nothing, %s', (_, of) => {
  it('are 0 by a scale of 1 where FP32 has no smaller one, and never NaN', () => {
    expect(of(lost)).toEqual({ values: [0, -0, 0], scale: 1 });
    expect(of(kept)).toEqual({ values: [0, -256, 128], scale: 2 ** -149 });
  });
});
