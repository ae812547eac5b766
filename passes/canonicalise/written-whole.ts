import { equalShapes } from '../../ir/dims.ts';
import type { GraphModule, GraphOp } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { type Near, rewrite } from '../rewrite.ts';

type Written = { readonly start: number; readonly end: number; readonly value: ValueId };

/** Parts of the first axis that are written one after the other, all of it in the end, lie side by side: what was written over does not matter. */
export const writtenWhole = (module: GraphModule): GraphModule =>
  rewrite(module, 'written-whole', {
    pscatter: (op, near) => {
      const type = near.type(op.results[0] as ValueId);
      const parts: Written[] = [];
      for (let at: GraphOp | undefined = op; at?.kind === 'pscatter'; at = near.definition(at.operands[0] as ValueId)) {
        const part = writtenBy(at, near);
        if (part === undefined) break;
        // The last to write somewhere is who wrote it.
        if (parts.some(({ start, end }) => start < part.end && part.start < end)) break;
        parts.push(part);
      }
      const ordered = parts.toSorted((a, b) => a.start - b.start);
      const isWhole = ordered[0]?.start === 0 && ordered.every(({ end }, i) => end === (ordered[i + 1]?.start ?? type.shape[0]));
      return isWhole ? [near.build.op('pconcat', { axis: 0 }, ordered.map(({ value }) => near.now(value)), type)] : undefined;
    },
  });

/** The neighbouring places an op writes, if they are known and all of the other axes is written. */
function writtenBy(op: Extract<GraphOp, { kind: 'pscatter' }>, near: Near): Written | undefined {
  const [data, indices, value] = op.operands as readonly [ValueId, ValueId, ValueId];
  const places = near.definition(indices);
  if (op.attrs.axis !== 0 || op.attrs.reduction !== 'none' || places?.kind !== 'pconst') return undefined;
  const { values } = places.attrs;
  const start = values[0] ?? -1;
  const isRun = start >= 0 && values.every((place, i) => place === start + i) && near.type(indices).shape.every((size, axis) => size === (axis === 0 ? values.length : 1));
  return isRun && equalShapes(near.type(value).shape, near.type(data).shape.with(0, values.length)) ? { start, end: start + values.length, value } : undefined;
}
