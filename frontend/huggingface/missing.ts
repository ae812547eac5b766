import { type Feature, type FeatureId, features } from './features.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

/** What keeps known families out; signs in the config (below) add to it. */
const byType: Readonly<Record<string, readonly FeatureId[]>> = {
  olmo3: ['mixedLayers'], exaone4: ['mixedLayers'], apertus: ['otherActivation'],
  nemotron: ['gainPlusOne', 'otherActivation'], arcee: ['otherActivation'], persimmon: ['headNorm', 'otherActivation'], bitnet: ['subNorms', 'otherActivation'],
  gpt_oss: ['sinks', 'mixedLayers'], smollm3: ['mixedLayers'], cohere2: ['mixedLayers'], modernbert: ['mixedLayers'], gpt_neo: ['mixedLayers'], cwm: ['mixedLayers'],
  mpt: ['alibi'], falcon: ['layout'], gpt_bigcode: ['layout'], internlm2: ['layout'], chatglm: ['layout'], qwen: ['layout'], baichuan: ['layout'], codegen: ['layout'], dbrx: ['layout'],
  t5: ['relativeBias'], umt5: ['relativeBias'], longt5: ['relativeBias'], mpnet: ['relativeBias'], deberta: ['relativeBias'], 'deberta-v2': ['relativeBias'], 'nemotron-nas': ['mixedLayers'], openelm: ['mixedLayers'],
};

const above = (least: number) => (value: Json): boolean => typeof value === 'number' && value > least;
const present = (value: Json): boolean => value !== false;

/** Fields whose presence means a feature. */
const signs: readonly { readonly key: string; readonly means: (value: Json) => boolean; readonly feature: FeatureId }[] = [
  ...['num_experts', 'num_local_experts', 'n_routed_experts', 'moe_num_experts', 'ffn_config'].map((key) => ({ key, means: (value: Json) => above(1)(value) || (isObject(value) && 'moe_num_experts' in value), feature: 'experts' as const })),
  { key: 'kv_lora_rank', means: above(0), feature: 'latentAttention' },
  { key: 'is_encoder_decoder', means: (value) => value === true, feature: 'encoderDecoder' },
  ...['vision_config', 'audio_config', 'text_config'].map((key) => ({ key, means: isObject, feature: 'severalTowers' as const })),
  { key: 'attn_logit_softcapping', means: above(0), feature: 'softCap' },
  { key: 'final_logit_softcapping', means: above(0), feature: 'softCap' },
  { key: 'alibi', means: (value) => value === true, feature: 'alibi' },
  { key: 'use_qk_norm', means: (value) => value === true, feature: 'headNorm' },
  { key: 'patch_size', means: present, feature: 'patches' },
  { key: '_class_name', means: (value) => typeof value === 'string' && value.includes('Transformer'), feature: 'diffusion' },
  { key: 'block_configs', means: present, feature: 'mixedLayers' },
];

/** Why a known model type is not compiled yet, as far as its name and its fields say. */
export function missingFeatures(config: JsonObject, modelType: string): readonly { readonly path: string; readonly feature: Feature }[] {
  const found = new Map<FeatureId, string>();
  for (const feature of (Object.hasOwn(byType, modelType) ? byType[modelType] : undefined) ?? []) found.set(feature, 'model_type');
  for (const { key, means, feature } of signs) {
    const value = Object.hasOwn(config, key) ? config[key] : undefined;
    if (value !== undefined && value !== null && means(value) && !found.has(feature)) found.set(feature, key);
  }
  return [...found].map(([feature, path]) => ({ path, feature: features[feature] }));
}
