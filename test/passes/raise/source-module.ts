import { GraphBuilder } from '../../../ir/graph/build.ts';
import { inferResults } from '../../../ir/graph/infer.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { DType, TensorType, ValueId } from '../../../ir/types.ts';
import type { TensorStore, Weight } from '../../../ir/weights.ts';

/** Writes a source graph by hand: weights are made up from their names' lengths and their indices. */
export class SourceWriter {
  readonly build = new GraphBuilder(inferResults);
  readonly weights: Weight[] = [];
  readonly data = new Map<string, Float64Array>();

  weight(name: string, shape: readonly number[], value?: (i: number) => number): ValueId {
    const size = shape.reduce((a, b) => a * b, 1);
    this.data.set(name, Float64Array.from({ length: size }, (_, i) => Math.fround(value?.(i) ?? Math.sin((i + 1) * (1.7 + name.length * 0.31)) / Math.sqrt(shape[0] as number))));
    this.weights.push({ name, dtype: 'f32', shape, instances: [{ kind: 'tensor', name }] });
    return this.build.op('weight', { name }, [], { dtype: 'f32', shape });
  }

  number(value: number, dtype: DType = 'f32'): ValueId {
    return this.build.op('pconst', { values: [value] }, [], { dtype, shape: [] });
  }

  unary(fn: 'neg' | 'sqrt' | 'reciprocal' | 'exp' | 'log' | 'tanh' | 'sigmoid' | 'erf' | 'relu' | 'sin' | 'cos', x: ValueId): ValueId {
    this.#step();
    return this.build.op('punary', { fn }, [x]);
  }

  binary(fn: 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'max' | 'min' | 'greater', x: ValueId, y: ValueId): ValueId {
    this.#step();
    return this.build.op('pbinary', { fn }, [x, y]);
  }

  /** A binary function with a number on the right. */
  by(fn: 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'max' | 'min', x: ValueId, number: number): ValueId {
    return this.binary(fn, x, this.number(number));
  }

  mean(x: ValueId, axis: number): ValueId {
    this.#step();
    return this.build.op('preduce', { fn: 'mean', axes: [axis], keepDims: true }, [x]);
  }

  #nodes = 0;
  #step(): void {
    this.build.origin = { kind: 'onnx', node: `n${this.#nodes++}`, op: 'Op' };
  }

  module(inputs: readonly { readonly name: string; readonly type: TensorType }[], fill: (params: readonly ValueId[]) => readonly ValueId[]): GraphModule {
    const body = this.build.block(inputs.map(({ type }) => type), fill);
    return {
      name: 'by-hand', family: 'onnx', customLayers: [], caches: [], weights: this.weights, types: this.build.types, body,
      inputs: inputs.map(({ name }) => ({ name, feed: 'tensor' })),
      outputs: body.yields.map((_, i) => ({ name: `out${i}`, rows: 'tensor' })),
      source: { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 0, layers: 0, maxPositions: 0 },
    };
  }

  get store(): TensorStore {
    const shapes = new Map(this.weights.map(({ name, shape }) => [name, { dtype: 'f32' as const, shape }]));
    return { describe: (name) => shapes.get(name), read: (name, start, count) => (this.data.get(name) as Float64Array).slice(start, start + count), names: () => [...shapes.keys()] };
  }
}

export const ids: { readonly name: string; readonly type: TensorType } = { name: 'input_ids', type: { dtype: 'i64', shape: ['batch', 'sequence'] } };

/** A graph that embeds ids in rows of `width` and does one thing to them. */
export function onRows(width: number, fill: (write: SourceWriter, x: ValueId) => ValueId): { readonly module: GraphModule; readonly store: TensorStore } {
  const write = new SourceWriter();
  const module = write.module([ids], ([param]) => {
    const x = write.build.op('pgather', { axis: 0 }, [write.weight('table', [32, width]), param as ValueId]);
    return [fill(write, x)];
  });
  return { module, store: write.store };
}
