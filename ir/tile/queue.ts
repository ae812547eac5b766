import type { Queue } from '../../isa-spec/instructions.ts';
import type { Buffer, TileOp } from './module.ts';
import { tileQueue } from './ops.ts';

/**
 * The queue that runs an op: that of its kind; but only weights are loaded by the queue of loads, so that they come ahead of whatever values wait for. What is
 * loaded into the middle of a slot, beside its beginning, comes by the other queue as well.
 */
export const queueOf = (op: TileOp, buffers: readonly Buffer[]): Queue =>
  op.kind === 'load' && (buffers[op.regions.from.buffer]?.role !== 'weights' || op.regions.out.row.base > 0) ? tileQueue.store : tileQueue[op.kind];
