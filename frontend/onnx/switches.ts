import { captured } from './check.ts';
import type { OnnxModel, OnnxNode } from './model.ts';

/** Elements of inputs, by name, that are the same in every run. */
export type Fixed = ReadonlyMap<string, readonly number[]>;

/** An input that chooses between two models in one file, and the value of it for the one that reads more inputs. */
export type Switch = { readonly input: string; readonly taken: 0 | 1 };

/** Operators that hand one boolean on. */
const handing: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Squeeze', 'Unsqueeze', 'Reshape', 'Flatten']);

/** Inputs of one boolean that an `If` is about, as exporters merge a decoder without and with a past (`use_cache_branch` of optimum). */
export function switchesOf({ graph }: OnnxModel): readonly Switch[] {
  const booleans = new Set(graph.inputs.filter(({ name, type, dims }) => type?.name === 'BOOL' && dims?.every((dim) => dim === 1) === true && !graph.initializers.has(name)).map(({ name }) => name));
  if (booleans.size === 0) return [];
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const found = new Map<string, Switch>();
  for (const node of graph.nodes) {
    const input = node.domain === '' && node.opType === 'If' ? sourceOf(node.inputs[0] ?? '', makers) : undefined;
    if (input === undefined || !booleans.has(input) || found.has(input)) continue;
    const [whenTrue, whenFalse] = ['then_branch', 'else_branch'].map((name) => inputsRead(node, name, inputs)) as [number, number];
    found.set(input, { input, taken: whenTrue >= whenFalse ? 1 : 0 });
  }
  return [...found.values()];
}

function sourceOf(name: string, makers: ReadonlyMap<string, OnnxNode>): string {
  const maker = makers.get(name);
  return maker !== undefined && maker.domain === '' && handing.has(maker.opType) ? sourceOf(maker.inputs[0] ?? '', makers) : name;
}

function inputsRead(node: OnnxNode, branch: string, inputs: ReadonlySet<string>): number {
  const attribute = node.attributes.get(branch);
  return attribute?.kind === 'graph' ? [...new Set(captured(attribute.value))].filter((name) => inputs.has(name)).length : 0;
}
