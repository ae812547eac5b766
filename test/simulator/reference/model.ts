import { packWeights } from '../../../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../../../backend-sohu/program.ts';
import { GraphBuilder } from '../../../ir/graph/build.ts';
import { inferResults } from '../../../ir/graph/infer.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { Weight } from '../../../ir/weights.ts';
import type { Machine } from '../../../isa-spec/machine.ts';
import type { Program } from '../../../isa-spec/program.ts';
import { assignFormats, type Precision } from '../../../passes/formats.ts';
import { fuseActivation } from '../../../passes/fuse/activation.ts';
import { fuseResidual } from '../../../passes/fuse/residual.ts';
import { fuseSharedInput } from '../../../passes/fuse/shared-input.ts';
import { fitted, smallBounds, storeFor } from '../../passes/lower.ts';
import { small } from '../../passes/tiny-llama.ts';

/** The linear layers of the small Llama, one after the other as its residual stream goes: no norms, no rotations, no attention. */
export function linearLayers(): GraphModule {
  const { layers, hidden, heads, headDim, inner, vocabulary } = small;
  const weights: Weight[] = [];
  const build = new GraphBuilder(inferResults);
  const weight = (name: string, shape: readonly number[], trip: number): ValueId => {
    weights.push({ name, dtype: 'bf16', shape, instances: Array.from({ length: trip }, (_, i) => ({ kind: 'tensor', name: name.replace('{}', String(i)) })) });
    return build.op('weight', { name }, [], { dtype: 'bf16', shape });
  };
  const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
  const linear = (x: ValueId, name: string, n: number, k: number, trip = layers): ValueId => build.op('linear', plain, [x, weight(name, [n, k], trip)]);
  const rows: TensorType = { dtype: 'bf16', shape: ['tokens', hidden] };
  const body = build.block([{ dtype: 'i32', shape: ['tokens'] }], ([ids]) => {
    const x = build.op('embed', {}, [ids as ValueId, weight('embed', [vocabulary, hidden], 1)], rows);
    const [last] = build.loop(layers, [x], ([carried]) => {
      const h = carried as ValueId;
      const a = build.op('add', {}, [h, linear(linear(h, 'layer.{}.q', heads * headDim, hidden), 'layer.{}.o', hidden, heads * headDim)]);
      const gate = build.op('activate', { activation: 'silu' }, [linear(a, 'layer.{}.gate', inner, hidden)]);
      return [build.op('add', {}, [a, linear(build.op('multiply', {}, [gate, linear(a, 'layer.{}.up', inner, hidden)]), 'layer.{}.down', hidden, inner)])];
    });
    return [linear(build.op('sampleRows', {}, [last as ValueId]), 'head', vocabulary, hidden, 1)];
  });
  return {
    name: 'linear layers', family: 'llama', customLayers: [], weights, types: build.types, body,
    inputs: [{ name: 'ids', feed: 'ids' }], outputs: [{ name: 'logits', rows: 'samples' }], caches: [],
    source: { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 0, layers, maxPositions: 128 },
  };
}

/** A model compiled for `machine`, and the image of its weight region. Gated products stay apart: they would take two arrays. */
export function compiled(source: GraphModule, machine: Machine, precision: Precision): { readonly program: Program; readonly image: Uint8Array } {
  const lineBytes = machine.sram.lineBytes.value;
  const fit = fitted(assignFormats(fuseSharedInput(fuseResidual(fuseActivation(source)), lineBytes), precision, machine), machine, 0.25, 1, smallBounds);
  const placed = placedOn(fit.tile, machine);
  const program = buildProgram([placed], machine, 'step', {});
  const from = { graph: fit.graph, values: new WeightValues(storeFor(source), 1), tile: fit.tile.tile, lineBytes };
  return { program, image: Uint8Array.from(Buffer.concat([...packWeights(fit.tile, placed.layout, from, 0)])) };
}
