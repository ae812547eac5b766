import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import { allOps, type Block, type GraphModule, type GraphOp, type OpOf } from '../ir/graph/module.ts';
import type { TensorType, ValueId } from '../ir/types.ts';

/** A stage's part of a module. */
export type GraphStage = { readonly module: GraphModule; readonly like: number };

/**
 * Cuts a module into the stages of a pipeline: each has as many of the layer loop's iterations as `cut` says, with their weights
 * and caches; the first has what comes before the loop, the last what comes after it. A step of the pipeline is a step of
 * every stage, each on other sequences; what one gives out the next takes in its next step. Stages alike differ in the values of
 * their weights alone: `like` is the first of them. Reports E4002 where the module cannot be cut so.
 */
export function stagesOf(module: GraphModule, cut: readonly number[], diagnostics: Diagnostics): readonly GraphStage[] {
  const count = cut.length;
  if (count === 1) return [{ module, like: 0 }];
  const loop = layerLoop(module);
  const why = loop === undefined ? 'its layers are not alike' : obstacle(module, loop, cut);
  if (loop === undefined || why !== undefined) {
    diagnostics.report({ code: 'E4002', message: `\`${module.name}\` cannot be cut into ${count} stages: ${why}`, origin: loop?.origin ?? { kind: 'none' }, help: 'use a smaller `--pp`, or `--tp`' });
    return [];
  }
  const isInner = (stage: number): boolean => stage > 0 && stage < count - 1;
  let from = 0;
  return cut.map((layers, stage) => ({
    module: stageOf(module, loop, { from, to: (from += layers) }),
    like: isInner(stage) ? cut.findIndex((other, i) => isInner(i) && other === layers) : stage,
  }));
}

/** The loop that layers are iterations of: the longest. */
export const layerLoop = ({ body }: Pick<GraphModule, 'body'>): OpOf<'loop'> | undefined =>
  body.ops.reduce<OpOf<'loop'> | undefined>((most, op) => (op.kind === 'loop' && op.attrs.trip > (most?.attrs.trip ?? 0) ? op : most), undefined);

/** Iterations of the loop. */
type Span = { readonly from: number; readonly to: number };

/** Why a loop cannot be divided between chips. */
function obstacle({ body, inputs, types }: GraphModule, loop: OpOf<'loop'>, cut: readonly number[]): string | undefined {
  const { trip } = loop.attrs;
  const layers = cut.reduce((sum, each) => sum + each, 0);
  if (trip < cut.length) return `only ${trip} of its layers are alike`;
  if (layers !== trip || cut.includes(0)) return `${cut.join(' + ')} layers are not the ${trip} that are alike, at least one a stage`;
  if (loop.operands.some((value) => types[value]?.shape.length !== 2)) return 'a layer hands more than rows to the next';
  const at = body.ops.indexOf(loop);
  const before = new Set(body.ops.slice(0, at).flatMap((op) => (op.kind === 'weight' ? [] : op.results)));
  const far = [...allOps(loop.body), ...body.ops.slice(at + 1)].flatMap(({ operands }) => operands).find((operand) => before.has(operand)) ?? body.yields.find((value) => before.has(value));
  const later = new Set([...allOps(loop.body), ...body.ops.slice(at + 1)].flatMap(({ operands }) => operands));
  const given = inputs.find(({ feed }, i) => feed === 'rows' && later.has(body.params[i] as ValueId));
  if (given !== undefined) return `\`${given.name}\`, which the host brings to the first, is read by others`;
  return far === undefined ? undefined : `%${far} is made before its layers and read within or after them`;
}

function stageOf(module: GraphModule, loop: OpOf<'loop'>, { from, to }: Span): GraphModule {
  const { body, types } = module;
  const { trip } = loop.attrs;
  const [isFirst, isLast] = [from === 0, to === trip];
  const at = body.ops.indexOf(loop);
  const carried = loop.operands.map((value) => types[value] as TensorType);
  const taken = carried.map((_, value) => (types.length + value) as ValueId);
  const takes = taken.map((result, value): OpOf<'take'> => ({ kind: 'take', attrs: { value }, operands: [], results: [result], origin: loop.origin, body: undefined }));
  const share: OpOf<'loop'> = { ...loop, attrs: { trip: to - from }, operands: isFirst ? loop.operands : taken };
  const gives = loop.results.map((operand, value): OpOf<'give'> => ({ kind: 'give', attrs: { value }, operands: [operand], results: [(types.length + taken.length + value) as ValueId], origin: loop.origin, body: undefined }));
  const before = body.ops.slice(0, at).filter(({ kind }) => isFirst || kind === 'weight');
  const ops = needed([...takes, ...before, share, ...(isLast ? body.ops.slice(at + 1) : gives)]);

  const all = [...allOps({ params: [], ops, yields: [] })];
  const read = new Set(all.flatMap(({ operands }) => operands));
  const inputs = module.inputs.flatMap((input, i) => (read.has(body.params[i] as ValueId) ? [{ input, param: body.params[i] as ValueId }] : []));
  const part = <T>(list: readonly T[]): readonly T[] => (list.length === trip ? list.slice(from, to) : list);
  const layered = new Set(allCaches(loop.body));
  const cached = new Set(all.flatMap(cacheOf));
  const weights = new Set(all.flatMap((op) => (op.kind === 'weight' ? [op.attrs.name] : [])));
  return {
    ...module,
    inputs: inputs.map(({ input }) => input),
    outputs: isLast ? module.outputs : [],
    caches: module.caches.flatMap((cache) => (cached.has(cache.name) ? [layered.has(cache.name) ? { ...cache, layers: (cache.layers / trip) * (to - from) } : cache] : [])),
    weights: module.weights.flatMap((weight) => (weights.has(weight.name) ? [{ ...weight, instances: part(weight.instances) }] : [])),
    types: [...types, ...carried, ...carried],
    body: { params: inputs.map(({ param }) => param), ops, yields: isLast ? body.yields : [] },
  };
}

const cacheOf = (op: GraphOp): readonly string[] => (op.kind === 'attention' && op.attrs.cache !== '' ? [op.attrs.cache] : []);
const allCaches = (block: Block): readonly string[] => [...allOps(block)].flatMap(cacheOf);

/** Without the weights nobody reads. */
function needed(ops: readonly GraphOp[]): readonly GraphOp[] {
  const read = new Set([...allOps({ params: [], ops, yields: [] })].flatMap(({ operands }) => operands));
  return ops.filter((op) => op.kind !== 'weight' || read.has(op.results[0] as ValueId));
}
