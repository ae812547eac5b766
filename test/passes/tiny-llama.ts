import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';

export type Sizes = { readonly layers: number; readonly hidden: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly inner: number; readonly vocabulary: number };
export const small: Sizes = { layers: 3, hidden: 32, heads: 4, kvHeads: 2, headDim: 8, inner: 48, vocabulary: 40 };

/** What a layer has beyond a llama's: norms of queries and keys, of each head or of the row; capped scores, sinks; slopes of keys; logits capped, each at a bound of its own. */
export type Traits = { readonly qkNorm?: { readonly norm: 'rms' | 'layer'; readonly of: 'heads' | 'row' }; readonly softCap?: number; readonly sinks?: boolean; readonly cappedLogits?: boolean; readonly slopes?: boolean };

/** A llama-like decoder in unfused row ops, written out: what a frontend hands to the passes. */
export function tinyLlama(sizes: Sizes = small, { qkNorm, softCap = 0, sinks = false, cappedLogits = false, slopes = false }: Traits = {}): GraphModule {
  const { layers, hidden, heads, kvHeads, headDim, inner, vocabulary } = sizes;
  const rows = (width: number): TensorType => ({ dtype: 'bf16', shape: ['tokens', width] });
  const weights: Weight[] = [];
  const build = new GraphBuilder(inferResults);
  const weight = (name: string, shape: readonly number[], trip = 1): ValueId => {
    const instances = Array.from({ length: trip }, (_, i) => ({ kind: 'tensor', name: name.replace('{}', String(i)) }) as const);
    weights.push({ name, dtype: 'bf16', shape, instances });
    return build.op('weight', { name }, [], { dtype: 'bf16', shape });
  };
  const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
  const linear = (x: ValueId, name: string, n: number, k: number, trip = 1): ValueId => build.op('linear', plain, [x, weight(name, [n, k], trip)]);
  const norm = (x: ValueId, name: string, trip = 1): ValueId => build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [x, weight(name, [hidden], trip)]);
  const frequencies = Array.from({ length: headDim / 2 }, (_, i) => 10000 ** ((-2 * i) / headDim));
  const rope = { headDim, frequencies, amplitude: 1, interleaved: false, positions: 128 };

  const list: TensorType = { dtype: 'i32', shape: ['tokens'] };
  const body = build.block([list, list], ([ids, positions]) => {
    const x = build.op('embed', {}, [ids as ValueId, weight('embed', [vocabulary, hidden])], rows(hidden));
    const [last] = build.loop(layers, [x], ([carried]) => {
      const h = carried as ValueId;
      const n = norm(h, 'layer.{}.norm1', layers);
      const turned = (name: 'q' | 'k', count: number): ValueId => {
        const x = linear(n, `layer.{}.${name}`, count * headDim, hidden, layers);
        const gain = (): ValueId => weight(`layer.{}.${name}_norm`, [count * headDim], layers);
        return build.op('rope', rope, [qkNorm === undefined ? x : build.op('norm', { norm: qkNorm.norm, groups: qkNorm.of === 'heads' ? count : 1, epsilon: 1e-5 }, [x, gain()]), positions as ValueId]);
      };
      const [q, k] = [turned('q', heads), turned('k', kvHeads)];
      const v = linear(n, 'layer.{}.v', kvHeads * headDim, hidden, layers);
      const attention = { heads, kvHeads, headDim, scale: headDim ** -0.5, softCap, sinks, slopes, mask: 'causal', window: 0, cache: 'kv' } as const;
      const a = build.op('add', {}, [h, linear(build.op('attention', attention, [q, k, v, ...(sinks ? [weight('layer.{}.sinks', [heads], layers)] : []), ...(slopes ? [weight('layer.{}.slopes', [heads], layers)] : [])]), 'layer.{}.o', hidden, heads * headDim, layers)]);
      const m = norm(a, 'layer.{}.norm2', layers);
      const gate = build.op('activate', { activation: 'silu' }, [linear(m, 'layer.{}.gate', inner, hidden, layers)]);
      const up = linear(m, 'layer.{}.up', inner, hidden, layers);
      return [build.op('add', {}, [a, linear(build.op('multiply', {}, [gate, up]), 'layer.{}.down', hidden, inner, layers)])];
    });
    const n = build.op('sampleRows', {}, [norm(last as ValueId, 'norm')]);
    const logits = linear(n, 'head', vocabulary, hidden);
    return [cappedLogits ? build.op('scale', {}, [build.op('activate', { activation: 'tanh' }, [logits]), weight('bounds', [vocabulary])]) : logits];
  });
  return {
    name: 'tiny', family: 'llama', customLayers: [], weights, types: build.types, body,
    inputs: [{ name: 'ids', feed: 'ids' }, { name: 'positions', feed: 'positions' }],
    outputs: [{ name: 'logits', rows: 'samples' }],
    caches: [{ name: 'kv', layers, kvHeads, headDim }],
    source: { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 0, layers, maxPositions: 128 },
  };
}
