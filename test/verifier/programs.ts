import { assemble } from '../../isa-spec/assembly.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import { queues } from '../../isa-spec/instructions.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { ChipCode, DebugMap, Program } from '../../isa-spec/program.ts';

const nothing = Object.fromEntries(queues.map((queue) => [queue, { words: new Uint8Array(0), strideSets: [] }])) as unknown as ChipCode;
const unlabelled = Object.fromEntries(queues.map((queue) => [queue, []])) as unknown as DebugMap['entries'][number];

/** A program that does nothing, with the regions and bounds the tests' programs use. SRAM has 1024 lines of 8 bytes, an array 8 x 8. */
const empty: Program = {
  meta: {}, machine: tiny, chips: 1,
  regions: [{ base: 'weights', bytes: 4096 }, { base: 'kv', bytes: 2048 }],
  entries: [{ name: 'step', bounds: { tokens: 20, sequences: 2, samples: 2, memory: 0, poolPages: 4, pageRows: 4, pageListEntries: 8 }, chips: [0], lent: 0 }],
  code: [[nothing]], weightMap: [], ioMap: { inputs: [], outputs: [], kv: [] }, debugMap: { labels: [], entries: [unlabelled] }, life: [],
  semaphores: [
    { entry: 0, id: 1, poster: 'dma0', waiter: 'wld', purpose: 'ready: w.ring' },
    { entry: 0, id: 2, poster: 'wld', waiter: 'dma0', purpose: 'free: w.ring' },
  ],
};

/** A program of queues in assembly (`.queue mxu` and its lines). */
export const programOf = (code: string): Program => assemble(disassemble(empty).replace(/\n\.entry 0[\s\S]*$/, `\n.entry 0\n.chip 0\n${code}\n`));
