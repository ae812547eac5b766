import type { InstructionOf, Mnemonic, Queue, StrideSet, Token } from '../../../isa-spec/instructions.ts';
import { type Instruction, queues } from '../../../isa-spec/instructions.ts';
import type { Machine } from '../../../isa-spec/machine.ts';
import type { WorkEntry } from '../../../isa-spec/step-block.ts';
import type { StepInput } from '../../../simulator/timing/chip.ts';
import { timeSteps } from '../../../simulator/timing/core.ts';
import type { Timing, TimingResult } from '../../../simulator/timing/result.ts';
import type { ChipCode } from '../../../simulator/timing/stream.ts';

const operand = { addr: 0, ss: 0 };
export const hbmAt = (base: number, off = 0, ss = 0) => ({ base, off, ss });
export const rows = (max: number, reg = 0, level = 0) => ({ max, reg, level });

const usual = {
  nop: {},
  sync: { wait2: 0, wait3: 0, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0, waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0 },
  loop: { level: 0, count: 1, body: 1 },
  sreg: { reg: 1, count: 'tokens' },
  salu: { function: 'add', reg: 1, a: 1, b: 0, value: 1, least: 0, most: 1000 },
  call: { target: 1, frame: 0 },
  ret: {},
  setp: { compare: 'eq', target: 1, reg: 1, value: 0 },
  trace: { kind: 'timestamp', tag: 0, reg: 0, least: 0, most: 0 },
  hostw: { table: 'ids', dst: operand, bytes: 64 },
  event: { tag: 0 },
  dld: { src: hbmAt(1), srcPitch: 1, dst: operand, dstPitch: 1, lines: 1, rows: rows(1) },
  dst: { src: operand, srcPitch: 1, dst: hbmAt(4), dstPitch: 1, lines: 1, rows: rows(1) },
  dcp: { fill: false, src: operand, srcPitch: 1, dst: operand, dstPitch: 1, lines: 1, value: 0, rows: rows(1) },
  dgat: { src: hbmAt(1), srcPitch: 1, dst: operand, dstPitch: 1, index: 0, lines: 1, rows: rows(1) },
  dsct: { src: operand, srcPitch: 1, dst: hbmAt(2), dstPitch: 1, index: 0, lines: 1, rows: rows(1) },
  wld: { format: 'e4m3', src: operand, kTiles: 1, nTiles: 1, split: 0 },
  mm: { format: 'e4m3', accumulate: 'no', split: 0, a: operand, pitch: 1, acc: operand, kTiles: 1, kLast: 8, nTiles: 1, rows: rows(1) },
  epi: {
    format: 'bf16', activation: 'none', scale: false, bias: false, residual: false, gated: false, split: 0,
    acc: operand, out: operand, pitch: 2, params: operand, residualAt: operand, rowScale: 0, nTiles: 1, nLast: 8, rows: rows(1),
  },
  aq: { format: 'e4m3', q: operand, pitch: 1, worklist: 0, heads: 2, headDim: 8, scale: 1, rows: rows(1) },
  attn: { format: 'e4m3', mask: 'causal', kv: hbmAt(2), pages: 0, pageRows: 16, kvLines: 1, kvHeads: 1, window: 0 },
  afin: { format: 'bf16', out: operand, pitch: 4, rows: rows(1) },
  vmap: { function: 'copy', xFormat: 'bf16', yFormat: 'bf16', format: 'bf16', x: operand, xPitch: 1, y: operand, yPitch: 1, out: operand, outPitch: 1, columns: 16, rows: rows(1) },
  vmap3: { function: 'multiply', second: 'add', xFormat: 'bf16', yFormat: 'bf16', zFormat: 'bf16', format: 'bf16', x: operand, y: operand, z: operand, out: operand, columns: 16, rows: rows(1) },
  vred: { reduce: 'sum', xFormat: 'bf16', x: operand, xPitch: 1, out: 0, columns: 16, rows: rows(1) },
  vnorm: { xFormat: 'bf16', format: 'bf16', kind: 'rms', x: operand, xPitch: 1, params: operand, out: operand, outPitch: 1, columns: 16, rows: rows(1) },
  vrope: { xFormat: 'bf16', format: 'bf16', interleaved: false, x: operand, xPitch: 1, table: operand, out: operand, outPitch: 1, headDim: 8, rotary: 8, heads: 2, rows: rows(1) },
  vqnt: { xFormat: 'bf16', format: 'e4m3', x: operand, xPitch: 1, out: operand, outPitch: 1, rowScale: 0, columns: 16, rows: rows(1) },
  vqblk: { xFormat: 'bf16', format: 'e4m3', scaling: 'mx', pow2: false, x: operand, xPitch: 1, out: operand, outPitch: 1, scales: operand, scalePitch: 1, columns: 16, rows: rows(1) },
  sample: { mode: 'greedy', xFormat: 'bf16', x: operand, xPitch: 1, params: operand, out: 0, columns: 16, rows: rows(1) },
  route: { scores: 'softmax', normalise: false, bias: false, xFormat: 'f32', x: operand, xPitch: 4, biases: 0, indices: 0, weights: 0, offsets: 0, experts: 8, k: 2, rows: rows(1) },
  bin: { indices: 0, offsets: 0, sources: 0, targets: 0, owners: 0, experts: 8, k: 2, size: 4, rows: rows(1) },
  mix: { xFormat: 'bf16', format: 'bf16', x: operand, xPitch: 2, weights: operand, out: operand, outPitch: 2, columns: 8, k: 2, rows: rows(1) },
  perm: { direction: 'permute', xFormat: 'bf16', format: 'bf16', x: operand, xPitch: 2, out: operand, outPitch: 2, indices: 0, weights: 0, columns: 8, k: 2, rows: rows(1) },
  coll: { kind: 'allgather', src: operand, srcPitch: 1, out: operand, outPitch: 2, bytes: 8, tag: 0, rows: rows(1) },
} as const satisfies { readonly [M in Mnemonic]: InstructionOf<M>['fields'] };

/** An instruction with small usual fields but for those given. */
export const make = <M extends Mnemonic>(op: M, fields: Partial<InstructionOf<M>['fields']> = {}, waits: readonly number[] = [], posts: readonly number[] = []): Instruction => {
  const tokens = (ids: readonly number[]): readonly Token[] => ids.map((semaphore) => ({ semaphore, count: 1 }));
  return { op, waits: tokens(waits), posts: tokens(posts), fields: { ...usual[op], ...fields } } as unknown as Instruction;
};

export const codeOf = (streams: Partial<Record<Queue, readonly Instruction[]>>, strideSets: readonly StrideSet[] = []): ChipCode =>
  Object.fromEntries(queues.map((queue) => [queue, { instructions: streams[queue] ?? [], strideSets }])) as unknown as ChipCode;

export const stepOf = (tokens: number, work: readonly WorkEntry[] = []): StepInput => ({ counts: [tokens, work.length, work.length, 0], tableBytes: [4 * tokens, 4 * tokens, 0, 0, 0, 0, 0, 0, 0, 0], work: { worklist: work, memoryWorklist: [] } });

const noLabels = Object.fromEntries(queues.map((queue) => [queue, []])) as unknown as Record<Queue, readonly string[]>;

/** The same code on `simulated` of `chips` chips. */
export const time = (machine: Machine, code: ChipCode, step: StepInput = stepOf(64), chips = 1, simulated = 1): TimingResult =>
  timeSteps({ machine, entry: 'step', chips, simulated: Array.from({ length: simulated }, () => ({ code, labels: noLabels, steps: [step] })), stands: Array.from({ length: chips }, (_, chip) => Math.min(chip, simulated - 1)), budget: 1e6 });

/** Chips that each run their own. */
export const timeChips = (machine: Machine, chips: readonly { readonly code: ChipCode; readonly step: StepInput }[]): TimingResult => timeRuns(machine, chips.map(({ code, step }) => ({ code, steps: [step] })));

/** Chips that each run steps of their own, as many, one after the other; with the critical path; within so many cycles. */
export const timeRuns = (machine: Machine, chips: readonly { readonly code: ChipCode; readonly steps: readonly StepInput[] }[], path = false, cycles?: number): TimingResult =>
  timeSteps({ machine, entry: 'step', chips: chips.length, simulated: chips.map((chip) => ({ ...chip, labels: noLabels })), stands: chips.map((_, chip) => chip), budget: 1e6, path, cycles });

export const done = (result: TimingResult): Timing => {
  if (result.kind === 'fault') throw new Error(`${result.fault.kind}: ${result.fault.message}`);
  return result;
};
