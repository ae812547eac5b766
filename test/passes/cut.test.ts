import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { compile, type Target } from '../../driver/compile.ts';
import { steadyServing } from '../../driver/serving.ts';
import { steadyTiming } from '../../driver/steady-report.ts';
import { steadyStep } from '../../driver/workload.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import { lending } from '../../isa-spec/machine.ts';
import { sohu, sohu8 } from '../../isa-spec/machines/sohu.ts';
import { ungroup } from '../../passes/group.ts';
import { balanced, cutOf, type Shares } from '../../passes/plan/cut.ts';
import { leastOf } from '../../passes/plan/least.ts';
import type { Precision } from '../../passes/formats.ts';
import { normative } from './lower.ts';
import { small, tinyLlama } from './tiny-llama.ts';
import { tinyMixture } from './tiny-mixture.ts';

const slowest = (cut: readonly number[], { before, layer, after }: Shares): number => Math.max(...cut.map((layers, i) => layers * layer + (i === 0 ? before : 0) + (i === cut.length - 1 ? after : 0)));

/** Every way to cut layers into so many stages. */
const cuts = (layers: number, count: number): readonly (readonly number[])[] =>
  count === 1 ? [[layers]] : Array.from({ length: layers - count + 1 }, (_, i) => i + 1).flatMap((first) => cuts(layers - first, count - 1).map((rest) => [first, ...rest]));

describe('the cut of the layers', () => {
  it('is one of those whose slowest stage is fastest', () => {
    const seconds = fc.integer({ min: 0, max: 40 });
    fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 7 }), seconds, seconds, fc.integer({ min: 1, max: 12 }), (count, more, before, after, layer) => {
      const shares = { before, layer, after };
      const cut = balanced(count + more, count, shares);
      expect(cut.reduce((sum, layers) => sum + layers)).toBe(count + more);
      expect(slowest(cut, shares)).toBe(Math.min(...cuts(count + more, count).map((other) => slowest(other, shares))));
    }));
  });

  it('has stages alike in the middle, and fewer layers beside a large head', () => {
    expect(balanced(126, 8, { before: 0, layer: 1, after: 0 })).toEqual([15, 16, 16, 16, 16, 16, 16, 15]);
    expect(balanced(32, 8, { before: 0, layer: 1, after: 2.4 })).toEqual([4, 4, 4, 4, 4, 5, 5, 2]);
    const model = ungroup(normative(tinyLlama({ ...small, layers: 12, vocabulary: 4096 }), sohu8, 'fp8'));
    expect(cutOf(model, 3, undefined)).toEqual([4, 4, 4]);
    const [first, , last] = cutOf(model, 3, { machine: sohu8, step: [{ id: 0, rows: 1, past: 8 }], parts: 1 }) as [number, number, number];
    expect(last).toBeLessThan(first);
  });
});

describe('the least a step takes', () => {
  const models: Readonly<Record<string, GraphModule>> = { llama: tinyLlama(), mixture: tinyMixture({ experts: 6, k: 2, scores: 'softmax', normalise: true, biased: false, bias: false }) };
  const workload = fc.record({ isl: fc.integer({ min: 1, max: 40 }), osl: fc.integer({ min: 1, max: 6 }), batch: fc.integer({ min: 1, max: 12 }) });
  it.each(Object.keys(models))('is never more than the simulator says its program takes, of any engine: %s', (name) => {
    const module = models[name]!;
    fc.assert(fc.property(workload, fc.constantFrom<Precision>('fp8', 'bf16'), fc.constantFrom(1, 2, 4), fc.boolean(), (asked, precision, tp, isNear) => {
      // Where a hop takes no time, rows are shared among chips however few they are.
      const machine = { ...(tp === 1 ? sohu : sohu8), ...(isNear ? { link: { ...sohu8.link, latencySeconds: { ...sohu8.link.latencySeconds, value: 0 } } } : {}) };
      const target: Target = { machine, precision, tp, pp: 1, stageShare: 0.25, parts: 1, serve: (made) => steadyServing(made, asked, { machine, precision, tp, pp: 1, stageShare: 0.25, parts: 1 }) };
      const { program } = compile({ module, primitive: false, store: undefined, tensors: new Map() }, target, new Diagnostics(), { until: 'time', ended: () => {}, isProved: false })!;
      const timing = steadyTiming(program, asked, { steps: 1, path: false });
      if (typeof timing === 'string') expect.fail(timing);
      const graph = ungroup(normative(module, machine, precision, tp));
      const least = leastOf(graph.body.ops, graph, steadyStep(asked, 1, false), lending(machine, program.entries[0]!.lent));
      for (const { name: engine, boundCycles } of timing.perChip[0]!.engines) {
        if (engine !== 'vector') expect(least[engine] * machine.clockHz.value, engine).toBeLessThanOrEqual(boundCycles * (1 + 1e-9));
        if (engine === 'matrix') expect(least.matrix * machine.clockHz.value).toBeCloseTo(boundCycles, 6);
      }
    }), { numRuns: 30 });
  });
});
