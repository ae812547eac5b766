import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { equalShapes, sizeName } from '../../ir/dims.ts';
import { type CustomLayer, CustomLayerError, type SourceOp } from '../../ir/graph/custom.ts';
import type { Disposition, GraphModule, GraphOp, Input, SourceNode } from '../../ir/graph/module.ts';
import { type Dim, type TensorType, type ValueId, isFloat } from '../../ir/types.ts';
import { tensorsOf } from '../../ir/weight-expr.ts';
import type { TensorStore } from '../../ir/weights.ts';
import type { Files } from '../files.ts';
import { Emitter } from './emit.ts';
import { type OnnxAttribute, type OnnxFunction, type OnnxGraph, type OnnxModel, type OnnxNode, type OnnxTensor, type OnnxValue, elementsOf, functionKey } from './model.ts';
import { Problems } from './problems.ts';
import { conditional, refusalOf } from './rules/refusals.ts';
import { Call, type Rule } from './rules/rule.ts';
import { ruleOf } from './rules/table.ts';
import { readTensor, tensorStore } from './store.ts';
import { type Fixed, switchesOf } from './switches.ts';
import { CannotImport, type Value, knownElements, knownValue } from './value.ts';

/** Names in scope. A name bound to `undefined` is the result of a node that could not be imported. */
type Scope = Map<string, Value | undefined>;
/** What is around the nodes at hand: names, operator sets, the attributes of the call they are the body of, and where that is. */
type Around = { readonly scope: Scope; readonly opsets: ReadonlyMap<string, number>; readonly attributes: ReadonlyMap<string, OnnxAttribute>; readonly path: string };

/** A node a rule is applied to, as it is told of. */
type Applied = { readonly node: OnnxNode; readonly who: { readonly op: string; readonly node: string }; readonly inputs: readonly (Value | undefined)[]; readonly attributes: ReadonlyMap<string, OnnxAttribute> };

/** One import of one model. */
export class GraphImport {
  readonly #model: OnnxModel;
  readonly #files: Files;
  readonly #layers: readonly CustomLayer[];
  readonly #fixed: Fixed;
  /** The inputs of a merged file are declared as one of its models has them: two axes of one name need not be of one size in the other, but for sequences. */
  readonly #isMerged: boolean;
  readonly #emit = new Emitter();
  readonly #tensors = new Map<string, OnnxTensor>();
  readonly #problems = new Problems();
  readonly #nodes: SourceNode[] = [];
  readonly #used = new Set<CustomLayer>();

  constructor(model: OnnxModel, files: Files, layers: readonly CustomLayer[], fixed: Fixed) {
    this.#model = model;
    this.#files = files;
    this.#layers = layers;
    this.#fixed = fixed;
    this.#isMerged = switchesOf(model).length > 0;
  }

  run(diagnostics: Diagnostics): { readonly module: GraphModule; readonly store: TensorStore } | undefined {
    const { graph, opsets } = this.#model;
    const scope: Scope = new Map();
    const declared: Input[] = [];
    const body = this.#emit.build.block([], () => {
      this.#initializers(graph, scope);
      // Until IR 4 every initializer was an input too.
      for (const value of graph.inputs.filter(({ name }) => !graph.initializers.has(name))) {
        const elements = this.#fixed.get(value.name);
        if (elements !== undefined) {
          scope.set(value.name, this.#given(value, elements));
          continue;
        }
        scope.set(value.name, this.#parameter(value));
        declared.push({ name: value.name, feed: 'tensor' });
      }
      this.#run(graph.nodes, { scope, opsets, attributes: new Map(), path: '' });
      return graph.outputs.flatMap(({ name }) => this.#output(name, scope.get(name)));
    });
    const uneven = this.#emit.chosen.settle(body.ops, body.yields);
    if (uneven !== undefined) this.#problems.add('E3001', nodeOf(uneven), 'how many rows there are depends on data, and they are not worked on each by itself');
    this.#problems.report(diagnostics);
    if (this.#problems.any) return undefined;
    const read = new Set([...body.yields, ...body.ops.flatMap(({ operands }) => operands)]);
    // What only the other model of a merged file reads is not this one's input.
    const inputs = declared.filter(({ name }) => !this.#isMerged || read.has(scope.get(name)?.id as ValueId));
    const params = inputs.map(({ name }) => scope.get(name)?.id as ValueId);
    const settled = settle(this.#emit, body.ops);
    const module: GraphModule = {
      name: graph.name,
      family: 'onnx',
      inputs,
      outputs: graph.outputs.map(({ name }) => ({ name, rows: 'tensor' })),
      caches: [],
      weights: [...this.#emit.weights.values()],
      customLayers: [...this.#used],
      types: settled.types,
      body: { params, ops: settled.ops, yields: body.yields },
      source: {
        interface: { inputs: inputs.map(({ name }) => ({ name, role: 'other', layer: 0 })), outputs: graph.outputs.map(({ name }, index) => ({ name, role: 'result', index })), fixed: [...this.#fixed].map(([name, values]) => ({ name, values })) },
        nodes: this.#nodes,
        parameters: this.#parameters(),
        layers: 0,
        maxPositions: 0,
      },
    };
    return { module, store: tensorStore(this.#tensors, this.#files) };
  }

  #output(name: string, value: Value | undefined): readonly ValueId[] {
    if (value?.parts === undefined) return value === undefined ? [] : [this.#emit.id(value)];
    this.#problems.add('E3001', { op: 'output', node: name }, 'it is a list of tensors');
    return [];
  }

  /** Numbers stored as floats, and those that stored codes stand for. */
  #parameters(): number {
    const isCode = (name: string): boolean => !isFloat(this.#tensors.get(name)?.type.dtype ?? 'bool');
    const floats = [...this.#tensors].flatMap(([name, { dims }]) => (isCode(name) ? [] : [dims]));
    const decoded = [...this.#emit.weights.values()].flatMap(({ dtype, shape, instances: [expr] }) => (isFloat(dtype) && expr !== undefined && tensorsOf(expr).some(isCode) ? [shape] : []));
    return [...floats, ...decoded].reduce((sum, dims) => sum + elementsOf(dims), 0);
  }

  #parameter({ name, type, dims }: OnnxValue): Value | undefined {
    if (type?.dtype === undefined || dims === undefined) {
      this.#problems.add('E3001', { op: 'input', node: name }, type === undefined ? 'it is not a tensor' : dims === undefined ? 'its rank is not said' : `data type ${type.name} is not computed with`);
      return undefined;
    }
    const isApart = (dim: Dim, axis: number): boolean => this.#isMerged && this.#emit.sizes.has(dim) && (axis > 0 || dims.length === 1);
    const shape = dims.map((dim, axis) => (dim === undefined || isApart(dim, axis) ? sizeName(`${name}_${axis}`) : dim));
    for (const dim of shape) this.#emit.sizes.declare(dim);
    return { dtype: type.dtype, shape, id: this.#emit.build.value({ dtype: type.dtype, shape }) };
  }

  /** An input whose elements are the same in every run; a size it does not say is that of a list. */
  #given({ name, type, dims }: OnnxValue, elements: readonly number[]): Value | undefined {
    const shape = dims?.map((dim) => (typeof dim === 'number' ? dim : dims.length === 1 ? elements.length : NaN));
    if (type?.dtype !== undefined && shape !== undefined && elementsOf(shape) === elements.length) return knownValue(type.dtype, shape, elements);
    this.#problems.add('E1003', { op: 'input', node: name }, `${elements.length} given elements are not its [${dims?.join(', ') ?? '?'}]`);
    return undefined;
  }

  #initializers(graph: OnnxGraph, scope: Scope): void {
    for (const [name, tensor] of graph.initializers) {
      try {
        scope.set(name, this.#stored(tensor, name));
      } catch (error) {
        if (!(error instanceof CannotImport)) throw error;
        this.#problems.add(error.code, { op: 'initializer', node: name }, error.message);
        scope.set(name, undefined);
      }
    }
  }

  /** A small tensor is known; a large one is a weight under its name, or one like it that is free. */
  #stored(tensor: OnnxTensor, hint: string): Value {
    const { dtype } = tensor.type;
    if (dtype === undefined) throw new CannotImport('E3001', `data type ${tensor.type.name} is not computed with`);
    const elements = elementsOf(tensor.dims);
    let name = hint;
    for (let i = 2; this.#tensors.has(name); i++) name = `${hint}.${i}`;
    this.#tensors.set(name, tensor);
    if (elements <= knownElements) return knownValue(dtype, tensor.dims, [...(readTensor(this.#files, tensor, 0, elements) ?? [])]);
    return { dtype, shape: tensor.dims, weight: { dtype, shape: tensor.dims, expr: { kind: 'tensor', name } } };
  }

  #run(nodes: readonly OnnxNode[], around: Around): void {
    for (const node of nodes) {
      const name = around.path + (node.name === '' ? `${node.opType}_${node.outputs[0] ?? ''}` : node.name);
      const op = node.domain === '' ? node.opType : `${node.domain}::${node.opType}`;
      this.#emit.build.origin = { kind: 'onnx', node: name, op };
      const before = this.#emit.build.types.length;
      const outputs = this.#outputs(node, { op, node: name }, around);
      node.outputs.forEach((output, i) => output !== '' && around.scope.set(output, outputs?.[i]));
      const disposition: Disposition = outputs === undefined ? 'refused' : this.#emit.build.types.length === before ? 'folded' : 'hardware';
      if (!this.#isCall(node)) this.#nodes.push({ name, op, disposition });
    }
  }

  #isCall(node: OnnxNode): boolean {
    return this.#model.functions.has(functionKey(node.domain, node.opType, node.overload));
  }

  /** What a node yields; undefined if it was refused, or needs what was. */
  #outputs(node: OnnxNode, who: { readonly op: string; readonly node: string }, around: Around): readonly (Value | undefined)[] | undefined {
    const inputs = node.inputs.map((name) => (name === '' ? undefined : around.scope.get(name)));
    const isWhole = node.inputs.every((name, i) => name === '' || inputs[i] !== undefined);
    const given = new Map([...node.attributes].flatMap(([name, attribute]) => resolved(name, attribute, around.attributes)));
    try {
      const custom = node.domain === '' ? undefined : this.#custom(node, given);
      if (custom !== undefined) return isWhole ? [this.#layer(custom, inputs)] : undefined;
      const called = this.#model.functions.get(functionKey(node.domain, node.opType, node.overload));
      if (called !== undefined) return isWhole ? this.#call(called, inputs, given, `${who.node}/`) : undefined;
      if (node.domain === '' && node.opType === 'If') return isWhole ? this.#branch(inputs[0], given, around, who) : undefined;
      const rule = ruleOf(node.domain, node.opType);
      if (rule === undefined) return this.#refuse(node, who);
      if (!isWhole) return undefined;
      return this.#apply(rule, { node, who, inputs, attributes: given }, around);
    } catch (error) {
      if (error instanceof CustomLayerError) this.#problems.add('E3003', who, error.message);
      else if (error instanceof CannotImport) this.#problems.add(error.code, who, error.message);
      else throw error;
      return undefined;
    }
  }

  #apply(rule: Rule, { node, who, inputs, attributes }: Applied, around: Around): readonly Value[] {
    const call = new Call({
      op: node.opType,
      opset: around.opsets.get(node.domain) ?? 1,
      inputs,
      outputs: node.outputs,
      attributes,
      stored: (tensor, hint) => this.#stored(tensor, around.path + hint),
      run: (graph, values) => this.#subgraph(graph, values, { ...around, path: `${who.node}/` })[0],
      doubt: (why) => this.#problems.add('W1006', who, why),
    });
    const result = rule(call, this.#emit);
    const outputs: readonly Value[] = Array.isArray(result) ? (result as readonly Value[]) : [result as Value];
    const missing = node.outputs.findIndex((name, i) => name !== '' && outputs[i] === undefined);
    if (missing >= 0) throw new CannotImport('E3001', `output ${missing} is not computed`);
    return outputs;
  }

  #custom(node: OnnxNode, attributes: ReadonlyMap<string, OnnxAttribute>): { readonly layer: CustomLayer; readonly attrs: SourceOp['attrs'] } | undefined {
    const plain = [...attributes].flatMap(([name, { kind, value }]) => (['int', 'float', 'string', 'ints', 'floats'].includes(kind) ? [[name, value as number] as const] : []));
    const source: SourceOp = { domain: node.domain, op: node.opType, attrs: Object.fromEntries(plain) };
    for (const layer of this.#layers) {
      const attrs = layer.match(source);
      if (attrs !== undefined) return { layer, attrs };
    }
    return undefined;
  }

  #layer({ layer, attrs }: { readonly layer: CustomLayer; readonly attrs: SourceOp['attrs'] }, inputs: readonly (Value | undefined)[]): Value {
    const operands = inputs.filter((value) => value !== undefined);
    const types = operands.map((operand) => this.#emit.build.types[this.#emit.id(operand)] as TensorType);
    const type = layer.infer(types, attrs);
    this.#used.add(layer);
    return this.#emit.custom(layer.name, attrs, operands, type);
  }

  #call(called: OnnxFunction, inputs: readonly (Value | undefined)[], given: ReadonlyMap<string, OnnxAttribute>, path: string): readonly (Value | undefined)[] | undefined {
    const scope: Scope = new Map(called.inputs.map((name, i) => [name, inputs[i]]));
    // An optional input that is not given is as good as '' inside.
    const missing = new Set(called.inputs.filter((_, i) => inputs[i] === undefined));
    const nodes = called.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => (missing.has(name) ? '' : name)) }));
    this.#run(nodes, { scope, opsets: called.opsets, attributes: new Map([...called.defaults, ...given]), path });
    return called.outputs.map((name) => scope.get(name));
  }

  /** If on a condition known before the run is the branch it takes; else both, and a choice between what they yield. */
  #branch(condition: Value | undefined, given: ReadonlyMap<string, OnnxAttribute>, around: Around, who: { readonly op: string; readonly node: string }): readonly (Value | undefined)[] | undefined {
    const taken = condition?.known?.[0];
    const run = (branch: string): readonly (Value | undefined)[] => {
      const graph = given.get(branch);
      if (graph?.kind !== 'graph') throw new CannotImport('E1003', 'a branch is missing');
      return this.#subgraph(graph.value, [], { ...around, path: `${who.node}/` });
    };
    if (typeof taken === 'number') return run(taken === 0 ? 'else_branch' : 'then_branch');
    if (condition === undefined) return undefined;
    const [yes, no] = [run('then_branch'), run('else_branch')];
    const chosen = yes.map((left, i) => (left === undefined ? undefined : this.#chosen(condition, left, no[i])));
    if (chosen.includes(undefined) && !this.#problems.any) this.#problems.add(conditional.code, who, conditional.why, conditional.help);
    return chosen;
  }

  /** A graph that is an attribute, on these inputs; it sees what is around it. */
  #subgraph(graph: OnnxGraph, inputs: readonly Value[], around: Around): readonly (Value | undefined)[] {
    const scope: Scope = new Map(around.scope);
    this.#initializers(graph, scope);
    graph.inputs.forEach(({ name }, i) => {
      const given = inputs[i];
      if (given !== undefined) scope.set(name, given);
      // Some exporters declare what a branch reads from around it.
      else if (!scope.has(name)) throw new CannotImport('E1003', `nothing gives input \`${name}\` of its graph`);
    });
    this.#run(graph.nodes, { ...around, scope });
    return graph.outputs.map(({ name }) => scope.get(name));
  }

  /** One of two tensors of the same shape; undefined if they are not. */
  #chosen(condition: Value, left: Value, right: Value | undefined): Value | undefined {
    const isAlike = right !== undefined && left.parts === undefined && right.parts === undefined && left.dtype === right.dtype && equalShapes(left.shape, right.shape);
    return isAlike ? this.#emit.where(this.#emit.reshape(condition, []), left, right) : undefined;
  }

  #refuse(node: OnnxNode, who: { readonly op: string; readonly node: string }): undefined {
    const refused = refusalOf(node.domain, node.opType);
    if (refused !== undefined) this.#problems.add(refused.code, who, refused.why, refused.help);
    else if (node.domain === '') this.#problems.add('E1005', who, 'the operator is not known', 'export with operators of ONNX up to opset 28 that have a meaning in a transformer');
    else this.#problems.add('E1005', who, `the operator of domain \`${node.domain}\` is not known`, 'define it as a custom layer and give that to the compiler');
    return undefined;
  }
}

/** An attribute of a function's body that names one of its call is that one, if it was given. */
function resolved(name: string, attribute: OnnxAttribute, outer: ReadonlyMap<string, OnnxAttribute>): readonly (readonly [string, OnnxAttribute])[] {
  if (attribute.kind !== 'reference') return [[name, attribute]];
  const given = outer.get(attribute.value);
  return given === undefined ? [] : [[name, given]];
}

function nodeOf({ kind, origin }: GraphOp): { readonly op: string; readonly node: string } {
  return origin.kind === 'onnx' ? origin : { op: kind, node: kind };
}

/** Types and ops with the sizes that turned out to be equal written the same way. */
function settle({ sizes, build }: Emitter, ops: readonly GraphOp[]): { readonly types: readonly TensorType[]; readonly ops: readonly GraphOp[] } {
  const text = (dim: string): string => String(sizes.settle(/^-?[0-9]+$/.test(dim) ? Number(dim) : dim));
  const settled = (op: GraphOp): GraphOp => {
    switch (op.kind) {
      case 'pslice':
        return { ...op, attrs: { ...op.attrs, start: text(op.attrs.start), end: text(op.attrs.end) } };
      case 'piota':
        return { ...op, attrs: { ...op.attrs, start: text(op.attrs.start) } };
      case 'ptrilu':
        return { ...op, attrs: { ...op.attrs, k: text(op.attrs.k) } };
      case 'ptopk':
        return { ...op, attrs: { ...op.attrs, k: text(op.attrs.k) } };
      case 'psizes':
        return { ...op, attrs: { sizes: op.attrs.sizes.map(text) } };
      default:
        return op;
    }
  };
  return { types: build.types.map(({ dtype, shape }) => ({ dtype, shape: shape.map((dim) => sizes.settle(dim)) })), ops: ops.map(settled) };
}
