import fc from 'fast-check';
import type { Origin } from '../../../diagnostics/diagnostic.ts';
import { GraphBuilder } from '../../../ir/graph/build.ts';
import { defineLayer } from '../../../ir/graph/custom.ts';
import { inferResults, isTensorKind } from '../../../ir/graph/infer.ts';
import { opKinds } from '../../../ir/graph/attributes.ts';
import { type Cache, type GraphModule, type Input, noSource } from '../../../ir/graph/module.ts';
import type { OpKind } from '../../../ir/graph/ops.ts';
import type { DType, TensorType, ValueId } from '../../../ir/types.ts';
import type { Weight } from '../../../ir/weights.ts';
import { recipes } from './recipes.ts';
import { weightExprs } from './weight-exprs.ts';
import { tableRows, Tape, type Workshop } from './workshop.ts';

/** A valid module and the tensors its weights read (for `randomStore`). Ids must be below `tableRows`. */
export type Generated = { readonly module: GraphModule; readonly shapes: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }> };

export const rowKinds: readonly OpKind[] = opKinds.filter((kind) => !isTensorKind(kind));
export const primitiveKinds: readonly OpKind[] = opKinds.filter((kind) => isTensorKind(kind) || kind === 'weight');

/** A custom layer for texts and interpreters: three times its operand. */
export const triple = defineLayer({
  name: 'triple',
  docs: 'three times the operand',
  match: () => undefined,
  infer: ([x]) => x as TensorType,
  reference: ([x]) => (x as { data: Float64Array }).data.map((value) => 3 * value),
  lower: (build, [x]) => build.op('add', {}, [x as ValueId, build.op('add', {}, [x as ValueId, x as ValueId])]),
});

/** Random valid modules of ops of these kinds: numbers are consumed one a decision, so that fewer numbers are a smaller module. */
export const graphModules = (kinds: readonly OpKind[]): fc.Arbitrary<Generated> =>
  fc.array(fc.nat(999), { minLength: 10, maxLength: 200, size: 'max' }).map((numbers) => generate(new Tape(numbers), kinds));

function generate(tape: Tape, kinds: readonly OpKind[]): Generated {
  const build = new GraphBuilder(inferResults);
  const weights: Weight[] = [];
  const caches: Cache[] = [];
  const shapes = new Map<string, { dtype: DType; shape: readonly number[] }>();
  const inputs: readonly Input[] = [{ name: 'ids', feed: 'ids' }, { name: 'position\nids', feed: 'positions' }];
  const list: TensorType = { dtype: 'i32', shape: ['tokens'] };

  const fill = (shop: Workshop): void => {
    for (let count = 1 + tape.below(6); count > 0 && tape.left > 0; count--) {
      build.origin = originOf(tape);
      shop.scope.push(...(recipes[tape.one(kinds)](shop) ?? []));
    }
  };
  const shopOf = (scope: ValueId[], [ids, positions]: readonly [ValueId, ValueId], trips: readonly number[]): Workshop => {
    const weight = (shape: readonly number[]): ValueId => {
      const name = `w${weights.length}${tape.one(['', '.scale', '|"x"'])}`;
      const made: Weight = { name, dtype: tape.one(['f32', 'bf16']), shape, instances: weightExprs(tape, shape, trips.at(-1), shapes) };
      weights.push(made);
      return build.op('weight', { name }, [], { dtype: made.dtype, shape });
    };
    const inside = (trip: number | undefined, params: readonly ValueId[]): Workshop => {
      const shop = shopOf([...scope, ...params], [ids, positions], trip === undefined ? trips : [...trips, trip]);
      fill(shop);
      return shop;
    };
    return { tape, build, scope, ids, positions, caches, trips, weight, inside, type: (value) => build.types[value] as TensorType };
  };

  const body = build.block([list, list], (params) => {
    const [ids] = params as [ValueId, ValueId];
    const shop = shopOf([], params as [ValueId, ValueId], []);
    const table = shop.weight([tableRows, 8]);
    shop.scope.push(ids, kinds.includes('embed') ? build.op('embed', {}, [ids, table], { dtype: 'f32', shape: ['tokens', 8] }) : table);
    while (tape.left > 0) fill(shop);
    return shop.scope.slice(-3);
  });
  const rowsOf = (value: ValueId): 'tokens' | 'samples' | 'tensor' => {
    const rows = build.types[value]?.shape[0];
    return rows === 'tokens' || rows === 'samples' ? rows : 'tensor';
  };
  const outputs = body.yields.map((value, i) => ({ name: `y${i}`, rows: rowsOf(value) }));
  return { module: { name: 'made "up"', family: 'random', inputs, outputs, caches, weights, customLayers: kinds.includes('custom') ? [triple] : [], types: build.types, body, source: noSource }, shapes };
}

function originOf(tape: Tape): Origin {
  const name = tape.one(['/layers.0/MatMul', 'é "quoted" \\', '', 'two\nlines ; from']);
  return tape.one<() => Origin>([
    () => ({ kind: 'none' }),
    () => ({ kind: 'onnx', node: name, op: 'MatMul' }),
    () => ({ kind: 'config', path: name }),
    () => ({ kind: 'tensor', name }),
    () => ({ kind: 'file', path: name }),
    () => ({ kind: 'file', path: name, offset: 12 }),
    () => ({ kind: 'text', file: name, line: 3, column: 4 }),
    () => ({ kind: 'derived', by: name, from: [{ kind: 'none' }, { kind: 'derived', by: 'fuse', from: [] }] }),
  ])();
}
