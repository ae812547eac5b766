import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { DType } from '../../ir/types.ts';
import type { TensorStore } from '../../ir/weights.ts';
import { FileRefused, type Files } from '../files.ts';
import { elementBits, readElements } from './elements.ts';

/** A tensor of a checkpoint: where its bytes lie. */
type Stored = { readonly dtype: DType; readonly shape: readonly number[]; readonly file: string; readonly offset: number };

/** Largest header read (the reference reader has the same limit), and tensors and dimensions it may list. */
const limits = { headerBytes: 100_000_000, indexBytes: 100_000_000, tensors: 1 << 20, rank: 16, shards: 4096 } as const;

const dtypes: Readonly<Record<string, DType>> = {
  F64: 'f64', F32: 'f32', F16: 'f16', BF16: 'bf16', F8_E4M3: 'e4m3', F8_E5M2: 'e5m2', I64: 'i64', I32: 'i32', I16: 'i16', I8: 'i8', U64: 'u64', U32: 'u32', U16: 'u16', U8: 'u8', BOOL: 'bool',
};

const single = 'model.safetensors';
const index = 'model.safetensors.index.json';

/**
 * The tensors of a model folder, headers read and nothing else: `model.safetensors`, or the shards its index names. Undefined
 * without weights, or with faults reported (E2006).
 */
export function openSafetensors(files: Files, diagnostics: Diagnostics): TensorStore | undefined {
  const tensors = new Map<string, Stored>();
  let at = single;
  try {
    if (files.size(index) !== undefined) {
      at = index;
      const shards = readIndex(files);
      for (const shard of new Set(shards.values())) {
        at = shard;
        for (const [name, tensor] of readHeader(files, shard)) {
          if (tensors.has(name)) fail(`tensor \`${name}\` is in two files, \`${tensors.get(name)?.file}\` and \`${shard}\``);
          tensors.set(name, tensor);
        }
      }
      at = index;
      for (const [name, shard] of shards) {
        if (tensors.get(name)?.file !== shard) fail(`tensor \`${name}\` is not in \`${shard}\`, where the index has it`);
      }
    } else if (files.size(single) !== undefined) {
      for (const [name, tensor] of readHeader(files, single)) tensors.set(name, tensor);
    } else return undefined;
  } catch (error) {
    if (!(error instanceof Unreadable || error instanceof FileRefused)) throw error;
    const offset = error instanceof Unreadable ? error.offset : undefined;
    diagnostics.report({ code: 'E2006', message: `\`${at}\`: ${error.message}`, origin: { kind: 'file', path: at, ...(offset === undefined ? {} : { offset }) } });
    return undefined;
  }
  return {
    describe: (name) => tensors.get(name),
    names: () => [...tensors.keys()],
    read: (name, start, count, room) => {
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new Error(`internal: the checkpoint has no tensor \`${name}\``);
      return readElements(tensor.dtype, start, count, (offset, length) => files.read(tensor.file, tensor.offset + offset, length, room?.(length)));
    },
  };
}

class Unreadable extends Error {
  readonly offset: number | undefined;

  constructor(message: string, offset?: number) {
    super(message);
    this.offset = offset;
  }
}

function fail(message: string, offset?: number): never {
  throw new Unreadable(message, offset);
}

/** Which file each tensor is in. */
function readIndex(files: Files): ReadonlyMap<string, string> {
  const bytes = files.size(index) ?? 0;
  if (bytes > limits.indexBytes) fail(`an index of ${bytes} bytes, more than ${limits.indexBytes}`);
  const map = (parseObject(files.read(index, 0, bytes), 'the index', 0) as { readonly weight_map?: unknown }).weight_map;
  if (typeof map !== 'object' || map === null) fail('the index has no `weight_map`');
  const shards = new Map<string, string>();
  for (const [name, file] of Object.entries(map as object) as readonly [string, unknown][]) {
    // A shard lies beside its index, as every writer puts it.
    if (typeof file !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(file)) fail(`\`${name}\` is in ${JSON.stringify(file)}, which is not the name of a file beside the index`);
    shards.set(name, file);
  }
  if (new Set(shards.values()).size > limits.shards) fail(`more than ${limits.shards} shards`);
  return shards;
}

/** Format: u64 length of the header, the header in JSON, then the data its offsets count from; no holes, no overlaps. */
function readHeader(files: Files, file: string): ReadonlyMap<string, Stored> {
  const size = files.size(file) ?? fail('there is no such file');
  if (size < 8) fail(`it has ${size} bytes, less than its header's length takes`);
  const length = Number(new DataView(files.read(file, 0, 8).slice().buffer).getBigUint64(0, true));
  if (length > limits.headerBytes) fail(`its header of ${length} bytes is longer than ${limits.headerBytes}`, 0);
  if (8 + length > size) fail(`its header of ${length} bytes goes beyond the file's ${size}`, 0);
  const header = parseObject(files.read(file, 8, length), 'the header', 8);
  const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
  if (entries.length > limits.tensors) fail(`it lists ${entries.length} tensors, more than ${limits.tensors}`, 8);
  const tensors = new Map<string, Stored>();
  const ranges: { readonly name: string; readonly start: number; readonly end: number }[] = [];
  for (const [name, entry] of entries) {
    const { dtype, shape, start, end } = checkEntry(name, entry);
    ranges.push({ name, start, end });
    tensors.set(name, { dtype, shape, file, offset: 8 + length + start });
  }
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  let at = 0;
  for (const { name, start, end } of ranges) {
    if (start !== at) fail(`tensor \`${name}\` starts at byte ${start} of the data where ${at} is next: ${start < at ? 'two tensors overlap' : 'bytes belong to no tensor'}`, 8 + length + start);
    at = end;
  }
  if (8 + length + at !== size) fail(`its tensors end at byte ${8 + length + at}, the file at ${size}`, 8 + length + at);
  return tensors;
}

type Entry = { readonly dtype?: unknown; readonly shape?: unknown; readonly data_offsets?: unknown };

function checkEntry(name: string, entry: unknown): { readonly dtype: DType; readonly shape: readonly number[]; readonly start: number; readonly end: number } {
  if (typeof entry !== 'object' || entry === null) fail(`tensor \`${name}\` is not described by an object`, 8);
  const { dtype: dtypeName, shape, data_offsets: offsets } = entry as Entry;
  const dtype = (typeof dtypeName === 'string' && Object.hasOwn(dtypes, dtypeName) ? dtypes[dtypeName] : undefined) ?? fail(`tensor \`${name}\` has dtype ${JSON.stringify(dtypeName)}, which cannot be read`, 8);
  if (!isSizes(shape) || shape.length > limits.rank) fail(`tensor \`${name}\` has shape ${JSON.stringify(shape)}`, 8);
  if (!isSizes(offsets) || offsets.length !== 2) fail(`tensor \`${name}\` has offsets ${JSON.stringify(offsets)}`, 8);
  const [start, end] = offsets as readonly [number, number];
  const bytes = (shape.reduce((product, dim) => product * dim, 1) * elementBits[dtype]) / 8;
  if (end - start !== bytes) fail(`tensor \`${name}\` ([${shape.join(', ')}] of ${dtypeName}) takes ${bytes} bytes, its offsets ${end - start}`, 8);
  return { dtype, shape, start, end };
}

const isSizes = (value: unknown): value is readonly number[] => Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);

function parseObject(bytes: Uint8Array, what: string, offset: number): object {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    fail(`${what} is not JSON`, offset);
  }
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : fail(`${what} is not a JSON object`, offset);
}
