import { bench, describe } from 'vitest';
import { encodeAll } from '../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../isa-spec/instructions.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { encodeE4m3, encodeBf16 } from '../isa-spec/numerics.ts';
import type { ChipCode, Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { createMachineState, imageSource, type MachineState } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';

/**
 * Speed of the functional simulator on one matrix product [rows, 1024] x [1024, 1024] of the full-sized machine: weights and
 * activations loaded from HBM, multiplied, drained to BF16. Budget: 3 GFLOP/s for E4M3 at 32 rows and more.
 */
const k = 1024;
const n = 1024;
const size = sohu.arrays.size.value;

type MatrixFormat = 'e4m3' | 'bf16';

const productProgram = (rows: number, format: MatrixFormat): MachineState => {
  const bytes = format === 'e4m3' ? 1 : 2;
  const line = sohu.sram.lineBytes.value;
  const [tilesK, tilesN] = [k / size, n / size];
  const [aPitch, tileLines, outPitch] = [(k * bytes) / line, (k * n * bytes) / line, (n * 2) / line];
  const weightsAt = 65536;
  const outAt = 2 * 65536;
  const all = (max: number) => ({ max, reg: 0, level: 0 });
  const at = (addr: number) => ({ addr, ss: 0 });
  const token = (semaphore: number) => ({ semaphore, count: 1 });
  const whole = { off: 0, ss: 0 };
  const code: Partial<Record<Queue, Instruction[]>> = {
    dma0: [
      { op: 'dld', waits: [], posts: [token(1)], fields: { src: { base: 1, ...whole }, srcPitch: tileLines / 64, dst: at(weightsAt), dstPitch: tileLines / 64, lines: tileLines / 64, rows: all(64) } },
      { op: 'dld', waits: [], posts: [token(2)], fields: { src: { base: 4, ...whole }, srcPitch: aPitch, dst: at(0), dstPitch: aPitch, lines: aPitch, rows: all(rows) } },
    ],
    wld: [{ op: 'wld', waits: [token(1)], posts: [], fields: { format, src: at(weightsAt), kTiles: tilesK, nTiles: tilesN, split: 0 } }],
    mxu: [{ op: 'mm', waits: [token(2)], posts: [token(3)], fields: { format, accumulate: 'no', split: 0, a: at(0), pitch: aPitch, acc: at(0), kTiles: tilesK, kLast: size, nTiles: tilesN, rows: all(rows) } }],
    epi: [{
      op: 'epi', waits: [token(3)], posts: [],
      fields: { format: 'bf16', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 0, acc: at(0), out: at(outAt), pitch: outPitch, params: at(0), residualAt: at(0), rowScale: 0, nTiles: tilesN, nLast: size, rows: all(rows) },
    }],
  };
  const chip = Object.fromEntries(queues.map((name) => [name, { words: encodeAll(code[name] ?? [], name), strideSets: [] }])) as unknown as ChipCode;
  const program: Program = {
    meta: {}, machine: sohu, chips: 1, regions: [{ base: 'weights', bytes: k * n * bytes }, { base: 'io', bytes: rows * k * bytes }], entries: [{ name: 'product', bounds: {} }], code: [[chip]],
    weightMap: null, ioMap: { outputs: [], kv: null }, debugMap: { labels: [], entries: [] }, life: null, semaphores: [],
  };
  const state = createMachineState(program, [imageSource(values(k * n, format))]);
  state.chips[0]?.hbm.io?.write(0, values(rows * k, format));
  return state;
};

const values = (count: number, format: MatrixFormat): Uint8Array => {
  const code = format === 'e4m3' ? encodeE4m3 : encodeBf16;
  const numbers = Array.from({ length: count }, (_, i) => code((((i * 7919) % 1009) - 504) / 300));
  return format === 'e4m3' ? Uint8Array.from(numbers) : new Uint8Array(Uint16Array.from(numbers).buffer);
};

const block = encodeStepBlock({ entry: 0, counts: { tokens: 0, sequences: 0, samples: 0 }, ids: [], positions: [], types: [], slots: [], samples: [], worklist: [], pages: [] });

describe('functional simulation', () => {
  for (const format of ['e4m3', 'bf16'] as const) {
    for (const rows of [1, 8, 32, 128, 512]) {
      const state = productProgram(rows, format);
      runStep(state, [block]);
      const runs = Math.max(2, Math.ceil(256 / rows));
      const start = performance.now();
      for (let i = 0; i < runs; i++) runStep(state, [block]);
      const seconds = (performance.now() - start) / 1000 / runs;
      console.log(`${format} ${String(rows).padStart(4)} x ${k} x ${n}: ${((2 * rows * k * n) / seconds / 1e9).toFixed(2)} GFLOP/s (${(seconds * 1000).toFixed(1)} ms)`);
    }
  }
  const state = productProgram(32, 'e4m3');
  bench(`32 x ${k} x ${n}, e4m3`, () => {
    runStep(state, [block]);
  });
});
