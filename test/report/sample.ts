import { encodeAll, still } from '../../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../../isa-spec/instructions.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { ChipCode, Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { type CostReport, buildReport } from '../../report/report.ts';
import type { Timing } from '../../simulator/timing/result.ts';
import { simulateTiming, timingDefaults } from '../../simulator/timing/simulate.ts';
import { done, hbmAt, make, rows } from '../simulator/timing/build.ts';

const fetched = 1;
const product = 2;
const drained = 3;
const free = 4;

/** Two layers: a product of 16 rows, attention, a copy. */
const streams: Partial<Record<Queue, readonly Instruction[]>> = {
  ctl: [make('hostw', { table: 'worklist', bytes: 128 }), make('event')],
  dma0: [make('loop', { level: 0, count: 2, body: 1 }), make('dld', { src: hbmAt(1, 0, 1), lines: 8, srcPitch: 8, rows: rows(16) }, [], [fetched])],
  wld: [make('loop', { level: 0, count: 2, body: 1 }), make('wld', { kTiles: 2, nTiles: 2 }, [fetched])],
  mxu: [make('sreg', { reg: 1, count: 'tokens' }), make('loop', { level: 0, count: 2, body: 1 }), make('mm', { kTiles: 2, nTiles: 2, rows: rows(16, 1, 1) }, [free], [product])],
  epi: [make('sync', {}, [], [free]), make('sreg', { reg: 1, count: 'tokens' }), make('loop', { level: 0, count: 2, body: 1 }), make('epi', { nTiles: 2, nLast: 5, rows: rows(16, 1, 1) }, [product], [drained, free])],
  att: [make('loop', { level: 0, count: 2, body: 3 }), make('aq', { rows: rows(16, 0, 1) }, [drained]), make('attn'), make('afin', { rows: rows(16, 0, 1) })],
};
const names: Partial<Record<Queue, readonly number[]>> = { ctl: [0, 0], dma0: [1, 1], wld: [1, 1], mxu: [1, 1, 1], epi: [1, 1, 1, 1], att: [2, 2, 2, 2] };
const moving = { ...still, strides: [128, 0, 0, 0] as const };

const chip = Object.fromEntries(
  queues.map((queue) => [queue, { words: encodeAll(streams[queue] ?? [], queue), strideSets: queue === 'dma0' ? [still, moving] : [] }]),
) as unknown as ChipCode;

export const program: Program = {
  meta: {
    compiler: 'sohuc', precision: 'fp8', sramPeakBytes: 6000, lineBytes: 8, tile: 8,
    model: { name: 'two-layers', family: 'llama', parameters: 512, layers: 2 },
    recognition: { sourceNodes: 12, hardware: 9, folded: 2, host: 1, refused: 0, fusedOpsPerLayer: 2, fusedOps: ['norm quantise linear', 'attention'] },
    mapping: { machine: 'tiny', chips: 1, tp: 1, pp: 1, ep: 1, replicas: 1, cut: [2] },
  },
  machine: tiny,
  chips: 1,
  regions: [{ base: 'weights', bytes: 2048 }, { base: 'kv', bytes: 4096 }],
  entries: [{ name: 'step', bounds: { tokens: 16 }, chips: [0], lent: 0 }],
  code: [[chip]],
  weightMap: [],
  ioMap: { inputs: [], outputs: [], kv: [{ name: 'cache', offset: 0, pitch: 1, columns: 8, format: 'e4m3', layers: 2, pageRows: 16 }] },
  debugMap: {
    labels: [{ label: 'inputs', sources: ['input_ids'] }, { label: 'layer.project', sources: ['/layer/MatMul'] }, { label: 'layer.attention', sources: [] }],
    entries: [Object.fromEntries(queues.map((queue) => [queue, names[queue] ?? []])) as unknown as Record<Queue, readonly number[]>],
  },
  life: [],
  semaphores: [],
};

const prompt = { firstRow: 0, rows: 9, keys: 9, firstPosition: 0, firstPage: 0 };
const going = { firstRow: 9, rows: 1, keys: 40, firstPosition: 39, firstPage: 1 };
const row = Array.from({ length: 10 }, () => 0);
const block = encodeStepBlock({
  entry: 0, counts: { tokens: 10, sequences: 2, samples: 2, memory: 0 }, ids: row, positions: row, types: row, slots: row, samples: [8, 9], worklist: [prompt, going], pages: [0, 1, 2, 3], memorySlots: [], memoryWorklist: [], memoryPages: [],
});

export const timing = (path = false): Timing => done(simulateTiming(program, [block], { ...timingDefaults, path }));
export const report = (): CostReport => buildReport(program, 4321, timing(), { isl: 9, osl: 2, batch: 2 });
