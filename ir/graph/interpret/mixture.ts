import type { GraphAttrs } from '../ops.ts';
import type { Dots } from './dots.ts';
import type { Arithmetic, Numbers } from './numbers.ts';
import { laneSum, quantise } from './rows.ts';
import { extent, map, type Operand, operandAt, rowsAt, type Tensor, tensorAt } from './tensor.ts';

type Attrs = GraphAttrs['experts'];
type Context = { readonly dots: Dots; readonly numbers: Numbers; readonly arithmetic: Arithmetic };
/** An expert a row has chosen; `weight`: its share in the row's result. */
type Choice = { readonly expert: number; readonly weight: number };

/** Inner rows of the experts each row chooses, in the order of pairs row * k + choice; this chip's columns of them. */
export function innerRows(operands: readonly Operand[], attrs: Attrs, context: Context): Tensor {
  const x = tensorAt(operands, 0);
  const { gateScale, gateBias } = listsOf(operands, attrs);
  return byExpert(choicesOf(operands, attrs, context), attrs, (expert, asked) => {
    const matrix = { weight: operandAt(operands, 2), scale: gateScale, bias: gateBias, expert };
    return gated(product(picked(x, asked.map(({ row }) => row)), matrix, attrs, context), attrs, context);
  });
}

/** What experts make of whole inner rows, weighed and added up in the order of choice. */
export function mixed(operands: readonly Operand[], attrs: Attrs, context: Context, inner: Tensor): Tensor {
  const { single } = context.numbers;
  const { downScale, downBias } = listsOf(operands, attrs);
  const choices = choicesOf(operands, attrs, context);
  const made = byExpert(choices, attrs, (expert, asked) => {
    const matrix = { weight: operandAt(operands, 3), scale: downScale, bias: downBias, expert };
    return rounded(product(picked(inner, asked.map(({ row, i }) => row * attrs.k + i)), matrix, attrs, context), context);
  });
  const [, width] = extent(made);
  const data = new Float64Array(choices.length * width);
  choices.forEach((of, row) => of.forEach(({ weight }, i) => rowsAt(made, row * attrs.k + i, 1).forEach((y, c) => {
    data[row * width + c] = single((data[row * width + c] as number) + single(weight * y));
  })));
  return { shape: [choices.length, width], data };
}

/** Operands that may be absent. */
function listsOf(operands: readonly Operand[], { scaled, biased, bias }: Attrs): { readonly [List in 'gateScale' | 'downScale' | 'choiceBias' | 'gateBias' | 'downBias']: Operand | undefined } {
  const rest = operands.slice(4);
  const take = (present: boolean): Operand | undefined => (present ? rest.shift() : undefined);
  return { gateScale: take(scaled), downScale: take(scaled), choiceBias: take(biased), gateBias: take(bias), downBias: take(bias) };
}

function choicesOf(operands: readonly Operand[], attrs: Attrs, { numbers }: Context): readonly (readonly Choice[])[] {
  const logits = tensorAt(operands, 1);
  const { choiceBias } = listsOf(operands, attrs);
  const bias = choiceBias === undefined ? undefined : tensorAt([choiceBias], 0).data;
  return Array.from({ length: extent(logits)[0] }, (_, row) => choose(rowsAt(logits, row, 1), bias, attrs, numbers));
}

type Asked = { readonly row: number; readonly i: number };

/** A row for every pair, made expert by expert. */
function byExpert(choices: readonly (readonly Choice[])[], { experts, k }: Attrs, make: (expert: number, asked: readonly Asked[]) => Tensor): Tensor {
  const made: Float64Array[] = [];
  for (let expert = 0; expert < experts; expert++) {
    const asked = choices.flatMap((of, row) => of.flatMap((choice, i) => (choice.expert === expert ? [{ row, i }] : [])));
    if (asked.length === 0) continue;
    const rows = make(expert, asked);
    asked.forEach(({ row, i }, at) => (made[row * k + i] = rowsAt(rows, at, 1)));
  }
  const width = made[0]?.length ?? 0;
  const data = new Float64Array(choices.length * k * width);
  made.forEach((row, pair) => data.set(row, pair * width));
  return { shape: [choices.length * k, width], data };
}

function picked(from: Tensor, rows: readonly number[]): Tensor {
  const [, width] = extent(from);
  const data = new Float64Array(rows.length * width);
  rows.forEach((row, at) => data.set(rowsAt(from, row, 1), at * width));
  return { shape: [rows.length, width], data };
}

/** The k experts of highest score, and bias if there is one; NaN last, the lower number first among equals. */
function choose(logits: Float64Array, bias: Float64Array | undefined, { k, scores, normalise }: Pick<Attrs, 'k' | 'scores' | 'normalise'>, numbers: Numbers): readonly Choice[] {
  const { single } = numbers;
  const score = scores === 'sigmoid' ? logits.map((z) => numbers.activate('sigmoid', z)) : softmax(logits, numbers);
  const by = score.map((value, expert) => (bias === undefined ? value : single(value + (bias[expert] as number))));
  const better = (a: number, b: number): number => (by[a] === by[b] ? 0 : Number.isNaN(by[a]) || (by[a] as number) < (by[b] as number) ? 1 : -1);
  const best = [...by.keys()].toSorted((a, b) => (Number.isNaN(by[a]) && Number.isNaN(by[b]) ? 0 : better(a, b)) || a - b).slice(0, k);
  const sum = normalise ? best.reduce((total, expert) => single(total + (score[expert] as number)), 0) : 1;
  return best.map((expert) => ({ expert, weight: single((score[expert] as number) / (sum === 0 ? 1 : sum)) }));
}

function softmax(logits: Float64Array, { single, exp }: Numbers): Float64Array {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = logits.map((z) => exp(single(z - most)));
  const sum = laneSum(powers.length, (i) => powers[i] as number, single);
  return powers.map((power) => single(power / sum));
}

type Matrix = { readonly weight: Operand; readonly scale: Operand | undefined; readonly bias: Operand | undefined; readonly expert: number };

/** x w^T of one expert's rows of w, * row scale, * column scale, + bias: those present, one FP32 rounding each. */
function product(x: Tensor, { weight, scale, bias, expert }: Matrix, { experts: count, scaled }: Attrs, { dots, numbers: { single }, arithmetic }: Context): Tensor {
  const [rows, k] = extent(x);
  const n = extent(weight)[0] / count;
  const own = (list: Operand | undefined): Float64Array | undefined => (list === undefined ? undefined : rowsAt(list, expert * n, n));
  const [codes, rowScales] = scaled ? quantise(x, { blocks: false }, arithmetic) : [x, undefined];
  const [scales, biases] = [own(scale), own(bias)];
  const data = new Float64Array(rows * n);
  dots(codes.data, rowsAt(weight, expert * n, n), k, { data, pitch: n, column: 0 });
  return map({ shape: [rows, n], data }, (sum, i) => {
    let y = single(sum);
    if (rowScales !== undefined && scales !== undefined) y = single(single(y * (rowScales.data[Math.floor(i / n)] as number)) * (scales[i % n] as number));
    return biases === undefined ? y : single(y + (biases[i % n] as number));
  });
}

/** activation(first half) * second half of each row. */
function gated(both: Tensor, { activation }: Attrs, context: Context): Tensor {
  const { single, activate } = context.numbers;
  const [rows, n] = extent(both);
  const half = n / 2;
  const data = Float64Array.from({ length: rows * half }, (_, i) => {
    const at = Math.floor(i / half) * n + (i % half);
    return single(activate(activation, both.data[at] as number) * (both.data[at + half] as number));
  });
  return rounded({ shape: [rows, half], data }, context);
}

const rounded = (tensor: Tensor, { numbers }: Context): Tensor => map(tensor, numbers.roundTo('bf16'));
