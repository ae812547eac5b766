import { activations, hostTables, routeScores, vectorFunctions } from '../../isa-spec/instructions.ts';
import type { Packing } from './module.ts';
import type { TileAttrs, TileKind } from './ops.ts';

/** What a value of an attribute may be: an integer from 0, a finite number, yes or no, a name, one of a few words. */
export type AttributeKind = 'count' | 'real' | 'flag' | 'name' | readonly string[];

type KindOf<T> = [T] extends [boolean] ? 'flag' : [T] extends [number] ? 'count' | 'real' : [string] extends [T] ? 'name' : readonly T[];

/** The attributes of each kind of op and what their values are: what texts and generators of modules are made from. */
const tileAttributes = {
  input: { table: hostTables },
  load: {},
  store: {},
  gather: { skip: 'flag' },
  scatter: { skip: 'flag' },
  fill: { value: 'real' },
  weights: { kTiles: 'count', nTiles: 'count', split: 'count', kSplit: 'count' },
  multiply: { accumulate: ['no', 'yes', 'first'], split: 'count', kSplit: 'count', kTiles: 'count', kLast: 'count', nTiles: 'count' },
  drain: { activation: activations, scale: 'flag', bias: 'flag', gated: 'flag', split: 'count', nTiles: 'count', nLast: 'count' },
  query: { heads: 'count', headDim: 'count', scale: 'real' },
  attend: { mask: ['full', 'causal'], window: 'count', softCap: 'real', kvHeads: 'count', pageRows: 'count' },
  finish: {},
  map: { function: vectorFunctions },
  norm: { norm: ['rms', 'layer'], groups: 'count' },
  rope: { interleaved: 'flag', headDim: 'count', rotary: 'count', heads: 'count' },
  quantise: {},
  quantiseBlocks: {},
  route: { scores: routeScores, normalise: 'flag', experts: 'count', k: 'count' },
  bin: { experts: 'count', k: 'count', size: 'count', group: 'count' },
  mix: { k: 'count' },
  allgather: { parts: 'count', tag: 'count' },
  reduceScatter: { parts: 'count', tag: 'count' },
  exchange: { parts: 'count', tag: 'count' },
  collect: { parts: 'count', tag: 'count' },
  collectList: { parts: 'count', tag: 'count' },
  shift: { tag: 'count' },
} as const satisfies { readonly [K in TileKind]: { readonly [A in keyof TileAttrs[K]]: KindOf<TileAttrs[K][A]> } };

/** The attributes of each way of packing. */
export const packingAttributes = {
  tiles: { weight: 'name', groupTiles: 'count', gated: 'flag' },
  params: { weight: 'name', bias: 'name', groupTiles: 'count', gated: 'flag', scale: 'flag' },
  norm: { gamma: 'name', beta: 'name', features: 'count', epsilon: 'real' },
  expertTiles: { weight: 'name', experts: 'count', groupTiles: 'count', gated: 'flag' },
  expertParams: { weight: 'name', bias: 'name', experts: 'count', groupTiles: 'count', gated: 'flag', scale: 'flag' },
  rows: { weight: 'name' },
} as const satisfies { readonly [P in Packing as P['kind']]: { readonly [A in Exclude<keyof P, 'kind'>]: KindOf<P[A]> } };

/** The attributes of an op kind, without the types of their values. */
export const attributesOf = (kind: TileKind): Readonly<Record<string, AttributeKind>> => tileAttributes[kind];
export const tileKinds = Object.keys(tileAttributes) as readonly TileKind[];
