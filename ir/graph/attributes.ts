import { activations, routeScores } from '../../isa-spec/instructions.ts';
import { binaryFunctions, blockActivations, type GraphAttrs, moeScores, type OpKind, ropePairs, scatterReductions, unaryFunctions } from './ops.ts';

/** What an attribute may hold, at run time: a flag, a number, a text, lists of these, one of some names, or (custom layers) a record. */
export type AttributeKind = 'flag' | 'number' | 'numbers' | 'text' | 'texts' | 'record' | readonly string[];
export type AttributeValue = boolean | number | string | readonly number[] | readonly string[] | Readonly<Record<string, number | string | readonly number[]>>;

type KindOf<V> = [V] extends [boolean]
  ? 'flag'
  : [V] extends [number]
    ? 'number'
    : [V] extends [string]
      ? string extends V ? 'text' : readonly V[]
      : [V] extends [readonly number[]] ? 'numbers' : [V] extends [readonly string[]] ? 'texts' : 'record';

/** The attributes of every kind of op, in the order they are printed. The text form and the tests' generator follow this table. */
const attributeKinds: { readonly [K in OpKind]: { readonly [F in keyof GraphAttrs[K]]: KindOf<GraphAttrs[K][F]> } } = {
  weight: { name: 'text' },
  embed: {},
  norm: { norm: ['rms', 'layer'], groups: 'number', epsilon: 'number' },
  linear: { activation: activations, gated: 'flag', scaled: 'flag', bias: 'flag', residual: 'flag' },
  rope: { headDim: 'number', interleaved: 'flag', amplitude: 'number', positions: 'number', frequencies: 'numbers' },
  attention: { heads: 'number', kvHeads: 'number', headDim: 'number', scale: 'number', softCap: 'number', sinks: 'flag', slopes: 'flag', mask: ['full', 'causal'], window: 'number', cache: 'text' },
  experts: { experts: 'number', k: 'number', scores: routeScores, normalise: 'flag', activation: activations, scaled: 'flag', biased: 'flag', bias: 'flag', parts: 'number', whole: 'flag' },
  sampleRows: {},
  activate: { activation: activations },
  add: {},
  multiply: {},
  scale: {},
  columns: { start: 'number', end: 'number' },
  quantise: { blocks: 'flag' },
  convert: {},
  allgather: { parts: 'number', strips: 'number' },
  take: { value: 'number' },
  give: { value: 'number' },
  loop: { trip: 'number' },
  fused: {},
  custom: { layer: 'text', attrs: 'record' },
  pconst: { values: 'numbers' },
  punary: { fn: unaryFunctions },
  pbinary: { fn: binaryFunctions },
  pwhere: {},
  pmatmul: {},
  preduce: { fn: ['sum', 'mean', 'max', 'min', 'prod'], axes: 'numbers', keepDims: 'flag' },
  psoftmax: { axis: 'number' },
  ptranspose: { perm: 'numbers' },
  preshape: {},
  pexpand: {},
  pslice: { axis: 'number', start: 'text', end: 'text', step: 'number' },
  pconcat: { axis: 'number' },
  pgather: { axis: 'number' },
  pcast: {},
  piota: { start: 'text', step: 'number' },
  ptrilu: { upper: 'flag', k: 'text' },
  pcumsum: { axis: 'number' },
  ppick: { axis: 'number' },
  pscatter: { axis: 'number', reduction: scatterReductions },
  ptopk: { axis: 'number', k: 'text', largest: 'flag' },
  psizes: { sizes: 'texts' },
  tnorm: { norm: ['rms', 'layer'], axes: 'numbers', epsilon: 'number' },
  tactivate: { activation: blockActivations, slope: 'number' },
  trope: { pairs: ropePairs },
  tattention: { scale: 'number', softCap: 'number', biased: 'flag', sinks: 'flag' },
  tmoe: { k: 'number', scores: moeScores, normalise: 'flag', factor: 'number', groups: 'number', kept: 'number', judged: 'number', activation: blockActivations, slope: 'number', limit: 'number', shift: 'number', biased: 'flag', expertBias: 'flag' },
};

export const opKinds = Object.keys(attributeKinds) as readonly OpKind[];

/** The table as the reader of a text sees it, before it knows which kind of op it has. */
export const attributesOf = (kind: OpKind): Readonly<Record<string, AttributeKind>> => attributeKinds[kind];
