import type { Block, GraphModule, GraphOp } from '../ir/graph/module.ts';
import { allOps } from '../ir/graph/module.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { blockScales } from '../isa-spec/numerics-scales.ts';
import type { DType, TensorType, ValueId } from '../ir/types.ts';
import type { Weight } from '../ir/weights.ts';
import { isLogits } from './router.ts';
import { type Near, rewrite, sizeOf } from './rewrite.ts';

export type Precision = 'fp8' | 'bf16';

/**
 * Gives every value the format it is stored in; after this pass the graph has one normative meaning, to the bit.
 * Matrix operands are E4M3 (activations with a scale a row, or for each block of one; weights with a scale a column; queries, keys and values
 * unscaled) or BF16, as routers always have them; everything between is BF16; what the module hands back is FP32 where its last op computes in FP32.
 * What goes from linears to linears alone is scaled in blocks, on machines whose arrays can: it need never be whole.
 */
export function assignFormats(module: GraphModule, precision: Precision, machine: Machine): GraphModule {
  const operand: DType = precision === 'fp8' ? 'e4m3' : 'bf16';
  const users = usersOf(module);
  /** True of a value that only the host reads, gathered first or not. */
  const handedBack = (value: ValueId): boolean => {
    const readers = users.get(value) ?? [];
    return readers.length === 0 ? module.body.yields.includes(value) : readers.every((reader) => reader.kind === 'allgather' && handedBack(reader.results[0] as ValueId));
  };
  const formatOf = (value: ValueId, op: GraphOp): DType => {
    // A sum has its residual's format, whoever reads it.
    const sum = op.kind === 'linear' && op.attrs.residual;
    if (computes.has(op.kind) && !sum && (handedBack(value) || isLogits(value, (of) => users.get(of) ?? []))) return 'f32';
    const feedsAttention = (id: ValueId): boolean =>
      (users.get(id) ?? []).length > 0 && (users.get(id) ?? []).every((user) => user.kind === 'attention' || (user.kind === 'columns' && feedsAttention(user.results[0] as ValueId)));
    return computes.has(op.kind) && feedsAttention(value) ? operand : 'bf16';
  };
  const types = [...module.types];
  const set = (value: ValueId, dtype: DType): void => {
    types[value] = { ...(types[value] as TensorType), dtype };
  };
  module.inputs.forEach(({ feed }, i) => {
    if (feed === 'rows') set(module.body.params[i] as ValueId, 'bf16');
  });
  for (const op of allOps(module.body)) {
    if (op.kind === 'weight') continue;
    // What moves values moves them as they are; program order has set their format already.
    for (const result of op.results) set(result, op.kind === 'columns' || op.kind === 'allgather' ? (types[op.operands[0] as ValueId] as TensorType).dtype : formatOf(result, op));
    if (op.kind === 'loop') for (const param of op.body.params) set(param, 'bf16');
  }

  const [side, { size }] = [machine.arrays.size.value, blockScales.block];
  const hasBlocks = side % size === 0 || size % side === 0;
  const goesInBlocks = (x: ValueId, near: Near): boolean =>
    hasBlocks && isOfLinear(x, near) && near.uses(x) === near.users(x).length
    && near.users(x).every((user) => user.kind === 'linear' && user.operands.lastIndexOf(x) === 0 && !isLogits(user.results[0] as ValueId, near.users));

  // What a loop quantises is not there after it; what was quantised before it is there within.
  const quantised = new Map<Block, Map<ValueId, readonly [ValueId, ValueId]>>([[module.body, new Map()]]);
  return rewrite({ ...module, types }, 'formats', {
    embed: (op, near) => [near.build.op('embed', {}, [near.now(op.operands[0] as ValueId), stored(op.operands[1] as ValueId, 'bf16', near)], types[op.results[0] as ValueId])],
    norm: (op, near) => [near.build.op('norm', op.attrs, [near.now(op.operands[0] as ValueId), ...op.operands.slice(1).map((value) => stored(value, 'f32', near))], types[op.results[0] as ValueId])],
    scale: (op, near) => [near.build.op('scale', {}, [near.now(op.operands[0] as ValueId), stored(op.operands[1] as ValueId, 'f32', near)], types[op.results[0] as ValueId])],
    linear: (op, near) => {
      const [x, w, ...rest] = op.operands as [ValueId, ValueId, ...ValueId[]];
      const others = rest.map((value) => stored(value, 'f32', near));
      const type = types[op.results[0] as ValueId];
      if (precision === 'bf16' || isLogits(op.results[0] as ValueId, near.users)) return [near.build.op('linear', op.attrs, [near.now(x), stored(w, 'bf16', near), ...others], type)];
      const weight = near.weightOf(w) as Weight;
      const block = near.blockOf(op);
      const here = quantised.get(block) ?? new Map<ValueId, readonly [ValueId, ValueId]>();
      const known = here.get(x) ?? quantised.get(module.body)?.get(x) ?? (goesInBlocks(x, near) ? inBlocks(x, near) : quantise(x, false, near));
      const [codes, scales] = known;
      quantised.set(block, here.set(x, known));
      return [near.build.op('linear', { ...op.attrs, scaled: true }, [codes, stored(w, 'e4m3', near), scales, columnScale(weight, near), ...others], type)];
    },
    experts: (op, near) => {
      const [x, logits, gates, downs, ...lists] = op.operands as [ValueId, ValueId, ValueId, ValueId, ...ValueId[]];
      const matrices = [gates, downs].map((value) => ({ value: stored(value, operand, near), weight: near.weightOf(value) as Weight }));
      const scales = precision === 'bf16' ? [] : matrices.map(({ weight }) => columnScale(weight, near));
      return [near.build.op('experts', { ...op.attrs, scaled: scales.length > 0 }, [near.now(x), near.now(logits), ...matrices.map(({ value }) => value), ...scales, ...lists.map((value) => stored(value, 'f32', near))], types[op.results[0] as ValueId])];
    },
    attention: (op, near) => {
      const [q, k, v, ...sinks] = op.operands as [ValueId, ValueId, ValueId, ...ValueId[]];
      const operands = [q, k, v].map((value) => {
        const type = near.type(value);
        return type.dtype === operand ? near.now(value) : near.build.op('convert', {}, [near.now(value)], { ...type, dtype: operand });
      });
      return [near.build.op('attention', op.attrs, [...operands, ...sinks.map((value) => stored(value, 'f32', near))], types[op.results[0] as ValueId])];
    },
  });
}

/** Kinds that round to any format on their way out; the others move values as they are. */
const computes: ReadonlySet<string> = new Set(['linear', 'norm', 'rope', 'activate', 'add', 'multiply', 'scale', 'experts']);

/** The scales of the rows of a weight stored as E4M3. */
const columnScale = (weight: Weight, near: Near): ValueId => near.weight({ ...weight, name: `${weight.name}.e4m3.scale`, dtype: 'f32', shape: [sizeOf(weight.shape[0])] });

const quantise = (x: ValueId, blocks: boolean, near: Near): readonly [ValueId, ValueId] => near.build.ops('quantise', { blocks }, [near.now(x)]) as unknown as readonly [ValueId, ValueId];

/** Codes and scales of blocks; of what comes in strips, which are of whole blocks, each chip makes its own, and those are gathered. */
function inBlocks(x: ValueId, near: Near): readonly [ValueId, ValueId] {
  const op = near.definition(x);
  if (op?.kind !== 'allgather' || op.attrs.strips === 1) return quantise(x, true, near);
  const [codes, scales] = quantise(op.operands[0] as ValueId, true, near);
  return [near.build.op('allgather', op.attrs, [codes]), near.build.op('allgather', op.attrs, [scales])];
}

/** Whether a value is what a linear makes, gathered from chips or not. */
function isOfLinear(value: ValueId, near: Near): boolean {
  const op = near.definition(value);
  return op?.kind === 'linear' || (op?.kind === 'allgather' && isOfLinear(op.operands[0] as ValueId, near));
}

/** A weight in its storage format, under a name that says it (a tied table may be stored twice); other values as they are. */
function stored(value: ValueId, dtype: DType, near: Near): ValueId {
  const weight = near.weightOf(value);
  return weight === undefined ? near.now(value) : near.weight({ ...weight, name: `${weight.name}.${dtype}`, dtype });
}

function usersOf(module: GraphModule): ReadonlyMap<ValueId, readonly GraphOp[]> {
  const users = new Map<ValueId, GraphOp[]>();
  const add = (value: ValueId, op: GraphOp): unknown => users.set(value, [...(users.get(value) ?? []), op]);
  for (const op of allOps(module.body)) {
    for (const operand of op.operands) add(operand, op);
    if (op.kind === 'loop') for (const value of op.body.yields) add(value, op);
  }
  return users;
}
