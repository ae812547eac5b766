import { addDims, equalDims, mulDims } from '../../../ir/dims.ts';
import type { Dim } from '../../../ir/types.ts';
import type { Emitter } from '../emit.ts';
import { CannotImport, type Value, dimAt } from '../value.ts';
import { places } from './attend.ts';
import { number } from './cache.ts';

/** The scores masks are about: [batch, heads, rows, keys]; the first row is key `first`, one number or one a sequence [batch, 1, 1, 1]. */
export type Scope = { readonly batch: Dim; readonly rows: Dim; readonly keys: Dim; readonly first: Value };

/**
 * Whether each row may see each key, by a mask in any of ONNX Runtime's forms: lengths [batch], ends and starts [2 batch], lengths
 * and more [3 batch + 2]; or above 0 where a key counts, [batch, keys], [batch, rows, keys] or [batch, 1, most, most].
 */
export function visible(emit: Emitter, mask: Value, { batch, rows, keys, first }: Scope): Value {
  const counts = (x: Value): Value => emit.binary('greater', x, emit.scalar(x, 0));
  switch (mask.shape.length) {
    case 1:
      return within(emit, mask, batch, keys);
    case 2:
      return counts(emit.reshape(mask, [dimAt(mask, 0), 1, 1, dimAt(mask, 1)]));
    case 3:
      return counts(emit.reshape(mask, [dimAt(mask, 0), 1, dimAt(mask, 1), dimAt(mask, 2)]));
    case 4: {
      const from = first.known?.[0];
      if (from === undefined) throw new CannotImport('E3001', 'which rows of the mask are meant depends on data');
      return counts(emit.slice(emit.slice(mask, 2, from, addDims(from, rows)), 3, 0, keys));
    }
    default:
      throw new CannotImport('E1003', `a mask of rank ${mask.shape.length} is none of attention`);
  }
}

/** Whether keys lie before their sequence's end, and from its start on. */
function within(emit: Emitter, bounds: Value, batch: Dim, keys: Dim): Value {
  const size = emit.sizes.settle(dimAt(bounds, 0));
  const key = places(emit, number(0), keys, 1);
  const bound = (i: number): Value => {
    const from = mulDims(i, batch);
    return emit.cast(emit.reshape(emit.slice(bounds, 0, from, addDims(from, batch)), [batch, 1, 1, 1]), 'i64');
  };
  const isIn = (count: number, more: number): boolean => equalDims(size, addDims(mulDims(count, emit.sizes.settle(batch)), more));
  if (isIn(2, 0)) return emit.binary('and', emit.binary('less', key, bound(0)), emit.binary('greaterEqual', key, bound(1)));
  if (!isIn(3, 2) && emit.sizes.equate(size, batch) === undefined) throw new CannotImport('E1003', `a mask of [${size}] says nothing about ${batch} sequences`);
  return emit.binary('less', key, bound(0));
}

/** Whether each row may see each key: those up to its own, of these the last `window` (0: all). */
export function causal(emit: Emitter, { rows, keys, first }: Scope, window = 0): Value {
  const [row, key] = [places(emit, first, rows, 2), places(emit, number(0), keys, 1)];
  const early = emit.binary('lessEqual', key, row);
  return window === 0 ? early : emit.binary('and', early, emit.binary('greater', key, emit.binary('sub', row, number(window))));
}
