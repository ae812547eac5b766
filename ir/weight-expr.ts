import type { TensorStore, WeightExpr } from './weights.ts';

/** Part of a tensor: `size[i]` elements of axis i from `start[i]` on. */
export type Region = { readonly start: readonly number[]; readonly size: readonly number[] };

export const volume = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** The shape an expression makes; throws when its parts do not fit each other or the source lacks a tensor. */
export function shapeOfExpr(expr: WeightExpr, store: TensorStore): readonly number[] {
  switch (expr.kind) {
    case 'tensor':
      return describe(expr.name, store).shape;
    case 'values':
    case 'reshape':
      return expr.shape;
    case 'transpose':
      return shapeOfExpr(expr.of, store).toReversed();
    case 'slice':
      return shapeOfExpr(expr.of, store).with(expr.axis, expr.end - expr.start);
    case 'concat': {
      const shapes = expr.of.map((part) => shapeOfExpr(part, store));
      const [first] = shapes;
      if (first === undefined) throw new Error('a concat of nothing');
      return first.with(expr.axis, shapes.reduce((sum, shape) => sum + sizeAt(shape, expr.axis), 0));
    }
    case 'scale':
      return shapeOfExpr(expr.of, store);
    case 'unpack': {
      const shape = shapeOfExpr(expr.of, store);
      return shape.with(-1, (sizeAt(shape, shape.length - 1) * 8) / expr.bits);
    }
    case 'dequantise': {
      const shape = shapeOfExpr(expr.of, store);
      const blocks = shape.map((size, axis) => Math.ceil(size / sizeAt(expr.block, axis)));
      for (const part of [expr.scale, expr.zeroPoint]) {
        const found = part === undefined ? blocks : shapeOfExpr(part, store);
        if (found.length !== blocks.length || found.some((size, i) => size !== blocks[i])) throw new Error(`[${shape.join(', ')}] in blocks of [${expr.block.join(', ')}] has no scales of [${found.join(', ')}]`);
      }
      return shape;
    }
    case 'shard': {
      const shape = shapeOfExpr(expr.of, store);
      const size = sizeAt(shape, expr.axis) / expr.parts;
      if (!Number.isInteger(size)) throw new Error(`axis ${expr.axis} of [${shape.join(', ')}] is not ${expr.parts} equal parts`);
      return shape.with(expr.axis, size);
    }
    case 'rope':
      return [expr.positions, 2 * expr.frequencies.length];
  }
}

export function describe(name: string, store: TensorStore): NonNullable<ReturnType<TensorStore['describe']>> {
  const found = store.describe(name);
  if (found === undefined) throw new Error(`the source has no tensor \`${name}\``);
  return found;
}

export const sizeAt = (shape: readonly number[], axis: number): number => {
  const size = shape[axis];
  if (size === undefined) throw new Error(`axis ${axis} of [${shape.join(', ')}]`);
  return size;
};

/** The expression with those it is made of replaced. */
export function withParts(expr: WeightExpr, replace: (part: WeightExpr) => WeightExpr): WeightExpr {
  switch (expr.kind) {
    case 'tensor':
    case 'values':
    case 'rope':
      return expr;
    case 'concat':
      return { ...expr, of: expr.of.map(replace) };
    case 'dequantise':
      return { ...expr, of: replace(expr.of), scale: replace(expr.scale), zeroPoint: expr.zeroPoint && replace(expr.zeroPoint) };
    default:
      return { ...expr, of: replace(expr.of) };
  }
}

/** Whether chips have different data. */
export const isSharded = (expr: WeightExpr): boolean => expr.kind === 'shard' || partsOf(expr).some(isSharded);

/** Names of the source's tensors an expression is made of, as often and in the order they are. */
export const tensorsOf = (expr: WeightExpr): readonly string[] => (expr.kind === 'tensor' ? [expr.name] : partsOf(expr).flatMap(tensorsOf));

function partsOf(expr: WeightExpr): readonly WeightExpr[] {
  const parts: WeightExpr[] = [];
  withParts(expr, (part) => {
    parts.push(part);
    return part;
  });
  return parts;
}

/** Row-major position of an index. */
export const offsetOf = (index: readonly number[], shape: readonly number[]): number => shape.reduce((at, size, i) => at * size + (index[i] as number), 0);
