import { extname } from 'node:path';
import { memoryFiles } from '../frontend/files.ts';
import { readTensor } from '../frontend/onnx/store.ts';
import { toTensor } from '../frontend/onnx/tensor.ts';
import { readMessage } from '../frontend/onnx/wire.ts';
import type { Unfold } from '../ir/graph/module.ts';
import { randomStore } from '../ir/random-store.ts';
import type { Options } from './options.ts';
import { readBytes, UsageError } from './session.ts';
import { type Elements, fixedRows, rowsOf, sizesIn, UnfoldError, widthOf } from './unfold.ts';

/** What a sequence begins with: its token ids (zeros where the model takes none), its activations by input, row-major, and how many rows it attends to besides. */
export type Start = { readonly ids: readonly number[]; readonly rows: ReadonlyMap<string, Float64Array>; readonly memory: number };

/**
 * The sequences a run begins with: the prompts, and the activations of files (`--input NAME=FILE`) or made-up ones. A model that takes
 * activations alone has as many sequences as its tensors, or as many as there are prompts. Made-up memory is longer than the prompt.
 */
export function startsOf(unfolds: readonly Unfold[], prompts: readonly (readonly number[])[], options: Options): readonly Start[] {
  if (unfolds.some(({ of }) => of === 'tokens') && options.generate > 0) throw new UsageError('`--generate` is for models whose rows are token ids alone');
  const tensors = tensorsOf(unfolds, options.input);
  const given = unfolds.find(({ tensor }) => tensors.has(tensor));
  try {
    const count = given === undefined ? prompts.length : sequencesIn(given, tensors.get(given.tensor) as Elements);
    return Array.from({ length: count }, (_, id): Start => {
      const prompt = prompts[id % prompts.length] as readonly number[];
      const countOf = (of: Unfold['of'], otherwise: number): number => {
        const stored = unfolds.find((unfold) => unfold.of === of && tensors.has(unfold.tensor));
        if (stored !== undefined) return rowsOf(stored, tensors.get(stored.tensor) as Elements, id).length / widthOf(stored);
        return unfolds.filter((unfold) => unfold.of === of).map(fixedRows).find((rows) => rows !== undefined) ?? otherwise;
      };
      const counts = { tokens: countOf('tokens', prompt.length), memory: unfolds.some(({ of }) => of === 'memory') ? countOf('memory', prompt.length + 2) : 0 };
      const rows = new Map(unfolds.map((unfold) => {
        const tensor = tensors.get(unfold.tensor);
        return [unfold.input, tensor === undefined ? madeUp(unfold, `${unfold.input} ${id}`, counts[unfold.of], options.seed) : rowsOf(unfold, tensor, id)] as const;
      }));
      return { ids: counts.tokens === prompt.length ? prompt : Array.from({ length: counts.tokens }, (_each, i) => prompt[i] ?? 0), rows, memory: counts.memory };
    });
  } catch (error) {
    if (!(error instanceof UnfoldError)) throw error;
    throw new UsageError(error.message);
  }
}

function sequencesIn(unfold: Unfold, tensor: Elements): number {
  sizesIn(unfold.shape, tensor, unfold.tensor);
  return unfold.shape.length > 2 ? (tensor.shape[0] as number) : 1;
}

function tensorsOf(unfolds: readonly Unfold[], texts: readonly string[]): ReadonlyMap<string, Elements> {
  return new Map(texts.map((text) => {
    const at = text.indexOf('=');
    const name = text.slice(0, at);
    if (at < 1 || !unfolds.some(({ tensor }) => tensor === name)) throw new UsageError(`\`--input ${text}\`: the model takes ${unfolds.length === 0 ? 'no activations' : unfolds.map(({ tensor }) => `\`${tensor}\``).join(', ')}`);
    return [name, tensorIn(text.slice(at + 1))] as const;
  }));
}

/** Elements around 0, as far from it as normed activations are. */
function madeUp(unfold: Unfold, name: string, rows: number, seed: number): Float64Array {
  const store = randomStore(new Map([[name, { dtype: 'f64' as const, shape: [] }]]), seed);
  const data = Float64Array.from(store.read(name, 0, rows * widthOf(unfold)), (value) => value / 0.02);
  return data.fill(0, 0, unfold.before * widthOf(unfold));
}

/** A tensor in a file: `.npy`, a TensorProto (`.pb`), or JSON (lists in lists). */
export function tensorIn(path: string): Elements {
  const bytes = readBytes(path);
  try {
    if (extname(path) === '.npy') return npy(bytes);
    if (extname(path) === '.pb') return proto(bytes);
    if (extname(path) === '.json') return nested(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw new UsageError(`\`${path}\` holds no tensor: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new UsageError(`\`${path}\`: tensors are read from .npy, .pb and .json`);
}

/** Element types of NumPy's files, by their code. */
const npyElements: Readonly<Record<string, (view: DataView, i: number) => number>> = {
  '<f4': (view, i) => view.getFloat32(4 * i, true),
  '<f8': (view, i) => view.getFloat64(8 * i, true),
  '<i4': (view, i) => view.getInt32(4 * i, true),
  '<i8': (view, i) => Number(view.getBigInt64(8 * i, true)),
  '|u1': (view, i) => view.getUint8(i),
};

/** NumPy's format: magic, version, length of the header, the header as a Python literal, the elements. */
function npy(bytes: Buffer): Elements {
  if (bytes.length < 12 || bytes.toString('latin1', 1, 6) !== 'NUMPY') throw new Error('it does not begin as a .npy file');
  const wide = (bytes[6] as number) > 1;
  const start = wide ? 12 : 10;
  const end = start + (wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString('latin1', start, end);
  const [type, order, dims] = [/'descr':\s*'([^']+)'/, /'fortran_order':\s*(\w+)/, /'shape':\s*\(([^)]*)\)/].map((pattern) => pattern.exec(header)?.[1]);
  const read = npyElements[type ?? ''];
  if (read === undefined || order !== 'False' || dims === undefined) throw new Error(`elements of \`${type ?? ''}\`, ${order === 'False' ? 'rows' : 'columns'} first, are not read`);
  const shape = dims.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]));
  const view = new DataView(bytes.buffer, bytes.byteOffset + end, bytes.length - end);
  return { shape, data: Float64Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => read(view, i)) };
}

function proto(bytes: Buffer): Elements {
  const files = memoryFiles(new Map([['tensor', new Uint8Array(bytes)]]));
  const stored = toTensor(readMessage(files, 'tensor', bytes.length, 'tensor'), { files, path: 'tensor' });
  const data = readTensor(files, stored, 0, stored.dims.reduce((product, size) => product * size, 1));
  if (data === undefined) throw new Error('it has elements of a type that is not read');
  return { shape: stored.dims, data };
}

function nested(value: unknown): Elements {
  const shape: number[] = [];
  for (let at = value; Array.isArray(at); at = at[0]) shape.push(at.length);
  const data: number[] = [];
  const walk = (each: unknown, depth: number): void => {
    if (depth < shape.length) {
      if (!Array.isArray(each) || each.length !== shape[depth]) throw new Error('its lists are not of one length');
      each.forEach((inner) => walk(inner, depth + 1));
    } else if (typeof each === 'number') data.push(each);
    else throw new Error('it holds what is no number');
  };
  walk(value, 0);
  return { shape, data };
}
