import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instruction, type Queue, queues } from '../../../isa-spec/instructions.ts';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { timeSteps } from '../../../simulator/timing/core.ts';
import type { PathStep, Timing } from '../../../simulator/timing/result.ts';
import { codeOf, done, hbmAt, make, rows, stepOf } from './build.ts';

type Streams = Partial<Record<Queue, readonly Instruction[]>>;
const noLabels = Object.fromEntries(queues.map((queue) => [queue, []])) as unknown as Record<Queue, readonly string[]>;

/** A step of chips that each run their own, with its critical path. */
function traced(chips: readonly Streams[]): Timing & { readonly path: readonly PathStep[] } {
  const machine = chips.length === 1 ? tiny : tiny2;
  const simulated = chips.map((streams) => ({ code: codeOf(streams), labels: noLabels, steps: [stepOf(64)] }));
  const timing = done(timeSteps({ machine, entry: 'step', chips: chips.length, simulated, stands: chips.map((_, chip) => chip), budget: 1e6, path: true }));
  return { ...timing, path: timing.path! };
}

const shown = ({ path }: { readonly path: readonly PathStep[] }): readonly string[] => path.map(({ chip, queue, pc, from, to, cause, link }) => `${from}-${to} ${chip} ${queue}:${pc} ${cause} ${link}`);

/** From the beginning to the end, without a gap. */
function isWhole({ path, cycles }: Timing & { readonly path: readonly PathStep[] }): void {
  expect(path.reduce((at, { from, to }) => (from === at && to > from && Number.isInteger(to) ? to : Number.NaN), 0)).toBe(cycles);
}

const copy = (cycles: number, waits: readonly number[] = [], posts: readonly number[] = []): Instruction => make('dcp', { lines: 1, rows: rows(cycles) }, waits, posts);

describe('the critical path', () => {
  it('follows what was waited for last: a result and the news of it, the queue, the other chip', () => {
    const wide = make('vmap', { columns: 16, rows: rows(100) }, [1], [2]);
    expect(shown(traced([{ dma0: [copy(30, [], [1]), copy(500)], dma1: [copy(20, [], [3])], vec: [wide, make('vmap', { columns: 16, rows: rows(7) })], epi: [make('epi', { rows: rows(5) }, [2, 3])] }]))).toEqual([
      '0-30 0 dma0:0 work beginning', '30-530 0 dma0:1 work order',
    ]);
    expect(shown(traced([{ dma0: [copy(30, [], [1])], dma1: [copy(20, [], [3])], vec: [wide, make('vmap', { columns: 16, rows: rows(7) })], epi: [make('epi', { rows: rows(5) }, [2, 3])] }]))).toEqual([
      '0-30 0 dma0:0 work beginning', '30-34 0 dma0:0 synchronisation beginning',
      '34-134 0 vec:0 work data', '134-166 0 vec:0 latency data', '166-170 0 vec:0 synchronisation data',
      '170-175 0 epi:0 work data', '175-207 0 epi:0 latency data',
    ]);
    const gather = (waits: readonly number[]): Instruction => make('coll', { bytes: 16, rows: rows(4) }, waits);
    expect(shown(traced([{ dma0: [copy(10, [], [1])], col: [gather([1])] }, { dma0: [copy(60, [], [1])], col: [gather([1])] }])).slice(0, 3)).toEqual([
      '0-60 1 dma0:0 work beginning', '60-64 1 dma0:0 synchronisation beginning', '64-68 0 col:0 work join',
    ]);
  });

  it('begins with the posts that no unit makes', () => {
    expect(shown(traced([{ ctl: [make('sreg', {}, [], [1])], vec: [make('vmap', { columns: 16, rows: rows(7) }, [1])] }]))).toEqual(['0-4 0 vec:0 synchronisation data', '4-11 0 vec:0 work data', '11-43 0 vec:0 latency data']);
  });

  it('a product that waits for its weights hangs on what they waited for', () => {
    const late: Streams = { dma0: [copy(200, [], [1])], wld: [make('wld', {}, [1])], mxu: [make('mm', { rows: rows(8) })] };
    expect(shown(traced([late]))).toEqual(['0-200 0 dma0:0 work beginning', '200-204 0 dma0:0 synchronisation beginning', '204-212 0 mxu:0 weights beginning', '212-220 0 mxu:0 work beginning', '220-234 0 mxu:0 latency beginning']);
  });

  it('a load that waits for room hangs on the product that makes it', () => {
    const full: Streams = { wld: [make('wld', { kTiles: 20 }, [], [1])], mxu: [make('mm', { kTiles: 20, rows: rows(50) })], vec: [make('vmap', { columns: 16, rows: rows(2000) }, [1])] };
    expect(shown(traced([full])).slice(0, 2).map((line) => line.replace(/^\S+ /, ''))).toEqual(['0 mxu:0 work beginning', '0 wld:0 synchronisation beginning']);
    isWhole(traced([full]));
  });

  /** Programs of queues that share nothing but semaphores: instructions of a few cycles, each waiting for some before it. */
  const one = fc.record({ queue: fc.constantFrom('dma0', 'dma1', 'vec', 'epi' as const), cycles: fc.integer({ min: 2, max: 90 }), after: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 3 }) });
  type One = { readonly queue: 'dma0' | 'dma1' | 'vec' | 'epi'; readonly cycles: number; readonly after: readonly number[] };
  function program(ones: readonly One[]): { readonly streams: Streams; readonly places: readonly string[] } {
    const streams = { dma0: [] as Instruction[], dma1: [] as Instruction[], vec: [] as Instruction[], epi: [] as Instruction[] };
    const edges = ones.flatMap(({ after }, to) => [...new Set(after)].filter((back) => back <= to).map((back) => ({ from: to - back, to }))).map((edge, index) => ({ ...edge, semaphore: index + 1 }));
    const places = ones.map(({ queue, cycles }, index) => {
      const tokens = (end: 'from' | 'to'): readonly number[] => edges.filter((edge) => edge[end] === index).map(({ semaphore }) => semaphore);
      const work = { dma0: copy, dma1: copy, vec: (...[count, waits, posts]: Parameters<typeof copy>) => make('vmap', { columns: 16, rows: rows(count) }, waits, posts), epi: (...[count, waits, posts]: Parameters<typeof copy>) => make('epi', { rows: rows(count) }, waits, posts) };
      return `${queue}:${streams[queue].push(work[queue](cycles, tokens('to'), tokens('from'))) - 1}`;
    });
    return { streams, places };
  }

  it('what is on it delays the step by as much as it is delayed; what is not can be done in no time, and nothing is gained', () => {
    fc.assert(fc.property(fc.array(one, { minLength: 2, maxLength: 30 }), fc.nat(), (ones, chosen) => {
      const { streams, places } = program(ones);
      const timing = traced([streams]);
      isWhole(timing);
      const index = chosen % ones.length;
      const working = timing.path.filter(({ queue, pc, cause }) => cause === 'work' && `${queue}:${pc}` === places[index]).reduce((sum, { from, to }) => sum + to - from, 0);
      const present = timing.path.some(({ queue, pc }) => `${queue}:${pc}` === places[index]);
      const changed = (cycles: number): number => traced([program(ones.with(index, { ...ones[index]!, cycles })).streams]).cycles;
      if (working > 0) expect([working, changed(ones[index]!.cycles + 13)]).toEqual([ones[index]!.cycles, timing.cycles + 13]);
      if (!present) expect(changed(1)).toBe(timing.cycles);
      // At most what it takes is gained.
      expect(changed(1)).toBeGreaterThanOrEqual(timing.cycles - Math.max(0, working - 1));
    }), { numRuns: 300 });
  });

  it('is whole where queues share HBM, weights and links', () => {
    const step = fc.record({ kTiles: fc.integer({ min: 1, max: 12 }), count: fc.integer({ min: 0, max: 40 }), lines: fc.integer({ min: 1, max: 12 }) });
    fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.array(step, { minLength: 12, maxLength: 12 }), (first, second) => {
      const chip = (steps: typeof first): Streams => ({
        dma0: steps.map(({ lines }, i) => make('dld', { lines, srcPitch: lines, rows: rows(64) }, i < 2 ? [] : [8], [1])),
        wld: steps.map(({ kTiles }) => make('wld', { kTiles }, [1], [8])),
        mxu: steps.map(({ kTiles, count }, i) => make('mm', { kTiles, rows: rows(count) }, i === 0 ? [] : [9], [2])),
        epi: steps.map(({ count }) => make('epi', { rows: rows(count) }, [2], [5])),
        col: steps.map(({ lines, count }) => make('coll', { bytes: 8 * lines, rows: rows(count) }, [5], [6, 9])),
        dma1: steps.map(({ lines, count }) => make('dst', { lines, dstPitch: 20, dst: hbmAt(3), rows: rows(count) }, [6])),
        ctl: [make('event')],
      });
      const both = [first, second.slice(0, first.length)].map(chip);
      isWhole(traced(both));
      isWhole(traced(both.slice(0, 1)));
    }), { numRuns: 100 });
  });
});
