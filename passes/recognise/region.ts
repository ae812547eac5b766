import type { GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Graph } from './graph.ts';

/** A value as a function of an earlier one: the ops on the way, in program order, and the values that come in from the side. */
export type Region = { readonly x: ValueId; readonly value: ValueId; readonly ops: readonly GraphOp[]; readonly sides: readonly ValueId[] };

/** Regions of more ops than this are no single function of the library. */
const longest = 96;

/** The ops through which `value` depends on `x`; undefined if it does not, or through too many. */
export function regionBetween(graph: Graph, x: ValueId, value: ValueId, most = longest): Region | undefined {
  const depends = new Map<ValueId, boolean>([[x, true]]);
  const first = graph.order(x);
  const isFed = graph.dependence(x) === 'inputs';
  let steps = 0;
  const visit = (at: ValueId): boolean => {
    const known = depends.get(at);
    if (known !== undefined) return known;
    if (graph.order(at) <= first || (isFed && graph.dependence(at) !== 'inputs') || steps > 4 * most) return false;
    steps++;
    depends.set(at, false);
    const found = (graph.definition(at)?.operands ?? []).map(visit).some(Boolean);
    depends.set(at, found);
    return found;
  };
  if (value === x || !visit(value)) return undefined;
  const ops = new Set([...depends].flatMap(([at, isOn]) => (isOn && at !== x ? [graph.definition(at) as GraphOp] : [])));
  if (ops.size > most || steps > 4 * most) return undefined;
  const on = new Set([...ops].flatMap(({ results }) => results));
  const sides = new Set([...ops].flatMap(({ operands }) => operands.filter((operand) => operand !== x && !on.has(operand))));
  return { x, value, ops: [...ops].toSorted((a, b) => graph.order(a.results[0] as ValueId) - graph.order(b.results[0] as ValueId)), sides: [...sides] };
}

/**
 * What a region computes, up to which values of which it is made: two regions of one text are one function. Constants of more
 * than one element are named by their place; others, and what depends on inputs, are part of the text.
 */
export function regionText(graph: Graph, { x, ops }: Region): { readonly text: string; readonly vectors: readonly ValueId[] } {
  const places = new Map<ValueId, string>([[x, 'x']]);
  ops.forEach(({ results }, i) => results.forEach((result, r) => places.set(result, `#${i}.${r}`)));
  const vectors: ValueId[] = [];
  const name = (value: ValueId): string => {
    const place = places.get(value);
    if (place !== undefined) return place;
    const { shape } = graph.type(value);
    if (graph.dependence(value) !== 'nothing' || shape.every((size) => size === 1)) return constantText(graph, value);
    if (!vectors.includes(value)) vectors.push(value);
    return `c${vectors.indexOf(value)}[${shape.join()}]`;
  };
  const lines = ops.map((op) => `${op.kind} ${JSON.stringify(op.attrs)} ${op.operands.map(name).join(' ')} ${graph.type(op.results[0] as ValueId).shape.join()}`);
  return { text: `[${graph.type(x).shape.join()}] ${lines.join('; ')}`, vectors };
}

function constantText(graph: Graph, value: ValueId): string {
  const op = graph.definition(value);
  return op?.kind === 'pconst' ? `${op.attrs.values.join()}[${graph.type(value).shape.join()}]` : `v${value}`;
}

/** Values a value is made of through ops of a kind, those that depend on inputs, as far as `most` of them: in program order. */
export function valuesBefore(graph: Graph, value: ValueId, through: (op: GraphOp) => boolean, most: number): readonly ValueId[] {
  const found = new Set<ValueId>();
  const pending = [value];
  for (let at = pending.shift(); at !== undefined && found.size < most; at = pending.shift()) {
    const op = graph.definition(at);
    if (op === undefined || !through(op)) continue;
    for (const operand of op.operands) {
      if (found.has(operand) || graph.dependence(operand) !== 'inputs') continue;
      found.add(operand);
      pending.push(operand);
    }
  }
  return [...found].toSorted((a, b) => graph.order(a) - graph.order(b));
}

/** A value and those made of it through ops of a kind, as far as some more than `most` of them: the farthest first, itself last. */
export function valuesAfter(graph: Graph, value: ValueId, through: (op: GraphOp) => boolean, most: number): readonly ValueId[] {
  const found = new Set([value]);
  for (const at of found) {
    if (found.size > most) break;
    for (const user of graph.users(at)) if (through(user)) found.add(user.results[0] as ValueId);
  }
  return [...found].toSorted((a, b) => graph.order(b) - graph.order(a));
}
