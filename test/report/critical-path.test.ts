import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readContainer } from '../../isa-spec/container.ts';
import { wordBytes } from '../../isa-spec/instructions.ts';
import type { Program } from '../../isa-spec/program.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { type CriticalPathReport, criticalPathReport, renderCriticalPath } from '../../report/critical-path.ts';
import { checkReport, type CostReport } from '../../report/report.ts';
import type { Timing } from '../../simulator/timing/result.ts';
import { simulateSteps, timingDefaults } from '../../simulator/timing/simulate.ts';
import { example, folder, sohuc } from '../driver/command.ts';
import { built, steps, variants } from '../compiled.ts';
import { tablesOf } from '../passes/lower.ts';
import { program, timing } from './sample.ts';

const cyclesOf = (shares: readonly { readonly cycles: number }[]): number => shares.reduce((sum, { cycles }) => sum + cycles, 0);

function addsUp({ cycles, ops, queues, causes, began, path }: CriticalPathReport): void {
  expect([cyclesOf(ops), cyclesOf(queues), cyclesOf(causes), cyclesOf(began)]).toEqual([cycles, cycles, cycles, cycles]);
  expect(path.reduce((at, { from, to }) => (from === at && to > from ? to : Number.NaN), 0)).toBe(cycles);
  const named = new Set(ops.flatMap(({ instructions }) => instructions));
  expect([...new Set(path.map(({ instruction }) => instruction))].filter((id) => !named.has(id))).toEqual([]);
}

describe('the critical path', () => {
  it('of a program without it has no parts', () => {
    expect(criticalPathReport(program, timing()).path).toEqual([]);
    expect(timing()).toEqual({ ...timing(true), path: undefined });
  });

  it('adds up by op, queue, cause and beginning', () => addsUp(criticalPathReport(program, timing(true))));

  it('reads like this', async () => {
    const text = renderCriticalPath(criticalPathReport(program, timing(true)));
    await expect(`${text}\n`).toMatchFileSnapshot('critical-path.txt');
    for (const line of text.split('\n').slice(0, -5)) expect(line.length).toBeLessThanOrEqual(80);
  });

  it.each(Object.entries(variants))('has a chain that is no longer than the program takes if news is heard at once: %s', (_, variant) => {
    const { program: made } = built(variant, 'fp8');
    const blocks = steps.map((step) => [encodeStepBlock(tablesOf(step, variant.bounds))]);
    const simulated = (of: Program): Timing => {
      const result = simulateSteps(of, blocks, { ...timingDefaults, path: true });
      if (result.kind === 'fault') throw new Error(result.fault.message);
      return result;
    };
    const [asIs, atOnce] = [simulated(made), simulated({ ...made, machine: { ...made.machine, syncCycles: { ...made.machine.syncCycles, value: 0 } } })];
    const { chain, cycles } = criticalPathReport(made, asIs);
    expect(chain.cycles).toBeGreaterThan(0);
    expect(chain.cycles).toBeLessThanOrEqual(atOnce.cycles);
    expect(atOnce.cycles).toBeLessThan(cycles);
  });

  it.each([['one chip', []], ['two chips a layer', ['--machine', 'sohu-8', '--tp', '2']], ['a pipeline', ['--machine', 'sohu-8', '--pp', '2']]] as const)('of a model on %s: the same steps, every place one of the program and of its op', async (_, words) => {
    const at = folder();
    await sohuc(example('llama/decoder-past.dynamo.onnx'), '--quiet', '--no-weights', '--out', at, ...words);
    const file = join(at, 'decoder-past.dynamo.sohu');
    const [{ stdout }, timed] = [await sohuc('report', file, '--critical-path', '--json'), await sohuc('time', file, '--json')];
    const report = JSON.parse(stdout) as CriticalPathReport;
    const whole = JSON.parse(timed.stdout) as CostReport;
    expect(checkReport(whole)).toEqual([]);
    expect([report.steps, report.cycles / report.steps]).toEqual([whole.timing.steps, whole.timing.stepCycles]);
    addsUp(report);
    const { code, debugMap, entries } = readContainer(new Uint8Array(readFileSync(file)));
    for (const { instructions, label, queue } of report.ops) {
      for (const id of instructions) {
        const [chip, name, pc] = id.split(':');
        const entry = entries.findIndex(({ chips }) => chips.includes(Number(chip)));
        expect(name).toBe(queue);
        expect(Number(pc)).toBeLessThan(code[entry]![Number(chip)]![queue].words.length / wordBytes);
        expect(debugMap.labels[debugMap.entries[entry]![queue][Number(pc)]!]!.label).toBe(label);
      }
    }
    expect((await sohuc('report', file)).stdout).toBe((await sohuc('time', file)).stdout);
  });
});
