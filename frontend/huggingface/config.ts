import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { Activation } from '../../isa-spec/instructions.ts';
import type { DType } from '../../ir/types.ts';
import { ConfigReader, type Range } from './config-reader.ts';
import { families } from './families.ts';
import type { ExpertTraits, Family, Field, Flag, WindowTraits } from './family.ts';
import { fixedFields, inertFields } from './inert.ts';
import { isList, isObject, type Json, type JsonObject, quote } from './json.ts';
import { nearest } from './nearest.ts';
import { missingFeatures } from './missing.ts';
import { refuse, typeOf } from './refusals.ts';
import { readRopes, type Ropes } from './rope.ts';
import type { ExpertsSpec, LayerKind, TransformerSpec } from './spec.ts';

/** Far above every published model, so that a hostile config cannot ask for an endless one. */
const size: Range = { from: 1, to: 2 ** 24 };
const layerCount: Range = { from: 1, to: 4096 };
const headSize: Range = { from: 1, to: 65536 };

/** Published names of activations and the function they are (transformers, activations.py: ACT2FN). */
const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu', swish: 'silu', relu: 'relu', tanh: 'tanh', sigmoid: 'sigmoid',
  gelu: 'gelu', gelu_python: 'gelu',
  gelu_new: 'gelu_tanh', gelu_fast: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh', gelu_accurate: 'gelu_tanh',
};

const dtypes: Readonly<Record<string, DType>> = { float32: 'f32', float: 'f32', float64: 'f64', bfloat16: 'bf16', float16: 'f16', half: 'f16' };

/**
 * The transformer a config.json describes; undefined, with every reason reported, if it is none that can be compiled: E2002
 * (model type), E2003 (a value), E2004 (an unknown field), E2007 and E3002 (layers or a network of another kind).
 */
export function readSpec(config: Json, diagnostics: Diagnostics): TransformerSpec | undefined {
  if (!isObject(config)) {
    diagnostics.report({ code: 'E2001', message: `the config is ${quote(config)} where an object is wanted`, origin: { kind: 'config', path: '' } });
    return undefined;
  }
  if (refuse(config, diagnostics)) return undefined;
  const modelType = config['model_type'];
  const family = families.find(({ modelTypes }) => typeof modelType === 'string' && modelTypes.includes(modelType));
  if (family === undefined) {
    unknownType(config, diagnostics);
    return undefined;
  }
  const before = diagnostics.all.length;
  const spec = specOf(family, config, diagnostics);
  return diagnostics.all.slice(before).some(({ code }) => code.startsWith('E')) ? undefined : spec;
}

function unknownType(config: JsonObject, diagnostics: Diagnostics): void {
  const modelType = typeOf(config);
  const known = families.flatMap(({ modelTypes }) => modelTypes);
  const near = nearest(modelType, known);
  const missing = missingFeatures(config, modelType);
  diagnostics.report({
    code: 'E2002',
    message:
      modelType === ''
        ? 'the config has no `model_type`'
        : `model type \`${modelType}\` is not supported${missing.length === 0 ? '' : `: it has ${missing.map(({ feature }) => feature.name).join(', ')}`}`,
    origin: { kind: 'config', path: typeof config['_class_name'] === 'string' ? '_class_name' : 'model_type' },
    notes: [
      ...missing.map(({ path, feature }) => ({ text: `${feature.name}: ${feature.why}`, origin: { kind: 'config', path } as const })),
      { text: `supported model types: ${known.toSorted().join(', ')}` },
    ],
    help: near.length > 0 ? `nearest: ${near.map((name) => `\`${name}\``).join(', ')}` : 'an ONNX export of the model is read without regard to its model type',
  });
}

function specOf(family: Family, object: JsonObject, diagnostics: Diagnostics): TransformerSpec | undefined {
  const config = new ConfigReader(object, '', diagnostics);
  const flag = (trait: Flag): boolean => (typeof trait === 'boolean' ? trait : config.boolean(trait.key, trait.otherwise));
  const { sizes } = family;
  config.take('model_type');

  const hidden = config.integer(sizes.hidden, size);
  const layers = config.integer(sizes.layers, layerCount);
  const heads = config.integer(sizes.heads, size);
  const kvHeads = sizes.kvHeads === undefined ? heads : config.integer(sizes.kvHeads, size, heads);
  const headDim = headDimOf(family, config, hidden, heads);
  if (heads % kvHeads > 0) config.wrong(sizes.kvHeads ?? sizes.heads, kvHeads, `it has to divide \`${sizes.heads}\` ${heads}`);
  const { times } = sizes.intermediate;
  const intermediate = config.integer(sizes.intermediate.key, size, times === undefined ? undefined : times * hidden);
  const positions = config.integer(sizes.positions, { from: 1, to: 2 ** 31 }, family.position.kind === 'slopes' ? family.position.longest : undefined);
  const table = family.position.kind === 'learned' ? { rows: positions + family.position.extra, offset: family.position.offset } : undefined;
  const maxPositions = table === undefined ? positions : table.rows - table.offset;
  const ropes = family.position.kind === 'rope' ? readRopes(config, family.position.rope, headDim) : { full: undefined, sliding: undefined };
  const wiring = typeof family.wiring === 'string' ? family.wiring : flag(family.wiring) ? family.wiring.yes : family.wiring.no;
  const activation = config.choice(family.activation.key, { ...activations, ...Object.fromEntries(Object.entries(family.legacyActivation ?? {}).map(([old, name]) => [old, activations[name] as Activation])) }, family.activation.otherwise) ?? 'none';
  const tied = config.boolean(family.tied.key, family.tied.otherwise);
  const withHead = readHead(family, config);
  const kinds = kindsOf(readWindows(family.window, config, layers), ropes, maxPositions);
  for (const [key, { is, else: otherwise }] of Object.entries({ ...fixedFields, ...family.fixed })) {
    const value = config.take(key) ?? is;
    if (value !== is) config.wrong(key, value, `only ${quote(is)} can be compiled (${otherwise})`);
  }
  for (const [key, other] of Object.entries(family.same ?? {})) {
    const value = config.take(key);
    if (value !== undefined && value !== config.peek(other)) config.wrong(key, value, `it has to equal \`${other}\` ${quote(config.peek(other))}`);
  }
  const pruned = config.take('pruned_heads');
  if (isObject(pruned) && Object.keys(pruned).length > 0) config.wrong('pruned_heads', pruned, 'every layer has to have all its heads');
  const dtype = readDtype(config);
  const quantised = readQuantisation(config, diagnostics);

  const spec: TransformerSpec = {
    family: family.modelTypes[0] as string,
    layers, hidden, heads, kvHeads, headDim, intermediate,
    vocab: config.integer(sizes.vocab, size),
    maxPositions,
    norm: family.norm,
    affine: { gain: family.gain ?? 'stored', offset: family.norm === 'layer' && family.gain !== 'none' && flag(family.offset ?? true) },
    qkNorm: family.qkNorm !== undefined && flag(family.qkNorm.when) ? { ...family.qkNorm, offset: family.qkNorm.offset ?? false } : undefined,
    epsilon: typeof family.epsilon === 'number' ? family.epsilon : config.positive(family.epsilon.key, family.epsilon.otherwise),
    wiring, kinds,
    slopes: family.position.kind === 'slopes' ? slopesOf(heads) : undefined,
    positionTable: table,
    typeTable: sizes.types === undefined ? undefined : config.integer(sizes.types, size, 2),
    mask: family.mask,
    bias: { qkv: flag(family.bias.qkv), out: flag(family.bias.out), mlp: flag(family.bias.mlp), head: flag(family.bias.head) },
    activation,
    gated: family.gated,
    experts: family.experts === undefined ? undefined : readExperts(family.experts, config, flag),
    factor: readFactors(family, config, { hidden, headDim }),
    cap: readCaps(family, config),
    head: withHead ? (tied ? 'tied' : 'own') : 'none',
    names: family.names,
    fields: { layers: sizes.layers, heads: sizes.heads, activation: family.activation.key },
    dtype, quantised,
  };
  config.close({ ...inertFields, ...family.inert });
  return spec;
}

/** Most experts a router can choose among, and most a row can choose. */
const expertCount: Range = { from: 1, to: 1024 };
const chosenMost = 16;

function readExperts({ count, k, inner, normalise, shared, names }: ExpertTraits, config: ConfigReader, flag: (trait: Flag) => boolean): ExpertsSpec {
  const key = count.also !== undefined && config.has(count.also) ? count.also : count.key;
  const experts = config.integer(key, expertCount, count.otherwise);
  if (config.integer(count.key, expertCount, experts) !== experts) config.wrong(count.key, config.peek(count.key), `\`${key}\` is ${experts}`);
  const chosen = config.integer(k.key, { from: 1, to: chosenMost }, k.otherwise);
  if (chosen > experts) config.wrong(k.key, chosen, `there are only \`${key}\` ${experts}`);
  const dense = config.take('mlp_only_layers');
  if (isList(dense) && dense.length > 0) config.wrong('mlp_only_layers', dense, 'every layer has to have experts');
  return {
    count: experts, k: chosen, inner: config.integer(inner, size), normalise: flag(normalise),
    shared: shared === undefined ? undefined : config.integer(shared, size), names, field: key,
  };
}

function headDimOf(family: Family, config: ConfigReader, hidden: number, heads: number): number {
  const given = family.sizes.headDim === undefined ? 0 : config.integer(family.sizes.headDim, headSize, 0);
  if (given !== 0) return given;
  if (hidden % heads > 0) return config.wrong(family.sizes.heads, heads, `it has to divide \`${family.sizes.hidden}\` ${hidden}`);
  if (hidden / heads > headSize.to) return config.wrong(family.sizes.heads, heads, `heads of ${hidden / heads} elements are larger than ${headSize.to}`);
  return hidden / heads;
}

/** Whether the result is logits. The class named first in `architectures` decides; without one, the class with a head. */
function readHead(family: Family, config: ConfigReader): boolean {
  const architectures = config.take('architectures');
  const name = isList(architectures) ? architectures[0] : undefined;
  if (name === undefined) return family.causal !== undefined;
  if (name === family.body) return false;
  if (name === family.causal) return true;
  const compiled = [family.causal, family.body].filter((known) => known !== undefined).map((known) => `\`${known}\``);
  config.wrong('architectures[0]', name, `of this model type ${compiled.join(' and ')} can be compiled`, `\`${family.body}\` gives the rows this class puts its head on`);
  return false;
}

/** The window, 0 for none, and the layers that see no more than it. */
type Windows = { readonly window: number; readonly sliding: readonly boolean[] };

function readWindows(traits: WindowTraits, config: ConfigReader, layers: number): Windows {
  const types = config.take('layer_types');
  const window = traits.kind === 'none' ? 0 : config.has(traits.key) ? config.integer(traits.key, { from: traits.kind === 'switched' ? 0 : 1, to: 2 ** 31 }, 0) : traits.otherwise;
  const rule = windowRule(traits, config);
  const each = Array.from({ length: Number.isNaN(layers) ? 0 : layers }, (_, layer) => layer);
  if (types === undefined) return { window, sliding: each.map((layer) => window > 0 && rule(layer)) };
  if (!isList(types) || types.length !== layers) {
    config.wrong('layer_types', types, `it has to be a list of ${layers} names, one a layer`);
    return { window: 0, sliding: each.map(() => false) };
  }
  const unknown = types.findIndex((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (unknown >= 0) config.wrong(`layer_types[${unknown}]`, types[unknown], 'it has to be `full_attention` or `sliding_attention`');
  const narrow = types.indexOf('sliding_attention');
  if (narrow >= 0 && window === 0) config.wrong(`layer_types[${narrow}]`, 'sliding_attention', 'no window is given');
  return { window, sliding: types.map((type) => type === 'sliding_attention') };
}

/** Which layers see a window where no list says. */
function windowRule(traits: WindowTraits, config: ConfigReader): (layer: number) => boolean {
  switch (traits.kind) {
    case 'none': return () => false;
    case 'always': return () => true;
    case 'switched': {
      const from = config.integer(traits.from, { from: 0, to: 2 ** 24 }, traits.fromOtherwise);
      const isOn = config.boolean(traits.switch, false);
      return (layer) => isOn && layer >= from;
    }
    case 'pattern': {
      const every = typeof traits.every === 'number' ? traits.every : config.integer(traits.every.key, { from: 1, to: 4096 }, traits.every.otherwise);
      return (layer) => (layer + 1) % every !== 0;
    }
  }
}

/** The kinds of layers that repeat. A window no shorter than the longest sequence hides nothing. */
function kindsOf({ window, sliding }: Windows, ropes: Ropes, maxPositions: number): readonly LayerKind[] {
  const [full, narrow]: readonly [LayerKind, LayerKind] = [{ window: 0, rope: ropes.full }, { window: window >= maxPositions ? 0 : window, rope: ropes.sliding }];
  const kinds = sliding.map((is) => (is && (narrow.window !== full.window || narrow.rope !== full.rope) ? narrow : full));
  const period = kinds.findIndex((_, i) => i > 0 && kinds.every((kind, layer) => kind === kinds[layer % i]));
  return period === -1 ? kinds : kinds.slice(0, period);
}

/** Powers of one base, for the largest power of two of heads; for the rest, odd powers of the next (transformers, modeling_bloom.py: build_alibi_tensor). */
function slopesOf(heads: number): readonly number[] {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const base = (count: number): number => Math.fround(2 ** -(2 ** -(Math.log2(count) - 3)));
  const first = Array.from({ length: whole }, (_, i) => Math.fround(base(whole) ** (i + 1)));
  return [...first, ...Array.from({ length: heads - whole }, (_, i) => Math.fround(base(2 * whole) ** (2 * i + 1)))];
}

/** What scores and logits are capped at; null says nothing. */
function readCaps(family: Family, config: ConfigReader): TransformerSpec['cap'] {
  const read = (cap: Field<number> | undefined): number => (cap === undefined || (config.has(cap.key) && config.take(cap.key) === undefined) ? 0 : config.positive(cap.key, cap.otherwise));
  return { scores: read(family.cap?.scores), logits: read(family.cap?.logits) };
}

function readFactors(family: Family, config: ConfigReader, { hidden, headDim }: { readonly hidden: number; readonly headDim: number }): TransformerSpec['factor'] {
  const read = (factor: Field<number> | undefined, otherwise: number): number => (factor === undefined ? otherwise : config.positive(factor.key, factor.otherwise));
  const { embedding, score, residual, logits } = family.factor ?? {};
  const logit = read(logits, 1);
  const scored = read(score, 1 / Math.sqrt(headDim));
  return { embedding: embedding === 'root' ? Math.sqrt(hidden) : read(embedding, 1), score: score?.root === true ? 1 / Math.sqrt(scored) : scored, residual: read(residual, 1), logits: logits?.divides ? 1 / logit : logit };
}

function readDtype(config: ConfigReader): DType {
  const older = config.take('torch_dtype');
  const value = config.take('dtype') ?? older;
  return (typeof value === 'string' ? dtypes[value.replace(/^torch\./, '')] : undefined) ?? 'f32';
}

/** The method weights are stored with. It says nothing of the network, so it only matters once weights are read. */
function readQuantisation(config: ConfigReader, diagnostics: Diagnostics): string | undefined {
  const value = config.take('quantization_config');
  if (value === undefined) return undefined;
  const method = isObject(value) && typeof value['quant_method'] === 'string' ? value['quant_method'] : 'an unnamed method';
  diagnostics.report({
    code: 'W2008',
    message: `\`quantization_config\` (${method}) says how the checkpoint is stored; the network is compiled in the formats chosen here`,
    origin: { kind: 'config', path: 'quantization_config' },
  });
  return method;
}
