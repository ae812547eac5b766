import { describe, expect, it } from 'vitest';
import { assemble } from '../../isa-spec/assembly.ts';
import { writeContainer } from '../../isa-spec/container.ts';
import { disassemble } from '../../isa-spec/disassembly.ts';
import { decodeAll } from '../../isa-spec/encoding.ts';
import { queues } from '../../isa-spec/instructions.ts';
import type { Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import type { MachineState } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { early, late, roundRobin, type Schedule } from '../../simulator/functional/schedule.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import { mutationScore } from '../../verifier/mutation/mutate.ts';
import { prove } from '../../verifier/verify.ts';
import { machineFor, resultOf, source, steps, type Variant, variants } from '../compiled.ts';
import { smallBounds, tablesOf } from '../passes/lower.ts';
import { measure } from '../simulator/reference/measure.ts';
import { compiled } from '../simulator/reference/model.ts';
import { machineOf } from '../simulator/reference/products.ts';
import { isCheck, sweep } from '../sweep.ts';
import { outline } from './outline.ts';

const seeds = sweep([1, 2, 3, 4, 5, 6], 1);
const names = ['a machine of 8x8 arrays and 8 KiB', 'values in HBM', 'two small chips'];
const original = (name: string): Program => machineFor(variants[name] as Variant, 'fp8').program;

describe.each(names)('%s: a compiled program with stretches of it made subprograms', (name) => {
  const variant = variants[name] as Variant;
  const plain = original(name);
  const blocks = steps.map((step) => encodeStepBlock(tablesOf(step, variant.bounds)));

  /** What each step gives, checked for races. */
  const results = (state: MachineState, schedule: Schedule): readonly Float64Array[] => blocks.map((block, i) => {
    runStep(state, [block], schedule, undefined, { races: true, instructions: Infinity });
    return resultOf(state, plain, steps[i]!.samples.length, 0);
  });
  const wanted = results(machineFor(variant, 'fp8'), roundRobin);

  it('has calls in calls, and frames', () => {
    const calls = queues.flatMap((queue) => decodeAll(outline(plain, 12, 1).code[0]![0]![queue].words, queue)).flatMap((one) => (one.op === 'call' ? [one.fields] : []));
    expect(calls.length).toBeGreaterThan(30);
    expect(calls.filter(({ frame }) => frame > 0).length).toBeGreaterThan(10);
  });

  it.each(seeds)('is proved by the same rules (%i)', (seed) => {
    const { findings, verdicts } = prove(outline(plain, 12, seed));
    expect(findings).toEqual([]);
    expect(verdicts).toEqual(prove(plain).verdicts);
  });

  it.each(seeds)('computes the same bits, whoever goes first (%i)', (seed) => {
    for (const schedule of [roundRobin, early, late]) {
      const state = machineFor(variant, 'fp8', (program) => outline(program, 12, seed));
      expect(results(state, schedule)).toEqual(wanted);
    }
  });

  it.each(seeds)('takes the same cycles, moves the same bytes (%i)', (seed) => {
    for (const block of blocks) {
      const [before, after] = [plain, outline(plain, 12, seed)].map((program) => simulateTiming(program, [block]));
      if (before?.kind !== 'timing' || after?.kind !== 'timing') throw new Error(JSON.stringify(after));
      expect(after.cycles).toBe(before.cycles);
      expect(after.instructions).toBeGreaterThan(before.instructions);
      after.perChip.forEach((chip, i) => {
        const other = before.perChip[i]!;
        const spent = ({ queues: all }: typeof chip): object => all.map(({ busy, stalls }) => [busy, stalls]);
        expect([chip.engines, chip.hbmBytes, chip.losses, spent(chip)]).toEqual([other.engines, other.hbmBytes, other.losses, spent(other)]);
        expect(new Set(chip.labels.map(({ label }) => label))).toEqual(new Set(other.labels.map(({ label }) => label)));
      });
    }
  });

  it.each(seeds)('is assembly and back, byte for byte (%i)', (seed) => {
    const program = outline(plain, 12, seed);
    const text = disassemble(program);
    expect(text).toMatch(/call target=sub_\w+_\d+/);
    expect(writeContainer(assemble(text))).toEqual(writeContainer(program));
  });
});

it('the cycle-stepped reference agrees with itself and the others', () => {
  const { program, image } = compiled(source, machineOf(1, 8, 64), 'fp8');
  const tables = tablesOf(steps[0]!, smallBounds);
  const [plain, made] = [measure({ program, image }, tables), measure({ program: outline(program, 12, 4), image }, tables)];
  expect(made.reference).toMatchObject({ cycles: plain.reference.cycles, arrayCycles: plain.reference.arrayCycles, bankConflicts: 0 });
  expect(made.reference.instructions).toBeGreaterThan(plain.reference.instructions);
  expect([made.event, made.shared]).toEqual([plain.event, plain.shared]);
  expect(made.written).toEqual(plain.written);
  expect(made.functional).toEqual(plain.written);
});

it('mutants of it are all found, or shown to do what it does', () => {
  const perClass = isCheck ? 3 : 12;
  const score = mutationScore(outline(original('values in HBM'), 12, 3), perClass, 5);
  expect(score.classes.flatMap(({ name, survivors }) => survivors.map(({ name: where, what }) => `${name}: ${where}: ${what}`))).toEqual([]);
  expect(score.classes.map(({ mutants }) => mutants)).toEqual(score.classes.map(() => perClass));
});
