import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stageCount, steadyTiming } from '../../driver/steady-report.ts';
import type { Workload } from '../../driver/workload.ts';
import { readContainer } from '../../isa-spec/container.ts';
import { lending, type Machine } from '../../isa-spec/machine.ts';
import type { Program } from '../../isa-spec/program.ts';
import { type ClaimReport, claim, claimReport } from '../../report/claim.ts';
import { renderClaim } from '../../report/claim-text.ts';
import { buildReport } from '../../report/report.ts';
import type { Timing } from '../../simulator/timing/result.ts';
import { example, folder, root, sohuc } from '../driver/command.ts';
import { llama70 } from '../driver/llama70.ts';
import { isCheck, sweep } from '../sweep.ts';

/** A program the command has compiled. */
async function programOf(model: string, words: readonly string[]): Promise<Program> {
  const at = folder();
  await sohuc(model, '--quiet', '--no-weights', '--out', at, '--machine', 'sohu-8', ...words);
  const name = model.endsWith('.onnx') ? 'decoder-past.dynamo' : 'model';
  return readContainer(new Uint8Array(readFileSync(join(at, `${name}.sohu`))));
}

async function the70B(...words: readonly string[]): Promise<Program> {
  const at = folder();
  writeFileSync(join(at, 'config.json'), JSON.stringify(llama70));
  return programOf(at, words);
}

/** The claim is about one, on an average. */
const steps = 2;

function timed(program: Program): Timing {
  const timing = steadyTiming(program, program.meta['workload'] as Workload, { steps, path: false });
  return typeof timing === 'string' ? expect.fail(timing) : timing;
}

function claimed(program: Program): ClaimReport {
  const timing = timed(program);
  return claimReport(program, timing, buildReport(program, 1, timing, program.meta['workload'] as Workload));
}

/** The machine with the number of that name multiplied, found by its path. */
function withNumber(machine: Machine, name: string, factor: number): Machine {
  const changed = structuredClone(machine);
  const quantities = name === 'hbm.efficiency' ? changed.hbm.efficiency.map(({ fraction }) => fraction) : [name.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], changed)];
  for (const quantity of quantities) Object.assign(quantity as object, { value: (quantity as { value: number }).value * factor });
  return changed;
}

const asLent = ({ machine, entries }: Program): Machine => lending(machine, entries[0]!.lent);

/** Seconds of each engine at the least, as the simulator says of the same bytes on another machine, which has what is lent as it is. */
function secondsOn(program: Program, machine: Machine): ReadonlyMap<string, number> {
  const seconds = new Map<string, number>();
  const entries = program.entries.map((entry) => ({ ...entry, lent: 0 }));
  for (const { name, boundCycles } of timed({ ...program, machine, entries }).perChip.flatMap(({ engines }) => engines)) seconds.set(name, Math.max(seconds.get(name) ?? 0, boundCycles / steps / machine.clockHz.value));
  return seconds;
}

describe('the least each number may be', () => {
  it.each(sweep([['--tp', '2'], ['--pp', '2'], ['--precision', 'bf16']], 1))('is where the simulator has the engine take all the claimed time: %s %s', async (...words) => {
    const program = await programOf(example('llama/decoder-past.dynamo.onnx'), [...words, '--batch', '16']);
    const { numbers, unbounded, stepSecondsAtClaim } = claimed(program);
    expect(numbers.map(({ factor }) => factor)).toEqual(numbers.map(({ factor }) => factor).toSorted((a, b) => b - a));
    for (const { name, limits, factor, value, least } of numbers.filter((one) => one.name !== 'hbm.bytes')) {
      expect(least).toBeCloseTo(value * factor, 9);
      const on = (scale: number): number => {
        const seconds = secondsOn(program, withNumber(asLent(program), name, scale));
        return Math.max(...limits.map((engine) => seconds.get(engine) ?? 0));
      };
      expect([name, Math.abs(on(factor) / stepSecondsAtClaim - 1) < 1e-6, on(factor * 0.99) > stepSecondsAtClaim]).toEqual([name, true, true]);
    }
    // Lines are what a program counts in: on others it would move other bytes.
    for (const name of unbounded.filter((one) => one !== 'sram.lineBytes')) {
      expect([name, secondsOn(program, withNumber(asLent(program), name, 0.5))]).toEqual([name, secondsOn(program, asLent(program))]);
    }
    expect([...numbers.map(({ name }) => name), ...unbounded]).toEqual(expect.arrayContaining(['link.bytesPerSecond', 'clockHz', 'syncCycles', 'hbm.efficiency', 'arrays.bf16Rate']));
    expect(numbers.some(({ name }) => name === 'arrays.bf16Rate')).toBe(words.includes('bf16'));
  });

  it('of HBM is what the program keeps there', async () => {
    const program = await programOf(example('llama/decoder-past.dynamo.onnx'), []);
    const capacity = claimed(program).numbers.find(({ name }) => name === 'hbm.bytes');
    expect(capacity).toMatchObject({ least: program.regions.reduce((sum, { bytes }) => sum + bytes, 0), limits: ['capacity'] });
  });
});

describe('Llama-3-70B on eight chips', () => {
  it.skipIf(isCheck)('every layer on all of them: impossible on these links, which is what breaks first', async () => {
    const program = await the70B('--tp', '8', '--parts', '1');
    const report = claimed(program);
    expect(report).toMatchObject({ possible: false, boundBy: 'link', differs: [] });
    const [link] = report.numbers;
    expect([link?.name, link?.provenance]).toEqual(['link.bytesPerSecond', 'assumed']);
    expect(link!.factor).toBeGreaterThan(2.25);
    // By hand: the bytes a chip sends in the step, in the time the claim leaves for the step's tokens.
    const { linkBytes } = timed(program).perChip[0]!;
    expect(link!.least).toBeCloseTo(linkBytes / steps / (2176 / 500_000), -6);
    expect(report.numbers.filter(({ factor }) => factor > 1)).toHaveLength(1);
    expect(renderClaim(report)).toMatch(/^verdict {6}IMPOSSIBLE/m);
  });

  it.skipIf(isCheck)('a pipeline: possible, and the matrix arrays give first', async () => {
    const program = await the70B('--pp', '8');
    expect(stageCount(program)).toBe(8);
    const report = claimed(program);
    expect(report).toMatchObject({ possible: true, boundBy: 'matrix', differs: [] });
    expect(report.boundTokensPerSecond).toBeGreaterThan(claim.tokensPerSecond);
    expect(report.numbers.slice(0, 3).map(({ limits: [first] }) => first)).toEqual(['matrix', 'matrix', 'matrix']);
    expect(report.numbers.at(-1)?.name).toBe('link.bytesPerSecond');
    for (const line of renderClaim(report).split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });
});

describe('--explain claim', () => {
  it('of a model and of its program is the same, and writes nothing', async () => {
    const at = folder();
    const model = example('llama/decoder-past.dynamo.onnx');
    await sohuc(model, '--quiet', '--out', at);
    const [ofModel, ofProgram] = [await sohuc(model, '--explain', 'claim', '--json'), await sohuc('report', join(at, 'decoder-past.dynamo.sohu'), '--explain', 'claim', '--json')];
    expect([ofModel.code, JSON.parse(ofModel.stdout)]).toEqual([0, JSON.parse(ofProgram.stdout)]);
    expect((JSON.parse(ofModel.stdout) as ClaimReport).differs).toEqual(['59725 parameters, not 70550000000', 'chips 1, not 8']);
  });

  it('a program was not recognised in anything', async () => {
    expect(await sohuc('report', 'x.sohu', '--explain', 'recognition')).toMatchObject({ code: 2, stderr: expect.stringContaining('is of a model') as string });
  });

  it('its page explains every field', async () => {
    const named = new Set([...readFileSync(join(root, 'docs/reading-the-report.md'), 'utf8').replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`]+)`/g)].map(([, span]) => span));
    const report = claimed(await programOf(example('llama/decoder-past.dynamo.onnx'), []));
    expect([report, report.claim, report.engines[0], report.numbers[0]].flatMap((part) => Object.keys(part as object)).filter((key) => !named.has(key))).toEqual([]);
  });
});
