import type { SourceInterface, Unfold } from '../ir/graph/module.ts';
import type { SequenceRows } from './host.ts';
import { tensorOf, widthOf } from './unfold.ts';

/** The parts of onnxruntime-node used here; the package is there for developers, and need not be for users. */
type OrtTensor = { readonly data: ArrayLike<number>; readonly dims: readonly number[] };
type Ort = {
  readonly InferenceSession: { readonly create: (path: string, options: object) => Promise<OrtSession> };
  readonly Tensor: new (type: string, data: BigInt64Array | Float32Array | Uint8Array, dims: readonly number[]) => OrtTensor;
};
type OrtSession = {
  readonly inputMetadata: readonly { readonly name: string; readonly type: string; readonly shape: readonly (number | string)[] }[];
  readonly run: (feeds: Readonly<Record<string, OrtTensor>>) => Promise<Readonly<Record<string, OrtTensor>>>;
};

/** ONNX Runtime has opened a file and cannot run it: some exports are wrong. */
export class RuntimeRefusal extends Error {}

/** ONNX Runtime on the source file: the same ragged steps as the program takes, one sequence at a time or one padded batch. `step` throws RuntimeRefusal. */
export type Reference = { readonly step: (sequences: readonly SequenceRows[]) => Promise<ReadonlyMap<string, Float64Array>> };

/**
 * Opens a model file in ONNX Runtime, its graph optimisations off (the default fuses approximate kernels). A text says why that
 * cannot be: the package is not installed, or does not take the file (operators it does not know, a custom layer's for one).
 * `how`: what the source's inputs and outputs are to the recognised model.
 */
export async function openReference(path: string, how: SourceInterface): Promise<Reference | string> {
  const ort = await loadOrt();
  if (ort === undefined) return 'the package `onnxruntime-node` is not installed';
  let session: OrtSession;
  try {
    session = await ort.InferenceSession.create(path, { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const hasPast = how.inputs.some(({ role }) => role === 'pastKey');
  if (hasPast) return cachedReference(ort, session, how);
  return how.unfolds === undefined ? paddedReference(ort, session, how) : oneByOne(paddedReference(ort, session, how));
}

async function runOn(session: OrtSession, feeds: Readonly<Record<string, OrtTensor>>): Promise<Readonly<Record<string, OrtTensor>>> {
  try {
    return await session.run(feeds);
  } catch (error) {
    throw new RuntimeRefusal(error instanceof Error ? error.message : String(error));
  }
}

async function loadOrt(): Promise<Ort | undefined> {
  try {
    const module = (await import('onnxruntime-node')) as unknown as Ort & { readonly default?: Ort };
    return module.default ?? module;
  } catch {
    return undefined;
  }
}

const typeOf = (session: OrtSession, name: string): string => session.inputMetadata.find((input) => input.name === name)?.type ?? 'int64';

/** Whole numbers in whatever type the input has. */
function numbers(ort: Ort, type: string, values: readonly number[], dims: readonly number[]): OrtTensor {
  if (type === 'int64') return new ort.Tensor(type, BigInt64Array.from(values, BigInt), dims);
  if (type === 'bool') return new ort.Tensor(type, Uint8Array.from(values), dims);
  return new ort.Tensor('float32', Float32Array.from(values), dims);
}

/** Without a past every step brings whole sequences, here padded to one batch. */
function paddedReference(ort: Ort, session: OrtSession, how: SourceInterface): Reference {
  return {
    step: async (sequences) => {
      const whole = sequences.map(({ ids }) => ids);
      const width = Math.max(...whole.map((ids) => ids.length));
      const dims = [sequences.length, width];
      const padded = (of: (ids: readonly number[], i: number) => number): readonly number[] => whole.flatMap((ids) => Array.from({ length: width }, (_, i) => of(ids, i)));
      const rows = { ids: padded((ids, i) => ids[i] ?? 0), positions: padded((_, i) => i), types: padded(() => 0), mask: padded((ids, i) => (i < ids.length ? 1 : 0)) };
      const feeds = how.inputs.map(({ name, role }) => [name, role === 'rows' ? elementsOf(ort, how, name, sequences) : role === 'memoryMask' ? memoryMask(ort, typeOf(session, name), how, sequences) : numbers(ort, typeOf(session, name), rows[role as keyof typeof rows] ?? padded(() => 0), dims)] as const);
      const results = await runOn(session, Object.fromEntries([...others(ort, session, how), ...feeds]));
      const newRows = sequences.flatMap(({ ids }, s) => ids.map((_, i) => s * width + i));
      return rowsOf(how, results, sequences, newRows, sequences.length * width);
    },
  };
}

/** The tensor of an input that rows were made of, of the one sequence there is. */
function elementsOf(ort: Ort, { unfolds = [] }: SourceInterface, name: string, [sequence]: readonly SequenceRows[]): OrtTensor {
  const unfold = unfolds.find(({ tensor }) => tensor === name) as Unfold;
  const { shape, data } = tensorOf(unfold, sequence?.rows?.get(unfold.input) ?? new Float64Array(0));
  return new ort.Tensor('float32', Float32Array.from(data), shape);
}

/** All of the one sequence's memory is there. */
function memoryMask(ort: Ort, type: string, { unfolds = [] }: SourceInterface, [sequence]: readonly SequenceRows[]): OrtTensor {
  const unfold = unfolds.find(({ of }) => of === 'memory') as Unfold;
  const rows = (sequence?.rows?.get(unfold.input)?.length ?? 0) / widthOf(unfold);
  return numbers(ort, type, Array.from({ length: rows }, () => 1), [1, rows]);
}

/** Sequences one at a time: their tensors are of different sizes. */
const oneByOne = (reference: Reference): Reference => ({
  step: async (sequences) => {
    const parts: ReadonlyMap<string, Float64Array>[] = [];
    for (const sequence of sequences) parts.push(await reference.step([sequence]));
    return joined(parts);
  },
});

/** Results of sequences, one after the other. */
const joined = (parts: readonly ReadonlyMap<string, Float64Array>[]): ReadonlyMap<string, Float64Array> =>
  new Map([...(parts[0]?.keys() ?? [])].map((name) => [name, Float64Array.from(parts.flatMap((part) => [...(part.get(name) ?? [])]))]));

/** With a past: each sequence by itself, its presents kept for its next rows. */
function cachedReference(ort: Ort, session: OrtSession, how: SourceInterface): Reference {
  const presents = new Map<number, Readonly<Record<string, OrtTensor>>>();
  const lengths = new Map<number, number>();
  const one = async (sequence: SequenceRows): Promise<ReadonlyMap<string, Float64Array>> => {
    const before = presents.get(sequence.id);
    const past = lengths.get(sequence.id) ?? 0;
    const count = sequence.ids.length;
    lengths.set(sequence.id, past + count);
    const feeds = how.inputs.map(({ name, role, layer }) => {
      if (role === 'pastKey' || role === 'pastValue') return [name, before?.[presentName(how, role, layer)] ?? emptyPast(ort, session, name)] as const;
      if (role === 'rows') return [name, elementsOf(ort, how, name, [sequence])] as const;
      if (role === 'memoryMask') return [name, memoryMask(ort, typeOf(session, name), how, [sequence])] as const;
      const values = role === 'ids' ? sequence.ids : role === 'positions' ? sequence.ids.map((_, i) => past + i) : role === 'mask' ? Array.from({ length: past + count }, () => 1) : sequence.ids.map(() => 0);
      return [name, numbers(ort, typeOf(session, name), values, [1, values.length])] as const;
    });
    const results = await runOn(session, Object.fromEntries([...others(ort, session, how), ...feeds]));
    presents.set(sequence.id, results);
    return rowsOf(how, results, [sequence], sequence.ids.map((_, i) => i), count);
  };
  return oneByOne({ step: ([sequence]) => one(sequence as SequenceRows) });
}

const presentName = (how: SourceInterface, role: 'pastKey' | 'pastValue', layer: number): string =>
  how.outputs.find((output) => output.role === (role === 'pastKey' ? 'presentKey' : 'presentValue') && output.index === layer)?.name ?? '';

/** What the source asks for and the recognised model does not have: inputs that are fixed, and those of another model in the file. */
function others(ort: Ort, session: OrtSession, how: SourceInterface): readonly (readonly [string, OrtTensor])[] {
  const rest = session.inputMetadata.filter(({ name }) => !how.inputs.some((input) => input.name === name));
  return rest.map(({ name, type, shape }) => {
    const fixed = how.fixed?.find((each) => each.name === name);
    return [name, fixed === undefined ? emptyPast(ort, session, name) : numbers(ort, type, fixed.values, shape.length === 0 ? [] : [fixed.values.length])] as const;
  });
}

function emptyPast(ort: Ort, session: OrtSession, name: string): OrtTensor {
  const shape = session.inputMetadata.find((input) => input.name === name)?.shape ?? [];
  const dims = shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : 0));
  return new ort.Tensor('float32', new Float32Array(0), dims);
}

/** Results a row a token, for the rows that are new; results a row a sequence as they are. */
function rowsOf(how: SourceInterface, results: Readonly<Record<string, OrtTensor>>, sequences: readonly SequenceRows[], rows: readonly number[], total: number): ReadonlyMap<string, Float64Array> {
  return new Map(
    how.outputs
      .filter(({ role }) => role === 'result')
      .map(({ name }) => {
        const data = Float64Array.from((results[name] as OrtTensor).data);
        const perSequence = data.length % total !== 0 || (results[name] as OrtTensor).dims.length === 2;
        const width = data.length / (perSequence ? sequences.length : total);
        const wanted = perSequence ? sequences.map((_, i) => i) : rows;
        return [name, Float64Array.from(wanted.flatMap((row) => [...data.subarray(row * width, (row + 1) * width)]))] as const;
      }),
  );
}
