import { interpret, type Observe } from '../ir/graph/interpret.ts';
import { KvState } from '../ir/graph/interpret/kv-state.ts';
import { sourcesOf } from '../diagnostics/diagnostic.ts';
import { originText } from '../diagnostics/render.ts';
import type { Block, GraphModule, GraphOp } from '../ir/graph/module.ts';
import type { Step } from '../ir/step.ts';
import type { ValueId } from '../ir/types.ts';
import { WeightValues } from '../ir/weight-values.ts';
import type { TensorStore } from '../ir/weights.ts';
import type { Compiled } from './compile.ts';
import type { SessionStep } from './host.ts';
import { type Similarity, similarity } from './similarity.ts';

/** Agreement of one result over all steps so far. */
export type ResultComparison = {
  readonly name: string;
  /** Values of the simulated program that are, to the bit, those of the normative interpreter. */
  readonly equalBits: number;
  readonly values: number;
  /** The graph in double precision against ONNX Runtime, where there is one. */
  readonly graphToRuntime: Similarity | undefined;
  /** The simulated program against ONNX Runtime, or else against the graph in double precision. */
  readonly programToTruth: Similarity;
};
/** How far an op's normative result is from its meaning in double precision; `layer` of the loop, if it is in one. */
export type TensorComparison = Similarity & { readonly op: string; readonly layer: number | undefined };
export type Comparison = { readonly results: readonly ResultComparison[]; readonly layers: readonly TensorComparison[]; readonly worst: TensorComparison | undefined };

type Samples = { program: number[]; normative: number[]; real: number[]; runtime: number[] };

/**
 * Compares what the simulated program computes with three other witnesses, step after step: the normative interpreter (equal bits), the
 * graph in double precision, and ONNX Runtime. Quantisation error is that of every op's result, normative against real, on the same step.
 */
export class Comparing {
  readonly #compiled: Compiled;
  readonly #run: { readonly real: KvState; readonly truth: KvState; readonly normative: KvState };
  readonly #weights: WeightValues;
  readonly #whole: WeightValues;
  readonly #samples = new Map<string, Samples>();
  readonly #tensors = new Map<string, { readonly op: string; readonly layer: number | undefined; readonly isLayerEnd: boolean; real: number[]; normative: number[] }>();

  constructor(compiled: Compiled, store: TensorStore, tp: number) {
    this.#compiled = compiled;
    this.#run = { real: new KvState(), truth: new KvState(), normative: new KvState() };
    this.#weights = new WeightValues(store, tp);
    this.#whole = new WeightValues(store, 1);
  }

  add({ step, outputs }: SessionStep, runtime: ReadonlyMap<string, Float64Array> | undefined): void {
    const { rows, normative } = this.#compiled;
    const truth = interpret(rows, step, { weights: this.#whole, arithmetic: 'real', state: this.#run.truth });
    interpret(normative, step, { weights: this.#weights, arithmetic: 'real', state: this.#run.real }, this.#tap(normative, 'real'));
    const bits = interpret(normative, step, { weights: this.#weights, arithmetic: 'normative', state: this.#run.normative }, this.#tap(normative, 'normative'));
    for (const [name, { data }] of outputs) {
      const samples = this.#samples.get(name) ?? { program: [], normative: [], real: [], runtime: [] };
      this.#samples.set(name, samples);
      append(samples.program, data);
      append(samples.normative, bits.get(name)?.data ?? []);
      append(samples.real, truth.get(name)?.data ?? []);
      const reference = runtime?.get(name);
      if (reference !== undefined) append(samples.runtime, picked(reference, step, data.length));
    }
  }

  result(): Comparison {
    const results = [...this.#samples].map(([name, { program, normative, real, runtime }]): ResultComparison => ({
      name, values: program.length,
      equalBits: program.filter((value, i) => Object.is(value, normative[i])).length,
      graphToRuntime: runtime.length === 0 ? undefined : similarity(real.slice(0, runtime.length), runtime),
      programToTruth: similarity(program, runtime.length === program.length ? runtime : real),
    }));
    const tensors = [...this.#tensors.values()].map((tensor) => ({ ...similarity(tensor.normative, tensor.real), op: tensor.op, layer: tensor.layer, isLayerEnd: tensor.isLayerEnd }));
    const worst = tensors.reduce<(typeof tensors)[number] | undefined>((least, tensor) => (least === undefined || tensor.cosine < least.cosine ? tensor : least), undefined);
    return { results, layers: tensors.filter(({ isLayerEnd }) => isLayerEnd), worst };
  }

  /** Keeps the results of the ops that compute, of chip 0, by op and layer. */
  #tap(module: GraphModule, into: 'real' | 'normative'): Observe {
    const loop = module.body.ops.find((op) => op.kind === 'loop');
    const ends = new Set(loop?.body.yields.map((value) => madeAs(value, loop.body)));
    return (op, results, path) => {
      if (op.kind === 'loop' || op.kind === 'fused' || op.kind === 'quantise' || op.kind === 'columns') return;
      const [data, id] = [results[0]?.[0]?.data, op.results[0]];
      if (data === undefined || id === undefined) return;
      const layer = path[0];
      const key = `${layer ?? ''}.${id}`;
      const tensor = this.#tensors.get(key) ?? { op: `${op.kind} ${nameOf(op)}`, layer, isLayerEnd: layer !== undefined && ends.has(id), real: [], normative: [] };
      this.#tensors.set(key, tensor);
      append(tensor[into], data);
    };
  }
}

/** The value of a fused op's body that one of a block is, if it is. */
function madeAs(value: ValueId, { ops }: Block): ValueId {
  const fused = ops.find((op) => op.kind === 'fused' && op.results.includes(value));
  return fused?.body?.yields[fused.results.indexOf(value)] ?? value;
}

/** An op by the source it comes from: the last node or tensor it was made of. */
function nameOf({ origin, results }: GraphOp): string {
  const source = sourcesOf(origin).at(-1);
  return source === undefined ? `%${results[0]}` : originText(source);
}

const append = (to: number[], from: ArrayLike<number>): void => {
  for (let i = 0; i < from.length; i++) to.push(from[i] as number);
};

/** Of a reference's rows, one a token: those the step asked results for, when the program gives no others. */
function picked(reference: Float64Array, step: Step, wanted: number): ArrayLike<number> {
  if (reference.length === wanted) return reference;
  const width = reference.length / step.ids.length;
  return Float64Array.from(step.samples.flatMap((row) => [...reference.subarray(row * width, (row + 1) * width)]));
}
