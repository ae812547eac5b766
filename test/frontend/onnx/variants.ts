import type { OnnxAttribute, OnnxGraph, OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from '../../../frontend/onnx/model.ts';

/** Reproducible choices. */
class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  }
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * n);
  }
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }
}

type Change = (graph: OnnxGraph, chance: Chance) => OnnxGraph;

/** What must not matter: each keeps what a graph computes. */
const changes = {
  rename: (graph, chance) => renamed(graph, chance),
  shuffle: (graph, chance) => ({ ...graph, nodes: shuffled(graph, chance) }),
  swapOperands: (graph, chance) => ({ ...graph, nodes: graph.nodes.map((node) => (commutes.has(node.opType) && node.inputs.length === 2 && chance.oneIn(2) ? { ...node, inputs: node.inputs.toReversed() } : node)) }),
  identities: (graph, chance) => throughNodes(graph, chance, () => ({ opType: 'Identity', attributes: new Map() })),
  casts: (graph, chance) => throughNodes(graph, chance, (from) => (makesSingle.has(from.opType) ? { opType: 'Cast', attributes: new Map([['to', { kind: 'int', value: 1 }]]) } : undefined)),
  constants: (graph, chance) => asConstants(graph, chance),
  initializers: (graph) => asInitializers(graph),
  deadBranches: (graph, chance) => withDeadBranches(graph, chance),
} as const satisfies Record<string, Change>;

const commutes: ReadonlySet<string> = new Set(['Add', 'Mul', 'And', 'Or', 'Equal', 'Max', 'Min']);
/** Ops of FP32 exports whose results are FP32. */
const makesSingle: ReadonlySet<string> = new Set(['MatMul', 'Softmax', 'LayerNormalization', 'Sigmoid', 'Erf', 'Tanh', 'Gemm', 'Sqrt']);

/** A model that computes the same: some changes, by the seed. */
export function variant(model: OnnxModel, seed: number): OnnxModel {
  const chance = new Chance(seed);
  const graph = Object.values(changes).reduce<OnnxGraph>((made, change) => (chance.oneIn(2) ? change(made, chance) : made), model.graph);
  return { ...model, graph };
}

function renamed(graph: OnnxGraph, chance: Chance): OnnxGraph {
  const names = new Map<string, string>([['', '']]);
  const name = (old: string): string => {
    const known = names.get(old);
    if (known !== undefined) return known;
    const fresh = `${'xyzw'[chance.below(4)] ?? ''}${names.size}`;
    names.set(old, fresh);
    return fresh;
  };
  const sizes = (value: OnnxValue): OnnxValue => ({ ...value, name: name(value.name), dims: value.dims?.map((dim) => (typeof dim === 'string' && /^\w+$/.test(dim) ? `d_${dim}` : dim)) });
  const isPlain = [...graph.inputs, ...graph.outputs].every(({ dims }) => dims?.every((dim) => typeof dim !== 'string' || /^\w+$/.test(dim)) ?? true);
  const kept = (value: OnnxValue): OnnxValue => ({ ...value, name: name(value.name) });
  return {
    name: 'g',
    inputs: graph.inputs.map(isPlain ? sizes : kept),
    outputs: graph.outputs.map(isPlain ? sizes : kept),
    initializers: new Map([...graph.initializers].map(([old, tensor]) => [name(old), { ...tensor, name: name(old) }])),
    nodes: graph.nodes.map((node, i) => ({ ...node, name: chance.oneIn(2) ? '' : `n${i}`, inputs: node.inputs.map(name), outputs: node.outputs.map(name) })),
  };
}

/** Nodes in another order in which names are defined before they are used. */
function shuffled({ nodes }: OnnxGraph, chance: Chance): readonly OnnxNode[] {
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  const left = [...nodes];
  const order: OnnxNode[] = [];
  while (left.length > 0) {
    const ready = left.filter(({ inputs }) => inputs.every((input) => !made.has(input)));
    const next = ready[chance.below(ready.length)] as OnnxNode;
    left.splice(left.indexOf(next), 1);
    for (const output of next.outputs) made.delete(output);
    order.push(next);
  }
  return order;
}

/** Some inputs of nodes come through a node of their own. */
function throughNodes(graph: OnnxGraph, chance: Chance, through: (from: OnnxNode) => Pick<OnnxNode, 'opType' | 'attributes'> | undefined): OnnxGraph {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  let count = 0;
  const nodes = graph.nodes.flatMap((node) => {
    const before: OnnxNode[] = [];
    const inputs = node.inputs.map((input) => {
      const maker = makers.get(input);
      const between = maker === undefined || !chance.oneIn(6) ? undefined : through(maker);
      if (between === undefined) return input;
      const output = `through.${count++}.${between.opType}.${input}`;
      before.push({ name: '', domain: '', overload: '', ...between, inputs: [input], outputs: [output] });
      return output;
    });
    return [...before, { ...node, inputs }];
  });
  return { ...graph, nodes };
}

/** Some initializers become the results of constants. */
function asConstants(graph: OnnxGraph, chance: Chance): OnnxGraph {
  const moved = [...graph.initializers].filter(([name]) => chance.oneIn(3) && !graph.outputs.some((output) => output.name === name));
  const constant = ([name, tensor]: readonly [string, OnnxTensor]): OnnxNode => ({ name: '', opType: 'Constant', domain: '', overload: '', inputs: [], outputs: [name], attributes: new Map<string, OnnxAttribute>([['value', { kind: 'tensor', value: tensor }]]) });
  const names = new Set(moved.map(([name]) => name));
  return { ...graph, initializers: new Map([...graph.initializers].filter(([name]) => !names.has(name))), nodes: [...moved.map(constant), ...graph.nodes] };
}

/** Constants of a tensor become initializers. */
function asInitializers(graph: OnnxGraph): OnnxGraph {
  const tensorOf = (node: OnnxNode): OnnxTensor | undefined => {
    const value = node.opType === 'Constant' && node.domain === '' ? node.attributes.get('value') : undefined;
    return value?.kind === 'tensor' ? value.value : undefined;
  };
  const added = graph.nodes.flatMap((node) => {
    const tensor = tensorOf(node);
    return tensor === undefined ? [] : [[node.outputs[0] as string, { ...tensor, name: node.outputs[0] as string }] as const];
  });
  return { ...graph, initializers: new Map([...graph.initializers, ...added]), nodes: graph.nodes.filter((node) => tensorOf(node) === undefined) };
}

/** Nodes whose results nobody reads. */
function withDeadBranches(graph: OnnxGraph, chance: Chance): OnnxGraph {
  const dead = graph.nodes.filter(({ opType }) => makesSingle.has(opType) && chance.oneIn(4));
  const branches = dead.flatMap(({ outputs }, i): readonly OnnxNode[] => [
    { name: '', opType: 'Relu', domain: '', overload: '', inputs: outputs.slice(0, 1), outputs: [`dead.${i}`], attributes: new Map() },
    { name: '', opType: 'Softmax', domain: '', overload: '', inputs: [`dead.${i}`], outputs: [`dead.${i}.more`], attributes: new Map([['axis', { kind: 'int', value: -1 }]]) },
  ]);
  return { ...graph, nodes: [...graph.nodes, ...branches] };
}
