import { onnx } from 'onnx-proto';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { bench, describe } from 'vitest';
import { encodeAll } from '../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../isa-spec/instructions.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import { encodeE4m3, encodeBf16 } from '../isa-spec/numerics.ts';
import type { ChipCode, Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { createMachineState, imageSource, type Kernels, type MachineState } from '../simulator/functional/machine-state.ts';
import { runStep } from '../simulator/functional/run.ts';
import { roundRobin } from '../simulator/functional/schedule.ts';

/**
 * Speed of the functional simulator on one matrix product [rows, 1024] x [1024, 1024] of the full-sized machine: weights and
 * activations loaded from HBM, multiplied, drained to BF16. With the plain loops, with SIMD, and of FP32 in onnxruntime.
 */
const k = 1024;
const n = 1024;
const size = sohu.arrays.size.value;

type MatrixFormat = 'e4m3' | 'bf16';

const productProgram = (rows: number, format: MatrixFormat, kernels: Kernels): MachineState => {
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
  const state = createMachineState(program, [imageSource(values(k * n, format))], kernels);
  state.chips[0]?.hbm.io?.write(0, values(rows * k, format));
  return state;
};

/** Normal numbers; E4M3 scaled as quantisation does, the largest of a thousand to 448. */
const values = (count: number, format: MatrixFormat): Uint8Array => {
  const normal = normals(count);
  return format === 'e4m3' ? Uint8Array.from(normal, (x) => encodeE4m3(x * 135)) : new Uint8Array(Uint16Array.from(normal, encodeBf16).buffer);
};

let seed = 1;
/** Mulberry32: (0, 1). */
const uniform = (): number => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
};
const normals = (count: number): Float64Array => Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));

const block = encodeStepBlock({ entry: 0, counts: { tokens: 0, sequences: 0, samples: 0 }, ids: [], positions: [], types: [], slots: [], samples: [], worklist: [], pages: [] });

/** The least of many times, which what else the machine does disturbs least. */
const secondsOf = async (run: () => unknown, runs: number): Promise<number> => {
  let least = Infinity;
  for (let i = 0; i < runs + 3; i++) {
    const start = performance.now();
    await run();
    least = Math.min(least, performance.now() - start);
  }
  return least / 1000;
};

/** Of a step, the least time of the instruction `mm`, and of all. */
const productSeconds = (state: MachineState, runs: number): { readonly mm: number; readonly step: number } => {
  let [mm, step] = [Infinity, Infinity];
  for (let i = 0; i < runs + 3; i++) {
    const start = performance.now();
    let last = start;
    runStep(state, [block], roundRobin, (_, queue) => {
      const now = performance.now();
      if (queue.name === 'mxu') mm = Math.min(mm, now - last);
      last = now;
    });
    step = Math.min(step, performance.now() - start);
  }
  return { mm: mm / 1000, step: step / 1000 };
};

/** The product in onnxruntime: one MatMul of FP32 on one thread. */
const sessionOf = async (): Promise<InferenceSession> => {
  const io = (name: string, ...shape: readonly (number | string)[]) => ({ name, type: { tensorType: { elemType: 1, shape: { dim: shape.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size })) } } } });
  const model = onnx.ModelProto.create({
    irVersion: 8, opsetImport: [{ domain: '', version: 17 }],
    graph: { name: 'product', node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }], input: [io('x', 'rows', k), io('w', k, n)], output: [io('y', 'rows', n)] },
  });
  return InferenceSession.create(onnx.ModelProto.encode(model).finish(), { intraOpNumThreads: 1, interOpNumThreads: 1 });
};

describe('functional simulation', async () => {
  const session = await sessionOf();
  const speed = (rows: number, seconds: number): string => ((2 * rows * k * n) / seconds / 1e9).toFixed(1);
  console.log('GFLOP/s of the product itself; in brackets, of a step that loads, multiplies and drains');
  for (const rows of [1, 8, 32, 128, 512]) {
    const feeds = { x: new Tensor('float32', Float32Array.from(normals(rows * k)), [rows, k]), w: new Tensor('float32', Float32Array.from(normals(k * n)), [k, n]) };
    const outside = await secondsOf(() => session.run(feeds), Math.ceil(512 / rows));
    for (const format of ['e4m3', 'bf16'] as const) {
      const slow = productSeconds(productProgram(rows, format, 'plain'), Math.max(4, Math.ceil(64 / rows)));
      const fast = productSeconds(productProgram(rows, format, 'simd'), Math.max(12, Math.ceil(512 / rows)));
      const both = ({ mm, step }: { readonly mm: number; readonly step: number }): string => `${speed(rows, mm)} (${speed(rows, step)})`;
      console.log(`${format} ${String(rows).padStart(4)} x ${k} x ${n}: plain ${both(slow)}  simd ${both(fast)} = ${(slow.mm / fast.mm).toFixed(1)}x (${(slow.step / fast.step).toFixed(1)}x)  onnxruntime f32 ${speed(rows, outside)}`);
    }
  }
  const state = productProgram(32, 'e4m3', 'simd');
  bench(`32 x ${k} x ${n}, e4m3`, () => {
    runStep(state, [block]);
  });
});
