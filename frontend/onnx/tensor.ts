import { FileRefused, type Files } from '../files.ts';
import { type DataType, dataTypes } from './dtypes.ts';
import { limits } from './limits.ts';
import { type OnnxData, type OnnxTensor, elementsOf } from './model.ts';
import type { Chunk, Parsed } from './schema.ts';
import { Malformed } from './wire.ts';

/** The file at hand: where the bytes that were skipped lie, and where external data is looked for. */
export type Place = { readonly files: Files; readonly path: string };

/** A TensorProto with its data found and its size checked. Throws `Malformed`. */
export function toTensor(parsed: Parsed<'tensor'>, place: Place): OnnxTensor {
  const name = parsed.name ?? '';
  const type = dataTypeOf(parsed.dataType ?? 0, `tensor \`${name}\``);
  const dims = parsed.dims ?? [];
  checkDims(dims, name);
  const data = dataOf(parsed, type, elementsOf(dims), place);
  return { name, type, dims, data };
}

export function dataTypeOf(code: number, owner: string): DataType {
  const type = dataTypes.get(code);
  if (type === undefined) throw new Malformed('E1003', `${owner} has data type ${code}, which does not exist`);
  return type;
}

function checkDims(dims: readonly number[], name: string): void {
  if (dims.length > limits.rank) throw new Malformed('E1004', `tensor \`${name}\` has rank ${dims.length}, more than ${limits.rank}`);
  const wrong = dims.find((dim) => !Number.isSafeInteger(dim) || dim < 0);
  if (wrong !== undefined) throw new Malformed('E1003', `tensor \`${name}\` has a dimension ${wrong}`);
  if (elementsOf(dims) > limits.elements) throw new Malformed('E1004', `tensor \`${name}\` has ${elementsOf(dims)} elements, more than ${limits.elements}`);
}

function dataOf(parsed: Parsed<'tensor'>, type: DataType, elements: number, place: Place): OnnxData {
  const name = parsed.name ?? '';
  const fields = (['floatData', 'int32Data', 'stringData', 'int64Data', 'rawData', 'doubleData', 'uint64Data'] as const).filter((field) => hasData(parsed[field]));
  const bytes = Math.ceil((elements * type.bits) / 8);
  if (parsed.dataLocation === 1) {
    if (fields.length > 0) throw new Malformed('E1003', `tensor \`${name}\` has external data and \`${fields[0]}\``);
    return externalData(parsed.externalData ?? [], name, bytes, place);
  }
  if (fields.length > 1) throw new Malformed('E1003', `tensor \`${name}\` has its data twice, in \`${fields[0]}\` and \`${fields[1]}\``);
  const field = fields[0];
  if (field === undefined) {
    if (elements > 0) throw new Malformed('E1003', `tensor \`${name}\` has ${elements} elements but no data`);
    return { kind: 'bytes', bytes: new Uint8Array(0) };
  }
  if (field === 'stringData') return { kind: 'strings', values: counted(parsed.stringData ?? [], elements, name) };
  if (field === 'rawData') return joined([parsed.rawData as Chunk], bytes, name, place);
  if (!typesOf[field].test(type.name)) throw new Malformed('E1003', `tensor \`${name}\` of type ${type.name} has its data in \`${field}\``);
  if (field === 'floatData' || field === 'doubleData') return joined(parsed[field] ?? [], bytes, name, place);
  const values = parsed[field] ?? [];
  if (field === 'int32Data' && holdsBits(type)) return { kind: 'bytes', bytes: bitPatterns(values, type, elements, name) };
  return { kind: 'values', values: counted(values, elements, name) };
}

/** Which data types a typed field may hold (onnx.proto, TensorProto). */
const typesOf = {
  floatData: /^(FLOAT|COMPLEX64)$/,
  doubleData: /^(DOUBLE|COMPLEX128)$/,
  int64Data: /^INT64$/,
  uint64Data: /^UINT(32|64)$/,
  int32Data: /^(U?INT(2|4|8|16)|INT32|BOOL|FLOAT16|BFLOAT16|FLOAT[468].*)$/,
} as const;

const hasData = (field: { readonly length: number } | undefined): boolean => field !== undefined && field.length > 0;

/** Types whose bit patterns, not values, `int32_data` holds; those under 8 bits come as packed bytes. */
const holdsBits = (type: DataType): boolean => type.bits < 8 || ['FLOAT16', 'BFLOAT16'].includes(type.name) || type.name.startsWith('FLOAT8');

function bitPatterns(values: readonly number[], type: DataType, elements: number, name: string): Uint8Array {
  if (type.bits !== 16) return Uint8Array.from(counted(values, Math.ceil((elements * type.bits) / 8), name));
  return Uint8Array.from(counted(values, elements, name).flatMap((value) => [value & 255, (value >> 8) & 255]));
}

function counted<T>(values: readonly T[], elements: number, name: string): readonly T[] {
  if (values.length !== elements) throw new Malformed('E1003', `tensor \`${name}\` has ${values.length} values where its dimensions ask for ${elements}`);
  return values;
}

/** One piece keeps its place in the file; several, as unpacked numbers come, are few and put together. */
function joined(chunks: readonly Chunk[], bytes: number, name: string, place: Place): OnnxData {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (length !== bytes) throw new Malformed('E1003', `tensor \`${name}\` has ${length} bytes of data where its dimensions ask for ${bytes}`, chunks[0]?.offset);
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined) {
    return only.bytes === undefined ? { kind: 'file', file: place.path, offset: only.offset, length } : { kind: 'bytes', bytes: only.bytes };
  }
  if (length > limits.numbers) throw new Malformed('E1004', `tensor \`${name}\` is stored in ${chunks.length} pieces of ${length} bytes together`, only?.offset);
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk.bytes ?? place.files.read(place.path, chunk.offset, chunk.length), at);
    at += chunk.length;
  }
  return { kind: 'bytes', bytes: all };
}

const externalKeys: ReadonlySet<string> = new Set(['location', 'offset', 'length', 'checksum', 'basepath']);

/**
 * The range of another file that holds a tensor. Rules: onnx docs/ExternalDataSecurity.md; what the file system has to say
 * (links, containment after resolving) is the `Files`' to refuse.
 */
function externalData(entries: readonly Parsed<'entry'>[], name: string, bytes: number, place: Place): OnnxData {
  const refuse = (why: string): never => {
    throw new Malformed('E1002', `external data of tensor \`${name}\`: ${why}`);
  };
  const values = new Map<string, string>();
  for (const { key = '', value = '' } of entries) {
    if (!externalKeys.has(key)) refuse(`\`${key}\` is not a key of external data`);
    if (values.has(key)) refuse(`\`${key}\` is given twice`);
    values.set(key, value);
  }
  const number = (key: string, otherwise: number): number => {
    const text = values.get(key);
    if (text === undefined) return otherwise;
    return /^[0-9]{1,15}$/.test(text) ? Number(text) : refuse(`${key} \`${text}\` is not a whole number of bytes`);
  };
  const location = values.get('location') ?? refuse('it has no location');
  if (!isInside(location)) refuse(`location \`${location}\` is not a path below the model's folder`);
  const offset = number('offset', 0);
  const length = number('length', bytes);
  if (length !== bytes) refuse(`it has ${length} bytes where the tensor's dimensions ask for ${bytes}`);
  const file = place.path.includes('/') ? `${place.path.slice(0, place.path.lastIndexOf('/'))}/${location}` : location;
  try {
    const size = place.files.size(file) ?? refuse(`there is no file \`${location}\``);
    if (offset + length > size) refuse(`bytes ${offset} to ${offset + length} are not in \`${location}\` of ${size} bytes`);
  } catch (error) {
    if (error instanceof FileRefused) refuse(`\`${location}\`: ${error.message}`);
    throw error;
  }
  return { kind: 'file', file, offset, length };
}

/** Relative, no way out, no scheme, nothing a system might read otherwise. */
function isInside(location: string): boolean {
  // oxlint-disable-next-line no-control-regex
  if (location === '' || location.length > 4096 || /[\\:\u0000-\u001f]/.test(location) || location.startsWith('/')) return false;
  const parts = location.split('/');
  return parts.every((part) => part !== '..' && part !== '') && parts.at(-1) !== '.';
}
