import type { Block, GraphModule, GraphOp } from '../ir/graph/module.ts';
import { allOps } from '../ir/graph/module.ts';
import type { OpKind } from '../ir/graph/ops.ts';
import type { TensorType, ValueId } from '../ir/types.ts';
import { compact } from './rewrite.ts';

/** What rows are read from or multiplied with: a fused op has one of these at most. */
const anchors: ReadonlySet<OpKind> = new Set<OpKind>(['embed', 'linear', 'attention', 'experts', 'custom']);
/** What is done to rows on their way to an anchor; the rest is done to those that leave one. */
const before: ReadonlySet<OpKind> = new Set<OpKind>(['allgather', 'norm', 'quantise', 'sampleRows']);

/**
 * Ops beside each other that the machine works off together become one: an anchor, with what brings its rows to it (gathering, norm, quantise) and
 * what is done to them where they leave it (columns, rotations, conversions, sums). The order of ops stays, so `ungroup` takes it back.
 */
export function group(source: GraphModule): GraphModule {
  const module = ungroup(source);
  const types: TensorType[] = [...module.types];
  const fresh = (value: ValueId): ValueId => (types.push(module.types[value] as TensorType) - 1) as ValueId;
  const block = (old: Block, renamed: Map<ValueId, ValueId>): Block => {
    const now = (value: ValueId): ValueId => renamed.get(value) ?? value;
    const runs = runsOf(old.ops);
    const readers = readersOf(runs, old.yields);
    const ops = runs.flatMap((run, i): readonly GraphOp[] => {
      if (run.filter(({ kind }) => kind !== 'weight').length < 2) return run.map((op) => renamedOp(op, now, (body) => block(body, renamed)));
      const made = run.flatMap(({ results }) => results);
      const operands = [...new Set(run.flatMap((op) => op.operands))].filter((value) => !made.includes(value));
      const params = operands.map(fresh);
      const inside = new Map(operands.map((value, at) => [value, params[at] as ValueId]));
      const yields = made.filter((value) => [...(readers.get(value) ?? [])].some((reader) => reader !== i));
      const fused: GraphOp = {
        kind: 'fused', attrs: {}, operands: operands.map(now), results: yields.map(fresh), origin: { kind: 'derived', by: 'group', from: [] },
        body: { params, ops: run.map((op) => renamedOp(op, (value) => inside.get(value) ?? value, (body) => body)), yields },
      };
      yields.forEach((value, at) => renamed.set(value, fused.results[at] as ValueId));
      return [fused];
    });
    return { ...old, ops, yields: old.yields.map(now) };
  };
  return compact({ ...module, types, body: block(module.body, new Map()) });
}

/** A module with the ops of its fused ops in their places: what lowering lowers. One that has none comes back itself. */
export function ungroup(module: GraphModule): GraphModule {
  if (![...allOps(module.body)].some(({ kind }) => kind === 'fused')) return module;
  const renamed = new Map<ValueId, ValueId>();
  const now = (value: ValueId): ValueId => renamed.get(value) ?? value;
  const block = (old: Block): Block => ({
    ...old,
    ops: old.ops.flatMap((op): readonly GraphOp[] => {
      if (op.kind !== 'fused') return [renamedOp(op, now, block)];
      op.body.params.forEach((param, i) => renamed.set(param, now(op.operands[i] as ValueId)));
      const { ops, yields } = block(op.body);
      op.results.forEach((result, i) => renamed.set(result, yields[i] as ValueId));
      return ops;
    }),
    yields: old.yields.map(now),
  });
  return compact({ ...module, body: block(module.body) });
}

const renamedOp = (op: GraphOp, now: (value: ValueId) => ValueId, block: (body: Block) => Block): GraphOp =>
  ({ ...op, operands: op.operands.map(now), body: op.body === undefined ? undefined : block(op.body) }) as GraphOp;

/** Stretches of ops with one anchor each: a new one begins at a second anchor, and at what comes before one. Weights go with what comes after them; a loop is alone. */
function runsOf(ops: readonly GraphOp[]): readonly (readonly GraphOp[])[] {
  const runs: GraphOp[][] = [];
  let weights: GraphOp[] = [];
  let hasAnchor = false;
  let isOpen = false;
  for (const op of ops) {
    if (op.kind === 'weight') {
      weights.push(op);
      continue;
    }
    const isAlone = op.kind === 'loop';
    const isAnchor = anchors.has(op.kind);
    if (!isOpen || isAlone || (hasAnchor && (isAnchor || before.has(op.kind)))) {
      runs.push([]);
      hasAnchor = false;
    }
    runs.at(-1)?.push(...weights, op);
    weights = [];
    hasAnchor ||= isAnchor;
    isOpen = !isAlone;
  }
  return weights.length === 0 ? runs : [...runs, weights];
}

/** Which runs read a value, those that do in a loop's body among them; -1 for the block's own results. */
function readersOf(runs: readonly (readonly GraphOp[])[], yields: readonly ValueId[]): ReadonlyMap<ValueId, ReadonlySet<number>> {
  const readers = new Map<ValueId, Set<number>>();
  const read = (value: ValueId, run: number): void => void readers.set(value, (readers.get(value) ?? new Set<number>()).add(run));
  runs.forEach((run, i) => {
    for (const op of allOps({ params: [], ops: run, yields: [] })) for (const value of [...op.operands, ...(op.body?.yields ?? [])]) read(value, i);
  });
  for (const value of yields) read(value, -1);
  return readers;
}

/** The fused ops of a layer, each by the kinds of ops it holds, and how many there are: those of the layers' loop, or of the whole module where there is none. */
export function fusedOps({ body, source: { layers } }: GraphModule): { readonly fusedOps: readonly string[]; readonly fusedOpsPerLayer: number } {
  const loop = body.ops.find((op) => op.kind === 'loop');
  const kinds = ({ ops }: Block): readonly OpKind[] => ops.map(({ kind }) => kind).filter((kind) => kind !== 'weight');
  const held = (loop?.body ?? body).ops.flatMap((op) => (op.kind === 'weight' ? [] : [op.kind === 'fused' ? kinds(op.body).join(' ') : op.kind]));
  return { fusedOps: held, fusedOpsPerLayer: loop === undefined ? held.length / Math.max(1, layers) : held.length };
}
