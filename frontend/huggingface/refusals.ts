import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { type FeatureId, features } from './features.ts';
import { isList, isObject, type Json, type JsonObject, quote } from './json.ts';

type Network = { readonly feature: FeatureId; readonly what: string; readonly nearest: string };

const decoder = 'a decoder of the same size with attention in every layer compiles, such as `llama` or `qwen2`';
const encoder = 'text encoders such as `bert` compile';

/** Networks that are no transformers, by `model_type` or, from diffusers, `_class_name`. */
const networks: Readonly<Record<string, Network>> = {
  mamba: { feature: 'mamba', what: 'every layer is', nearest: decoder },
  falcon_mamba: { feature: 'mamba', what: 'every layer is', nearest: decoder },
  mamba2: { feature: 'mamba2', what: 'every layer is', nearest: decoder },
  falcon_h1: { feature: 'mamba2', what: 'every layer has, beside its attention,', nearest: decoder },
  rwkv: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  rwkv5: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  rwkv6: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  rwkv7: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  rwkv6qwen2: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  arwkv7: { feature: 'rwkv', what: 'every layer is', nearest: decoder },
  xlstm: { feature: 'xlstm', what: 'every layer is', nearest: decoder },
  lstm: { feature: 'lstm', what: 'the network is', nearest: decoder },
  plamo2: { feature: 'mamba2', what: 'layers alternate attention and', nearest: decoder },
  bailing_moe_linear: { feature: 'linearAttention', what: 'most layers are', nearest: decoder },
  zaya: { feature: 'convAttention', what: 'layers are', nearest: decoder },
  inkling_mm_model: { feature: 'convAttention', what: 'layers are', nearest: decoder },
  squeezebert: { feature: 'groupedConv', what: 'layers have', nearest: encoder },
  convbert: { feature: 'shortConv', what: 'half of each layer\'s heads are', nearest: encoder },
  fnet: { feature: 'fourier', what: 'layers have no attention but', nearest: encoder },
  reformer: { feature: 'hashing', what: 'layers use', nearest: decoder },
  yoso: { feature: 'hashing', what: 'layers use', nearest: encoder },
  resnet: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  regnet: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  convnext: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  convnextv2: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  mobilenet_v1: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  mobilenet_v2: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  efficientnet: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  encodec: { feature: 'convolution', what: 'the network is an LSTM between', nearest: encoder },
  vits: { feature: 'convolution', what: 'the network is a flow of', nearest: encoder },
  hubert: { feature: 'convStem', what: 'the network has', nearest: encoder },
  wav2vec2: { feature: 'convStem', what: 'the network has', nearest: encoder },
  wavlm: { feature: 'convStem', what: 'the network has', nearest: encoder },
  UNet2DConditionModel: { feature: 'convolution', what: 'the network is a U of', nearest: encoder },
  AutoencoderKL: { feature: 'convolution', what: 'the network is made of', nearest: encoder },
  SanaTransformer2DModel: { feature: 'linearAttention', what: 'self-attention is', nearest: decoder },
};

/** A layer at fault: its index, the path that says so, and the value there. */
type Fault = { readonly layer: number; readonly path: string; readonly value: Json; readonly feature: FeatureId };
type LayerRule = (config: JsonObject, modelType: string) => readonly Fault[];

/** Which linear attention a model type means by it. */
const linearKinds: Readonly<Record<string, FeatureId>> = {
  qwen3_next: 'deltaNet', qwen3_5: 'deltaNet', qwen3_5_text: 'deltaNet', qwen3_5_moe: 'deltaNet', qwen3_5_moe_text: 'deltaNet', olmo_hybrid: 'deltaNet',
  kimi_linear: 'kimiDelta', kimi_k3: 'kimiDelta', minimax: 'lightning', zamba: 'mamba', zamba2: 'mamba2', jamba: 'mamba', bamba: 'mamba2', nemotron_h: 'mamba2', granitemoehybrid: 'mamba2',
};
const linearOf = (modelType: string): FeatureId => linearKinds[modelType] ?? 'linearAttention';

const numberAt = (config: JsonObject, key: string): number | undefined => {
  const value = config[key];
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
};

/** Layers of a config, at most as many as any real one has. */
const layersOf = (config: JsonObject): readonly number[] => Array.from({ length: Math.min(numberAt(config, 'num_hidden_layers') ?? 0, 4096) }, (_, layer) => layer);

/** A list field with one entry a layer: entries whose name is in `kinds` are faults. */
const listed = (key: string, kinds: (modelType: string) => Readonly<Record<string, FeatureId>>): LayerRule => (config, modelType) => {
  const list = config[key];
  if (!isList(list)) return [];
  const table = kinds(modelType);
  return list.flatMap((value, layer) => {
    const feature = Object.hasOwn(table, String(value)) ? table[String(value)] : undefined;
    return feature === undefined ? [] : [{ layer, path: `${key}[${layer}]`, value, feature }];
  });
};

const namedKinds = (modelType: string): Readonly<Record<string, FeatureId>> => ({
  linear_attention: linearOf(modelType),
  mamba: linearOf(modelType),
  mamba2: 'mamba2',
  recurrent: 'lru',
  conv: 'shortConv',
  hybrid: modelType.startsWith('zamba') ? linearOf(modelType) : 'convAttention',
  hybrid_sliding: 'convAttention',
  deepseek_sparse_attention: 'sparseAttention',
  minimax_m3_sparse: 'blockSparse',
  compressed_sparse_attention: 'compressedAttention',
  heavily_compressed_attention: 'compressedAttention',
  lsh: 'hashing',
  local: 'chunkLocal',
});

/** Every spelling of "this layer is of another kind", with the first layer it is true of. */
const layerRules: readonly LayerRule[] = [
  listed('layer_types', namedKinds),
  listed('layers_block_type', namedKinds),
  listed('attn_layers', namedKinds),
  // MiniMax-Text-01: 0 is lightning attention, 1 softmax attention.
  listed('attn_type_list', () => ({ '0': 'lightning' })),
  // RecurrentGemma: the pattern repeats over the layers.
  (config) => {
    const pattern = config['block_types'];
    if (!isList(pattern) || pattern.length === 0) return [];
    return layersOf(config).flatMap((layer) => {
      const value = pattern[layer % pattern.length] as Json;
      return value === 'recurrent' ? [{ layer, path: `block_types[${layer % pattern.length}]`, value, feature: 'lru' as const }] : [];
    });
  },
  // Nemotron-H: one letter a layer; M is Mamba-2, * attention, - a feed-forward, E experts.
  (config) => {
    const pattern = config['hybrid_override_pattern'];
    if (typeof pattern !== 'string') return [];
    return [...pattern].flatMap((value, layer) => (value === 'M' ? [{ layer, path: `hybrid_override_pattern[${layer}]`, value, feature: 'mamba2' as const }] : []));
  },
  // Qwen3-Next: every n-th layer has attention.
  (config, modelType) => {
    const interval = numberAt(config, 'full_attention_interval');
    if (interval === undefined || interval < 2 || isList(config['layer_types'])) return [];
    return layersOf(config).flatMap((layer) => ((layer + 1) % interval === 0 ? [] : [{ layer, path: 'full_attention_interval', value: interval, feature: linearOf(modelType) }]));
  },
  // Jamba: layer i has attention when i mod period is the offset.
  (config, modelType) => {
    const period = numberAt(config, 'attn_layer_period');
    const offset = numberAt(config, 'attn_layer_offset') ?? 0;
    if (period === undefined || period < 2 || isList(config['layers_block_type'])) return [];
    return layersOf(config).flatMap((layer) => (layer % period === offset ? [] : [{ layer, path: 'attn_layer_period', value: period, feature: linearOf(modelType) }]));
  },
  // Bamba: the layers listed have attention, null is none.
  (config, modelType) => {
    if (!Object.hasOwn(config, 'attn_layer_indices')) return [];
    const attention = config['attn_layer_indices'] ?? null;
    const has = new Set(isList(attention) ? attention : []);
    return layersOf(config).flatMap((layer) => (has.has(layer) ? [] : [{ layer, path: 'attn_layer_indices', value: attention, feature: linearOf(modelType) }]));
  },
  // Kimi-Linear counts layers from 1.
  (config) => {
    const settings = config['linear_attn_config'];
    const layers = isObject(settings) ? settings['kda_layers'] : undefined;
    if (!isList(layers)) return [];
    return layers.flatMap((value, i) => (typeof value === 'number' ? [{ layer: value - 1, path: `linear_attn_config.kda_layers[${i}]`, value, feature: 'kimiDelta' as const }] : []));
  },
  (config) => {
    const settings = config['sparse_attention_config'];
    const layers = isObject(settings) ? settings['sparse_attention_freq'] : undefined;
    if (!isList(layers)) return [];
    return layers.flatMap((value, layer) => (value === 1 ? [{ layer, path: `sparse_attention_config.sparse_attention_freq[${layer}]`, value, feature: 'blockSparse' as const }] : []));
  },
  (config) => {
    const ratios = config['compress_ratios'];
    if (!isList(ratios)) return [];
    return ratios.flatMap((value, layer) => (typeof value === 'number' && value > 0 ? [{ layer, path: `compress_ratios[${layer}]`, value, feature: 'compressedAttention' as const }] : []));
  },
  (config) => {
    const top = numberAt(config, 'index_topk');
    return top === undefined || isList(config['compress_ratios']) ? [] : layersOf(config).map((layer) => ({ layer, path: 'index_topk', value: top, feature: 'sparseAttention' as const }));
  },
  (config) => {
    const streams = numberAt(config, 'hc_mult');
    return streams === undefined || streams < 2 ? [] : layersOf(config).map((layer) => ({ layer, path: 'hc_mult', value: streams, feature: 'hyperConnections' as const }));
  },
];

/** Configs inside a config, read by the same rules. */
const nested = ['text_config', 'llm_config', 'language_config'];

/** What a config calls itself. */
export function typeOf(config: JsonObject): string {
  const name = config['model_type'] ?? config['_class_name'];
  return typeof name === 'string' ? name : '';
}

/**
 * Reports what makes a config no transformer, if anything: E3002 for a network of another kind, E2007 for layers of another
 * kind, naming the first layer, the path and the value. Returns whether it reported anything.
 */
export function refuse(config: JsonObject, diagnostics: Diagnostics): boolean {
  const before = diagnostics.all.length;
  refuseAt(config, '', diagnostics);
  for (const key of nested) {
    const inner = config[key];
    if (isObject(inner)) refuseAt(inner, `${key}.`, diagnostics);
  }
  return diagnostics.all.length > before;
}

function refuseAt(config: JsonObject, prefix: string, diagnostics: Diagnostics): void {
  const modelType = typeOf(config);
  const path = `${prefix}${typeof config['model_type'] === 'string' ? 'model_type' : '_class_name'}`;
  const network = Object.hasOwn(networks, modelType) ? networks[modelType] : undefined;
  const faults = layerRules.flatMap((rule) => rule(config, modelType));
  if (network !== undefined) {
    const { name, why } = features[network.feature];
    diagnostics.report({ code: 'E3002', message: `\`${modelType}\` is not made of attention and feed-forward layers alone: ${network.what} ${name}`, origin: { kind: 'config', path }, notes: [{ text: why }], help: network.nearest });
  }
  const count = layersOf(config).length;
  for (const feature of new Set(faults.map((fault) => fault.feature))) {
    const of = faults.filter((fault) => fault.feature === feature);
    const first = of.reduce((least, fault) => (fault.layer < least.layer ? fault : least));
    const { name, why } = features[feature];
    diagnostics.report({
      code: 'E2007',
      message: `layer ${first.layer} has ${name}, by \`${prefix}${first.path}\` = ${quote(first.value)}`,
      origin: { kind: 'config', path: `${prefix}${first.path}` },
      notes: [{ text: why }, { text: count >= of.length ? `${of.length} of ${count} layers have it` : `${of.length} layers have it` }],
      help: decoder,
    });
  }
}
