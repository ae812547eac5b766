import type { Queue } from '../../isa-spec/instructions.ts';
import type { Buffer, TileOp } from './module.ts';
import { tileQueue } from './ops.ts';

/** The queue that runs an op: that of its kind; but only weights are loaded by the queue of loads, so that they come ahead of whatever values wait for. */
export const queueOf = (op: TileOp, buffers: readonly Buffer[]): Queue =>
  op.kind === 'load' && buffers[op.regions.from.buffer]?.role !== 'weights' ? tileQueue.store : tileQueue[op.kind];
