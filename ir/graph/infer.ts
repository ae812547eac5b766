import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { equalDims, mulDims } from '../dims.ts';
import type { Dim, DType, TensorType } from '../types.ts';
import type { InferResults } from './build.ts';
import { blockRules } from './infer-blocks.ts';
import { primitiveRules } from './infer-primitives.ts';
import type { GraphAttrs, OpKind } from './ops.ts';

type InferRule<K extends OpKind> = (attrs: GraphAttrs[K], operands: readonly TensorType[]) => readonly TensorType[];

/** Result types of an op from its operand types. Throws an Error saying which rule the operands break; kinds whose results only the maker knows throw too. */
export const inferResults: InferResults = (kind, attrs, operands) => rules[kind](attrs, operands);

/** Kinds that say nothing of their results: the maker gives the types. */
export const explicitKinds: ReadonlySet<OpKind> = new Set<OpKind>(['weight', 'convert', 'custom', 'take', 'pconst', 'preshape', 'pexpand', 'pcast', 'piota']);

/** Kinds that work on tensors of any rank. */
export const isTensorKind = (kind: OpKind): boolean => kind in primitiveRules || kind in blockRules;

/** Kinds that round to whatever dtype their result has; `inferResults` only proposes one. */
export const roundingKinds: ReadonlySet<OpKind> = new Set<OpKind>(['embed', 'norm', 'linear', 'rope', 'attention', 'activate', 'add', 'multiply', 'scale', 'experts', 'tnorm', 'tactivate', 'trope', 'tattention', 'tmoe']);

const rules: { readonly [K in OpKind]: InferRule<K> } = {
  ...primitiveRules,
  ...blockRules,
  weight: () => explicit('weight'),
  convert: () => explicit('convert'),
  custom: () => explicit('custom'),
  take: () => explicit('take'),
  embed: (_, operands) => {
    const [ids, table] = exactly(operands, 2) as [TensorType, TensorType];
    const [tokens] = dimsOf(ids, 1, 'ids');
    const [, width] = dimsOf(table, 2, 'the table');
    if (ids.dtype !== 'i32') throw new Error(`ids are i32, not ${ids.dtype}`);
    return [{ dtype: table.dtype, shape: [tokens, width] }];
  },
  norm: ({ norm, groups }, operands) => {
    const [x, ...parameters] = between(operands, 1, norm === 'rms' ? 2 : 3);
    const [, width] = dimsOf(x, 2, 'x');
    if (!Number.isInteger(groups) || groups < 1) throw new Error(`rows are in ${groups} groups`);
    multiple(width, groups, 'the columns of x', 'groups');
    for (const parameter of parameters) same(dimsOf(parameter, 1, 'a parameter of the norm')[0], width, 'a parameter of the norm and x');
    return [x];
  },
  linear: ({ gated, scaled, bias, residual }, operands) => {
    const [x, w, ...rest] = exactly(operands, 2 + (scaled ? 2 : 0) + (bias ? 1 : 0) + (residual ? 1 : 0));
    const [rows, k] = dimsOf(x, 2, 'x');
    const [n, wk] = dimsOf(w as TensorType, 2, 'w');
    same(wk, k, 'the columns of w and of x');
    const width = gated ? half(n) : n;
    if (scaled) scalesOf(rest.shift() as TensorType, rows, k);
    if (scaled) same(dimsOf(rest.shift() as TensorType, 1, 'columnScale')[0], n, 'columnScale and the rows of w');
    if (bias) same(dimsOf(rest.shift() as TensorType, 1, 'bias')[0], n, 'bias and the rows of w');
    if (residual) shapeIs(rest.shift() as TensorType, [rows, width], 'residual');
    return [{ dtype: computed(x.dtype), shape: [rows, width] }];
  },
  rope: ({ headDim, frequencies }, operands) => {
    const [x, positions] = exactly(operands, 2);
    const [rows, width] = dimsOf(x, 2, 'x');
    same(dimsOf(positions as TensorType, 1, 'positions')[0], rows, 'positions and the rows of x');
    multiple(width, headDim, 'the columns of x', 'headDim');
    if (frequencies.length * 2 > headDim) throw new Error(`${frequencies.length} frequencies rotate more than headDim ${headDim}`);
    return [x];
  },
  attention: ({ heads, kvHeads, headDim, softCap, sinks, slopes, mask, window, cache }, operands) => {
    const [q, k, v, ...each] = exactly(operands, 3 + (sinks ? 1 : 0) + (slopes ? 1 : 0)) as [TensorType, TensorType, TensorType, ...TensorType[]];
    if (!(softCap >= 0)) throw new Error(`scores are capped at ${softCap}`);
    for (const numbers of each) shapeIs(numbers, [heads], 'sinks or slopes');
    const [rows, width] = dimsOf(q, 2, 'q');
    same(width, heads * headDim, 'the columns of q and heads*headDim');
    const keys = k.shape[0] === 'memory' ? 'memory' : rows;
    shapeIs(k, [keys, kvHeads * headDim], 'k');
    shapeIs(v, [keys, kvHeads * headDim], 'v');
    if (keys === 'memory' && (mask !== 'full' || window !== 0 || cache !== '')) throw new Error('rows of memory are attended to whole, and not remembered');
    multiple(heads, kvHeads, 'heads', 'kvHeads');
    return [{ dtype: computed(q.dtype), shape: [rows, width] }];
  },
  experts: ({ experts, k, scaled, biased, bias, parts, whole }, operands) => {
    const [x, logits, gates, downs, ...rest] = exactly(operands, 4 + (scaled ? 2 : 0) + (biased ? 1 : 0) + (bias ? 2 : 0)) as [TensorType, TensorType, TensorType, TensorType, ...TensorType[]];
    const [rows, width] = dimsOf(x, 2, 'x');
    shapeIs(logits, [rows, experts], 'logits');
    if (!(k >= 1 && k <= experts)) throw new Error(`${k} of ${experts} experts`);
    if (whole) multiple(experts, parts, 'experts', 'parts');
    const [both, k1] = dimsOf(gates, 2, 'gates and ups');
    const [out, inner] = dimsOf(downs, 2, 'downs');
    same(k1, width, 'the columns of gates and of x');
    same(mulDims(both, parts), mulDims(inner, 2 * experts), 'the rows of gates and ups, and the columns of downs for each expert, twice');
    same(mulDims(out, parts), mulDims(width, experts), 'the rows of downs, and the columns of x for each expert');
    const perRow = (): void => [both, out].forEach((of) => same(dimsOf(rest.shift(), 1, 'a list of an expert\'s rows')[0], of, 'a number a row, and the rows'));
    if (scaled) perRow();
    if (biased) same(dimsOf(rest.shift(), 1, 'the choice bias')[0], experts, 'the choice bias and experts');
    if (bias) perRow();
    if (typeof out !== 'number') throw new Error('downs have rows without number');
    return [{ dtype: x.dtype, shape: [rows, out / experts] }];
  },
  sampleRows: (_, operands) => {
    const [x] = exactly(operands, 1);
    return [{ dtype: x.dtype, shape: ['samples', dimsOf(x, 2, 'x')[1]] }];
  },
  activate: (_, operands) => [exactly(operands, 1)[0]],
  add: (_, operands) => pointwise(operands),
  multiply: (_, operands) => pointwise(operands),
  scale: (_, operands) => {
    const [x, by] = exactly(operands, 2) as [TensorType, TensorType];
    const [numbers] = dimsOf(by, 1, 'the factors');
    if (!equalDims(numbers, 1)) same(numbers, dimsOf(x, 2, 'x')[1], 'the factors and the columns of x');
    return [x];
  },
  columns: ({ start, end }, operands) => {
    const [x] = exactly(operands, 1);
    const [rows, width] = dimsOf(x, 2, 'x');
    if (start < 0 || end <= start || (typeof width === 'number' && end > width)) throw new Error(`columns ${start} to ${end} are not within ${width}`);
    return [{ dtype: x.dtype, shape: [rows, end - start] }];
  },
  quantise: ({ blocks }, operands) => {
    const [x] = exactly(operands, 1);
    const [rows, width] = dimsOf(x, 2, 'x');
    return [{ dtype: 'e4m3', shape: [rows, width] }, { dtype: 'f32', shape: blocks ? [rows, blocksOf(width)] : [rows] }];
  },
  allgather: ({ parts, strips }, operands) => {
    const [x] = exactly(operands, 1);
    const [rows, width] = dimsOf(x, 2, 'x');
    if (typeof width === 'number' && width % strips !== 0) throw new Error(`${width} columns are not ${strips} strips`);
    return [{ dtype: x.dtype, shape: [rows, mulDims(width, parts)] }];
  },
  give: (_, operands) => {
    const [x] = exactly(operands, 1);
    dimsOf(x, 2, 'x');
    return [x];
  },
  loop: (_, operands) => operands,
  fused: () => explicit('fused'),
};

/** What a matrix op makes of operands of this dtype when nobody says otherwise. */
const computed = (dtype: DType): DType => (dtype === 'e4m3' ? 'bf16' : dtype);

/** Blocks a row of so many elements is scaled in. */
function blocksOf(width: Dim): number {
  if (typeof width !== 'number') throw new Error(`rows of ${width} elements have blocks without number`);
  return Math.ceil(width / blockScales.block.size);
}

function scalesOf(scales: TensorType, rows: Dim, k: Dim): void {
  if (scales.shape.length === 1) same(scales.shape[0] as Dim, rows, 'the scales and the rows of x');
  else shapeIs(scales, [rows, blocksOf(k)], 'the scales');
}

function pointwise(operands: readonly TensorType[]): readonly TensorType[] {
  const [x, y] = exactly(operands, 2) as [TensorType, TensorType];
  shapeIs(y, x.shape, 'the second operand');
  return [x];
}

function explicit(kind: OpKind): never {
  throw new Error(`the results of \`${kind}\` need explicit types`);
}

function exactly(operands: readonly TensorType[], count: number): [TensorType, ...TensorType[]] {
  return between(operands, count, count);
}

function between(operands: readonly TensorType[], least: number, most: number): [TensorType, ...TensorType[]] {
  if (operands.length < least || operands.length > most) {
    throw new Error(`${operands.length} operands where ${least === most ? least : `${least} to ${most}`} are wanted`);
  }
  return [...operands] as [TensorType, ...TensorType[]];
}

function dimsOf(type: TensorType | undefined, rank: number, what: string): readonly [Dim, Dim] {
  const shape = type?.shape ?? [];
  if (shape.length !== rank) throw new Error(`${what} has rank ${shape.length}, not ${rank}`);
  return shape as readonly Dim[] as readonly [Dim, Dim];
}

function same(a: Dim, b: Dim, what: string): void {
  if (!equalDims(a, b)) throw new Error(`${what} differ: ${a} and ${b}`);
}

function shapeIs(type: TensorType, shape: readonly Dim[], what: string): void {
  const fits = type.shape.length === shape.length && type.shape.every((dim, i) => equalDims(dim, shape[i] as Dim));
  if (!fits) throw new Error(`${what} has shape [${type.shape.join(', ')}], not [${shape.join(', ')}]`);
}

function multiple(value: Dim, of: number, what: string, unit: string): void {
  if (typeof value === 'number' && value % of !== 0) throw new Error(`${what}, ${value}, is not a multiple of ${unit} ${of}`);
}

function half(n: Dim): Dim {
  if (typeof n !== 'number' || n % 2 !== 0) throw new Error(`a gated linear has an even number of rows in w, not ${n}`);
  return n / 2;
}
