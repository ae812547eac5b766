import { GraphBuilder } from '../../../ir/graph/build.ts';
import { inferResults } from '../../../ir/graph/infer.ts';
import { type Cache, type GraphModule, type Input, noSource, type Output } from '../../../ir/graph/module.ts';
import type { Step, StepSequence } from '../../../ir/step.ts';
import type { TensorType, ValueId } from '../../../ir/types.ts';
import type { TensorStore, Weight } from '../../../ir/weights.ts';

export const emptyStore: TensorStore = { describe: () => undefined, read: () => new Float64Array(0), names: () => [] };

export type Parts = { readonly inputs: readonly Input[]; readonly outputs: readonly Output[]; readonly caches?: readonly Cache[]; readonly weights?: readonly Weight[] };

/** A module whose body `fill` builds from its parameters (row lists are i32 [tokens]). */
export function moduleOf(parts: Parts, fill: (build: GraphBuilder, params: readonly ValueId[]) => readonly ValueId[]): GraphModule {
  const build = new GraphBuilder(inferResults);
  const list: TensorType = { dtype: 'i32', shape: ['tokens'] };
  const body = build.block(parts.inputs.map(() => list), (params) => fill(build, params));
  return { name: 'test', family: 'test', inputs: parts.inputs, outputs: parts.outputs, caches: parts.caches ?? [], weights: parts.weights ?? [], customLayers: [], types: build.types, body, source: noSource };
}

/** A weight of given numbers. */
export const literal = (name: string, shape: readonly number[], values: readonly number[], dtype: Weight['dtype'] = 'f32'): Weight => ({
  name, dtype, shape, instances: [{ kind: 'values', shape, values }],
});

/** A step of sequences; ids and positions count up in each sequence from what it has cached; the last row of each is sampled. */
export function stepOf(sequences: readonly StepSequence[], ids?: readonly number[]): Step {
  const positions = sequences.flatMap(({ rows, past }) => Array.from({ length: rows }, (_, i) => past + i));
  let end = 0;
  const samples = sequences.map(({ rows }) => (end += rows) - 1);
  return { sequences, ids: ids ?? positions.map((_, i) => i), positions, types: positions.map(() => 0), samples };
}
