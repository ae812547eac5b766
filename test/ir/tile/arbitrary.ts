import fc from 'fast-check';
import type { Origin } from '../../../diagnostics/diagnostic.ts';
import { type AttributeKind, attributesOf, packingAttributes, tileKinds } from '../../../ir/tile/attributes.ts';
import type { Affine, Buffer, BufferId, Packing, Region, TileModule, TileNode, TileOp } from '../../../ir/tile/module.ts';
import { tileOperands } from '../../../ir/tile/ops.ts';
import { formats } from '../../../isa-spec/fields.ts';
import { stepCounts } from '../../../isa-spec/instructions.ts';

/** Tile modules of any shape, drawn from the tables of the language: well formed as text, not as programs. */

/** Like the modules of the compiler, records have the usual prototype. */
const record = <T>(parts: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> => fc.record(parts, { noNullPrototype: true }) as fc.Arbitrary<T>;

const count = fc.nat({ max: 100_000 });
const name = fc.oneof(fc.constantFrom('x', 'rows', 'i0', 'loop', 'model.layers.wq', 'with "quotes" \\ and \n lines', 'é'), fc.string({ minLength: 1, maxLength: 8 }));
const real = fc.oneof(fc.constantFrom(0, -0, 0.125, 1e-5, 1e21, -2.5e-7), fc.double({ noNaN: true, noDefaultInfinity: true }));

const attribute = (kind: AttributeKind): fc.Arbitrary<unknown> => {
  if (typeof kind === 'object') return fc.constantFrom(...kind);
  return { flag: fc.boolean(), count, real, name }[kind as 'flag' | 'count' | 'real' | 'name'];
};
const attributes = (kinds: Readonly<Record<string, AttributeKind>>): fc.Arbitrary<object> => record(Object.fromEntries(Object.entries(kinds).map(([key, kind]) => [key, attribute(kind)])));

const packing: fc.Arbitrary<Packing> = fc.oneof(
  ...(Object.keys(packingAttributes) as Packing['kind'][]).map((kind) => attributes(packingAttributes[kind]).map((rest) => ({ kind, ...rest }) as Packing)),
);

const buffer: fc.Arbitrary<Buffer> = record({
  name, space: fc.constantFrom('hbm', 'sram', 'acc'), role: fc.constantFrom('weights', 'kv', 'value', 'stage', 'list', 'input', 'output'), format: fc.constantFrom(...formats),
  rows: count, columns: count, depth: fc.integer({ min: 1, max: 4 }), packing: fc.option(packing, { nil: undefined }),
});

const step = fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: -300, max: 300 }));
const affine: fc.Arbitrary<Affine> = record({ base: fc.integer({ min: -50, max: 5000 }).map((v) => v + 0), steps: fc.tuple(step, step, step, step) });

const region = (buffers: number): fc.Arbitrary<Region> =>
  record({ buffer: fc.nat({ max: buffers - 1 }).map((id) => id as BufferId), slot: fc.oneof(fc.constant<Affine>({ base: 0, steps: [0, 0, 0, 0] }), affine), row: affine, column: affine, rows: count, columns: count });

const originTree = fc.letrec<{ origin: Origin }>((tie) => ({
  origin: fc.oneof(
    { maxDepth: 2 },
    fc.constant<Origin>({ kind: 'none' }),
    record({ kind: fc.constant('onnx' as const), node: fc.string(), op: fc.string() }),
    record({ kind: fc.constant('config' as const), path: fc.string() }),
    record({ kind: fc.constant('tensor' as const), name: fc.string() }),
    record({ kind: fc.constant('file' as const), path: fc.string(), offset: count }),
    record({ kind: fc.constant('file' as const), path: fc.string() }),
    record({ kind: fc.constant('text' as const), file: fc.string(), line: count, column: count }),
    record({ kind: fc.constant('derived' as const), by: fc.string(), from: fc.array(tie('origin'), { maxLength: 3 }) }),
  ),
}));

const op = (buffers: number, labels: readonly { label: string; origin: Origin }[]): fc.Arbitrary<TileOp> =>
  fc.constantFrom(...tileKinds).chain((kind) =>
    record({
      kind: fc.constant(kind), attrs: attributes(attributesOf(kind)),
      regions: record(Object.fromEntries(Object.entries(tileOperands[kind]).map(([key, how]) => [key, how === 'read?' ? fc.option(region(buffers), { nil: undefined }) : region(buffers)]))),
      rows: record({ max: count, of: fc.constantFrom('all' as const, ...stepCounts) }),
      labelled: fc.constantFrom(...labels),
    }).map(({ labelled, ...rest }) => ({ ...rest, ...labelled }) as unknown as TileOp),
  );

const nodes = (buffers: number, labels: readonly { label: string; origin: Origin }[], depth: number): fc.Arbitrary<TileNode[]> =>
  fc.array(
    depth === 0
      ? op(buffers, labels)
      : fc.oneof<fc.Arbitrary<TileNode>[]>(
          op(buffers, labels),
          record({ kind: fc.constant('loop' as const), level: fc.constantFrom(0, 1, 2, 3), name: fc.string(), count, body: nodes(buffers, labels, depth - 1) }),
        ),
    { maxLength: 4 },
  );

export const anyTileModule: fc.Arbitrary<TileModule> = fc
  .tuple(fc.array(buffer, { minLength: 1, maxLength: 5 }), fc.uniqueArray(record({ label: name, origin: originTree.origin }), { minLength: 1, maxLength: 3, selector: ({ label }) => label }))
  .chain(([buffers, labels]) =>
    record({
      name: fc.string(), tile: count, chips: count,
      bounds: record({ tokens: count, sequences: count, samples: count, memory: count, poolPages: count, pageRows: count, pageListEntries: count }),
      buffers: fc.constant(buffers), body: nodes(buffers.length, labels, 2),
      inputs: fc.array(record({ name, buffer: fc.nat({ max: buffers.length - 1 }).map((id) => id as BufferId), rows: fc.constantFrom(...stepCounts) }), { maxLength: 2 }),
      outputs: fc.array(record({ name, buffer: fc.nat({ max: buffers.length - 1 }).map((id) => id as BufferId), rows: fc.constantFrom(...stepCounts) }), { maxLength: 2 }),
    }),
  );
