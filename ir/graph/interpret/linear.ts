import { blockScales } from '../../../isa-spec/numerics-scales.ts';
import type { DType } from '../../types.ts';
import type { GraphAttrs } from '../ops.ts';
import { chainedDots, type Dots, plainDots } from './dots.ts';
import type { Arithmetic, Numbers } from './numbers.ts';
import { columns } from './rows.ts';
import { extent, type Operand, operandAt, rowsAt, type Tensor, tensorAt } from './tensor.ts';

/** How a product of operands of a dtype sums. */
export function dotsOf(arithmetic: Arithmetic, dtype: DType): Dots {
  if (arithmetic === 'real' || dtype === 'e4m3') return plainDots;
  if (dtype !== 'bf16') throw new Error(`the machine multiplies e4m3 or bf16, not ${dtype}`);
  return chainedDots;
}

/** y = x w^T (of blocks, scaled within), then in this order those present: row scale, column scale, bias, activation or gate, residual; one FP32 rounding each. */
export function linear(operands: readonly Operand[], attrs: GraphAttrs['linear'], dots: Dots, { single, activate }: Numbers): Tensor {
  const x = tensorAt(operands, 0);
  const [rows] = extent(x);
  let next = 2;
  const take = (present: boolean): Tensor | undefined => (present ? tensorAt(operands, next++) : undefined);
  const scales = take(attrs.scaled);
  const isOfBlocks = scales?.shape.length === 2;
  const y = isOfBlocks ? blockProduct(x, scales, operandAt(operands, 1), dots, single) : product(x, operandAt(operands, 1), dots);
  const [, n] = extent(y);
  const rowScale = isOfBlocks ? undefined : scales?.data;
  const columnScale = take(attrs.scaled)?.data;
  const bias = take(attrs.bias)?.data;
  const residual = take(attrs.residual)?.data;

  const width = attrs.gated ? n / 2 : n;
  const data = new Float64Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const scaleOfRow = rowScale?.[row];
    const before = (column: number): number => {
      let value = single(y.data[row * n + column] as number);
      if (scaleOfRow !== undefined) value = single(value * scaleOfRow);
      if (columnScale !== undefined) value = single(value * (columnScale[column] as number));
      return bias === undefined ? value : single(value + (bias[column] as number));
    };
    for (let column = 0; column < width; column++) {
      let value = activate(attrs.activation, before(column));
      if (attrs.gated) value = single(value * before(width + column));
      if (residual !== undefined) value = single(value + (residual[row * width + column] as number));
      data[row * width + column] = value;
    }
  }
  return { shape: [rows, width], data };
}

/** x w^T, w read a few rows at a time. */
function product(x: Tensor, w: Operand, dots: Dots): Tensor {
  const [rows, k] = extent(x);
  const [n] = extent(w);
  const data = new Float64Array(rows * n);
  eachChunk(n, k, (column, count) => dots(x.data, rowsAt(w, column, count), k, { data, pitch: n, column }));
  return { shape: [rows, n], data };
}

/** x w^T by blocks of k, ascending: each summed exactly, rounded to FP32, times the row's scale of it (weights have 1), rounded, and added to an FP32 sum that begins at +0. */
function blockProduct(x: Tensor, scales: Tensor, w: Operand, dots: Dots, single: Numbers['single']): Tensor {
  const [rows, k] = extent(x);
  const [n] = extent(w);
  const [, blocks] = extent(scales);
  const { size } = blockScales.block;
  const data = new Float64Array(rows * n);
  eachChunk(n, k, (column, count) => {
    const part = new Float64Array(rows * count);
    const weights: Tensor = { shape: [count, k], data: rowsAt(w, column, count) };
    for (let block = 0; block < blocks; block++) {
      const within = { start: block * size, end: Math.min(k, (block + 1) * size) };
      dots(columns(x, within).data, columns(weights, within).data, within.end - within.start, { data: part, pitch: count, column: 0 });
      for (let row = 0; row < rows; row++) {
        const scale = scales.data[row * blocks + block] as number;
        for (let c = 0; c < count; c++) {
          const at = row * n + column + c;
          data[at] = single((data[at] as number) + single(single(part[row * count + c] as number) * scale));
        }
      }
    }
  });
  return { shape: [rows, n], data };
}

/** A few rows of n x k weights at a time. */
function eachChunk(n: number, k: number, body: (first: number, count: number) => void): void {
  const chunk = Math.max(8, Math.floor(2 ** 19 / k / 8) * 8);
  for (let first = 0; first < n; first += chunk) body(first, Math.min(chunk, n - first));
}
