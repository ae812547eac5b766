import { encodeAll, still } from '../../../isa-spec/encoding.ts';
import { hbmBases, type InstructionOf, type Mnemonic, type Queue, queues, type StrideSet, type Token } from '../../../isa-spec/instructions.ts';
import type { Instruction } from '../../../isa-spec/instructions.ts';
import type { Machine } from '../../../isa-spec/machine.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import type { ChipCode, Program, ProgramRegion, ProgramSemaphore } from '../../../isa-spec/program.ts';
import { encodeStepBlock, type StepTables } from '../../../isa-spec/step-block.ts';
import { SimulationFault } from '../../../simulator/fault.ts';
import { createMachineState, imageSource, type MachineState, readHbm } from '../../../simulator/functional/machine-state.ts';
import { type Observe, runStep } from '../../../simulator/functional/run.ts';
import { roundRobin, type Schedule } from '../../../simulator/functional/schedule.ts';

/** An instruction by name, with the tokens it takes and gives as [semaphore, count]. */
export const ins = <M extends Mnemonic>(op: M, fields: InstructionOf<M>['fields'], waits: readonly Token[] = [], posts: readonly Token[] = []): Instruction => ({ op, waits, posts, fields }) as unknown as Instruction;
export const token = (semaphore: number, count = 1): Token => ({ semaphore, count });
export const sync = (waits: readonly Token[], posts: readonly Token[]): Instruction =>
  ins('sync', {
    wait2: 0, wait3: 0, wait4: 0, wait5: 0, post2: 0, post3: 0, post4: 0, post5: 0,
    waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0,
  }, waits, posts);
export const at = (addr: number, ss = 0) => ({ addr, ss });
export const all = (max: number) => ({ max, reg: 0, level: 0 });
export const hbmAt = (base: (typeof hbmBases)[number], off: number, ss = 0) => ({ base: hbmBases.indexOf(base), off, ss });

export type Code = Readonly<Partial<Record<Queue, readonly Instruction[]>>>;

const chipCode = (code: Code, strideSets: Readonly<Partial<Record<Queue, readonly StrideSet[]>>>): ChipCode =>
  Object.fromEntries(
    queues.map((name) => {
      const sets = strideSets[name] ?? [];
      return [name, { words: encodeAll(code[name] ?? [], name), strideSets: sets.length === 0 ? [] : [still, ...sets] }];
    }),
  ) as Record<Queue, { words: Uint8Array; strideSets: StrideSet[] }>;

export type Made = { readonly machine?: Machine; readonly regions?: readonly ProgramRegion[]; readonly strideSets?: Readonly<Partial<Record<Queue, readonly StrideSet[]>>>; readonly semaphores?: readonly ProgramSemaphore[]; readonly kv?: Uint8Array };

/** A program of one entry: code by chip, all else empty. */
export const programOf = (chips: readonly Code[], { machine = tiny, regions = [{ base: 'io', bytes: 65536 }, { base: 'kv', bytes: 65536 }], strideSets = {}, semaphores = [] }: Made = {}): Program => ({
  meta: {}, machine, chips: chips.length, regions, entries: [{ name: 'step', bounds: {}, chips: chips.map((_, chip) => chip), lent: 0 }],
  code: [chips.map((code) => chipCode(code, strideSets))],
  weightMap: null, ioMap: { inputs: [], outputs: [], kv: null }, debugMap: { labels: [], entries: [] }, life: null, semaphores,
});

export const emptyStep: StepTables = { entry: 0, counts: { tokens: 0, sequences: 0, samples: 0, memory: 0 }, ids: [], positions: [], types: [], slots: [], samples: [], worklist: [], pages: [], memorySlots: [], memoryWorklist: [], memoryPages: [] };

export const stateOf = (program: Program): MachineState => createMachineState(program, Array.from({ length: program.chips }, () => imageSource(new Uint8Array(0))));

export const runProgram = (chips: readonly Code[], made: Made = {}, step: Partial<StepTables> = {}, schedule: Schedule = roundRobin, observe?: Observe) => {
  const state = stateOf(programOf(chips, made));
  return { state, result: runStep(state, [encodeStepBlock({ ...emptyStep, ...step })], schedule, observe) };
};

/** Bytes of SRAM of the tiny machine, and where typed values are put into and taken from them. Line = 8 bytes. */
export class Image {
  readonly bytes = new Uint8Array(8192).fill(0xff);
  readonly #view = new DataView(this.bytes.buffer);

  f32(line: number, values: readonly number[]): void {
    values.forEach((value, i) => this.#view.setFloat32(line * 8 + 4 * i, value, true));
  }
  i32(line: number, values: readonly number[]): void {
    values.forEach((value, i) => this.#view.setInt32(line * 8 + 4 * i, value, true));
  }
  codes16(line: number, values: readonly number[]): void {
    values.forEach((value, i) => this.#view.setUint16(line * 8 + 2 * i, value, true));
  }
  codes8(line: number, values: readonly number[]): void {
    values.forEach((value, i) => this.#view.setUint8(line * 8 + i, value));
  }
  readF32(line: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.#view.getFloat32(line * 8 + 4 * i, true));
  }
  read16(line: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.#view.getUint16(line * 8 + 2 * i, true));
  }
  read8(line: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.#view.getUint8(line * 8 + i));
  }
}

/**
 * Runs code of units between a load of all of SRAM from `image` (posts semaphore 1 to each of `first`, in order 1, 2, ...) and a store of
 * all of it (waits for semaphore 10). Returns SRAM afterwards.
 */
export const runOnImage = (image: Image, first: readonly Queue[], code: Code, step: Partial<StepTables> = {}, made: Made = {}): { readonly image: Image; readonly state: MachineState } => {
  const whole = { lines: 1024, rows: all(1) };
  const given = first.map((_, i) => token(i + 1));
  const program = programOf([
    {
      ...Object.fromEntries(Object.entries(code).map(([name, instructions]) => [name, first.includes(name as Queue) ? [sync([token(first.indexOf(name as Queue) + 1)], []), ...instructions] : instructions])),
      dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 0, dst: at(0), dstPitch: 0, ...whole }, [], given.slice(0, 2)), ...(given.length > 2 ? [sync([], given.slice(2))] : [])],
      dma1: [ins('dst', { src: at(0), srcPitch: 0, dst: hbmAt('io', 1024), dstPitch: 0, ...whole }, [token(10)])],
    },
  ], made);
  const state = stateOf(program);
  state.chips[0]!.hbm.io!.write(0, image.bytes);
  if (made.kv !== undefined) state.chips[0]!.hbm.kv!.write(0, made.kv);
  runStep(state, [encodeStepBlock({ ...emptyStep, ...step })]);
  const after = new Image();
  after.bytes.set(readHbm(state, 0, 'io', 8192, 8192));
  return { image: after, state };
};

/** Numbers in [-1, 1) from a seed. */
export const numbers = (seed: number): (() => number) => {
  let state = (seed >>> 0) + 0x9e3779b9;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
};

/** The fault a run ends in. */
export const faultOf = (run: () => unknown): SimulationFault => {
  try {
    run();
  } catch (error) {
    if (error instanceof SimulationFault) return error;
    throw error;
  }
  throw new Error('no fault');
};
