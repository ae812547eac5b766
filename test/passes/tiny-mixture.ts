import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import { noSource, type GraphModule } from '../../ir/graph/module.ts';
import type { GraphAttrs } from '../../ir/graph/ops.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import type { Weight } from '../../ir/weights.ts';

const [hidden, inner, vocabulary, layers] = [32, 24, 40, 2];

/** Layers of a norm and a mixture of experts in unfused row ops: rows meet other weights, and nothing of each other. */
export function tinyMixture(attrs: Pick<GraphAttrs['experts'], 'experts' | 'k' | 'scores' | 'normalise' | 'biased' | 'bias'>): GraphModule {
  const { experts } = attrs;
  const rows = (width: number): TensorType => ({ dtype: 'bf16', shape: ['tokens', width] });
  const weights: Weight[] = [];
  const build = new GraphBuilder(inferResults);
  const weight = (name: string, shape: readonly number[], trip = 1): ValueId => {
    weights.push({ name, dtype: 'bf16', shape, instances: Array.from({ length: trip }, (_, i) => ({ kind: 'tensor', name: name.replace('{}', String(i)) }) as const) });
    return build.op('weight', { name }, [], { dtype: 'bf16', shape });
  };
  const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
  const body = build.block([{ dtype: 'i32', shape: ['tokens'] }], ([ids]) => {
    const x = build.op('embed', {}, [ids as ValueId, weight('embed', [vocabulary, hidden])], rows(hidden));
    const [last] = build.loop(layers, [x], ([carried]) => {
      const h = carried as ValueId;
      const n = build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [h, weight('layer.{}.norm', [hidden], layers)]);
      const logits = build.op('linear', plain, [n, weight('layer.{}.router', [experts, hidden], layers)]);
      const matrices = [weight('layer.{}.gates', [experts * 2 * inner, hidden], layers), weight('layer.{}.downs', [experts * hidden, inner], layers)];
      const lists = [
        ...(attrs.biased ? [weight('layer.{}.choice', [experts], layers)] : []),
        ...(attrs.bias ? [weight('layer.{}.gates.bias', [experts * 2 * inner], layers), weight('layer.{}.downs.bias', [experts * hidden], layers)] : []),
      ];
      return [build.op('add', {}, [h, build.op('experts', { ...attrs, activation: 'silu', scaled: false, parts: 1, whole: false }, [n, logits, ...matrices, ...lists])])];
    });
    const n = build.op('sampleRows', {}, [build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [last as ValueId, weight('norm', [hidden])])]);
    return [build.op('linear', plain, [n, weight('head', [vocabulary, hidden])])];
  });
  return {
    name: 'mixture', family: 'mixtral', customLayers: [], weights, types: build.types, body, caches: [],
    inputs: [{ name: 'ids', feed: 'ids' }], outputs: [{ name: 'logits', rows: 'samples' }], source: { ...noSource, layers, maxPositions: 128 },
  };
}
