import { existsSync } from 'node:fs';
import { compile, type Compiled, type Imported } from '../../driver/compile.ts';
import { HostSession, type SequenceRows } from '../../driver/host.ts';
import { targetOf, weightImages } from '../../driver/commands/compile.ts';
import { defaults } from '../../driver/options.ts';
import { operandBytes, type Serving } from '../../driver/serving.ts';
import { similarity } from '../../driver/similarity.ts';
import { type Elements, rowsOf, widthOf } from '../../driver/unfold.ts';
import { boundsOf } from '../../driver/workload.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule, SourceInterface } from '../../ir/graph/module.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { loadTensors } from '../../test/frontend/onnx/tensors.ts';

/**
 * What a program gave on the inputs stored beside a model: the cosine of its results with those stored, the least over the outputs.
 * A text says why there is none; `failed`: the compiler is at fault.
 */
export type Programmed = { readonly cosine: number } | { readonly skipped: string } | { readonly failed: string };

/** BF16 operands against FP32: what a program that computes the source's function is above. */
export const leastCosine = 0.999;

/** Compiles a model (which verifies it), simulates it on the stored inputs, and compares. */
export function programOf(imported: Extract<Imported, { primitive: true }>, folder: string): Programmed {
  if (!existsSync(folder)) return { skipped: 'nothing is stored beside it' };
  const stored = new Stored(folder);
  try {
    let given: Given | string = 'no step';
    const target = targetOf({ ...defaults, precision: 'bf16' });
    const serve = (module: GraphModule): Serving => {
      given = stepOf(module, stored);
      const lengths = typeof given === 'string' ? [{ rows: 1, memory: 0 }] : given.step.map(({ ids }, i) => ({ rows: ids.length, memory: (given as Given).memory[i] as number }));
      const longest = Math.max(...lengths.map(({ rows }) => rows));
      return { workload: { isl: longest, osl: module.caches.length === 0 ? 0 : 1, batch: lengths.length }, bounds: boundsOf(module, target.machine, lengths.map((sequence, id) => ({ id, past: 0, ...sequence })), { context: longest, elementBytes: operandBytes.bf16, stages: 1 }) };
    };
    const diagnostics = new Diagnostics();
    const compiled = compile(imported, { ...target, serve }, diagnostics);
    if (compiled === undefined) return { skipped: diagnostics.all.map(({ message }) => message).join('; ') };
    return typeof given === 'string' ? { skipped: given } : compared(compiled, imported, given, stored);
  } catch (error) {
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** Tensors stored beside a model, by name or, where their files have none, by place. */
class Stored {
  readonly #inputs: ReturnType<typeof loadTensors>;
  readonly #outputs: ReturnType<typeof loadTensors>;

  constructor(folder: string) {
    [this.#inputs, this.#outputs] = [loadTensors(folder, 'input'), loadTensors(folder, 'output')];
  }

  input(name: string, place: number): Elements | undefined {
    return (this.#inputs.find((each) => each?.name === name) ?? this.#inputs[place])?.tensor;
  }

  output(name: string, place: number): Elements | undefined {
    return (this.#outputs.find((each) => each?.name === name) ?? this.#outputs[place])?.tensor;
  }
}

/** Sequences, and which of the stored rows of each they are: those that are no padding. */
type Given = { readonly step: readonly SequenceRows[]; readonly kept: readonly (readonly number[])[]; readonly memory: readonly number[]; readonly stored: number };

/** The stored inputs as one step; a text says why they are none. */
function stepOf(module: GraphModule, stored: Stored): Given | string {
  const { inputs, unfolds = [] } = module.source.interface;
  const byRole = (role: SourceInterface['inputs'][number]['role']): Elements | undefined => {
    const at = inputs.findIndex((input) => input.role === role);
    return at < 0 ? undefined : stored.input((inputs[at] as { name: string }).name, at);
  };
  if (inputs.some(({ role }) => role === 'pastKey')) return 'its past is stored too';
  const lists = { ids: byRole('ids'), positions: byRole('positions'), types: byRole('types') };
  const mask = byRole('mask');
  const tensors = unfolds.map((unfold) => stored.input(unfold.tensor, inputs.findIndex(({ name }) => name === unfold.tensor)));
  if (tensors.includes(undefined)) return 'an input is not stored';
  const first = unfolds.find(({ of }) => of === 'tokens');
  const memories = byRole('memoryMask');
  const sequences = lists.ids !== undefined ? (lists.ids.shape.length > 1 ? (lists.ids.shape[0] as number) : 1) : first !== undefined && first.shape.length > 2 ? ((tensors[unfolds.indexOf(first)] as Elements).shape[0] as number) : 1;
  const whole = Array.from({ length: sequences }, (_, id) => unfolds.map((unfold, i) => rowsOf(unfold, tensors[i] as Elements, id)));
  const widths = unfolds.map(widthOf);
  const countOf = (of: 'tokens' | 'memory', id: number): number => {
    const at = unfolds.findIndex((unfold) => unfold.of === of);
    return at < 0 ? 0 : (whole[id]?.[at]?.length ?? 0) / (widths[at] as number);
  };
  const count = lists.ids === undefined ? countOf('tokens', 0) : lists.ids.data.length / sequences;
  const besides = whole.map((_, id) => [...Array(countOf('memory', id)).keys()].filter((row) => memories?.data[id * countOf('memory', id) + row] !== 0));
  const samples = module.source.interface.samples;
  const kept = whole.map((_, id) => [...Array(count).keys()].filter((row) => mask?.data[id * count + row] !== 0));
  if (kept.some((rows) => rows.length === 0 || (samples === 'last' && rows.at(-1) !== count - 1) || (samples === 'first' && rows[0] !== 0))) return 'it samples rows of padding';
  const step = kept.map((rows, id): SequenceRows => {
    const list = (of: Elements | undefined): readonly number[] | undefined => (of === undefined ? undefined : rows.map((row) => of.data[(id * count + row) % of.data.length] as number));
    const [positions, types] = [list(lists.positions), list(lists.types)];
    const given = new Map(unfolds.map(({ input, of }, i) => [input, picked(whole[id]?.[i] as Float64Array, of === 'memory' ? (besides[id] as readonly number[]) : rows, widths[i] as number)]));
    return { id, ids: list(lists.ids) ?? rows.map(() => 0), samples: samples ?? 'last', rows: given, ...(positions === undefined ? {} : { positions }), ...(types === undefined ? {} : { types }) };
  });
  return { step, kept, memory: besides.map((rows) => rows.length), stored: count };
}

/** Rows of a matrix. */
const picked = (data: ArrayLike<number>, rows: readonly number[], width: number): Float64Array => Float64Array.from(rows.flatMap((row) => Array.from({ length: width }, (_, i) => data[row * width + i] as number)));

function compared(compiled: Compiled, { module, store }: Extract<Imported, { primitive: true }>, { step, kept, stored: count }: Given, stored: Stored): Programmed {
  const image = Buffer.concat([...weightImages(compiled, store)]);
  const { outputs } = new HostSession(compiled.program, [imageSource(image)]).step(step);
  const cosines = [...outputs].map(([name, { data, rows, columns }]) => {
    const all = stored.output(name, module.outputs.findIndex((output) => output.name === name))?.data ?? [];
    const width = all.length / (step.length * count);
    const wanted = rows === step.length && columns * rows === all.length ? all : picked(all, kept.flatMap((of, id) => of.map((row) => id * count + row)), width);
    return columns * rows === wanted.length ? similarity(data, wanted).cosine : NaN;
  });
  return cosines.some(Number.isNaN) ? { skipped: 'its results are stored in another form' } : { cosine: Math.min(...cosines) };
}
