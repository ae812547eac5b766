import { describe, expect, test } from 'vitest';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import type { InstructionOf, StrideSet } from '../../../isa-spec/instructions.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, time, timeChips } from './build.ts';

const block = (count: number) => make('dld', { lines: 8, srcPitch: 8, rows: rows(count) });

describe('HBM is shared', () => {
  test('two equal transfers take twice as long, a short one leaves the rest to the other', () => {
    const one = 4096 / (64 * 0.9);
    expect(done(time(tiny, codeOf({ dma0: [block(64)], dma1: [block(64)] }))).cycles).toBe(Math.ceil(2 * one) + 50);
    const uneven = done(time(tiny, codeOf({ dma0: [block(64)], dma1: [make('dld', { lines: 8, srcPitch: 8, rows: rows(192) })] })));
    expect(Math.abs(uneven.cycles - (4 * one + 50))).toBeLessThanOrEqual(1);
  });
  test('attention takes no more than its arrays can use', () => {
    const step = stepOf(1, [{ firstRow: 0, rows: 1, keys: 128, firstPosition: 127, firstPage: 0 }]);
    const att = [make('aq', { rows: rows(1) }), make('attn')];
    const alone = done(time(tiny, codeOf({ att }), step)).cycles;
    // 128 keys of 16 B over 64 cycles: 53 of 64 B a cycle at 0.6; a transfer beside it gets half.
    const shared = done(time(tiny, codeOf({ att, dma0: [block(64)] }), step));
    expect(shared.cycles).toBeGreaterThan(alone);
    const queue = shared.perChip[0]!.queues.find(({ queue: name }) => name === 'att')!;
    expect(queue.busy).toBe(1 + 64);
    expect(queue.stalls.hbm).toBeGreaterThan(0);
  });
  test('bytes by region, and those the step cannot do without', () => {
    const sets: readonly StrideSet[] = [
      { strides: [0, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } },
      { strides: [64, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } },
    ];
    const code = codeOf({
      dma0: [
        make('loop', { level: 0, count: 3, body: 3 }),
        make('loop', { level: 1, count: 4, body: 2 }),
        make('dld', { src: hbmAt(1, 0, 1), lines: 8, srcPitch: 8, rows: rows(8) }),
        make('dld', { src: hbmAt(3), lines: 8, srcPitch: 8, rows: rows(1) }),
      ],
      dma1: [make('dst', { lines: 8, dstPitch: 8, rows: rows(2) })],
    }, sets);
    const chip = done(time(tiny, code)).perChip[0]!;
    expect(chip.hbmBytes).toEqual({ none: 0, weights: 12 * 512, kv: 0, scratch: 12 * 64, io: 128 });
    // Weights move with level 0 only, so three of the twelve loads are new; scratch need not be.
    expect(chip.engines.find(({ name }) => name === 'hbm')!.work).toBe(3 * 512 + 128);
  });
});

describe('queues wait for each other', () => {
  test('a post arrives its latency and 4 cycles later', () => {
    const result = done(time(tiny, codeOf({ vec: [make('vmap', { columns: 160, rows: rows(1) }, [], [7])], epi: [make('epi', { rows: rows(3) }, [7])] })));
    expect(result.cycles).toBe(10 + 32 + 4 + 3 + 32);
    const epi = result.perChip[0]!.queues.find(({ queue }) => queue === 'epi')!;
    expect(epi.stalls.vec).toBe(46);
  });
  test('rows are what is left of the step', () => {
    const code = codeOf({ vec: [make('sreg', { reg: 3, count: 'tokens' }), make('loop', { level: 1, count: 4, body: 1 }), make('vmap', { columns: 16, rows: rows(10, 3, 1) })] });
    // 25 rows: 10 + 10 + 5 + none, at least a cycle each.
    expect(done(time(tiny, code, stepOf(25))).cycles).toBe(10 + 10 + 5 + 1 + 32);
  });
  test('collectives wait for the last chip, whose lead is the others\' imbalance', () => {
    const chip = (columns: number) => ({ code: codeOf({ vec: [make('vmap', { columns, rows: rows(1) }, [], [1])], col: [make('coll', { bytes: 4 * 8, rows: rows(6) }, [1])] }), step: stepOf(1) });
    const both = [chip(160), chip(1600)];
    // Slow chip: 100 + 32 + 4, then 12 + 100.
    const result = done(timeChips(tiny2, both));
    expect(result.cycles).toBe(136 + 112);
    expect(result.perChip[0]!.queues.find(({ queue }) => queue === 'col')!.stalls.join).toBe(90);
  });
});

describe('groups of chips', () => {
  const chip = (columns: number, fields: Partial<InstructionOf<'coll'>['fields']> = {}) => ({ code: codeOf({ vec: [make('vmap', { columns, rows: rows(1) }, [], [1])], col: [make('coll', { bytes: 4 * 8, rows: rows(6), group: 2, ...fields }, [1])] }), step: stepOf(1) });
  const four = { ...tiny2, chips: 4 };
  const joins = (chips: readonly ReturnType<typeof chip>[]): readonly number[] => done(timeChips(four, chips)).perChip.map(({ queues }) => queues.find(({ queue }) => queue === 'col')!.stalls.join);
  test('wait for their own alone, and send to them alone; a shift is of all', () => {
    expect(joins([chip(160), chip(1600), chip(160), chip(160)])).toEqual([90, 0, 0, 0]);
    expect(joins([160, 1600, 160, 160].map((columns) => chip(columns, { kind: 'shift' })))).toEqual([90, 0, 90, 90]);
    expect(done(timeChips(four, Array.from({ length: 4 }, () => chip(160)))).cycles).toBe(10 + 32 + 4 + 192 / 16 + 100);
    expect(done(timeChips(four, Array.from({ length: 4 }, () => chip(160, { group: 4 })))).cycles).toBe(10 + 32 + 4 + 576 / 16 + 100);
  });
});

describe('programs that do not end', () => {
  const fault = (...args: Parameters<typeof time>) => {
    const result = time(...args);
    return result.kind === 'fault' ? result.fault : undefined;
  };
  test('each says why and where', () => {
    expect(fault(tiny, codeOf({ vec: [make('vmap'), make('vmap', {}, [9])] }))).toMatchObject({ kind: 'deadlock', queue: 'vec', pc: 1 });
    expect(fault(tiny, codeOf({ mxu: [make('mm')] }))).toMatchObject({ kind: 'deadlock', queue: 'mxu' });
    expect(fault(tiny, codeOf({ wld: [make('wld', { kTiles: 9 })] }))).toMatchObject({ kind: 'deadlock', queue: 'wld' });
    expect(fault(tiny, codeOf({ wld: [make('wld', { kTiles: 2 })], mxu: [make('mm')] }))).toMatchObject({ kind: 'weightFifo' });
    expect(fault(tiny, codeOf({ vec: [make('loop', { count: 16, body: 1 }), make('vmap', {}, [], [3])] }))).toMatchObject({ kind: 'semaphoreOverflow' });
    expect(fault(tiny, codeOf({ vec: [make('vmap', {}, [3])], epi: [make('epi', {}, [3])] }))).toMatchObject({ kind: 'sharedSemaphore' });
    expect(fault(tiny, codeOf({ vec: [make('loop', { count: 2, body: 4 }), make('vmap')] }))).toMatchObject({ kind: 'control' });
    expect(fault(tiny, codeOf({ att: [make('attn')] }))).toMatchObject({ kind: 'noQueries' });
    expect(fault(tiny, codeOf({ vec: [make('loop', { level: 0, count: 2000, body: 2 }), make('loop', { level: 1, count: 2000, body: 1 }), make('sreg')] }))).toMatchObject({ kind: 'budget' });
    expect(fault(tiny2, codeOf({ col: [make('coll', {}, [1])] }), stepOf(1), 2, 2)).toMatchObject({ kind: 'deadlock' });
  });
});
