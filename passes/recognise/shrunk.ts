import type { Tensor } from '../../ir/graph/interpret/tensor.ts';
import type { GraphOp } from '../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../ir/types.ts';
import { sample } from '../evaluate-op.ts';
import type { Graph } from './graph.ts';
import type { Region } from './region.ts';

/** A graph in which some sizes are others, and numbers for the constants that had them. */
export type Shrunk = { readonly graph: Graph; readonly given: ReadonlyMap<ValueId, Tensor> };

/** Sizes that are taken for large ones, if nothing else is of that size. */
const small = [11, 13, 17, 19, 23, 29];

/**
 * A region with the sizes of its matrices made small and other numbers in them: what it computes of matrices of one size it computes of those of another,
 * and of any, as long as nothing in it knows how large they are but by its type: no constant on the side has such an axis and differs along it. `kept`: sizes
 * that stay. Undefined where something does.
 */
export function shrunk(graph: Graph, region: Region, parts: readonly ValueId[], kept: readonly number[]): Shrunk | undefined {
  const own = new Set(parts);
  const sizes = new Set(parts.flatMap((part) => graph.type(part).shape.filter((size): size is number => typeof size === 'number' && !kept.includes(size))));
  const others = new Set([...kept, ...region.ops.flatMap(({ results }) => results.flatMap((result) => graph.type(result).shape))]);
  const free = small.filter((size) => !others.has(size));
  const by = new Map<number, number>();
  for (const size of [...sizes].toSorted((a, b) => a - b)) by.set(size, 2 * (by.get(size / 2) ?? 0) || (free.shift() ?? size));
  const isLarge = (dim: Dim): boolean => typeof dim === 'number' && by.has(dim);

  const less = (dim: Dim): Dim => (typeof dim === 'number' ? (by.get(dim) ?? dim) : dim);
  const inside = new Set(region.ops);
  /** Whether a value from the side is the same along axes of the sizes that change: repeated along them, or made of what is. */
  const even = new Map<ValueId, boolean>([...own, region.x].map((value) => [value, true]));
  const isEven = (value: ValueId): boolean => {
    const known = even.get(value);
    if (known !== undefined) return known;
    const op = graph.definition(value);
    const isRepeated = op === undefined || op.kind === 'pexpand' || (op.kind === 'pconst' && op.attrs.values.length === 1) || ['punary', 'pbinary', 'pwhere', 'pcast'].includes(op.kind);
    const answer = (isRepeated || !graph.type(value).shape.some(isLarge)) && (op?.operands ?? []).every(isEven);
    even.set(value, answer);
    return answer;
  };
  if (!region.sides.every(isEven)) return undefined;

  const type = (value: ValueId): TensorType => {
    const { dtype, shape } = graph.type(value);
    return { dtype, shape: shape.map(less) };
  };
  const bound = (text: string): string => (/^\d+$/.test(text) ? String(less(Number(text))) : text);
  const definition = (value: ValueId): GraphOp | undefined => {
    const op = graph.definition(value);
    return op?.kind === 'pslice' && inside.has(op) ? { ...op, attrs: { ...op.attrs, start: bound(op.attrs.start), end: bound(op.attrs.end) } } : op;
  };
  return { graph: { ...graph, type, definition }, given: new Map(parts.map((part) => [part, sample(type(part).shape as readonly number[], part, 2)])) };
}
