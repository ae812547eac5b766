import { expect } from 'vitest';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import type { Tensor } from '../../../ir/graph/interpret/tensor.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { Step } from '../../../ir/step.ts';
import type { Dim, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { TensorStore } from '../../../ir/weights.ts';

/** Token ids of each sequence, all of one length. */
type Rows = readonly (readonly number[])[];

const typeOf = (at: number): number => at % 2;

/** What a source graph is fed for new rows after `past`, nothing padded; pasts are what the step before gave. */
export function feed(module: GraphModule, rows: GraphModule, given: Rows, presents: ReadonlyMap<string, Tensor>, past: number): Map<string, Tensor> {
  const length = (given[0] as readonly number[]).length;
  const { inputs, outputs } = rows.source.interface;
  return new Map(
    inputs.map(({ name, role, layer }, i): [string, Tensor] => {
      const shape = module.types[module.body.params[i] as ValueId]?.shape as readonly Dim[];
      if (role === 'pastKey' || role === 'pastValue') {
        const output = outputs.find((candidate) => candidate.index === layer && candidate.role === role.replace('past', 'present'));
        return [name, presents.get(output?.name ?? '') ?? { shape: [given.length, shape[1] as number, 0, shape[3] as number], data: new Float64Array(0) }];
      }
      if (role === 'mask') return [name, { shape: [given.length, past + length], data: new Float64Array(given.length * (past + length)).fill(1) }];
      if (role === 'rows' || role === 'memoryMask') throw new Error(`\`${name}\` is no list of rows`);
      const value = { ids: (id: number) => id, positions: (_id: number, at: number) => past + at, types: (_id: number, at: number) => typeOf(at), other: () => 0 }[role];
      return [name, { shape: [given.length, length], data: Float64Array.from(given.flatMap((row) => row.map(value))) }];
    }),
  );
}

export const stepOf = (given: Rows, past: number, samples: readonly number[] = []): Step => ({
  sequences: given.map((row, id) => ({ id, rows: row.length, past })),
  ids: given.flat(),
  positions: given.flatMap((row) => row.map((_, at) => past + at)),
  types: given.flatMap((row) => row.map((_, at) => typeOf(at))),
  samples,
});

export function expectClose(got: Tensor | undefined, wanted: Tensor | undefined): void {
  expect(got?.data.length).toBe(wanted?.data.length);
  const worst = (wanted?.data ?? new Float64Array()).reduce((most, value, i) => Math.max(most, Math.abs(value - (got?.data[i] as number))), 0);
  expect(worst).toBeLessThan(1e-5);
}

/** The raised rows and the source agree on `steps`, each continuing the one before where there is a past. */
export function expectSame(module: GraphModule, rows: GraphModule, store: TensorStore, steps: readonly Rows[]): void {
  const weights = new WeightValues(store, 1);
  const run = { weights, arithmetic: 'real', state: new KvState() } as const;
  const continues = rows.source.interface.inputs.some(({ role }) => role === 'pastKey');
  let presents: ReadonlyMap<string, Tensor> = new Map();
  let past = 0;
  for (const given of continues ? steps : steps.slice(0, 1)) {
    const length = (given[0] as readonly number[]).length;
    const sampleOf = (row: readonly number[]): number => ({ first: 0, last: length - 1, largest: row.indexOf(Math.max(...row)) })[rows.source.interface.samples ?? 'first'];
    const wanted = interpretTensors(module, feed(module, rows, given, presents, past), weights);
    const got = interpret(rows, stepOf(given, past, given.map((row, i) => i * length + sampleOf(row))), run);
    for (const { name } of rows.outputs) expectClose(got.get(name), wanted.get(name));
    presents = wanted;
    past += length;
  }
}
