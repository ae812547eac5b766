import type { DType } from '../../types.ts';
import type { GraphAttrs } from '../ops.ts';
import { chainedDots, type Dots, plainDots } from './dots.ts';
import type { Arithmetic, Numbers } from './numbers.ts';
import { extent, type Operand, operandAt, rowsAt, type Tensor, tensorAt } from './tensor.ts';

/** How a product of operands of a dtype sums. */
export function dotsOf(arithmetic: Arithmetic, dtype: DType): Dots {
  if (arithmetic === 'real' || dtype === 'e4m3') return plainDots;
  if (dtype !== 'bf16') throw new Error(`the machine multiplies e4m3 or bf16, not ${dtype}`);
  return chainedDots;
}

/** y = x w^T, then in this order those present: row scale, column scale, bias, activation or gate, residual; one FP32 rounding each. */
export function linear(operands: readonly Operand[], attrs: GraphAttrs['linear'], dots: Dots, { single, activate }: Numbers): Tensor {
  const x = tensorAt(operands, 0);
  const [rows] = extent(x);
  const y = product(x, operandAt(operands, 1), dots);
  const [, n] = extent(y);
  let next = 2;
  const take = (present: boolean): Float64Array | undefined => (present ? tensorAt(operands, next++).data : undefined);
  const rowScale = take(attrs.scaled);
  const columnScale = take(attrs.scaled);
  const bias = take(attrs.bias);
  const residual = take(attrs.residual);

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
  const chunk = Math.max(8, Math.floor(2 ** 19 / k / 8) * 8);
  for (let column = 0; column < n; column += chunk) dots(x.data, rowsAt(w, column, Math.min(chunk, n - column)), k, { data, pitch: n, column });
  return { shape: [rows, n], data };
}
