import { describe, expect, it, test } from 'vitest';
import { decodeAll, encodeAll } from '../../../isa-spec/encoding.ts';
import { type Instruction, type Queue, queues } from '../../../isa-spec/instructions.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import type { Program } from '../../../isa-spec/program.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin, type Schedule, scheduleNamed } from '../../../simulator/functional/schedule.ts';
import { machineFor, resultOf, steps, type Variant, variants } from '../../compiled.ts';
import { tablesOf } from '../../passes/lower.ts';
import { all, at, type Code, emptyStep, faultOf, hbmAt, ins, programOf, stateOf, sync, token } from './harness.ts';
import { sweep } from '../../sweep.ts';

const checked = { races: true, instructions: Infinity };

const run = (chips: readonly Code[], schedule: Schedule = roundRobin, checks = checked) => {
  const state = stateOf(programOf(chips, chips.length > 1 ? { machine: tiny2 } : {}));
  state.chips.forEach(({ hbm }) => hbm.io!.write(0, Uint8Array.from({ length: 256 }, (_, i) => i)));
  return { state, result: runStep(state, [encodeStepBlock(emptyStep)], schedule, undefined, checks) };
};

const load = (line: number, waits: readonly ReturnType<typeof token>[] = [], posts: readonly ReturnType<typeof token>[] = []): Instruction =>
  ins('dld', { src: hbmAt('io', 0), srcPitch: 1, dst: at(line), dstPitch: 1, lines: 1, rows: all(4) }, waits, posts);
const store = (line: number, waits: readonly ReturnType<typeof token>[] = [], posts: readonly ReturnType<typeof token>[] = [], to = 100): Instruction =>
  ins('dst', { src: at(line), srcPitch: 1, dst: hbmAt('io', to), dstPitch: 1, lines: 1, rows: all(4) }, waits, posts);

describe('two instructions on the same memory, one of them writing', () => {
  const schedules = { roundRobin, early, late, random: randomSchedule(3) };

  it.each(Object.entries(schedules))('%s: a read of what is written without a token between them', (_, schedule) => {
    const fault = faultOf(() => run([{ dma0: [load(0)], dma1: [store(2)] }], schedule));
    expect(fault.kind).toBe('race');
    expect([fault.place?.queue, fault.other?.queue].toSorted()).toEqual(['dma0', 'dma1']);
    expect(fault.reason).toMatch(/^SRAM lines? 2/);
  });

  it('names both, and the lines of the first row', () => {
    expect(faultOf(() => run([{ dma0: [load(0)], dma1: [store(2)] }])).message).toBe(
      'race: SRAM line 2: read here, written by chip 0 dma0[0] dld (I = 0, 0, 0, 0), and nothing orders the two at chip 0 dma1[0] dst (I = 0, 0, 0, 0)');
  });

  it.each(Object.entries(schedules))('%s: an overwrite of what is still to be read, and of what is written', (_, schedule) => {
    expect(faultOf(() => run([{ dma0: [load(0, [], [token(1)]), load(0)], dma1: [store(0, [token(1)])] }], schedule)).kind).toBe('race');
    expect(faultOf(() => run([{ dma0: [load(0)], dma1: [load(3)] }], schedule)).reason).toMatch(/SRAM line 3: written here, written by/);
  });

  it.each(Object.entries(schedules))('%s: in HBM', (_, schedule) => {
    expect(faultOf(() => run([{ dma0: [store(0)], dma1: [store(8, [], [], 103)] }], schedule)).reason).toMatch(/^HBM `io` line 103: written here, written by/);
  });

  it.each(Object.entries(schedules))('%s: none if a token is between them, directly or by way of a third queue', (_, schedule) => {
    const direct: Code = { dma0: [load(0, [], [token(1)]), load(0, [token(2)])], dma1: [store(0, [token(1)], [token(2)])] };
    const around: Code = { dma0: [load(0, [], [token(1)])], vec: [sync([token(1)], [token(2)])], dma1: [store(0, [token(2)])] };
    for (const code of [direct, around]) {
      const { state } = run([code], schedule);
      expect([...readHbm(state, 0, 'io', 800, 32)]).toEqual(Array.from({ length: 32 }, (_, i) => i));
    }
  });

  test('the k-th token taken is the k-th posted', () => {
    const ring: Code = {
      dma0: [load(0, [], [token(1)]), load(4, [], [token(1)]), load(0, [token(2)], [token(1)])],
      dma1: [store(0, [token(1)], [token(2)]), store(4, [token(1)]), store(0, [token(1)])],
    };
    expect(run([ring]).result.instructions).toBe(6);
    const early4: Code = { ...ring, dma1: [store(4, [token(1)], [token(2)]), store(0, [token(1)]), store(0, [token(1)])] };
    expect(faultOf(() => run([early4], late)).kind).toBe('race');
  });

  test('reads of the same lines do not race, nor does a queue with itself', () => {
    const code: Code = { dma0: [load(0), load(0), store(0), sync([], [token(1)]), store(0, [], [], 110)], dma1: [store(0, [token(1)])] };
    expect(run([code]).result.instructions).toBe(6);
  });

  test('a collective is after all that its members come with', () => {
    const gather = ins('coll', { kind: 'allgather', src: at(0), srcPitch: 1, out: at(8), outPitch: 2, bytes: 8, tag: 1, rows: all(4) }, [token(1)], [token(2)]);
    const chip: Code = { dma0: [load(0, [], [token(1)])], col: [gather], dma1: [store(8, [token(2)])] };
    expect(run([chip, chip]).result.instructions).toBe(6);
    expect(run([chip, chip], late).result.instructions).toBe(6);
    expect(faultOf(() => run([chip, { ...chip, dma0: [load(0, [], [token(1)]), load(0)] }]))).toMatchObject({ kind: 'race', place: { chip: 1, queue: 'col', pc: 0 }, other: { chip: 1, queue: 'dma0', pc: 1 } });
  });

  test('a run without checks is blind', () => {
    expect(run([{ dma0: [load(0)], dma1: [store(2)] }], roundRobin, { races: false, instructions: Infinity }).result.instructions).toBe(2);
  });
});

describe('late', () => {
  test('who does not wait does not see', () => {
    const code: Code = { dma0: [load(0, [], [token(1)])], dma1: [store(0), store(0, [token(1)], [], 110)] };
    const { state } = run([code], late, { races: false, instructions: Infinity });
    expect([...readHbm(state, 0, 'io', 800, 2)]).toEqual([0xff, 0xff]);
    expect([...readHbm(state, 0, 'io', 880, 2)]).toEqual([0, 1]);
  });

  test('a queue sees its own writes, in HBM too', () => {
    const again = ins('dld', { src: hbmAt('io', 100), srcPitch: 1, dst: at(8), dstPitch: 1, lines: 1, rows: all(4) });
    const { state } = run([{ dma0: [load(0), store(0), again, store(8, [], [], 120)] }], late);
    expect([...readHbm(state, 0, 'io', 960, 4)]).toEqual([0, 1, 2, 3]);
  });
});

describe('runs end', () => {
  const loop = (level: number, body: number) => ins('loop', { level, count: 2 ** 20, body });

  test('at the limit of instructions', () => {
    const code: Code = { vec: [loop(0, 4), loop(1, 3), loop(2, 2), loop(3, 1), sync([], [])] };
    expect(faultOf(() => run([code], roundRobin, { races: false, instructions: 1000 }))).toMatchObject({ kind: 'limit', place: { queue: 'vec' } });
  });

  test('schedules have names', () => {
    expect(['roundRobin', 'early', 'late'].map(scheduleNamed)).toEqual([roundRobin, early, late]);
    expect(scheduleNamed('random:7')?.burst).toBe(false);
    expect(['', 'random', 'random:', 'random:x', 'lazy'].map(scheduleNamed)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  });
});

const runAll = (variant: Variant, schedule: Schedule, change?: (program: Program) => Program): readonly Float64Array[] => {
  const state = machineFor(variant, 'fp8', change);
  return steps.map((step) => {
    runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))], schedule, undefined, checked);
    return resultOf(state, state.program, step.samples.length, 0);
  });
};

describe('compiled programs', () => {
  it.each(sweep(Object.entries(variants), 3))('%s: no race, and the same bits in any order', (_, variant) => {
    const wanted = runAll(variant, roundRobin);
    for (const schedule of [early, late, randomSchedule(5)]) expect(runAll(variant, schedule)).toEqual(wanted);
  });

  /** The program without the wait `n` of a queue's waits. */
  const without = (queue: Queue, n: number) => (program: Program): Program => {
    let seen = 0;
    const strip = (instruction: Instruction): Instruction => ({ ...instruction, waits: instruction.waits.filter(() => seen++ !== n) }) as Instruction;
    return { ...program, code: program.code.map((chips) => chips.map((chip) => ({ ...chip, [queue]: { ...chip[queue], words: encodeAll(decodeAll(chip[queue].words, queue).map(strip), queue) } }))) };
  };
  const variant = variants['a machine of 8x8 arrays and 8 KiB'] as Variant;

  it('a wait taken out is a race, and both instructions are named with what they were made of', () => {
    for (const schedule of [roundRobin, early, late]) {
      const fault = faultOf(() => runAll(variant, schedule, without('mxu', 1)));
      expect(fault.kind).toBe('race');
      expect([fault.place?.queue, fault.other?.queue]).toContain('mxu');
      expect(fault.message).toMatch(/`\S.*` \(I = .*`\S.*` \(I = /);
    }
  });

  it('whichever wait is taken out, something is noticed', () => {
    for (const queue of queues) {
      const state = machineFor(variant, 'fp8');
      const count = decodeAll(state.program.code[0]![0]![queue].words, queue).reduce((sum, { waits }) => sum + waits.length, 0);
      for (let n = 0; n < Math.min(count, 6); n++) expect(['race', 'unbalanced', 'semaphore']).toContain(faultOf(() => runAll(variant, roundRobin, without(queue, n))).kind);
    }
  });
});
