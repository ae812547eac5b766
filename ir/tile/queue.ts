import type { Queue } from '../../isa-spec/instructions.ts';
import type { Buffer, TileOp } from './module.ts';
import { tileQueue } from './ops.ts';

/**
 * The queue that runs an op: that of its kind; but only weights are brought by the queue of loads, and, between theirs, the rows of bins of experts, so that they come ahead of whatever values wait for. What is
 * loaded into the middle of a slot, beside its beginning, comes by the other queue as well.
 */
export function queueOf(op: TileOp, buffers: readonly Buffer[]): Queue {
  if (op.kind === 'load') return buffers[op.regions.from.buffer]?.role !== 'weights' || op.regions.out.row.base > 0 ? tileQueue.store : tileQueue.load;
  if (op.kind === 'gather') return buffers[op.regions.table.buffer]?.role !== 'weights' && !op.attrs.skip ? tileQueue.store : tileQueue.gather;
  return tileQueue[op.kind];
}
