/** A value: row-major data in doubles. */
export type Tensor = { readonly shape: readonly number[]; readonly data: Float64Array };

/** A weight, read by rows when an op wants them. */
export type Lazy = { readonly shape: readonly number[]; readonly read: (start: number, count: number) => Float64Array };

export type Operand = Tensor | Lazy;

/** Rows of an operand: what `count` indices of the first axis from `start` on hold. */
export function rowsAt(operand: Operand, start: number, count: number): Float64Array {
  if ('read' in operand) return operand.read(start, count);
  const width = operand.data.length / (operand.shape[0] ?? 1);
  return operand.data.subarray(start * width, (start + count) * width);
}

/** Rows of several operands, one's below another's. */
export function stacked(parts: readonly Operand[]): Operand {
  const [first, ...others] = parts as readonly [Operand, ...Operand[]];
  if (others.length === 0) return first;
  const height = first.shape[0] as number;
  return {
    shape: first.shape.with(0, parts.length * height),
    read: (start, count) => {
      const part = operandAt(parts, Math.floor(start / height));
      if ((start % height) + count > height) throw new Error('internal: rows of two chips are read at once');
      return rowsAt(part, start % height, count);
    },
  };
}

export const whole = (operand: Operand): Tensor => ('read' in operand ? { shape: operand.shape, data: operand.read(0, operand.shape[0] ?? 1) } : operand);

/** The operand at a place; its absence is a fault of the module, which the verifier tells. */
export function operandAt(operands: readonly Operand[], i: number): Operand {
  const operand = operands[i];
  if (operand === undefined) throw new Error(`internal: operand ${i} is missing`);
  return operand;
}

export const tensorAt = (operands: readonly Operand[], i: number): Tensor => whole(operandAt(operands, i));

/** Rows and columns of a matrix; a list is one column. */
export const extent = ({ shape }: Operand): readonly [number, number] => [shape[0] ?? 1, shape[1] ?? 1];

export const map = ({ shape, data }: Tensor, f: (x: number, i: number) => number): Tensor => ({ shape, data: data.map(f) });
