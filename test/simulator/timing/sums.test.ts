import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Instruction, queues } from '../../../isa-spec/instructions.ts';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { attentionCost } from '../../../simulator/timing/attention.ts';
import { WeightFifo } from '../../../simulator/timing/fifo.ts';
import { ratesOf } from '../../../simulator/timing/rates.ts';
import type { Timing } from '../../../simulator/timing/result.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, time, timeChips, timeRuns } from './build.ts';

const total = (values: Readonly<Record<string, number>>): number => Object.values(values).reduce((sum, value) => sum + value, 0);

/** Queues' cycles, losses and labels add up to the whole, and no engine does more than it can. */
function addsUp(timing: Timing): void {
  for (const chip of timing.perChip) {
    for (const queue of chip.queues) expect(queue.busy + total(queue.stalls)).toBe(timing.cycles);
    for (const name of queues) {
      const labelled = chip.labels.filter(({ queue }) => queue === name).reduce((sum, { busy }) => sum + busy, 0);
      expect(labelled).toBe(chip.queues.find(({ queue }) => queue === name)!.busy);
    }
    expect(chip.usefulMatrixFlops + chip.usefulAttentionFlops + total(chip.losses)).toBe(chip.capacityFlops);
    for (const loss of Object.values(chip.losses)) expect(loss).toBeGreaterThanOrEqual(0);
    for (const engine of chip.engines) {
      expect(engine.boundCycles).toBeLessThanOrEqual(timing.cycles + 1e-6);
      expect(engine.busyCycles).toBeLessThanOrEqual(timing.cycles);
    }
  }
  expect(timing.speedOfLight.cycles).toBeLessThanOrEqual(timing.cycles + 1e-6);
}

const small = fc.integer({ min: 1, max: 12 });
type Step = { readonly kTiles: number; readonly count: number; readonly lines: number; readonly split: number; readonly kSplit: number; readonly slow: boolean; readonly columns: number; readonly keys: number; readonly work: boolean };
const step: fc.Arbitrary<Step> = fc.record({
  kTiles: small, count: fc.integer({ min: 0, max: 40 }), lines: small, split: fc.integer({ min: 0, max: 2 }), kSplit: fc.integer({ min: 0, max: 2 }), slow: fc.boolean(), columns: fc.integer({ min: 1, max: 8 }), keys: fc.integer({ min: 40, max: 300 }), work: fc.boolean(),
});

/** A layer: load, multiply, drain, map, gather, store, each waiting for the one before; some with attention in between. */
function layers(steps: readonly Step[]): Record<'dma0' | 'dma1' | 'wld' | 'mxu' | 'epi' | 'vec' | 'col' | 'att' | 'ctl', Instruction[]> {
  const code = { dma0: [], dma1: [], wld: [], mxu: [], epi: [], vec: [], col: [], att: [], ctl: [] } as ReturnType<typeof layers>;
  steps.forEach((layer, index) => {
    const format = layer.slow ? 'bf16' : 'e4m3';
    const waits = index === 0 ? [] : [9];
    const { kTiles, split } = layer;
    // Four arrays, in groups, that share k.
    const kSplit = layer.slow ? 0 : Math.min(layer.kSplit, 2 - split);
    const product = { format, kLast: layer.columns, rows: rows(layer.count) } as const;
    code.dma0.push(make('dld', { lines: layer.lines, srcPitch: layer.lines, rows: rows(64) }, index < 2 ? [] : [8], [1]));
    code.wld.push(make('wld', { kTiles, split, kSplit, format }, [1]), make('wld', { split, format }, [], [8]));
    code.mxu.push(make('mm', { ...product, kTiles, split, kSplit }, waits), make('mm', { ...product, accumulate: 'yes', split }, [], [2]));
    code.epi.push(make('epi', { split, nLast: layer.columns, rows: rows(layer.count) }, [2], [3]));
    code.vec.push(make('vmap', { columns: 16 * layer.columns, rows: rows(layer.count) }, [3], [layer.work ? 4 : 5]));
    if (layer.work) code.att.push(make('aq', { rows: rows(40) }, [4]), make('attn', { format, kvLines: layer.slow ? 2 : 1 }), make('afin', { rows: rows(40) }, [], [5]));
    code.col.push(make('coll', { bytes: 8 * layer.lines, rows: rows(layer.count) }, [5], [6, 9]));
    code.dma1.push(make('dst', { lines: layer.lines, dstPitch: 20, dst: hbmAt(3), rows: rows(layer.count) }, [6]));
  });
  // The last semaphore 9, and the loads freed beyond what is used, stay given; nobody minds.
  code.ctl.push(make('event'));
  return code;
}

test('accounts close and no bound is beaten', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), fc.array(step, { minLength: 1, maxLength: 12 }), (first, second) => {
      const steps = [first, [...second, ...first].slice(0, first.length)];
      const input = steps.map((list) => stepOf(40, [{ firstRow: 0, rows: 10, keys: list[0]!.keys, firstPosition: list[0]!.keys - 10, firstPage: 0 }, { firstRow: 10, rows: 30, keys: 30, firstPosition: 0, firstPage: 2 }]));
      const one = done(time(tiny, codeOf(layers(first)), input[0]!));
      addsUp(one);
      addsUp(done(timeChips(tiny2, steps.map((list, index) => ({ code: codeOf(layers(list)), step: input[index]! })))));
      addsUp(done(timeRuns(tiny2, steps.map((list, index) => ({ code: codeOf(layers(list)), steps: [input[index]!, input[1 - index]!, input[index]!] })))));
      // Chips that are alike: one stands for both.
      const [alone, both] = [1, 2].map((simulated) => done(time(tiny2, codeOf(layers(first)), input[0]!, 2, simulated)));
      expect(both!.cycles).toBe(alone!.cycles);
      expect(both!.perChip[1]).toEqual(alone!.perChip[0]);
    }),
    { numRuns: 150 },
  );
});

test('accounts close of a product that waits for sums before it while its weights are not begun', () => {
  const products = [make('mm', { kTiles: 4, kSplit: 2, rows: rows(8) }, [], [1]), make('mm', { rows: rows(8) })];
  addsUp(done(time(tiny, codeOf({ wld: [make('wld', { kTiles: 4, kSplit: 2 }), make('wld', {}, [1])], mxu: products }))));
});

/** The FIFO one cycle at a time: a loader, `depth` places, shadow registers a tile moves into, a pipe. */
function stepped(depth: number, entries: readonly { readonly tiles: number; readonly load: number; readonly stream: number; readonly levels: number }[]): number {
  const loads = entries.flatMap(({ tiles, load }) => Array.from({ length: tiles }, () => load));
  const streams = entries.flatMap(({ tiles, stream }) => Array.from({ length: tiles }, () => stream));
  // Cycles a tile waits for the sums of the entry before.
  const holds = entries.flatMap(({ tiles, levels }, i) => Array.from({ length: tiles }, (_, tile) => (tile > 0 ? 0 : Math.max(0, (entries[i - 1]?.levels ?? 0) - levels))));
  let [loading, moving, streaming, held, cycle] = [0, 0, 0, 0, 0];
  // Tiles whose load has begun and ended, whose move has begun, that have started.
  let [fetched, loaded, moved, started] = [0, 0, 0, 0];
  for (; started < streams.length || streaming > 0; cycle++) {
    if (loading > 0 && --loading === 0) loaded++;
    if (moving > 0) moving--;
    if (streaming > 0 && --streaming === 0) held = holds[started] ?? 0;
    else if (held > 0) held--;
    for (let changed = true; changed; ) {
      changed = true;
      if (streaming === 0 && held === 0 && moved > started && moving === 0 && loaded > started) streaming = streams[started++]!;
      else if (moved === started && fetched > moved) moving = loads[moved++]!;
      else if (loading === 0 && fetched < loads.length && fetched - moved < depth) loading = loads[fetched++]!;
      else changed = false;
    }
  }
  return cycle - 1;
}

test('the weight FIFO is as a cycle-stepped one', () => {
  const entry = fc.record({ tiles: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 60 })), load: fc.constantFrom(1, 3, 8, 8, 8, 12), stream: fc.integer({ min: 1, max: 30 }), levels: fc.integer({ min: 0, max: 5 }) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(entry, { minLength: 1, maxLength: 8 }), (depth, entries) => {
      const fifo = new WeightFifo(depth);
      let [loader, pipe, loads, multiplications] = [0, 0, 0, 0];
      while (multiplications < entries.length) {
        if (!fifo.loading && loads < entries.length) fifo.beginLoad(loader, entries[loads]!.tiles, entries[loads++]!.load);
        const { tiles, stream, levels } = entries[multiplications]!;
        if (!fifo.multiplying) fifo.beginMultiply(pipe, tiles, stream, levels);
        const known = fifo.advance();
        if (known & 1) loader = fifo.loadTime;
        if (!(known & 2)) continue;
        pipe = fifo.multiplyTime;
        multiplications++;
      }
      expect(pipe).toBe(stepped(depth, entries));
    }),
    { numRuns: 300 },
  );
});

test('attention pairs, bytes and exponentials against counting them one by one', () => {
  const rates = ratesOf(tiny, 1);
  const query = make('aq', { heads: 4, headDim: 8, rows: rows(32) });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 1, 17, 128, 200), fc.boolean(), (count, past, window, causal) => {
      const entry = { firstRow: 3, rows: count, keys: past + count, firstPosition: past, firstPage: 0 };
      const keys = make('attn', { window, mask: causal ? 'causal' : 'full', kvHeads: 2 });
      if (query.op !== 'aq' || keys.op !== 'attn') throw new Error('not attention');
      const windows = [0, 32].map((first) => attentionCost({ query: query.fields, keys: keys.fields, rates }, [entry], first, 32));
      const seen = new Set<number>();
      let [pairs, exponentials] = [0, 0];
      for (let row = 0; row < count; row++) {
        const blocks = new Set<number>();
        for (let key = 0; key < entry.keys; key++) {
          if ((causal && key > past + row) || (window > 0 && key <= past + row - window)) continue;
          pairs += 4;
          seen.add(key);
          blocks.add(Math.floor(key / 128));
        }
        for (const block of blocks) exponentials += 4 * (Math.min(128, entry.keys - 128 * block) + 1);
      }
      expect(windows.reduce((sum, cost) => sum + cost.pairs, 0)).toBe(pairs);
      expect(windows.reduce((sum, cost) => sum + cost.exponentials, 0)).toBe(exponentials);
      expect(windows.reduce((sum, cost) => sum + cost.newBytes, 0)).toBe(seen.size * 16);
      for (const cost of windows) expect(cost.hbmBytes).toBeGreaterThanOrEqual(cost.newBytes);
    }),
  );
});
