import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { createMachineState } from '../../simulator/functional/machine-state.ts';
import { noChecks, runStep } from '../../simulator/functional/run.ts';
import { late, randomSchedule, roundRobin, type Schedule } from '../../simulator/functional/schedule.ts';
import { type ChipView, groupChips, type RuleId } from '../../verifier/chip.ts';
import { judge, type Judgement } from '../../verifier/mutation/equivalence.ts';
import { faultClasses } from '../../verifier/mutation/faults.ts';
import { drawMutants, mutationScore, withCode } from '../../verifier/mutation/mutate.ts';
import { randomFrom } from '../../verifier/mutation/random.ts';
import { legal } from '../../verifier/rules/legal.ts';
import { verify } from '../../verifier/verify.ts';
import { built, resultOf, steps, type Variant, variants } from '../compiled.ts';
import { tablesOf } from '../passes/lower.ts';
import { isCheck } from '../sweep.ts';
import { programOf } from './programs.ts';

/** Two pieces of assembly, held against each other as versions of a chip's code. */
const held = (before: string, after: string): Judgement => judge(...([before, after].map((code) => legal(groupChips(programOf(code), 0)[0]!)) as [ChipView, ChipView]));

const small = variants['a machine of 8x8 arrays and 8 KiB']!;
const several: readonly (readonly [string, Variant, 'fp8' | 'bf16'])[] = [
  ['a full-sized machine, FP8', variants['the full-sized machine']!, 'fp8'],
  ['a small machine, FP8', small, 'fp8'],
  ['a small machine, BF16', small, 'bf16'],
  ['two small chips', variants['two small chips']!, 'fp8'],
];

const perClass = isCheck ? 3 : 12;

describe('the score', () => {
  it.each(several)('is at least 99 in a hundred: %s', (_, variant, precision) => {
    const { classes, score, mutants, caught, equivalent } = mutationScore(built(variant, precision).program, perClass, 11);
    const survivors = classes.flatMap((one) => one.survivors);
    expect(classes.map(({ name }) => name)).toEqual([
      'dropped post', 'extra post', 'dropped wait', 'extra wait', 'neighbours swapped', 'wrong buffer slot', 'size off by one', 'address off by one', 'wrong format', 'wrong function', 'wrong call',
    ]);
    // The compiler makes no calls: `test/subprograms` has mutants of those.
    for (const { name, mutants: made } of classes) expect(made, name).toBeGreaterThan(name === 'wrong call' ? -1 : Math.min(perClass - 1, name === 'wrong buffer slot' ? 4 : Infinity));
    expect(caught + equivalent + survivors.length).toBe(mutants);
    expect(score, survivors.map(({ name, what, why }) => `${name}: ${what}: ${why}`).join('\n')).toBeGreaterThanOrEqual(0.99);
  });

  it('is published of every class', () => {
    const published = [...readFileSync(resolve(import.meta.dirname, '../../README.md'), 'utf8').matchAll(/\| ([a-z ]+) \| (\d+) of (\d+) (?=\|)/g)].map(([, name, found, of]) => ({ name, score: Number(found) / Number(of) }));
    expect(published.map(({ name }) => name).toSorted()).toEqual(faultClasses.map(({ name }) => name).filter((name) => name !== 'wrong call').toSorted());
    for (const { name, score } of published) expect(score, name).toBeGreaterThanOrEqual(0.99);
  });

  it('is the same for the same seed, and of other mutants for another', () => {
    const { program } = built(small, 'fp8');
    const of = (seed: number): string => JSON.stringify(mutationScore(program, 3, seed));
    expect(of(1)).toBe(of(1));
    expect(of(1)).not.toBe(of(2));
  });
});

/** Rules whose breach says nothing of equivalence can be known: the machine would stop, or the order of tokens depend on timing. */
const needed: readonly RuleId[] = ['V01', 'V03', 'V04', 'V05', 'V06', 'V07', 'V08'];

/** All results of two steps, the second of which reads the keys of the first. */
function results(program: Program, { images, variant }: { readonly images: ReturnType<typeof built>['images']; readonly variant: Variant }, schedule: Schedule): readonly Float64Array[] {
  const state = createMachineState(program, images);
  return steps.flatMap((step) => {
    runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))], schedule, undefined, { ...noChecks, races: true });
    return state.chips.map((_, chip) => resultOf(state, program, step.samples.length, chip));
  });
}

/** Classes some of whose mutants do what the program does. */
const harmless: readonly string[] = ['neighbours swapped', 'size off by one', 'wrong format'];

/** Of the mutants of those classes, whatever the verifier has against them by other rules, those shown to do the same as the program. */
function equivalents(program: Program, perClass: number): readonly { readonly program: Program; readonly what: string }[] {
  const targets = groupChips(program, 0).map(legal) as readonly ChipView[];
  return faultClasses.filter(({ name }) => harmless.includes(name)).flatMap(({ name, draw }, number) =>
    [...drawMutants({ program, targets, random: randomFrom(number), draw }, perClass)].flatMap(({ program: mutant, view, fault }) => {
      if (verify(mutant).some(({ rule }) => needed.includes(rule))) return [];
      const { same, why } = judge(view, withCode(view, fault));
      return same ? [{ program: mutant, what: `${name}: ${fault.queue}:${fault.pc} ${fault.what}: ${why}` }] : [];
    }));
}

describe('the same', () => {
  const same = (...lines: readonly [string, string]): string => `${held(...lines).same}: ${held(...lines).why}`;

  it('are tokens in another order, and fields without effect', () => {
    expect(same('.queue vec\nsync wait(s1)\nsync wait(s2)\nsync post(s3)\n', '.queue vec\nsync wait(s2)\nsync wait(s1)\nsync post(s3)\n')).toMatch(/^true: tokens taken/);
    expect(same('.queue vec\nsreg reg=1 count=tokens\nsync wait(s1)\n', '.queue vec\nsync wait(s1)\nsreg reg=1 count=tokens\n')).toMatch(/^true: tokens taken/);
    const load = (pitch: number): string => `.queue dma0\ndld src=weights@0x0 srcPitch=${pitch} dst=@0x0 dstPitch=8 lines=8 rows=1\n`;
    expect(same(load(8), load(9))).toMatch(/^true: a field that has no effect/);
  });

  it('are not tokens inside a loop and behind it', () => {
    const [inside, behind] = ['.queue vec\nloop level=0 count=3 body=2\nsync wait(s1)\nsync wait(s2)\nsync wait(s3)\n', '.queue vec\nloop level=0 count=3 body=2\nsync wait(s1)\nsync wait(s3)\nsync wait(s2)\n'];
    expect(same(inside, behind)).toMatch(/^false: it does not come to its end/);
  });

  it('is not a row that an index picks, of another pitch', () => {
    const pick = (pitch: number): string => `.queue dma0\ndgat src=weights@0x0 srcPitch=${pitch} dst=@0x0 dstPitch=8 index=64 lines=8 rows=1\n`;
    expect(same(pick(8), pick(9))).toMatch(/^false: where dma0 did `dgat +src=.* srcPitch=8 .*` it does `dgat .* srcPitch=9 /);
  });

  it('is not a register set when it is used, or to be used next time', () => {
    const store = 'dst src=@0x0 srcPitch=8 dst=kv@0x0 dstPitch=8 lines=8 rows=4:R1@0';
    expect(same(`.queue dma0\nsreg reg=1 count=tokens\n${store}\n`, `.queue dma0\n${store}\nsreg reg=1 count=tokens\n`)).toMatch(/^false: where dma0 did `dst .* 4 of tokens/);
    const loop = '.queue dma0\nloop level=0 count=2 body=2\n';
    expect(same(`${loop}sreg reg=1 count=tokens\nsync\n${store}\n`, `${loop}sync\nsreg reg=1 count=tokens\n${store}\n`)).toMatch(/^true/);
    expect(same(`${loop}sreg reg=1 count=tokens\n${store}\n`, `${loop}${store}\nsreg reg=1 count=tokens\n`)).toMatch(/^false/);
  });

  it('is not a host told earlier, or an access that was ordered', () => {
    const [after, before] = ['sync wait(s1)\nevent tag=0\n', 'event tag=0\nsync wait(s1)\n'];
    const store = '.queue dma0\ndst src=@0x0 srcPitch=8 dst=kv@0x0 dstPitch=8 lines=8 rows=1 post(s1)\n';
    expect(same(`.queue ctl\n${after}${store}`, `.queue ctl\n${before}${store}`)).toBe('false: the host is told before what it was told of is done');
    const load = (queue: string, tokens: string): string => `.queue ${queue}\ndld src=weights@0x0 srcPitch=8 dst=@0x0 dstPitch=8 lines=8 rows=1\n${tokens}`;
    const other = '.queue dma1\nsync wait(s1)\ndst src=@0x0 srcPitch=8 dst=kv@0x0 dstPitch=8 lines=8 rows=1\n';
    expect(same(`${load('dma0', 'sync post(s1)\n')}${other}`, `.queue dma0\nsync post(s1)\ndld src=weights@0x0 srcPitch=8 dst=@0x0 dstPitch=8 lines=8 rows=1\n${other}`)).toMatch(/^false: dma0:0 and dma1:1 clash in another order$/);
  });
});

describe('mutants that count as equivalent', () => {
  it.each(several.slice(1))('give the same bits under every schedule, without a race: %s', (_, variant, precision) => {
    const { program, images } = built(variant, precision);
    const wanted = results(program, { images, variant }, roundRobin);
    const found = equivalents(program, isCheck ? 8 : 30);
    expect(found.length).toBeGreaterThan(isCheck ? 0 : 3);
    for (const { program: mutant, what } of found) {
      for (const schedule of [late, randomSchedule(1)]) expect(results(mutant, { images, variant }, schedule), what).toEqual(wanted);
    }
  });
});
