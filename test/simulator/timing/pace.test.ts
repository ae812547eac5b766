import { expect, it } from 'vitest';
import { type Queue, queues } from '../../../isa-spec/instructions.ts';
import { decodeAll } from '../../../isa-spec/encoding.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { ratesOf } from '../../../simulator/timing/rates.ts';
import type { Timing } from '../../../simulator/timing/result.ts';
import { timeSteps } from '../../../simulator/timing/core.ts';
import { simulateTiming } from '../../../simulator/timing/simulate.ts';
import { type ChipCode, chipStreams, issuesOf } from '../../../simulator/timing/stream.ts';
import { built, steps, type Variant, variants } from '../../compiled.ts';
import { tablesOf } from '../../passes/lower.ts';
import { codeOf, done, make, rows, stepOf, time } from './build.ts';

const issued = ({ perChip: [chip] }: Timing): readonly number[] => queues.map((name) => chip!.queues.find(({ queue }) => queue === name)!.issued);
const expected = (code: ChipCode): readonly number[] => chipStreams(code, ratesOf(tiny, 1)).map((stream) => issuesOf(stream));

it('instructions are counted before they are run as when they are: of loops, of subprograms, of programs', () => {
  const nested = codeOf({ vec: [make('vmap'), make('loop', { level: 0, count: 3, body: 4 }), make('vmap'), make('loop', { level: 1, count: 5, body: 1 }), make('vmap'), make('vmap')] });
  expect(expected(nested)).toEqual(issued(done(time(tiny, nested))));
  const calling = codeOf({ vec: [make('loop', { level: 0, count: 3, body: 2 }), make('call', { target: 5 }), make('vmap'), make('call', { target: 5 }), make('ret'), make('loop', { level: 1, count: 2, body: 1 }), make('vmap'), make('ret')] });
  expect(expected(calling)).toEqual(issued(done(time(tiny, calling))));
  for (const variant of ['the full-sized machine', 'the rows in two parts'] as const) {
    const { bounds, ...of } = variants[variant] as Variant;
    const { program } = built({ ...of, bounds }, 'fp8');
    const code = program.code[0]![0]!;
    const timing = done(simulateTiming(program, [encodeStepBlock(tablesOf(steps[0]!, bounds))]));
    expect(expected(Object.fromEntries(queues.map((queue) => [queue, { instructions: decodeAll(code[queue].words, queue), strideSets: code[queue].strideSets }])) as ChipCode)).toEqual(issued(timing));
  }
});

it('a program that cannot end in the cycles there are is given up when a quarter of them is over; one that may, when all are', () => {
  const code = codeOf({ vec: [make('loop', { level: 0, count: 100, body: 1 }), make('vmap', { columns: 16, rows: rows(50) })] });
  const labels = Object.fromEntries(queues.map((queue) => [queue, []])) as unknown as Record<Queue, readonly string[]>;
  const within = (cycles: number): unknown => {
    const timing = timeSteps({ machine: tiny, entry: 'step', chips: 1, simulated: [{ code, labels, steps: [stepOf(64)] }], stands: [0], budget: 1e6, cycles });
    return timing.kind === 'timing' ? timing.cycles : [timing.fault.message, timing.fault.cycle];
  };
  expect(within(6000)).toBe(100 * 50 + 32);
  expect(within(4800)).toEqual(['more than 4800 cycles', 4850]);
  expect(within(2000)).toEqual(['at this pace more than 2000 cycles', 550]);
});
