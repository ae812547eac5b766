import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { compile } from '../../driver/compile.ts';
import { divisionsOf } from '../../driver/mapping.ts';
import { steadyServing } from '../../driver/serving.ts';
import { reportedSteps, steadyReport } from '../../driver/steady-report.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { CostReport } from '../../report/report.ts';
import { tinyLlama } from '../passes/tiny-llama.ts';
import { tinyMixture } from '../passes/tiny-mixture.ts';
import { isCheck } from '../sweep.ts';

const four: Machine = { ...tiny, name: 'tiny-4', chips: 4, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 2 ** 15 } } };
const quarterRate: Machine = { ...four, name: 'tiny-4-slow', arrays: { ...four.arrays, bf16Rate: { ...four.arrays.bf16Rate, value: 0.25 } }, link: { ...four.link, bytesPerSecond: { ...four.link.bytesPerSecond, value: 1e9 } } };
const models = [tinyLlama({ layers: 5, hidden: 32, heads: 4, kvHeads: 4, headDim: 8, inner: 48, vocabulary: 40 }), tinyLlama({ layers: 4, hidden: 40, heads: 4, kvHeads: 4, headDim: 16, inner: 60, vocabulary: 100 }), tinyMixture({ experts: 4, k: 2, scores: 'softmax', normalise: true, biased: false, bias: false })];

const arbitrary = fc.record({
  module: fc.constantFrom(...models), machine: fc.constantFrom(four, quarterRate, sohu8), mapping: fc.constantFrom(...divisionsOf(4)), precision: fc.constantFrom('fp8' as const, 'bf16' as const),
  workload: fc.record({ isl: fc.integer({ min: 1, max: 40 }), osl: fc.integer({ min: 1, max: 12 }), batch: fc.integer({ min: 1, max: 20 }) }),
});

const flopsOf = ({ losses }: CostReport['timing'], name: string): number => losses.find((loss) => loss.name === name)!.flops;

it('from the peak to what is achieved, every FLOP has a name: whole numbers that add up', () => {
  let reports = 0;
  const bubbles: number[] = [];
  fc.assert(fc.property(arbitrary, ({ module, machine, mapping, precision, workload }) => {
    const on = { machine, ...mapping, precision, stageShare: 0.25, parts: 1 };
    const compiled = compile({ module, primitive: false, store: undefined, tensors: new Map() }, { ...on, serve: (rows) => steadyServing(rows, workload, on) }, new Diagnostics());
    if (compiled === undefined) return;
    const report = steadyReport(compiled.program, 1, workload, { steps: reportedSteps });
    if (typeof report === 'string') throw new Error(report);
    const { timing } = report;
    reports++;
    for (const { name, flops } of timing.losses) expect([name, flops, Number.isSafeInteger(flops) && flops >= 0]).toEqual([name, flops, true]);
    const named = timing.losses.reduce((sum, { flops }) => sum + BigInt(flops), BigInt(timing.usefulFlops));
    expect(named).toBe(BigInt(timing.capacityFlops));
    if (mapping.pp > 1) bubbles.push(flopsOf(timing, 'pipelineBubble'));
    else expect(flopsOf(timing, 'pipelineBubble')).toBe(0);
    if (mapping.tp * mapping.pp === 1) expect(flopsOf(timing, 'exposedLink')).toBe(0);
  }), { numRuns: isCheck ? 10 : 60, seed: 3 });
  expect(reports).toBeGreaterThan(isCheck ? 5 : 40);
  expect(bubbles.filter((flops) => flops > 0).length).toBeGreaterThan(bubbles.length / 2);
});
