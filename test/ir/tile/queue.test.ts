import { expect, it } from 'vitest';
import { accessesOf } from '../../../ir/tile/lifetimes.ts';
import { allTileOps, type Buffer, type TileOp } from '../../../ir/tile/module.ts';
import { queueOf } from '../../../ir/tile/queue.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { fitted, normative } from '../../passes/lower.ts';
import { small, tinyLlama } from '../../passes/tiny-llama.ts';

it('brings by the queue of loads nothing that the step has stored before: weights need not wait for it', () => {
  const { tile: { body, buffers } } = fitted(normative(tinyLlama(small), tiny, 'fp8'), tiny, 0.25);
  const ops = [...allTileOps(body)];
  const inHbm = (how: 'reads' | 'writes') => (op: TileOp): readonly string[] =>
    [...accessesOf(op)].flatMap((access) => (access[how] && buffers[access.buffer]?.space === 'hbm' ? [(buffers[access.buffer] as Buffer).name] : []));
  const stored = new Set(ops.flatMap(inHbm('writes')));
  const loads = ops.filter((op) => queueOf(op, buffers) === 'dma0').flatMap(inHbm('reads'));
  expect({ stored: stored.size > 0, loads: loads.length > 0, both: loads.filter((name) => stored.has(name)) }).toEqual({ stored: true, loads: true, both: [] });
});
