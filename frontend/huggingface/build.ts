import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import type { Cache, Feed, GraphModule, Input, SourceInterface, SourceNode } from '../../ir/graph/module.ts';
import type { GraphAttrs } from '../../ir/graph/ops.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import type { ExpertsSpec, LayerKind, QkNorm, TransformerSpec } from './spec.ts';
import type { Tensors } from './tensors.ts';

/** How the name of the input, in the published class, feeds the module. */
const sourceInputs: Readonly<Record<Exclude<Feed, 'rows' | 'tensor'>, string>> = { ids: 'input_ids', positions: 'position_ids', types: 'token_type_ids' };

/** The graph of a transformer, in real numbers: layers as one loop whose weights have an instance each. Names in `tensors` what it takes of a checkpoint. */
export function buildModule(spec: TransformerSpec, tensors: Tensors): GraphModule {
  const maker = new Maker(spec, tensors);
  const inputs = inputsOf(spec);
  const body = maker.build.block(
    inputs.map(() => ({ dtype: 'i32', shape: ['tokens'] })),
    (params) => [maker.network(new Map(inputs.map((input, i) => [input.feed, params[i] as ValueId])))],
  );
  const logits = spec.head !== 'none';
  const parameters = [...tensors.expected.values()].reduce((sum, shape) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
  return {
    name: spec.family,
    family: spec.family,
    inputs,
    outputs: [logits ? { name: 'logits', rows: 'samples' } : { name: 'last_hidden_state', rows: 'tokens' }],
    caches: maker.caches,
    weights: maker.weights,
    customLayers: [],
    types: maker.build.types,
    body,
    source: { interface: interfaceOf(inputs, logits), nodes: maker.nodes, parameters, layers: spec.layers, maxPositions: spec.maxPositions },
  };
}

function inputsOf(spec: TransformerSpec): readonly Input[] {
  const feeds: Feed[] = ['ids', 'positions'];
  if (spec.typeTable !== undefined) feeds.push('types');
  return feeds.map((feed) => ({ name: feed, feed }));
}

function interfaceOf(inputs: readonly Input[], logits: boolean): SourceInterface {
  const given = inputs.flatMap(({ feed }) => (feed === 'tensor' || feed === 'rows' ? [] : [{ name: sourceInputs[feed], role: feed, layer: 0 } as const]));
  return {
    inputs: [...given, { name: 'attention_mask', role: 'mask', layer: 0 }],
    outputs: [{ name: logits ? 'logits' : 'last_hidden_state', role: 'result', index: 0 }],
  };
}

/** Matrices of experts, by name, and how they are chosen. */
type Mixture = {
  readonly inner: number;
  readonly matrices: { readonly gates: readonly string[]; readonly ups: readonly string[]; readonly downs: readonly string[] };
  readonly attrs: Pick<GraphAttrs['experts'], 'experts' | 'k' | 'scores' | 'normalise'>;
};

/** Which third of a fused q, k, v tensor. */
type Part = { readonly index: number; readonly start: number; readonly rows: number; readonly total: number; readonly layout: 'rows' | 'heads' };

/** Layers that are one body: their numbers, and what they are told apart from others by. */
type Layers = { readonly numbers: readonly number[]; readonly name: string; readonly kind: LayerKind };

class Maker {
  readonly build = new GraphBuilder(inferResults);
  readonly weights: Weight[] = [];
  readonly caches: Cache[] = [];
  readonly nodes: SourceNode[] = [
    { name: 'input_ids', op: 'input', disposition: 'host' },
    { name: 'attention_mask', op: 'input', disposition: 'host' },
    { name: 'position_ids', op: 'input', disposition: 'host' },
  ];
  readonly #spec: TransformerSpec;
  readonly #tensors: Tensors;
  #layers: Layers | undefined;

  constructor(spec: TransformerSpec, tensors: Tensors) {
    this.#spec = spec;
    this.#tensors = tensors;
  }

  network(feeds: ReadonlyMap<Feed, ValueId>): ValueId {
    const { names, hidden, vocab, layers, positionTable, typeTable } = this.#spec;
    let x = this.#embedding(feeds.get('ids') as ValueId, names.embed, vocab, { scale: this.#spec.factor.embedding });
    if (positionTable !== undefined) {
      const { rows, offset } = positionTable;
      const positions = this.#embedding(feeds.get('positions') as ValueId, names.positions as string, rows, { skip: offset });
      x = this.build.op('add', {}, [x, positions]);
    }
    if (typeTable !== undefined) x = this.build.op('add', {}, [x, this.#embedding(feeds.get('types') as ValueId, names.types as string, typeTable, {})]);
    if (names.embedNorm !== undefined) x = this.#norm(x, names.embedNorm);
    if (this.#spec.kinds.some(({ rope }) => rope !== undefined)) this.nodes.push({ name: 'rotary_emb', op: 'RotaryEmbedding', disposition: 'hardware' });
    const rows = feeds.get('positions') as ValueId;
    const { kinds } = this.#spec;
    const trip = Math.floor(layers / kinds.length);
    [x] = this.build.loop(trip, [x], ([carried]) => {
      const next = kinds.reduce((value, kind, i) => {
        const numbers = Array.from({ length: trip }, (_, turn) => turn * kinds.length + i);
        return this.#layerOf({ numbers, kind, name: kinds.length === 1 ? '' : `${i}` }, value, rows);
      }, carried as ValueId);
      this.build.origin = { kind: 'config', path: this.#spec.fields.layers };
      return [next];
    }) as [ValueId];
    // What is left where the kinds do not go up in the layers.
    for (let number = trip * kinds.length; number < layers; number++) x = this.#layerOf({ numbers: [number], kind: kinds[number % kinds.length] as LayerKind, name: `last.${number}` }, x, rows);
    if (names.finalNorm !== undefined) x = this.#norm(x, names.finalNorm);
    if (this.#spec.head === 'none') return x;
    this.#at(this.#spec.head === 'tied' ? this.#tensors.nameOf(`${names.embed}.weight`) : `${names.head}.weight`, 'Linear', names.head as string);
    x = this.build.op('sampleRows', {}, [x]);
    const name = this.#spec.head === 'tied' ? this.#tensors.nameOf(`${names.embed}.weight`) : `${names.head}.weight`;
    const table = scaled(this.#tensors.whole(name, [vocab, hidden]), this.#spec.factor.logits);
    const bound = this.#spec.cap.logits;
    const narrow = (of: WeightExpr): WeightExpr => (bound === 0 ? of : scaled(of, 1 / bound));
    const operands = [x, this.#weight(`${names.head}.weight`, [vocab, hidden], () => narrow(table))];
    if (this.#spec.bias.head) operands.push(this.#weight(`${names.head}.bias`, [vocab], () => narrow(this.#tensors.whole(`${names.head}.bias`, [vocab]))));
    const logits = this.build.op('linear', { ...plain, bias: this.#spec.bias.head }, operands);
    if (bound === 0) return logits;
    const within = this.build.op('activate', { activation: 'tanh' }, [logits]);
    return this.build.op('scale', {}, [within, this.#weight('logits.bound', [1], () => ({ kind: 'values', shape: [1], values: [bound] }))]);
  }

  #layerOf(layers: Layers, x: ValueId, positions: ValueId): ValueId {
    this.#layers = layers;
    const next = this.#layer(x, positions);
    this.#layers = undefined;
    return next;
  }

  #layer(x: ValueId, positions: ValueId): ValueId {
    const { wiring, names } = this.#spec;
    const own = (name: string): string => `${names.layer}${name}`;
    const norm = (value: ValueId, name: string | undefined): ValueId => this.#norm(value, own(name as string));
    const add = (a: ValueId, b: ValueId): ValueId => this.build.op('add', {}, [a, b]);
    switch (wiring) {
      case 'pre': {
        const between = add(x, this.#attention(norm(x, names.attentionNorm), positions));
        return add(between, this.#feedForward(norm(between, names.mlpNorm)));
      }
      case 'post': {
        const between = norm(add(x, this.#attention(x, positions)), names.attentionNorm);
        return norm(add(between, this.#feedForward(between)), names.mlpNorm);
      }
      case 'parallel': {
        const normed = norm(x, names.attentionNorm);
        return add(add(x, this.#attention(normed, positions)), this.#feedForward(normed));
      }
      case 'sandwich': {
        const between = add(x, norm(this.#attention(norm(x, names.attentionNorm), positions), names.attentionAfter));
        return add(between, norm(this.#feedForward(norm(between, names.mlpNorm)), names.mlpAfter));
      }
      case 'branch': {
        const between = add(x, norm(this.#attention(x, positions), names.attentionNorm));
        return add(between, norm(this.#feedForward(between), names.mlpNorm));
      }
      case 'parallel2':
        return add(add(x, this.#attention(norm(x, names.attentionNorm), positions)), this.#feedForward(norm(x, names.mlpNorm)));
    }
  }

  #attention(x: ValueId, positions: ValueId): ValueId {
    const { hidden, heads, kvHeads, headDim, names, bias, fields, mask, factor, cap, qkNorm, slopes, maxPositions } = this.#spec;
    const { numbers, name: which, kind: { rope, window } } = this.#layers as Layers;
    const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim] as const;
    const total = widths[0] + widths[1] + widths[2];
    const project = (index: 0 | 1 | 2): ValueId => {
      const rows = widths[index];
      if (names.qkv.kind === 'apart') return this.#linear(x, [names.qkv.q, names.qkv.k, names.qkv.v][index] as string, [rows, hidden], bias.qkv);
      const start = widths.slice(0, index).reduce((sum, width) => sum + width, 0);
      return this.#linear(x, names.qkv.name, [rows, hidden], bias.qkv, { part: { index, start, rows, total, layout: names.qkv.kind } });
    };
    const turn = (value: ValueId): ValueId => {
      if (rope === undefined) return value;
      this.build.origin = { kind: 'config', path: rope.path };
      return this.build.op('rope', { headDim, frequencies: rope.frequencies, amplitude: 1, interleaved: rope.interleaved, positions: maxPositions }, [value, positions]);
    };
    const [q, k, v] = [project(0), project(1), project(2)] as const;
    const even = (value: ValueId, side: 'q' | 'k'): ValueId => (qkNorm === undefined ? value : this.#headNorm(value, qkNorm, side));
    const operands = [turn(even(q, 'q')), turn(even(k, 'k')), v];
    const rising = slopes === undefined ? [] : [this.#weight('slopes', [heads], () => ({ kind: 'values', shape: [heads], values: slopes }))];
    const cache = mask === 'causal' ? `kv${which === '' ? '' : `.${which}`}` : '';
    if (cache !== '') this.caches.push({ name: cache, layers: numbers.length, kvHeads, headDim });
    this.build.origin = { kind: 'config', path: fields.heads };
    this.#node(names.out.replace(/[^.]*$/, 'attention'), 'Attention');
    const seen = this.build.op('attention', { heads, kvHeads, headDim, scale: factor.score, softCap: cap.scores, sinks: false, slopes: slopes !== undefined, mask, window, cache }, [...operands, ...rising]);
    return this.#linear(seen, names.out, [hidden, heads * headDim], bias.out, { scale: factor.residual });
  }

  #feedForward(x: ValueId): ValueId {
    const { hidden, intermediate, names, bias, activation, experts, fields, factor } = this.#spec;
    if (experts !== undefined) return this.#experts(x, experts);
    const { up } = names;
    const shape = [intermediate, hidden] as const;
    const half = (index: number): { readonly part: Part } => ({ part: { index, start: index * intermediate, rows: intermediate, total: 2 * intermediate, layout: 'rows' } });
    const activate = (value: ValueId): ValueId => {
      this.build.origin = { kind: 'config', path: fields.activation };
      return this.build.op('activate', { activation }, [value]);
    };
    let inner: ValueId;
    if (up.kind === 'plain') inner = activate(this.#linear(x, up.name, shape, bias.mlp));
    else {
      const gate = activate(up.kind === 'apart' ? this.#linear(x, up.gate, shape, bias.mlp) : this.#linear(x, up.name, shape, bias.mlp, half(0)));
      const factors = up.kind === 'apart' ? this.#linear(x, up.up, shape, bias.mlp) : this.#linear(x, up.name, shape, bias.mlp, half(1));
      inner = this.build.op('multiply', {}, [gate, factors]);
    }
    return this.#linear(inner, names.down, [hidden, intermediate], bias.mlp, { scale: factor.residual });
  }

  /** The chosen experts' answers, and the shared one's: a mixture of one, whose share is the sigmoid of its logit. */
  #experts(x: ValueId, { count, k, inner, normalise, shared, names, field }: ExpertsSpec): ValueId {
    const { hidden } = this.#spec;
    const each = (name: string): readonly string[] => Array.from({ length: count }, (_, expert) => name.replace('{}', String(expert)));
    const logits = this.#linear(x, names.router, [count, hidden], false);
    const [gates, ups, downs] = [names.gate, names.up, names.down].map(each) as [string[], string[], string[]];
    const mixture = this.#mixture([x, logits], names.gate.replace(/\.\{\}.*/, ''), { inner, matrices: { gates, ups, downs }, attrs: { experts: count, k, scores: 'softmax', normalise } }, field);
    if (shared === undefined || names.shared === undefined) return mixture;
    const own = names.shared;
    const weight = this.#linear(x, own.router, [1, hidden], false);
    const matrices = { gates: [own.gate], ups: [own.up], downs: [own.down] };
    return this.build.op('add', {}, [mixture, this.#mixture([x, weight], own.gate.replace(/\.[^.]*$/, ''), { inner: shared, matrices, attrs: { experts: 1, k: 1, scores: 'sigmoid', normalise: false } }, field)]);
  }

  #mixture(rows: readonly [ValueId, ValueId], name: string, { inner, matrices, attrs }: Mixture, field: string): ValueId {
    const { hidden, activation, factor, names } = this.#spec;
    const tensor = (linear: string, shape: readonly [number, number], layer: number): WeightExpr => this.#tensors.body(at(`${names.layer}${linear}.weight`, layer), shape);
    const stacked = (end: string, rowsOfOne: number, width: number, of: (layer: number) => readonly WeightExpr[]): ValueId =>
      this.#weight(`${names.layer}${name}.${end}`, [attrs.experts * rowsOfOne, width], (layer) => ({ kind: 'concat', axis: 0, of: of(layer) }));
    const gates = stacked('gates', 2 * inner, hidden, (layer) => matrices.gates.flatMap((gate, expert) => [tensor(gate, [inner, hidden], layer), tensor(matrices.ups[expert] as string, [inner, hidden], layer)]));
    const downs = stacked('downs', hidden, inner, (layer) => matrices.downs.map((down) => scaled(tensor(down, [hidden, inner], layer), factor.residual)));
    this.build.origin = { kind: 'config', path: field };
    this.#node(name, 'Experts');
    return this.build.op('experts', { ...attrs, activation, scaled: false, biased: false, bias: false, parts: 1, whole: false }, [...rows, gates, downs]);
  }

  /** Rows of a table by index; the table's first `skip` rows are left out. */
  #embedding(indices: ValueId, name: string, rows: number, { skip = 0, scale = 1 }: { readonly skip?: number; readonly scale?: number }): ValueId {
    const { hidden } = this.#spec;
    this.#at(this.#tensors.nameOf(`${name}.weight`), 'Embedding', name);
    const tensor = scaled(this.#tensors.body(`${name}.weight`, [rows, hidden]), scale);
    const expr: WeightExpr = skip === 0 ? tensor : { kind: 'slice', of: tensor, axis: 0, start: skip, end: rows };
    return this.build.op('embed', {}, [indices, this.#weight(`${name}.weight`, [rows - skip, hidden], () => expr)]);
  }

  #norm(x: ValueId, name: string): ValueId {
    const { norm, affine, epsilon, hidden } = this.#spec;
    this.#at(this.#tensors.nameOf(`${name}.weight`, olderGain), norm === 'rms' ? 'RMSNorm' : 'LayerNorm', name);
    const parameter = (end: string, older: readonly [string, string]): ValueId =>
      this.#weight(`${name}${end}`, [hidden], (layer) => this.#gain(end, this.#tensors.body(at(`${name}${end}`, layer), [hidden], older), [hidden]));
    const parameters = [...(affine.gain === 'none' ? [] : [parameter('.weight', olderGain)]), ...(affine.offset ? [parameter('.bias', olderOffset)] : [])];
    return this.build.op('norm', { norm, groups: 1, epsilon }, [x, ...parameters]);
  }

  /** Queries or keys, normalised head by head or as a row. */
  #headNorm(x: ValueId, { of, gain, offset, q, k }: QkNorm, side: 'q' | 'k'): ValueId {
    const { heads, kvHeads, headDim, norm, epsilon, names } = this.#spec;
    const [name, count] = side === 'q' ? [`${names.layer}${q}`, heads] : [`${names.layer}${k}`, kvHeads];
    const width = count * headDim;
    const stored = gain === 'shared' ? [headDim] : of === 'row' ? [width] : [count, headDim];
    this.#at(this.#tensors.nameOf(`${name}.weight`), norm === 'rms' ? 'RMSNorm' : 'LayerNorm', name);
    const parameter = (end: string): ValueId =>
      this.#weight(`${name}${end}`, [width], (layer) => {
        const own = this.#gain(end, this.#tensors.body(at(`${name}${end}`, layer), stored), stored);
        if (gain === 'shared') return { kind: 'concat', axis: 0, of: Array.from({ length: count }, () => own) };
        return stored.length === 1 ? own : { kind: 'reshape', of: own, shape: [width] };
      });
    return this.build.op('norm', { norm, groups: of === 'heads' ? count : 1, epsilon }, [x, parameter('.weight'), ...(offset ? [parameter('.bias')] : [])]);
  }

  /** A parameter of a norm as it is stored, or, a gain that is stored less one, with that one. */
  #gain(end: string, of: WeightExpr, shape: readonly number[]): WeightExpr {
    if (end !== '.weight' || this.#spec.affine.gain !== 'lessOne') return of;
    const one = (value: number): WeightExpr => ({ kind: 'values', shape: shape.map(() => 1), values: [value] });
    return { kind: 'dequantise', of, scale: one(1), zeroPoint: one(-1), block: shape };
  }

  /** x w^T + bias; w is [n, k], or a part of a larger stored tensor. */
  #linear(x: ValueId, name: string, [n, k]: readonly [number, number], bias: boolean, { part, scale = 1 }: { readonly part?: Part; readonly scale?: number } = {}): ValueId {
    const full = `${this.#spec.names.layer}${name}`;
    const rows = part?.total ?? n;
    const transposed = this.#spec.names.transposed ?? false;
    const stored = transposed ? ([k, rows] as const) : ([rows, k] as const);
    const label = (end: string): string => `${full}${end}${part === undefined ? '' : `.${part.index}`}`;
    if (part === undefined || part.index === 0) this.#at(this.#tensors.nameOf(`${full}.weight`), transposed ? 'Conv1D' : 'Linear', full);
    const headRows = this.#spec.headDim;
    const w = this.#weight(label('.weight'), [n, k], (layer) => {
      const tensor = scaled(this.#tensors.body(at(`${full}.weight`, layer), stored), scale);
      const rowMajor: WeightExpr = transposed ? { kind: 'transpose', of: tensor } : tensor;
      return part === undefined ? rowMajor : partOf(rowMajor, part, headRows, [k]);
    });
    const operands = [x, w];
    if (bias) {
      operands.push(
        this.#weight(label('.bias'), [n], (layer) => {
          const tensor = scaled(this.#tensors.body(at(`${full}.bias`, layer), [rows]), scale);
          return part === undefined ? tensor : partOf(tensor, part, headRows, []);
        }),
      );
    }
    return this.build.op('linear', { ...plain, bias }, operands);
  }

  /** Declares a weight, with an instance a layer inside the loop, and reads it. */
  #weight(name: string, shape: readonly number[], make: (layer: number) => WeightExpr): ValueId {
    const own = name.replace('{}.', this.#layers === undefined || this.#layers.name === '' ? '' : `${this.#layers.name}.`);
    const instances = (this.#layers?.numbers ?? [0]).map(make);
    this.weights.push({ name: own, dtype: 'f32', shape, instances });
    return this.build.op('weight', { name: own }, [], { dtype: 'f32', shape });
  }

  /** What follows comes from this tensor, and is this module of the source. */
  #at(tensor: string, op: string, module: string): void {
    this.build.origin = { kind: 'tensor', name: tensor.replace('{}', '*') };
    this.#node(module.startsWith(this.#spec.names.layer) ? module.slice(this.#spec.names.layer.length) : module, op);
  }

  #node(module: string, op: string): void {
    const names = this.#layers === undefined ? [module] : this.#layers.numbers.map((layer) => at(`${this.#spec.names.layer}${module}`, layer));
    for (const name of names) this.nodes.push({ name: this.#tensors.nameOf(name), op, disposition: 'hardware' });
  }
}

const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;

/** Names the first BERT checkpoints, converted from TensorFlow, have. */
const olderGain = ['.weight', '.gamma'] as const;
const olderOffset = ['.bias', '.beta'] as const;

const at = (name: string, layer: number): string => name.replace('{}', String(layer));

const scaled = (of: WeightExpr, by: number): WeightExpr => (by === 1 ? of : { kind: 'scale', of, by });

/** Rows of one part of a fused tensor [total, ...rest]; in layout `heads`, of each head's [3, headDim, ...rest]. */
function partOf(of: WeightExpr, part: Part, headDim: number, rest: readonly number[]): WeightExpr {
  if (part.layout === 'rows') return { kind: 'slice', of, axis: 0, start: part.start, end: part.start + part.rows };
  const elements = rest.reduce((product, dim) => product * dim, headDim);
  const perHead: WeightExpr = { kind: 'reshape', of, shape: [part.total / (3 * headDim), 3 * elements] };
  const slice: WeightExpr = { kind: 'slice', of: perHead, axis: 1, start: part.index * elements, end: (part.index + 1) * elements };
  return { kind: 'reshape', of: slice, shape: [part.rows, ...rest] };
}
