import fc from 'fast-check';
import { encodeAll, still } from '../../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../../isa-spec/instructions.ts';
import { tiny2 } from '../../isa-spec/machines/tiny.ts';
import type { ChipCode, Program, QueueCode } from '../../isa-spec/program.ts';
import { anyInstruction, anyStrideSet } from './arbitrary.ts';

const pool = fc.sample(anyInstruction, { numRuns: 500, seed: 11 });
const sets = fc.sample(anyStrideSet, { numRuns: 5, seed: 12 });

/** The n-th few instructions that may be in a queue. */
const codeOf = (queue: Queue, n: number): readonly Instruction[] => pool.filter((sample) => sample.queue === queue).map(({ instruction }) => instruction).slice(n, n + 4);

const queueCode = (queue: Queue, n: number): QueueCode => ({
  words: queue === 'dma1' ? new Uint8Array(0) : encodeAll(codeOf(queue, n), queue),
  strideSets: queue === 'mxu' || queue === 'dma0' ? [still, ...sets.slice(n)] : [],
});
const chipCode = (n: number): ChipCode => Object.fromEntries(queues.map((queue) => [queue, queueCode(queue, n)])) as ChipCode;
const pcs = (n: number) => Object.fromEntries(queues.map((queue) => [queue, codeOf(queue, n).map((_, pc) => pc % 3)])) as unknown as Program['debugMap']['entries'][number];

/** A program of two entries on two chips, alike in the first entry and different in the second. */
export const sampleProgram: Program = {
  meta: { compiler: 'test', lineBytes: 8, model: { name: 'café "x"', layers: [1, 2.5, -3e-7, true, null] } },
  machine: tiny2,
  chips: 2,
  regions: [{ base: 'weights', bytes: 4096 }, { base: 'kv', bytes: 1024 }],
  entries: [{ name: 'step', bounds: { tokens: 16, sequences: 4 }, chips: [0, 1], lent: 0 }, { name: 'encode', bounds: { tokens: 8 }, lent: 2, chips: [0, 1] }],
  code: [[chipCode(0), chipCode(0)], [chipCode(1), chipCode(2)]],
  weightMap: { tensors: [] },
  ioMap: { inputs: [], outputs: [{ name: 'logits', base: 'io', offset: 0, pitch: 4, columns: 32, format: 'bf16', rows: 'samples' }], kv: { pageRows: 4 } },
  debugMap: {
    labels: [{ label: 'layer.attention', sources: ['model.layers.N.self_attn'] }, { label: 'head', sources: [] }, { label: 'layer "odd"\n', sources: ['µ', ''] }],
    entries: [pcs(0), pcs(1)],
  },
  life: { values: [{ name: 'x', lines: [0, 8] }] },
  semaphores: [{ entry: 0, id: 3, poster: 'dma0', waiter: 'wld', purpose: 'ready: tiles' }, { entry: 0, id: 12, poster: 'wld', waiter: 'dma0', purpose: 'free: tiles' }],
};
