import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import type { ChipTiming } from '../../../simulator/timing/result.ts';
import type { StepInput } from '../../../simulator/timing/chip.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, time, timeChips, timeRuns } from './build.ts';

const bySteps = { max: 64, reg: 1, level: 1 };
const count = make('sreg', { reg: 1, count: 'tokens' });

/** Weights loaded, multiplied, drained; keys attended to; all for as many rows as the step has. */
const streams = {
  ctl: [make('hostw')],
  dma0: [make('dld', { lines: 64, srcPitch: 64, src: hbmAt(1), rows: rows(32) }, [], [1])],
  wld: [make('wld', { kTiles: 7 }, [1])],
  mxu: [count, make('mm', { kTiles: 7, rows: bySteps }, [], [2])],
  epi: [count, make('epi', { rows: bySteps }, [2], [3])],
  att: [count, make('aq', { rows: bySteps }, [3]), make('attn'), make('afin', { rows: bySteps }, [], [4])],
  vec: [count, make('vmap', { columns: 16, rows: bySteps }, [4])],
};
const code = codeOf(streams);
/** The same, leaving tokens and tiles behind. */
const untidy = codeOf({ ...streams, wld: [...streams.wld, make('wld', { kTiles: 3 }, [], [5])] });
const arbitrary = fc.record({ tokens: fc.integer({ min: 1, max: 40 }), past: fc.integer({ min: 0, max: 300 }) })
  .map(({ tokens, past }): StepInput => stepOf(tokens, [{ firstRow: 0, rows: tokens, keys: past + tokens, firstPosition: past, firstPage: 0 }]));

/** Without what is a quotient of others. */
const counted = (chip: ChipTiming): unknown => ({ ...chip, engines: chip.engines.map((engine) => ({ ...engine, boundCycles: 0 })) });

/** Numbers of a and b at the same places, added up. */
function plus<T>(a: T, b: T): T {
  if (typeof a === 'number') return ((a as number) + (b as number)) as T;
  if (Array.isArray(a)) return a.map((value: unknown, i) => plus(value, (b as readonly unknown[])[i])) as T;
  if (typeof a === 'object' && a !== null) return Object.fromEntries(Object.entries(a).map(([key, value]) => [key, key === 'peakPerCycle' ? (value as unknown) : plus(value as unknown, (b as Record<string, unknown>)[key])])) as T;
  return a;
}

describe('consecutive steps', () => {
  it('of one chip take what each takes alone, in all that is told of them', () => {
    fc.assert(fc.property(fc.array(arbitrary, { minLength: 1, maxLength: 4 }), (steps) => {
      const alone = steps.map((step) => done(time(tiny, untidy, step)));
      const together = done(timeRuns(tiny, [{ code: untidy, steps }]));
      const sum = (of: 'cycles' | 'instructions' | 'tokens' | 'samples' | 'inputTokens'): number => alone.reduce((total, one) => total + one[of], 0);
      expect(together).toMatchObject({ steps: steps.length, cycles: sum('cycles'), instructions: sum('instructions'), tokens: sum('tokens'), samples: sum('samples'), inputTokens: sum('inputTokens') });
      expect(counted(together.perChip[0]!)).toEqual(alone.map(({ perChip }) => counted(perChip[0]!)).reduce((a, b) => plus(a, b)));
    }), { numRuns: 60 });
  });

  it('of a pipeline are as long as the slowest stage of each', () => {
    const stage = codeOf({ vec: [count, make('vmap', { columns: 16, rows: bySteps }, [1])], col: [make('coll', { kind: 'shift', bytes: 16, rows: rows(4) }, [], [1])] });
    // The shift of 4 rows of 16 bytes, its hop and the news of it; the vector unit's rows, and its pipeline.
    const takes = (tokens: number): number => (4 * 16) / 16 + 100 + 4 + tokens + 32;
    const steps = [[stepOf(20), stepOf(50), stepOf(7)], [stepOf(20), stepOf(9), stepOf(30)]] as const;
    const timing = done(timeRuns(tiny2, steps.map((own) => ({ code: stage, steps: own }))));
    expect(timing.cycles).toBe(takes(20) + takes(50) + takes(30));
    expect(timing.perChip.map(({ losses }) => losses.pipelineBubble > 0)).toEqual([true, true]);
    const each = [0, 1, 2].map((n) => done(timeChips(tiny2, steps.map((own) => ({ code: stage, step: own[n]! })))));
    expect(timing.perChip.map(({ losses }) => losses)).toEqual([0, 1].map((chip) => each.map(({ perChip }) => perChip[chip]!.losses).reduce((a, b) => plus(a, b))));
  });

  it('have one critical path: that of each, one after the other', () => {
    fc.assert(fc.property(fc.array(arbitrary, { minLength: 1, maxLength: 4 }), (steps) => {
      const { path = [], cycles } = done(timeRuns(tiny, [{ code, steps }], true));
      expect(path.reduce((at, { from, to }) => (from === at && to > from ? to : Number.NaN), 0)).toBe(cycles);
      const each = steps.flatMap((step) => done(timeRuns(tiny, [{ code, steps: [step] }], true)).path ?? []);
      expect(path.map(({ queue, pc, cause, from, to }) => [queue, pc, cause, to - from])).toEqual(each.map(({ queue, pc, cause, from, to }) => [queue, pc, cause, to - from]));
    }), { numRuns: 30 });
  });

  it('a fault in a later one is told with its time', () => {
    const fails = codeOf({ ctl: [count, make('salu', { function: 'add', reg: 2, a: 1, value: 0, least: 0, most: 30 })], vec: [make('vmap', { columns: 16, rows: rows(8) })] });
    expect(timeRuns(tiny, [{ code: fails, steps: [stepOf(30), stepOf(31)] }])).toMatchObject({ kind: 'fault', fault: { kind: 'register', queue: 'ctl', cycle: 8 + 32 } });
  });
});
