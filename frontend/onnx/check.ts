import { limits } from './limits.ts';
import { type OnnxFunction, type OnnxGraph, type OnnxModel, type OnnxNode, functionKey } from './model.ts';
import { Malformed } from './wire.ts';

/**
 * The model with the nodes of every graph and function in an order in which names are defined before they are used. Throws
 * `Malformed` if a name is defined twice or never, if nodes or functions need each other in a circle, or if inlining the functions
 * would go beyond the limits.
 */
export function checkModel(model: OnnxModel): OnnxModel {
  checkCalls(model);
  const functions = new Map([...model.functions].map(([key, each]): [string, OnnxFunction] => [key, { ...each, nodes: sortNodes(each.nodes, new Set(each.inputs), new Set(), each.outputs) }]));
  return { ...model, graph: checkGraph(model.graph, new Set()), functions };
}

function checkGraph(graph: OnnxGraph, outer: ReadonlySet<string>): OnnxGraph {
  const given = new Set<string>(graph.initializers.keys());
  const seen = new Set<string>();
  for (const { name } of graph.inputs) {
    if (seen.has(name)) throw new Malformed('E1003', `graph input \`${name}\` is defined twice`);
    seen.add(name);
    given.add(name);
  }
  return { ...graph, nodes: sortNodes(graph.nodes, given, outer, graph.outputs.map((output) => output.name)) };
}

/** Kahn's algorithm, taking the earliest ready node of the file, so that a file in order stays as it is. */
function sortNodes(nodes: readonly OnnxNode[], given: ReadonlySet<string>, outer: ReadonlySet<string>, outputs: readonly string[]): readonly OnnxNode[] {
  const producer = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of node.outputs) {
      if (name === '') continue;
      if (producer.has(name) || given.has(name)) throw new Malformed('E1003', `\`${name}\` is defined twice, the second time by ${told(node)}`);
      producer.set(name, i);
    }
  });
  const needs = nodes.map((node) => {
    const before: number[] = [];
    const need = (name: string): void => {
      if (name === '') return;
      const at = producer.get(name);
      if (at !== undefined) before.push(at);
      else if (!given.has(name) && !outer.has(name)) throw new Malformed('E1003', `${told(node)} reads \`${name}\`, which nothing defines`);
    };
    node.inputs.forEach(need);
    if (hasGraphs(node)) new Set(capturedBy(node)).forEach(need);
    return before;
  });
  for (const name of outputs) {
    if (!producer.has(name) && !given.has(name) && !outer.has(name)) throw new Malformed('E1003', `output \`${name}\` is not defined by any node`);
  }
  const order = ordered(needs);
  if (order.length < nodes.length) {
    const sorted = new Set(order);
    throw new Malformed('E1003', `${told(nodes.find((_, i) => !sorted.has(i)) as OnnxNode)} needs its own result`);
  }
  if (!nodes.some(hasGraphs)) return order.map((i) => nodes[i] as OnnxNode);
  const visible = new Set([...outer, ...given, ...producer.keys()]);
  return order.map((i) => checkSubgraphs(nodes[i] as OnnxNode, visible));
}

/** Indices so that each comes after those it needs; shorter than `needs` if there is a circle. */
function ordered(needs: readonly (readonly number[])[]): readonly number[] {
  if (needs.every((before, i) => before.every((at) => at < i))) return needs.map((_, i) => i);
  const missing = needs.map((before) => before.length);
  const users = needs.map((): number[] => []);
  needs.forEach((before, i) => before.forEach((at) => users[at]?.push(i)));
  const ready = missing.flatMap((count, i) => (count === 0 ? [i] : []));
  for (let next = 0; next < ready.length; next++) {
    for (const user of users[ready[next] as number] ?? []) {
      missing[user] = (missing[user] as number) - 1;
      if (missing[user] === 0) ready.push(user);
    }
  }
  return ready;
}

function checkSubgraphs(node: OnnxNode, visible: ReadonlySet<string>): OnnxNode {
  if (!hasGraphs(node)) return node;
  const attributes = new Map(
    [...node.attributes].map(([name, attribute]) => [name, attribute.kind === 'graph' ? { ...attribute, value: checkGraph(attribute.value, visible) } : attribute]),
  );
  return { ...node, attributes };
}

function hasGraphs(node: OnnxNode): boolean {
  for (const attribute of node.attributes.values()) if (attribute.kind === 'graph') return true;
  return false;
}

/** Names the subgraphs of a node take from around it. */
const capturedBy = (node: OnnxNode): readonly string[] => [...node.attributes.values()].flatMap((attribute) => (attribute.kind === 'graph' ? captured(attribute.value) : []));

/** Names a subgraph takes from around it. */
export function captured(graph: OnnxGraph): readonly string[] {
  const own = new Set([...graph.initializers.keys(), ...graph.inputs.map((input) => input.name), ...graph.nodes.flatMap((inner) => inner.outputs)]);
  const read = [...graph.nodes.flatMap((inner) => [...inner.inputs, ...capturedBy(inner)]), ...graph.outputs.map((output) => output.name)];
  return read.filter((name) => !own.has(name));
}

/** Functions call no circle, and the nodes they come to when inlined, counted without doing it, stay within the limits. */
function checkCalls(model: OnnxModel): void {
  if (model.functions.size === 0) return;
  const sizes = new Map<string, number>();
  const open = new Set<string>();
  const sizeOf = (nodes: readonly OnnxNode[]): number => {
    let total = 0;
    for (const node of nodes) {
      const key = functionKey(node.domain, node.opType, node.overload);
      const called = model.functions.get(key);
      total += called === undefined ? 1 : callSize(key, called);
      for (const attribute of node.attributes.values()) if (attribute.kind === 'graph') total += sizeOf(attribute.value.nodes);
    }
    return total;
  };
  const callSize = (key: string, called: OnnxFunction): number => {
    const known = sizes.get(key);
    if (known !== undefined) return known;
    if (open.has(key)) throw new Malformed('E1003', `function \`${called.name}\` calls itself`);
    if (open.size >= limits.calls) throw new Malformed('E1004', `function \`${called.name}\` is called more than ${limits.calls} functions deep`);
    open.add(key);
    const size = sizeOf(called.nodes);
    open.delete(key);
    sizes.set(key, size);
    return size;
  };
  for (const [key, each] of model.functions) callSize(key, each);
  const total = sizeOf(model.graph.nodes);
  if (total > limits.nodes) throw new Malformed('E1004', `the graph has ${total} nodes once its functions are inlined, more than ${limits.nodes}`);
}

const told = (node: OnnxNode): string => `${node.opType} node \`${node.name}\``;
