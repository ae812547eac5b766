import type { Diagnostics, Origin } from '../diagnostics/diagnostic.ts';
import { allOps, type Block, type GraphModule, type GraphOp, type OpOf } from '../ir/graph/module.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { TensorType, ValueId } from '../ir/types.ts';
import type { Weight, WeightExpr } from '../ir/weights.ts';
import { stripedPiece } from './plan/matmul.ts';
import { deriveWeight, type Near, rewrite, sizeOf } from './rewrite.ts';

/** Chips every layer is divided over; of several, those that whole experts are spread over: all of them, or 1 (or absent), each expert is divided like all else. */
export type Spread = { readonly tp: number; readonly ep?: number };

/**
 * Tensor parallelism over `tp` chips by columns alone: every chip computes its share of each linear's columns and of the
 * heads over whole rows of operands, and shares are gathered where an op needs whole rows. No sum is ever split between
 * chips, so the bits do not depend on `tp`. Every chip runs the same graph; only its weights differ (`shard`). Experts may go to the chips whole:
 * what chips make of a row's experts is then brought to those that have its columns.
 */
export function shard(module: GraphModule, { tp, ep = 1 }: Spread, machine: Machine, diagnostics: Diagnostics): GraphModule {
  if (tp === 1) return module;
  const problems = [...allOps(module.body)].flatMap((op) => [...indivisible(op, module, tp), ...(ep > 1 ? unspreadable(op, ep) : [])]);
  if (ep > 1 && ![...allOps(module.body)].some(hasExperts)) diagnostics.report({ code: 'E4002', message: `the model has no experts that \`--ep ${ep}\` could spread over chips`, origin: { kind: 'none' }, help: 'leave --ep out' });
  for (const { what, size, flag, origin } of problems) {
    diagnostics.report({ code: 'E4002', message: `${what} ${size} cannot be divided over \`${flag}\``, origin, help: `use a ${flag.split(' ')[0]} that divides ${size}` });
  }
  if (problems.length > 0) return module;

  const isSpread = ({ attrs: { experts } }: OpOf<'experts'>): boolean => ep > 1 && experts % tp === 0;
  const parts = partsOfValues(module, tp, isSpread);
  const entire = [...allOps(module.body)].filter((op): op is OpOf<'attention'> => op.kind === 'attention' && !isDivided(op, parts, tp));
  for (const { origin } of entire) {
    diagnostics.report({ code: 'E4002', message: `heads whose queries or keys are whole on every chip (normalised together, or brought by the host) cannot be divided over \`--tp ${tp}\``, origin, help: 'use --tp 1: a chip has no part of a row that is whole on every chip' });
  }
  if (entire.length > 0) return module;

  const types = module.types.map((type, value) => divide(type, parts.get(value as ValueId) ?? 1));
  const strips = stripsOfValues(module, parts, machine);
  const gathered = new Map<ValueId, ValueId>();
  const whole = (value: ValueId, near: Near): ValueId => {
    if ((parts.get(value) ?? 1) === 1) return near.now(value);
    const known = gathered.get(value);
    if (known !== undefined) return known;
    const made = near.build.op('allgather', { parts: tp, strips: strips.get(value) ?? 1 }, [near.now(value)], module.types[value] as TensorType);
    gathered.set(value, made);
    return made;
  };
  const keep = (op: GraphOp, operands: readonly ValueId[], near: Near): readonly ValueId[] =>
    near.build.ops(op.kind as 'add', op.attrs as never, operands, op.results.map((result) => types[result] as TensorType));
  const pointwise = (op: GraphOp, near: Near): readonly ValueId[] | undefined =>
    (parts.get(op.results[0] as ValueId) ?? 1) > 1 ? undefined : keep(op, op.operands.map((operand) => whole(operand, near)), near);

  const result = rewrite({ ...module, types }, 'shard', {
    embed: (op, near) => {
      if ((parts.get(op.results[0] as ValueId) ?? 1) === 1) return undefined;
      const table = near.weightOf(op.operands[1] as ValueId) as Weight;
      const own = deriveWeight(table.name, [sizeOf(table.shape[0]), sizeOf(table.shape[1]) / tp], [table], ([of]) => share(of as WeightExpr, 1, tp));
      return keep(op, [near.now(op.operands[0] as ValueId), near.weight(own)], near);
    },
    norm: (op, near) => {
      const count = parts.get(op.results[0] as ValueId) ?? 1;
      const [x, ...parameters] = op.operands as readonly [ValueId, ...ValueId[]];
      if (count === 1) return keep(op, [whole(x, near), ...parameters.map(near.now)], near);
      const own = parameters.map((parameter) => near.weight(shardRows(near.weightOf(parameter) as Weight, count, false)));
      return [near.build.op('norm', { ...op.attrs, groups: op.attrs.groups / count }, [near.now(x), ...own], types[op.results[0] as ValueId])];
    },
    linear: (op, near) => {
      const count = parts.get(op.results[0] as ValueId) ?? 1;
      const operands = op.operands.map((operand, i) => {
        const weight = near.weightOf(operand);
        if (weight === undefined) return i === 0 || count === 1 ? whole(operand, near) : near.now(operand);
        return count === 1 ? near.now(operand) : near.weight(shardRows(weight, count, op.attrs.gated, strips.get(op.results[0] as ValueId)));
      });
      return keep(op, operands, near);
    },
    scale: (op, near) => {
      const count = parts.get(op.results[0] as ValueId) ?? 1;
      const [x, by] = op.operands as [ValueId, ValueId];
      const numbers = near.weightOf(by) as Weight;
      if (count === 1) return keep(op, [whole(x, near), near.now(by)], near);
      return keep(op, [near.now(x), numbers.shape[0] === 1 ? near.now(by) : near.weight(shardRows(numbers, count, false))], near);
    },
    experts: (op, near) => {
      const count = parts.get(op.results[0] as ValueId) ?? 1;
      const [x, logits, gates, downs, ...lists] = op.operands as [ValueId, ValueId, ValueId, ValueId, ...ValueId[]];
      const rows = [whole(x, near), whole(logits, near)];
      if (count === 1) return keep(op, [...rows, ...op.operands.slice(2).map(near.now)], near);
      const { experts, biased } = op.attrs;
      const spread = isSpread(op);
      const own = (value: ValueId, pieces: number): ValueId => {
        const weight = near.weightOf(value) as Weight;
        return near.weight(spread ? shardRows(weight, count, false) : shardPieces(weight, pieces, count));
      };
      const [gateBias, downBias] = lists.slice(biased ? 1 : 0);
      const biases = gateBias === undefined || downBias === undefined ? [] : [own(gateBias, 2 * experts), own(downBias, experts)];
      const operands = [...rows, own(gates, 2 * experts), own(downs, experts), ...lists.slice(0, biased ? 1 : 0).map(near.now), ...biases];
      return [near.build.op('experts', { ...op.attrs, parts: count, whole: spread }, operands, types[op.results[0] as ValueId])];
    },
    attention: (op, near) => {
      const attrs = { ...op.attrs, heads: op.attrs.heads / tp, kvHeads: Math.max(1, op.attrs.kvHeads / tp) };
      const [q, k, v, ...each] = op.operands as [ValueId, ValueId, ValueId, ...ValueId[]];
      const own = each.map((numbers) => near.weight(shardRows(near.weightOf(numbers) as Weight, tp, false)));
      return [near.build.op('attention', attrs, [...[q, k, v].map(near.now), ...own], types[op.results[0] as ValueId])];
    },
    add: pointwise,
    multiply: pointwise,
    activate: pointwise,
  });
  return gatherOutputs({ ...result, caches: result.caches.map((cache) => ({ ...cache, kvHeads: Math.max(1, cache.kvHeads / tp) })) }, module, tp);
}

/**
 * Into how many parts each value's columns are divided; values not listed are whole on every chip. What a loop carries is
 * divided alike going in and coming round: where one is whole (`whole`), so are the others.
 */
function partsOfValues(module: GraphModule, tp: number, isSpread: (op: OpOf<'experts'>) => boolean, whole: ReadonlySet<ValueId> = new Set()): ReadonlyMap<ValueId, number> {
  const parts = new Map<ValueId, number>();
  const kvHeads = new Map<ValueId, number>();
  for (const op of [...allOps(module.body)].reverse()) {
    if (op.kind === 'attention') for (const operand of op.operands.slice(1)) kvHeads.set(operand, op.attrs.kvHeads);
    const heads = kvHeads.get(op.results[0] as ValueId);
    if ((op.kind === 'rope' || op.kind === 'norm' || op.kind === 'scale') && heads !== undefined) kvHeads.set(op.operands[0] as ValueId, heads);
  }
  const set = (value: ValueId, count: number): unknown => count > 1 && !whole.has(value) && parts.set(value, count);
  const of = (value: ValueId | undefined): number => (value === undefined ? 1 : (parts.get(value) ?? 1));
  const walk = (block: Block): void => {
    for (const op of block.ops) {
      const result = op.results[0] as ValueId;
      if (op.kind === 'embed' || op.kind === 'attention') set(result, tp);
      else if (op.kind === 'linear') {
        const width = sizeOf((module.types[result] as TensorType).shape[1]);
        const count = Math.min(tp, kvHeads.get(result) ?? tp);
        const residual = op.attrs.residual ? of(op.operands.at(-1)) : tp;
        set(result, width % count === 0 && residual > 1 ? count : 1);
      } else if (op.kind === 'rope' || op.kind === 'sampleRows' || op.kind === 'scale') set(result, of(op.operands[0]));
      else if (op.kind === 'experts') {
        const inner = sizeOf((module.types[op.operands[3] as ValueId] as TensorType).shape[1]);
        set(result, (isSpread(op) || inner % tp === 0) && sizeOf((module.types[result] as TensorType).shape[1]) % tp === 0 ? tp : 1);
      } else if (op.kind === 'norm') set(result, op.attrs.groups % of(op.operands[0]) === 0 ? of(op.operands[0]) : 1);
      else if (op.kind === 'add' || op.kind === 'multiply' || op.kind === 'activate') set(result, Math.min(...op.operands.map(of)));
      else if (op.kind === 'loop') {
        op.body.params.forEach((param, i) => set(param, of(op.operands[i])));
        walk(op.body);
        op.results.forEach((value, i) => set(value, of(op.body.yields[i])));
      }
    }
  };
  walk(module.body);
  const unlike = [...allOps(module.body)].flatMap((op) =>
    op.kind !== 'loop' ? [] : op.body.params.flatMap((param, i) => {
      const carried = [op.operands[i] as ValueId, param, op.body.yields[i] as ValueId];
      return carried.every((value) => of(value) === of(param)) ? [] : carried;
    }),
  );
  return unlike.length === 0 ? parts : partsOfValues(module, tp, isSpread, new Set([...whole, ...unlike]));
}

/**
 * Into how many strips the columns of values are cut before each is divided over the chips: of what only products take, so many that a strip of all chips is a piece of k of theirs.
 * A piece is then whole as soon as each chip has made its columns of it, and can be brought to all while the next is made.
 */
function stripsOfValues({ body, types }: GraphModule, parts: ReadonlyMap<ValueId, number>, machine: Machine): ReadonlyMap<ValueId, number> {
  const ops = [...allOps(body)];
  const isTaken = (value: ValueId): boolean => {
    const users = ops.filter(({ operands, body: inner }) => operands.includes(value) || inner?.yields.includes(value));
    return users.length > 0 && !body.yields.includes(value) && users.every((user) => user.kind === 'linear' && user.operands.lastIndexOf(value) === 0);
  };
  return new Map(ops.flatMap((op): readonly (readonly [ValueId, number])[] => {
    const value = op.results[0] as ValueId;
    const count = parts.get(value) ?? 1;
    if (op.kind !== 'linear' || op.attrs.residual || count === 1 || types[value]?.shape[0] !== 'tokens' || !isTaken(value)) return [];
    const width = sizeOf((types[value] as TensorType).shape[1]);
    const piece = stripedPiece(machine, width, count);
    return piece === undefined ? [] : [[value, width / piece]];
  }));
}

const divide = (type: TensorType, parts: number): TensorType =>
  parts === 1 ? type : { ...type, shape: [type.shape[0] ?? 0, sizeOf(type.shape[1]) / parts] };

const share = (of: WeightExpr, axis: number, parts: number): WeightExpr => ({ kind: 'shard', of, axis, parts });

/** This chip's rows of a linear's weight; of a gated one, its rows of either half; of each of their strips. */
function shardRows(weight: Weight, parts: number, gated: boolean, strips = 1): Weight {
  const [rows, ...rest] = weight.shape;
  const striped = (of: WeightExpr, height: number): WeightExpr =>
    strips === 1 ? share(of, 0, parts) : { kind: 'concat', axis: 0, of: Array.from({ length: strips }, (_, i) => share({ kind: 'slice', of, axis: 0, start: (i * height) / strips, end: ((i + 1) * height) / strips }, 0, parts)) };
  const halves = (of: WeightExpr): WeightExpr =>
    gated && of.kind === 'concat' ? { ...of, of: of.of.map((half) => striped(half, sizeOf(rows) / of.of.length)) } : striped(of, sizeOf(rows));
  return deriveWeight(weight.name, [sizeOf(rows) / parts, ...rest], [weight], ([of]) => halves(of as WeightExpr));
}

/** This chip's rows of each of several pieces of a weight, one above the other. */
function shardPieces(weight: Weight, pieces: number, parts: number): Weight {
  const [rows, ...rest] = weight.shape as readonly [number, ...number[]];
  const each = (of: WeightExpr): readonly WeightExpr[] =>
    of.kind === 'concat' && of.of.length === pieces ? of.of : Array.from({ length: pieces }, (_, i) => ({ kind: 'slice', of, axis: 0, start: (i * rows) / pieces, end: ((i + 1) * rows) / pieces }));
  return deriveWeight(weight.name, [rows / parts, ...rest], [weight], ([of]) => ({ kind: 'concat', axis: 0, of: each(of as WeightExpr).map((piece) => share(piece, 0, parts)) }));
}

function gatherOutputs(module: GraphModule, source: GraphModule, tp: number): GraphModule {
  const types = [...module.types];
  const ops = [...module.body.ops];
  const yields = module.body.yields.map((value, i) => {
    const wanted = source.types[source.body.yields[i] as ValueId] as TensorType;
    if ((types[value] as TensorType).shape[1] === wanted.shape[1]) return value;
    const origin: Origin = { kind: 'derived', by: 'shard', from: [] };
    types.push(wanted);
    const result = (types.length - 1) as ValueId;
    ops.push({ kind: 'allgather', attrs: { parts: tp, strips: 1 }, operands: [value], results: [result], origin, body: undefined });
    return result;
  });
  return { ...module, types, body: { ...module.body, ops, yields } };
}

/** Whether the queries, keys and values of an attention come in parts of the heads. */
const isDivided = ({ operands, attrs }: OpOf<'attention'>, parts: ReadonlyMap<ValueId, number>, tp: number): boolean =>
  operands.slice(0, 3).every((operand, i) => (parts.get(operand) ?? 1) === (i === 0 ? tp : Math.min(tp, attrs.kvHeads)));

type Problem = { readonly what: string; readonly size: number; readonly flag: string; readonly origin: Origin };

/** Whether an op has experts that chips can have whole: a mixture of one is divided like all else. */
export const hasExperts = (op: GraphOp): op is OpOf<'experts'> => op.kind === 'experts' && op.attrs.experts > 1;

const unspreadable = (op: GraphOp, ep: number): readonly Problem[] =>
  hasExperts(op) && op.attrs.experts % ep !== 0 ? [{ what: 'the number of experts', size: op.attrs.experts, flag: `--ep ${ep}`, origin: op.origin }] : [];

function indivisible(op: GraphOp, module: GraphModule, tp: number): readonly Problem[] {
  const flag = `--tp ${tp}`;
  if (op.kind === 'embed') {
    const size = sizeOf((module.types[op.results[0] as ValueId] as TensorType).shape[1]);
    return size % tp === 0 ? [] : [{ what: 'the hidden size', size, flag, origin: op.origin }];
  }
  if (op.kind !== 'attention') return [];
  const { heads, kvHeads } = op.attrs;
  const even = (size: number): boolean => size % tp === 0 || tp % size === 0;
  return [
    ...(heads % tp === 0 ? [] : [{ what: 'the number of heads', size: heads, flag, origin: op.origin }]),
    ...(even(kvHeads) ? [] : [{ what: 'the number of KV heads', size: kvHeads, flag, origin: op.origin }]),
  ];
}
