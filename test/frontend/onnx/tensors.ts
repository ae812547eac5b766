import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { memoryFiles } from '../../../frontend/files.ts';
import type { OnnxTensor } from '../../../frontend/onnx/model.ts';
import { readTensor } from '../../../frontend/onnx/store.ts';
import { toTensor } from '../../../frontend/onnx/tensor.ts';
import { readMessage } from '../../../frontend/onnx/wire.ts';

type Loaded = { readonly shape: readonly number[]; readonly data: Float64Array };

/** A TensorProto by itself, as test data come: name and values. Undefined for lists, optionals and types without a meaning here. */
function loadTensor(file: string): { readonly name: string; readonly tensor: Loaded } | undefined {
  const bytes = readFileSync(file);
  const files = memoryFiles(new Map([['t.pb', bytes]]));
  let stored: OnnxTensor;
  try {
    stored = toTensor(readMessage(files, 't.pb', bytes.length, 'tensor'), { files, path: 't.pb' });
  } catch {
    return undefined;
  }
  const data = readTensor(files, stored, 0, stored.dims.reduce((product, dim) => product * dim, 1));
  return data === undefined ? undefined : { name: stored.name, tensor: { shape: stored.dims, data: Float64Array.from(data) } };
}

/** `prefix_0.pb`, `prefix_1.pb`, ... of a folder. */
export function loadTensors(folder: string, prefix: string): readonly ({ readonly name: string; readonly tensor: Loaded } | undefined)[] {
  const names = readdirSync(folder).filter((name) => name.startsWith(`${prefix}_`) && name.endsWith('.pb'));
  return names.map((_, i) => loadTensor(join(folder, `${prefix}_${i}.pb`)));
}

/** The largest difference, relative where values are above 1; Infinity where shapes differ. Equal infinities and NaNs do not differ. */
export function difference(a: Loaded, b: Loaded): number {
  if (a.shape.join() !== b.shape.join()) return Infinity;
  let most = 0;
  a.data.forEach((x, i) => {
    const y = b.data[i] as number;
    if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) return;
    const apart = Math.abs(x - y) / Math.max(1, Math.abs(y));
    most = Math.max(most, Number.isNaN(apart) ? Infinity : apart);
  });
  return most;
}
