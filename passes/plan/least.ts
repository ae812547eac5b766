import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { allOps, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { sizeOf } from '../rewrite.ts';
import { layerCut } from '../tile/parts.ts';

/** Engines of a chip, and the seconds each is at work at the least, whatever the schedule. */
export type Least = { readonly matrix: number; readonly attention: number; readonly softmax: number; readonly hbm: number; readonly link: number };
export type LeastEngine = keyof Least;

/**
 * What a step asks of a chip: multiply-adds at full rate, of products (of those `around` attention that a part's waits for, or that wait for it) and of attention; as many more as the attention arrays could do beside heads narrower than they are, or while they load keys and values,
 * where that takes longer (`attending`); exponentials; bytes of weights, of those that only rows picked of the step meet (`picked`), of keys and values of before, and of rows looked up; bytes to the others.
 */
export type Work = { matrix: number; around: number; attention: number; attending: number; softmax: number; weights: number; picked: number; keys: number; rows: number; link: number };

/**
 * The least time ops of a module with formats take in a step of these sequences, on one of the chips they are divided over: products of the rows there are, every
 * weight and every key and value of before once out of HBM, what chips bring each other once over the link. Nothing that a program could do without is counted.
 */
export function leastOf(ops: readonly GraphOp[], module: GraphModule, step: readonly StepSequence[], machine: Machine): Least {
  const { matrix, attention, softmax, weights, picked, keys, rows, link } = workOf(ops, module, step, machine);
  const rates = ratesOf(machine);
  return { matrix: matrix / rates.matrix, attention: attention / rates.attention, softmax: softmax / rates.softmax, hbm: (weights + picked + keys + rows) / rates.hbm, link: link / rates.link };
}

/** What engines do in a second at the most. */
export const ratesOf = ({ clockHz, arrays, attention, softmaxPerCycle, hbm, link }: Machine): Least => ({
  matrix: arrays.count.value * arrays.size.value ** 2 * clockHz.value,
  attention: attention.count.value * attention.size.value ** 2 * clockHz.value,
  softmax: softmaxPerCycle.value * clockHz.value,
  hbm: hbm.bytesPerSecond.value,
  link: link.bytesPerSecond.value,
});

/** The work of ops in a step, on one of the chips they are divided over. */
export function workOf(ops: readonly GraphOp[], module: GraphModule, step: readonly StepSequence[], machine: Machine): Readonly<Work> {
  const work: Work = { matrix: 0, around: 0, attention: 0, attending: 0, softmax: 0, weights: 0, picked: 0, keys: 0, rows: 0, link: 0 };
  const weights = new Map([...allOps(module.body)].flatMap((op) => (op.kind === 'weight' ? [[op.results[0] as ValueId, op.attrs.name] as const] : [])));
  const around = new Set(ops.flatMap((op) => (op.kind === 'loop' ? [layerCut(op.body.ops)] : [])).flatMap(({ Q, O }) => [...Q, ...O]));
  add(work, ops, { module, around, step, weights, coded: codedIn(module), slow: 1 / machine.arrays.bf16Rate.value, side: machine.attention.size.value, beside: machine.attention.size.value ** 2 / machine.attention.kvBytesPerCycle.value }, 1);
  return work;
}

/** `weights`: names of those that values are. `coded`: values read for their codes alone. `slow`: how many multiply-adds one of BF16 operands takes the time of; `beside`: how many an attention array of `side` could do while it loads a byte. */
type Given = { readonly around: ReadonlySet<GraphOp>; readonly side: number; readonly beside: number; readonly module: GraphModule; readonly coded: ReadonlySet<ValueId>; readonly step: readonly StepSequence[]; readonly weights: ReadonlyMap<ValueId, string>; readonly slow: number };

function add(work: Work, ops: readonly GraphOp[], given: Given, times: number): void {
  const { module, slow } = given;
  const typeOf = (value: ValueId | undefined): TensorType => module.types[value as ValueId] as TensorType;
  const rate = ({ dtype }: TensorType): number => (dtype === 'bf16' ? slow : 1);
  const read = new Map<string, readonly ['weights' | 'picked', number]>();
  for (const op of ops) {
    const [x, w] = op.operands;
    const looked = op.kind === 'embed' ? op.operands.slice(1) : op.kind === 'experts' ? op.operands.slice(2, 4) : [];
    for (const value of op.operands) {
      const name = given.weights.get(value);
      if (name !== undefined && !looked.includes(value)) read.set(name, [typeOf(op.results[0]).shape[0] === 'samples' ? 'picked' : 'weights', times * bytesOf(typeOf(value))]);
    }
    if (op.kind === 'loop') add(work, op.body.ops, given, times * op.attrs.trip);
    else if (op.kind === 'embed') work.rows += times * rowsOf(typeOf(op.results[0]), given) * rowBytes(typeOf(op.results[0]));
    else if (op.kind === 'linear') {
      const own = times * rowsOf(typeOf(x), given) * elements(typeOf(w)) * rate(typeOf(w));
      work.matrix += own;
      if (given.around.has(op)) work.around += own;
    } else if (op.kind === 'experts') addExperts(work, op, given, times);
    else if (op.kind === 'attention') addAttention(work, op, given, times);
    else if (op.kind === 'allgather') work.link += times * rowsOf(typeOf(x), given) * gatheredBytes(op, given) * (op.attrs.parts - 1);
    else if (op.kind === 'take') work.link += times * rowsOf(typeOf(op.results[0]), given) * rowBytes(typeOf(op.results[0]));
  }
  for (const [which, bytes] of read.values()) work[which] += bytes;
}

/** Bytes a chip sends each other of a row it has columns of: these; or, where only codes are made of whole rows, those and the codes of the rows that are its share. */
function gatheredBytes({ attrs: { parts }, operands: [x], results: [whole] }: OpOf<'allgather'>, { module, coded }: Given): number {
  const columns = rowBytes(module.types[x as ValueId] as TensorType);
  const codes = sizeOf((module.types[whole as ValueId] as TensorType).shape[1]);
  return coded.has(whole as ValueId) ? Math.min(columns, (columns + codes) / parts) : columns;
}

/** Values that nobody reads but a quantiser, or a norm that nobody else does. */
function codedIn({ body }: GraphModule): ReadonlySet<ValueId> {
  const readers = new Map<ValueId, (GraphOp | undefined)[]>();
  const read = (value: ValueId, by: GraphOp | undefined): unknown => readers.set(value, [...(readers.get(value) ?? []), by]);
  for (const op of allOps(body)) for (const value of [...op.operands, ...(op.body?.yields ?? [])]) read(value, op);
  for (const value of body.yields) read(value, undefined);
  const isCoded = (value: ValueId): boolean => {
    const [reader, ...others] = readers.get(value) ?? [];
    return others.length === 0 && (reader?.kind === 'quantise' || (reader?.kind === 'norm' && isCoded(reader.results[0] as ValueId)));
  };
  return new Set([...readers.keys()].filter(isCoded));
}

/** Every expert somebody may choose is read; rows meet the `k` they choose. Of chips with whole experts each sends the others the columns they have of a row and choice: its program knows no choice that would spare it any. */
function addExperts(work: Work, { attrs: { experts, k, parts, whole }, operands }: OpOf<'experts'>, given: Given, times: number): void {
  const [x, gates, downs] = [operands[0], operands[2], operands[3]].map((value) => given.module.types[value as ValueId] as TensorType) as [TensorType, TensorType, TensorType];
  const pairs = rowsOf(x, given) * k;
  const [matrices, inner] = [elements(gates) + elements(downs), sizeOf(gates.shape[0]) / experts / 2];
  work.matrix += (times * pairs * matrices * (gates.dtype === 'bf16' ? given.slow : 1)) / experts;
  work.weights += times * (bytesOf(gates) + bytesOf(downs)) * Math.min(1, pairs / experts);
  work.link += times * pairs * (parts - 1) * (whole ? (sizeOf(x.shape[1]) / parts) * formatBytes.bf16 : inner * formatBytes[gates.dtype as Format]);
}

function addAttention(work: Work, { attrs, operands }: OpOf<'attention'>, { module, step, slow, side, beside }: Given, times: number): void {
  const { heads, kvHeads, headDim, mask, window, cache } = attrs;
  const keys = module.types[operands[1] as ValueId] as TensorType;
  for (const { rows, past, memory = 0 } of step) {
    const before = cache === '' ? 0 : past;
    const most = window === 0 ? before + rows : window;
    const few = Math.min(rows, Math.max(0, most - before));
    const seen = keys.shape[0] === 'memory' ? rows * memory : mask === 'full' ? rows * (before + rows) : few * before + (few * (few + 1)) / 2 + (rows - few) * most;
    const products = seen * heads * headDim * 2 * (keys.dtype === 'bf16' ? slow : 1);
    const keyBytes = 2 * kvHeads * headDim * formatBytes[keys.dtype as Format];
    const reach = keys.shape[0] === 'memory' ? memory : Math.min(before, most - 1) + rows;
    work.attention += times * products;
    work.attending += times * Math.max((products / headDim) * Math.ceil(headDim / side) * side, reach * keyBytes * beside);
    work.softmax += times * seen * heads;
    work.keys += times * Math.min(before, most - 1) * keyBytes;
  }
}

/** Rows of a value in the step; none where they are not rows of it. */
function rowsOf({ shape: [rows] }: TensorType, { step }: Given): number {
  if (rows === 'tokens') return step.reduce((sum, sequence) => sum + sequence.rows, 0);
  if (rows === 'memory') return step.reduce((sum, { memory = 0 }) => sum + memory, 0);
  return rows === 'samples' ? step.length : 0;
}

const elements = ({ shape }: TensorType): number => shape.reduce<number>((product, size) => product * sizeOf(size), 1);
const bytesOf = (type: TensorType): number => elements(type) * formatBytes[type.dtype as Format];
const rowBytes = ({ dtype, shape }: TensorType): number => sizeOf(shape[1]) * formatBytes[dtype as Format];
