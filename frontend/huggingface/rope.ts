import type { ConfigReader } from './config-reader.ts';
import { isObject, quote } from './json.ts';
import type { RopeSpec } from './spec.ts';

/** What a family says of its rotary embedding. */
export type RopeTraits = {
  /** Field of the base where it is not in `rope_parameters`, and its default. */
  readonly theta: string;
  readonly base: number;
  readonly interleaved: boolean;
  /** Fraction of each head that turns: the field, and its default. */
  readonly partial: { readonly key: string; readonly otherwise: number };
  /** Field that gives the turned elements of a head as a count instead. */
  readonly count?: { readonly key: string; readonly otherwise: number };
  /** Layers that see a window have a base of their own: the field, and its default. */
  readonly local?: { readonly theta: string; readonly base: number };
};

/** The angles of layers that see all keys, and of those that see a window. */
export type Ropes = { readonly full: RopeSpec | undefined; readonly sliding: RopeSpec | undefined };

/**
 * Reads the three spellings of rotary settings: `rope_theta` with `rope_scaling` (transformers 4), `rope_parameters`
 * (transformers 5), and a fraction beside either. A head size that is not known (NaN) is no fault of theirs.
 */
export function readRopes(config: ConfigReader, traits: RopeTraits, headDim: number): Ropes {
  if (traits.local === undefined) {
    const rope = readRope(config, traits, headDim);
    return { full: rope, sliding: rope };
  }
  const { local, ...rest } = traits;
  const own: RopeTraits = { ...rest, ...local };
  const given = config.peek('rope_parameters');
  if (!isObject(given) || !('full_attention' in given || 'sliding_attention' in given)) {
    const sliding = ropeOf(config, 'rope_scaling', undefined, own, headDim);
    return { full: readRope(config, rest, headDim), sliding };
  }
  config.take('rope_scaling');
  const kinds = config.object('rope_parameters') as ConfigReader;
  const read = (kind: string, of: RopeTraits): RopeSpec | undefined => ropeOf(config, 'rope_parameters', kinds.object(kind), of, headDim);
  const ropes = { full: read('full_attention', rest), sliding: read('sliding_attention', own) };
  kinds.close({});
  return ropes;
}

function readRope(config: ConfigReader, traits: RopeTraits, headDim: number): RopeSpec | undefined {
  const key = config.peek('rope_parameters') !== undefined ? 'rope_parameters' : 'rope_scaling';
  const settings = config.object(key);
  config.take('rope_parameters');
  config.take('rope_scaling');
  return ropeOf(config, key, settings, traits, headDim);
}

function ropeOf(config: ConfigReader, key: string, settings: ConfigReader | undefined, traits: RopeTraits, headDim: number): RopeSpec | undefined {
  const outer = config.positive(traits.theta, traits.base);
  const theta = settings?.positive('rope_theta', outer) ?? outer;
  const outerPart = config.positive(traits.partial.key, traits.partial.otherwise);
  const part = settings?.positive('partial_rotary_factor', outerPart) ?? outerPart;
  // transformers: int(head_dim * partial_rotary_factor)
  const fractional = Math.trunc(headDim * part);
  if (traits.count !== undefined && config.has(traits.count.key) && config.peek(traits.count.key) === undefined) config.wrong(traits.count.key, null, 'it has to say how many elements of a head turn');
  const rotary = traits.count === undefined ? fractional : config.integer(traits.count.key, { from: 2, to: 65536 }, traits.count.otherwise);
  const fits = rotary % 2 === 0 && rotary >= 2 && rotary <= headDim;
  if (!fits && !Number.isNaN(rotary + headDim)) config.wrong(traits.count?.key ?? traits.partial.key, rotary, `an even number of elements, 2 to ${headDim}, turns in each head`);
  const frequencies = scaled(inverseFrequencies(theta, fits ? rotary : 2), config, key, settings);
  return frequencies && { frequencies, interleaved: traits.interleaved, path: settings === undefined ? config.path(traits.theta) : config.path(key) };
}

/** theta^(-2i/n) for each of n/2 pairs, in the FP32 steps of the published code (`1.0 / base ** (arange(0, n, 2) / n)`). */
const inverseFrequencies = (theta: number, rotary: number): readonly number[] =>
  Array.from({ length: rotary / 2 }, (_, i) => Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / rotary))));

type Scaling = (frequencies: readonly number[], settings: ConfigReader) => readonly number[];

/** Scalings whose frequencies do not depend on the sequence. Formulas: transformers, modeling_rope_utils.py. */
const scalings: Readonly<Record<string, Scaling>> = {
  default: (frequencies) => frequencies,
  linear: (frequencies, settings) => {
    const factor = settings.positive('factor');
    return frequencies.map((f) => Math.fround(f / factor));
  },
  llama3: (frequencies, settings) => {
    const factor = settings.positive('factor');
    const low = settings.positive('low_freq_factor');
    const high = settings.positive('high_freq_factor');
    const context = settings.integer('original_max_position_embeddings', { from: 1, to: 2 ** 31 });
    if (!(high > low)) settings.wrong('high_freq_factor', high, `it has to be above \`low_freq_factor\` ${low}`);
    return frequencies.map((f) => {
      const wavelength = (2 * Math.PI) / f;
      if (wavelength < context / high) return f;
      if (wavelength > context / low) return Math.fround(f / factor);
      const smooth = (context / wavelength - low) / (high - low);
      return Math.fround(((1 - smooth) * f) / factor + smooth * f);
    });
  },
};

/** Scalings known by name and why they are refused. */
const refused: Readonly<Record<string, string>> = {
  dynamic: 'its angles depend on how long each sequence has become',
  longrope: 'its angles depend on how long each sequence is',
  su: 'its angles depend on how long each sequence is',
  yarn: 'its ramp and its attention temperature are not implemented',
  mrope: 'its positions have three coordinates',
  proportional: 'its per-layer fractions are not implemented',
};

function scaled(frequencies: readonly number[], config: ConfigReader, key: string, settings: ConfigReader | undefined): readonly number[] | undefined {
  if (settings === undefined) return frequencies;
  const newer = settings.take('rope_type');
  const older = settings.take('type');
  const kind = newer ?? older ?? 'default';
  if (typeof kind === 'string' && Object.hasOwn(scalings, kind)) {
    const result = scalings[kind]?.(frequencies, settings);
    settings.close(inert);
    return result;
  }
  if (newer === undefined && older === undefined) {
    config.wrong(key, config.peek(key), 'it has to say its `rope_type`');
    return undefined;
  }
  const why = typeof kind === 'string' && Object.hasOwn(refused, kind) ? ` (${refused[kind]})` : '';
  settings.wrong(newer === undefined ? 'type' : 'rope_type', kind, `only ${Object.keys(scalings).map(quote).join(', ')} can be compiled${why}`, 'a variant of this model without that scaling compiles');
  return undefined;
}

const inert = { original_max_position_embeddings: 'says what the model was first trained with' };
