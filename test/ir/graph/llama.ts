import type { GraphModule } from '../../../ir/graph/module.ts';
import type { DType, TensorType } from '../../../ir/types.ts';
import type { Weight } from '../../../ir/weights.ts';
import { moduleOf } from './modules.ts';

const hidden = 16;
const heads = 4;
const kvHeads = 2;
const headDim = 4;
const inner = 24;
const vocabulary = 32;

/** Two layers of a small llama, in storage dtype `dtype`, and the shapes of its checkpoint. */
export function tinyLlama(dtype: DType): { readonly module: GraphModule; readonly shapes: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[] }> } {
  const shapes = new Map<string, { dtype: DType; shape: readonly number[] }>();
  const weights: Weight[] = [];
  const weight = (name: string, shape: readonly number[], layers = 1): string => {
    const names = Array.from({ length: layers }, (_, i) => (layers === 1 ? `model.${name}.weight` : `model.layers.${i}.${name}.weight`));
    for (const tensor of names) shapes.set(tensor, { dtype: 'bf16', shape });
    weights.push({ name, dtype: shape.length === 1 ? 'f32' : dtype, shape, instances: names.map((tensor) => ({ kind: 'tensor', name: tensor })) });
    return name;
  };
  const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;
  const rope = { headDim, frequencies: [1, 0.01], amplitude: 1, interleaved: false, positions: 64 };
  const module = moduleOf({
    inputs: [{ name: 'input_ids', feed: 'ids' }, { name: 'position_ids', feed: 'positions' }],
    outputs: [{ name: 'logits', rows: 'samples' }],
    caches: [{ name: 'kv', layers: 2, kvHeads, headDim }],
    weights,
  }, (build, [ids, positions]) => {
    const of = (name: string, shape: readonly number[], layers?: number) => build.op('weight', { name: weight(name, shape, layers) }, [], { dtype: shape.length === 1 ? 'f32' : dtype, shape });
    const rows = (width: number): TensorType => ({ dtype, shape: ['tokens', width] });
    build.origin = { kind: 'config', path: 'model_type' };
    const x = build.op('embed', {}, [ids!, of('embed_tokens', [vocabulary, hidden])], rows(hidden));
    const [y] = build.loop(2, [x], ([h]) => {
      const linear = (name: string, n: number, k: number, input: typeof x) => {
        build.origin = { kind: 'tensor', name: `model.layers.{}.${name}.weight` };
        return build.op('linear', plain, [input, of(name, [n, k], 2)]);
      };
      const normed = build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [h!, of('input_layernorm', [hidden], 2)]);
      const q = build.op('rope', rope, [linear('self_attn.q_proj', heads * headDim, hidden, normed), positions!]);
      const k = build.op('rope', rope, [linear('self_attn.k_proj', kvHeads * headDim, hidden, normed), positions!]);
      const v = linear('self_attn.v_proj', kvHeads * headDim, hidden, normed);
      const mixed = build.op('attention', { heads, kvHeads, headDim, scale: 0.5, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 0, cache: 'kv' }, [q, k, v]);
      const attended = build.op('linear', { ...plain, residual: true }, [mixed, of('self_attn.o_proj', [hidden, hidden], 2), h!]);
      const again = build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [attended, of('post_attention_layernorm', [hidden], 2)]);
      build.origin = { kind: 'derived', by: 'fuse-gate', from: [{ kind: 'config', path: 'hidden_act' }, { kind: 'none' }] };
      const gateUp: Weight = {
        name: 'mlp.gate_up', dtype, shape: [2 * inner, hidden],
        instances: [0, 1].map((i) => ({ kind: 'concat', axis: 0, of: ['gate', 'up'].map((part) => ({ kind: 'tensor', name: `model.layers.${i}.mlp.${part}_proj.weight` })) })),
      };
      for (const i of [0, 1]) for (const part of ['gate', 'up']) shapes.set(`model.layers.${i}.mlp.${part}_proj.weight`, { dtype: 'bf16', shape: [inner, hidden] });
      weights.push(gateUp);
      const gated = build.op('linear', { ...plain, activation: 'silu', gated: true }, [again, build.op('weight', { name: gateUp.name }, [], { dtype, shape: gateUp.shape })]);
      build.origin = { kind: 'none' };
      return [build.op('linear', { ...plain, residual: true }, [gated, of('mlp.down_proj', [hidden, inner], 2), attended])];
    });
    const last = build.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [build.op('sampleRows', {}, [y!]), of('norm', [hidden])]);
    return [build.op('linear', plain, [last, of('lm_head', [vocabulary, hidden])], { dtype: 'f32', shape: ['samples', vocabulary] })];
  });
  return { module: { ...module, name: 'tiny', family: 'llama' }, shapes };
}
