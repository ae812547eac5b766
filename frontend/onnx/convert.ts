import { parseDim, sizeName } from '../../ir/dims.ts';
import type { Dim } from '../../ir/types.ts';
import { limits, newestOpset } from './limits.ts';
import { type OnnxAttribute, type OnnxFunction, type OnnxGraph, type OnnxModel, type OnnxNode, type OnnxTensor, type OnnxValue, functionKey } from './model.ts';
import type { Parsed } from './schema.ts';
import { type Place, dataTypeOf, toTensor } from './tensor.ts';
import { Malformed } from './wire.ts';

/** The model a decoded file says, its parts checked one by one (`check.ts` sees to the names). Throws `Malformed`. */
export function toModel(parsed: Parsed<'model'>, place: Place): OnnxModel {
  if (parsed.graph === undefined) throw new Malformed('E1001', 'it holds no graph');
  if (parsed.irVersion === undefined) throw new Malformed('E1001', 'it does not say which version of ONNX it is written in');
  const opsets = opsetsOf(parsed.opsetImport ?? []);
  if (opsets.size === 0) throw new Malformed('E1003', 'it imports no operator set');
  const opset = opsets.get('');
  if (opset !== undefined && opset > newestOpset) throw new Malformed('E1003', `it uses operator set ${opset}; the newest that is known is ${newestOpset}`);
  const functions = new Map<string, OnnxFunction>();
  if ((parsed.functions?.length ?? 0) > limits.functions) throw new Malformed('E1004', `it has ${parsed.functions?.length} functions, more than ${limits.functions}`);
  for (const each of parsed.functions ?? []) {
    const key = functionKey(each.domain ?? '', each.name ?? '', each.overload ?? '');
    if (functions.has(key)) throw new Malformed('E1003', `function \`${each.name ?? ''}\` is defined twice`);
    functions.set(key, toFunction(each, opsets, place));
  }
  return {
    irVersion: parsed.irVersion,
    producer: [parsed.producerName, parsed.producerVersion].filter((text) => text !== undefined && text !== '').join(' '),
    opsets,
    graph: toGraph(parsed.graph, place),
    functions,
  };
}

function opsetsOf(imports: readonly Parsed<'opset'>[]): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain = '', version = 0 } of imports) {
    if (version < 1 || !Number.isSafeInteger(version)) throw new Malformed('E1003', `version ${version} of operator set \`${domain}\` does not exist`);
    opsets.set(domain === 'ai.onnx' ? '' : domain, version);
  }
  return opsets;
}

function toGraph(parsed: Parsed<'graph'>, place: Place): OnnxGraph {
  if (parsed.sparseInitializer !== undefined) throw new Malformed('E1003', 'sparse initializers are not read');
  const initializers = new Map<string, OnnxTensor>();
  for (const tensor of parsed.initializer ?? []) {
    const name = tensor.name ?? '';
    if (name === '') throw new Malformed('E1003', 'an initializer has no name');
    if (initializers.has(name)) throw new Malformed('E1003', `initializer \`${name}\` is defined twice`);
    initializers.set(name, toTensor(tensor, place));
  }
  return {
    name: parsed.name ?? '',
    nodes: (parsed.node ?? []).map((node) => toNode(node, place)),
    initializers,
    inputs: (parsed.input ?? []).map(toValue),
    outputs: (parsed.output ?? []).map(toValue),
  };
}

function toNode(parsed: Parsed<'node'>, place: Place): OnnxNode {
  const opType = parsed.opType ?? '';
  if (opType === '') throw new Malformed('E1003', `node \`${parsed.name ?? ''}\` has no operator`);
  const attributes = attributesOf(parsed.attribute ?? [], place);
  const domain = parsed.domain === 'ai.onnx' ? '' : (parsed.domain ?? '');
  return { name: parsed.name ?? '', opType, domain, overload: parsed.overload ?? '', inputs: parsed.input ?? [], outputs: parsed.output ?? [], attributes };
}

function attributesOf(list: readonly Parsed<'attribute'>[], place: Place): Map<string, OnnxAttribute> {
  const attributes = new Map<string, OnnxAttribute>();
  for (const each of list) {
    const name = each.name ?? '';
    if (attributes.has(name)) throw new Malformed('E1003', `attribute \`${name}\` is given twice`);
    attributes.set(name, toAttribute(each, place));
  }
  return attributes;
}

/** AttributeProto.AttributeType: the type says which field counts; files of IR 1 say no type, then the field that is there does. */
function toAttribute(parsed: Parsed<'attribute'>, place: Place): OnnxAttribute {
  if (parsed.refAttrName !== undefined && parsed.refAttrName !== '') return { kind: 'reference', value: parsed.refAttrName };
  const type = parsed.type ?? typeGuess(parsed);
  const missing = (): never => {
    throw new Malformed('E1003', `attribute \`${parsed.name ?? ''}\` has no value`);
  };
  switch (type) {
    case 1:
      return { kind: 'float', value: parsed.f ?? 0 };
    case 2:
      return { kind: 'int', value: parsed.i ?? 0 };
    case 3:
      return { kind: 'string', value: parsed.s ?? '' };
    case 4:
      return { kind: 'tensor', value: toTensor(parsed.t ?? missing(), place) };
    case 5:
      return { kind: 'graph', value: toGraph(parsed.g ?? missing(), place) };
    case 6:
      return { kind: 'floats', value: parsed.floats ?? [] };
    case 7:
      return { kind: 'ints', value: parsed.ints ?? [] };
    case 8:
      return { kind: 'strings', value: parsed.strings ?? [] };
    default:
      return { kind: 'other', value: type };
  }
}

function typeGuess(parsed: Parsed<'attribute'>): number {
  const fields = ['f', 'i', 's', 't', 'g', 'floats', 'ints', 'strings'] as const;
  return fields.findIndex((field) => parsed[field] !== undefined) + 1;
}

function toFunction(parsed: Parsed<'function'>, outer: ReadonlyMap<string, number>, place: Place): OnnxFunction {
  const own = opsetsOf(parsed.opsetImport ?? []);
  return {
    name: parsed.name ?? '',
    domain: parsed.domain ?? '',
    inputs: parsed.input ?? [],
    outputs: parsed.output ?? [],
    defaults: attributesOf(parsed.attributeProto ?? [], place),
    opsets: own.size === 0 ? outer : own,
    nodes: (parsed.node ?? []).map((node) => toNode(node, place)),
  };
}

function toValue(parsed: Parsed<'valueInfo'>): OnnxValue {
  const name = parsed.name ?? '';
  const tensor = parsed.type?.tensor;
  if (tensor === undefined) return { name, type: undefined, dims: undefined };
  return { name, type: dataTypeOf(tensor.elemType ?? 0, `value \`${name}\``), dims: tensor.shape === undefined ? undefined : (tensor.shape.dim ?? []).map((dim) => toDim(dim, name)) };
}

function toDim(parsed: Parsed<'dim'>, owner: string): Dim | undefined {
  if (parsed.value !== undefined) {
    // Old exporters write -1 for a size they do not know.
    if (parsed.value === -1) return undefined;
    if (!Number.isSafeInteger(parsed.value) || parsed.value < 0) throw new Malformed('E1003', `value \`${owner}\` has a dimension ${parsed.value}`);
    return parsed.value;
  }
  return parsed.param === undefined || parsed.param === '' ? undefined : namedDim(parsed.param);
}

/** Exporters name dims, and PyTorch's newer one writes sums and products of names; what does not parse is a name by itself. */
function namedDim(param: string): Dim {
  // A product of many sums would not end.
  if (param.length > 128 || (param.match(/[(*]/g)?.length ?? 0) > 4) return sizeName(param.slice(0, 128));
  try {
    return parseDim(param);
  } catch {
    return sizeName(param);
  }
}
