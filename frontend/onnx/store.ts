import type { DType } from '../../ir/types.ts';
import type { Numbers, Room, TensorStore } from '../../ir/weights.ts';
import type { Files } from '../files.ts';
import { readElements } from '../weights/elements.ts';
import { type OnnxTensor, elementsOf } from './model.ts';

/** Reads elements of a tensor whose type the graph language has; undefined for the others (strings and complex numbers). */
export function readTensor(files: Files, { type, data }: OnnxTensor, start: number, count: number, room?: Room): Numbers | undefined {
  const dtype: DType | undefined = type.dtype;
  if (dtype === undefined || data.kind === 'strings') return undefined;
  if (data.kind === 'values') return Float64Array.from(data.values.slice(start, start + count));
  return readElements(dtype, start, count, (offset, length) => (data.kind === 'bytes' ? data.bytes.subarray(offset, offset + length) : files.read(data.file, data.offset + offset, length, room?.(length))));
}

/** The tensors of a model by name, read from its files when asked for. */
export function tensorStore(tensors: ReadonlyMap<string, OnnxTensor>, files: Files): TensorStore {
  return {
    names: () => [...tensors.keys()],
    describe: (name) => {
      const tensor = tensors.get(name);
      return tensor?.type.dtype === undefined ? undefined : { dtype: tensor.type.dtype, shape: tensor.dims };
    },
    read: (name, start, count, room) => {
      const tensor = tensors.get(name);
      const values = tensor === undefined ? undefined : readTensor(files, tensor, start, count, room);
      if (tensor === undefined || values === undefined) throw new Error(`internal: there is no tensor \`${name}\` of numbers`);
      if (start < 0 || start + count > elementsOf(tensor.dims)) throw new Error(`internal: elements ${start} to ${start + count} of tensor \`${name}\``);
      return values;
    },
  };
}
