import type { Diagnostics, Origin } from '../../diagnostics/diagnostic.ts';
import { parseDim } from '../dims.ts';
import { type DType, dtypes, type TensorType, type ValueId } from '../types.ts';
import type { Weight } from '../weights.ts';
import { type AttributeKind, attributesOf, type AttributeValue, opKinds } from './attributes.ts';
import type { CustomLayer } from './custom.ts';
import { type At, type AttributeSyntax, type BlockSyntax, type EntrySyntax, type ModuleSyntax, type OpSyntax, type OriginSyntax, readSyntax, type TypedSyntax, type TypeSyntax, type ValueSyntax } from './grammar.ts';
import { type Block, type Cache, type Feed, type GraphModule, type GraphOp, type Input, noSource, type Output } from './module.ts';
import type { OpKind } from './ops.ts';
import { instancesOf, TextError } from './parse-weights.ts';

/**
 * Reads what `printGraph` prints; `source` is that of no source. Reports E5001 at the first thing in `file` that does not parse,
 * or names a custom layer not among those given, and returns undefined. Whether the module keeps the rules of the IR is the verifier's business.
 */
export function parseGraph(text: string, file: string, diagnostics: Diagnostics, customLayers: readonly CustomLayer[]): GraphModule | undefined {
  const syntax = readSyntax(text);
  try {
    if ('error' in syntax) throw new TextError(syntax.error, syntax.at);
    return moduleOf(syntax, customLayers);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    diagnostics.report({ code: 'E5001', message: error.message, origin: { kind: 'text', file, ...error.at } });
    return undefined;
  }
}

function moduleOf(syntax: ModuleSyntax, layers: readonly CustomLayer[]): GraphModule {
  const types: TensorType[] = [];
  for (const entry of syntax.entries) if (entry.kind === 'value') define(entry.value, types);
  const body = blockOf(syntax.body, types);
  const missing = Array.from(types).findIndex((type) => type === undefined);
  if (missing >= 0) throw new TextError(`nothing says what %${missing} is`, { line: 1, column: 1 });
  return {
    name: syntax.name,
    family: syntax.family,
    inputs: syntax.entries.flatMap((entry) => (entry.kind === 'input' ? [inputOf(entry)] : [])),
    outputs: syntax.entries.flatMap((entry) => (entry.kind === 'output' ? [outputOf(entry)] : [])),
    caches: syntax.entries.flatMap((entry) => (entry.kind === 'cache' ? [cacheOf(entry)] : [])),
    weights: syntax.entries.flatMap((entry) => (entry.kind === 'weight' ? [weightOf(entry)] : [])),
    customLayers: syntax.entries.flatMap((entry) => (entry.kind === 'custom' ? [layerOf(entry, layers)] : [])),
    types,
    body,
    source: noSource,
  };
}

type Entry<K extends EntrySyntax['kind']> = Extract<EntrySyntax, { kind: K }>;

const feeds: readonly Feed[] = ['ids', 'positions', 'types', 'rows', 'tensor'];
const outputRows: readonly Output['rows'][] = ['tokens', 'samples', 'tensor'];

const inputOf = ({ name, word, at }: Entry<'input' | 'output'>): Input => ({ name, feed: oneOf(word, feeds, at) });
const outputOf = ({ name, word, at }: Entry<'input' | 'output'>): Output => ({ name, rows: oneOf(word, outputRows, at) });
const weightOf = (entry: Entry<'weight'>): Weight => {
  const { dtype, shape } = typeOf(entry.type);
  const sizes = shape.map((dim) => (typeof dim === 'number' ? dim : fail(`\`${dim}\` is not a size of a weight`, entry.at)));
  return { name: entry.name, dtype, shape: sizes, instances: instancesOf(entry.exprs, entry.range, entry.at) };
};

function cacheOf({ name, fields, at }: Entry<'cache'>): Cache {
  const field = (wanted: string): number => {
    const value = fields.find((candidate) => candidate.name === wanted)?.value;
    return value?.kind === 'number' ? value.value : fail(`a cache has a number of \`${wanted}\``, at);
  };
  return { name, layers: field('layers'), kvHeads: field('kvHeads'), headDim: field('headDim') };
}

const layerOf = ({ name, at }: Entry<'custom'>, layers: readonly CustomLayer[]): CustomLayer =>
  layers.find((layer) => layer.name === name) ?? fail(`custom layer \`${name}\` is not defined`, at);

function blockOf({ params, ops, yields }: BlockSyntax, types: TensorType[]): Block {
  const ids = params.map((param) => define(param, types));
  return { params: ids, ops: ops.map((op) => opOf(op, types)), yields: yields as readonly number[] as readonly ValueId[] };
}

function opOf(syntax: OpSyntax, types: TensorType[]): GraphOp {
  const kind = oneOf(syntax.kind, opKinds, syntax.at);
  const holds = kind === 'loop' || kind === 'fused';
  if (holds !== (syntax.body !== undefined)) fail(`\`${kind}\` ${holds ? 'needs a' : 'has no'} body`, syntax.at);
  const body = syntax.body === undefined ? undefined : blockOf(syntax.body, types);
  const results = syntax.results.map((result) => define(result, types));
  const origin: Origin = syntax.origin === undefined ? { kind: 'none' } : originOf(syntax.origin);
  // The table of attributes says that these are the kind's own.
  return { kind, attrs: attributesFrom(kind, syntax), operands: syntax.operands, results, origin, body } as unknown as GraphOp;
}

function attributesFrom(kind: OpKind, { attributes, at }: OpSyntax): Readonly<Record<string, AttributeValue>> {
  const kinds = attributesOf(kind);
  for (const [i, attribute] of attributes.entries()) {
    if (kinds[attribute.name] === undefined) fail(`\`${kind}\` has no attribute \`${attribute.name}\``, attribute.at);
    if (attributes.findIndex(({ name }) => name === attribute.name) < i) fail(`\`${attribute.name}\` is given twice`, attribute.at);
  }
  return Object.fromEntries(
    Object.entries(kinds).map(([name, of]) => {
      const given = attributes.find((attribute) => attribute.name === name);
      if (of === 'flag' && given === undefined) return [name, false];
      return [name, given === undefined ? fail(`\`${kind}\` needs \`${name}\``, at) : attributeOf(of, given)];
    }),
  );
}

function attributeOf(kind: AttributeKind, { name, value, at }: AttributeSyntax): AttributeValue {
  if (kind === 'flag') return value === undefined ? true : fail(`\`${name}\` is a flag`, at);
  if (typeof kind === 'object') return value?.kind === 'name' ? oneOf(value.name, kind, at) : fail(`\`${name}\` is one of ${kind.join(', ')}`, at);
  const read = value === undefined ? undefined : plain(value);
  const fits = {
    number: () => typeof read === 'number',
    text: () => typeof read === 'string',
    numbers: () => Array.isArray(read) && read.every((item) => typeof item === 'number'),
    texts: () => Array.isArray(read) && read.every((item) => typeof item === 'string'),
    record: () => typeof read === 'object' && !Array.isArray(read),
  }[kind]();
  return fits ? (read as AttributeValue) : fail(`\`${name}\` is not of kind ${kind}`, at);
}

type Plain = number | string | readonly Plain[] | { readonly [key: string]: Plain };

function plain(value: ValueSyntax): Plain {
  switch (value.kind) {
    case 'number':
      return value.value;
    case 'text':
      return value.text;
    case 'name':
      return value.name;
    case 'list':
      return value.items.map(plain);
    case 'record':
      return Object.fromEntries(value.entries.map((entry) => [entry.key, plain(entry.value)]));
  }
}

function originOf({ name, derived, args, from, at }: OriginSyntax): Origin {
  if (derived) return { kind: 'derived', by: name, from: from.map(originOf) };
  const text = (i: number): string => {
    const arg = args[i];
    return typeof arg === 'string' ? arg : fail(`an origin \`${name}\` needs a text here`, at);
  };
  const number = (i: number): number => {
    const arg = args[i];
    return typeof arg === 'number' ? arg : fail(`an origin \`${name}\` needs a number here`, at);
  };
  switch (name) {
    case 'onnx':
      return { kind: 'onnx', node: text(0), op: text(1) };
    case 'config':
      return { kind: 'config', path: text(0) };
    case 'tensor':
      return { kind: 'tensor', name: text(0) };
    case 'file':
      return args.length === 1 ? { kind: 'file', path: text(0) } : { kind: 'file', path: text(0), offset: number(1) };
    case 'text':
      return { kind: 'text', file: text(0), line: number(1), column: number(2) };
    case 'none':
      return { kind: 'none' };
    default:
      return fail(`\`${name}\` is no kind of origin`, at);
  }
}

function define({ value, type, at }: TypedSyntax, types: TensorType[]): ValueId {
  if (value > mostValues) fail(`%${value} is beyond the ${mostValues} values of a module`, at);
  if (types[value] !== undefined) fail(`%${value} is defined twice`, at);
  types[value] = typeOf(type);
  return value as ValueId;
}

/** A text cannot make the reader hold a list longer than this. */
const mostValues = 10_000_000;

function typeOf({ dtype, shape, at }: TypeSyntax): TensorType {
  const dims = shape.map((text) => {
    try {
      return parseDim(text);
    } catch {
      return fail(`\`${text.trim()}\` is not a dimension`, at);
    }
  });
  return { dtype: oneOf<DType>(dtype, dtypes, at), shape: dims };
}

function oneOf<T extends string>(name: string, names: readonly T[], at: At): T {
  return names.find((candidate) => candidate === name) ?? fail(`\`${name}\` is none of ${names.join(', ')}`, at);
}

function fail(message: string, at: At): never {
  throw new TextError(message, at);
}
