import { GraphBuilder } from '../ir/graph/build.ts';
import { type CustomLayer, CustomLayerError } from '../ir/graph/custom.ts';
import { inferResults } from '../ir/graph/infer.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { interpret } from '../ir/graph/interpret.ts';
import { type GraphModule, noSource, type OpOf } from '../ir/graph/module.ts';
import type { TensorType } from '../ir/types.ts';
import { WeightValues } from '../ir/weight-values.ts';
import type { TensorStore, Weight } from '../ir/weights.ts';

/** Rows of the one sequence that is tried. */
const tokens = 3;
/** Operands larger than this are not made up. */
const mostElements = 2 ** 20;
/** Of the largest value: users write references with functions of FP32 and of double precision. */
const tolerance = 1e-5;

/**
 * Holds a layer's `lower` to its `reference`: both run on made-up operands of the op's types, in double precision. Throws a
 * CustomLayerError where they differ. Operands too large to make up are not tried.
 */
export function mustAgree(layer: CustomLayer, { attrs: { attrs } }: OpOf<'custom'>, types: readonly TensorType[]): void {
  const operands = types.map(({ shape }, i) => {
    const sizes = shape.map((dim) => (typeof dim === 'number' ? dim : tokens));
    return { name: `operand ${i}`, isRows: typeof shape[0] !== 'number', shape: sizes };
  });
  const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
  if (operands.some(({ shape }) => count(shape) > mostElements)) return;

  const store: TensorStore = {
    describe: (name) => operands.flatMap((operand) => (operand.name === name ? [{ dtype: 'f32' as const, shape: operand.shape }] : []))[0],
    read: (name, start, length) => Float64Array.from({ length }, (_, i) => madeUp(start + i + 7919 * operands.findIndex((operand) => operand.name === name))),
    names: () => operands.map(({ name }) => name),
  };
  const wanted = layer.reference(operands.map(({ name, shape }) => ({ shape, data: Float64Array.from(store.read(name, 0, count(shape))) })), attrs);
  const made = lowered(layer, attrs, operands, store);
  if (wanted.length !== made.length) throw new CustomLayerError(layer.name, 'reference', `gives ${wanted.length} values where \`lower\` gives ${made.length}`);
  const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const at = made.findIndex((value, i) => !(Math.abs(value - (wanted[i] as number)) <= tolerance * largest));
  if (at >= 0) throw new CustomLayerError(layer.name, 'lower', `is not what \`reference\` computes: ${made[at]} where it gives ${wanted[at]}, on made-up operands of [${operands.map(({ shape }) => shape.join(', ')).join('] and [')}]`);
}

function lowered(layer: CustomLayer, attrs: OpOf<'custom'>['attrs']['attrs'], operands: readonly Operand[], store: TensorStore): Float64Array {
  const module = moduleOf(layer, attrs, operands);
  try {
    return interpret(module, step, { weights: new WeightValues(store, 1), arithmetic: 'real', state: new KvState() }).get('y')?.data ?? new Float64Array(0);
  } catch (error) {
    throw new CustomLayerError(layer.name, 'lower', `makes ops that cannot be run: ${error instanceof Error ? error.message : String(error)}`);
  }
}

const rows = Array.from({ length: tokens }, (_, i) => i);
const step = { sequences: [{ id: 0, rows: tokens, past: 0 }], ids: rows, positions: rows, types: rows.map(() => 0), samples: [] };

/** Between -4 and 4, exact in bf16 and so in every format of rows. */
const madeUp = (i: number): number => ((Math.imul(i + 1, 0x9e3779b1) >>> 25) - 64) / 16;

type Operand = { readonly name: string; readonly isRows: boolean; readonly shape: readonly number[] };

/** A module of the layer alone: rows are looked up in a table of them. */
function moduleOf(layer: CustomLayer, attrs: OpOf<'custom'>['attrs']['attrs'], operands: readonly Operand[]): GraphModule {
  const build = new GraphBuilder(inferResults);
  const body = build.block([{ dtype: 'i32', shape: ['tokens'] }], ([ids]) => {
    const values = operands.map(({ name, isRows, shape }) => {
      const weight = build.op('weight', { name }, [], { dtype: 'f32', shape });
      return isRows && ids !== undefined ? build.op('embed', {}, [ids, weight]) : weight;
    });
    return [layer.lower(build, values, attrs)];
  });
  const weights = operands.map(({ name, shape }): Weight => ({ name, dtype: 'f32', shape, instances: [{ kind: 'tensor', name }] }));
  return { name: layer.name, family: '', inputs: [{ name: 'ids', feed: 'ids' }], outputs: [{ name: 'y', rows: 'tokens' }], caches: [], weights, customLayers: [], types: build.types, body, source: noSource };
}
