import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import type { Instruction, StrideSet } from '../../../isa-spec/instructions.ts';
import { tiny, tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { Repetition } from '../../../simulator/timing/repetition.ts';
import type { StepInput } from '../../../simulator/timing/chip.ts';
import type { ChipCode } from '../../../simulator/timing/stream.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, timeRuns } from './build.ts';

/** Layers of products: weights, of which some stay the same, two slots of accumulators that turn with tiles and perhaps with layers, results that go to HBM, and a look at them between layers. */
type Layers = { readonly layers: number; readonly tiles: number; readonly lines: number; readonly height: number; readonly perLayer: number; readonly depth: number; readonly moves: number; readonly shrinks: boolean; readonly waits: boolean; readonly calls: boolean };

const loop = (level: number, count: number, body: readonly Instruction[]): readonly Instruction[] => [make('loop', { level, count, body: body.length }), ...body];
const still: StrideSet = { strides: [0, 0, 0, 0], ring: { stride: 0, depth: 0, base: 0, steps: [0, 0, 0, 0] } };
/** All of as many rows, whatever the turn. */
const all = (max: number) => rows(max, 0, 1);
const tokens = make('sreg', { reg: 1, count: 'tokens' });

function codeOfLayers({ layers, tiles, lines, height, perLayer, depth, moves, shrinks, waits, calls }: Layers): ChipCode {
  const accumulators: StrideSet = { strides: [moves, 0, 0, 0], ring: { stride: 8, depth, base: 0, steps: [perLayer, 0, 1, 0] } };
  const weights: StrideSet = { strides: [1000, 0, 10, 0], ring: still.ring };
  const acc = { addr: 0, ss: 1 };
  const window = rows(height, 1, shrinks ? 0 : 1);
  const each = (body: readonly Instruction[], ...after: readonly Instruction[]): readonly Instruction[] => loop(0, layers, [...loop(2, tiles, body), ...after]);
  const outlined = (body: readonly Instruction[], ...after: readonly Instruction[]): readonly Instruction[] => {
    const main = [...loop(0, layers, [make('call', { target: after.length + 3 }), ...after]), make('ret')];
    return [...main, ...loop(2, tiles, body), make('ret')];
  };
  return codeOf({
    ctl: [make('hostw', {}, [], [2]), make('sync', {}, [], [2]), make('sync', {}, [], [3]), make('sync', {}, [], [3]), make('event', {}, [7])],
    dma0: (calls ? outlined : each)([make('dld', { lines, src: hbmAt(1, 0, 2), rows: all(1) }, [2], [1])], make('dld', { lines: 3, src: hbmAt(1, 500), rows: all(1) })),
    wld: each([make('wld', { kTiles: 2 }, [1], [2])]),
    mxu: [tokens, ...each([make('mm', { kTiles: 2, acc, rows: window }, [3], [4])], ...(waits ? [make('sync', {}, [6])] : []))],
    epi: [tokens, ...each([make('epi', { acc, rows: window }, [4], [3])], make('sync', {}, [], [5]))],
    vec: loop(0, layers, [make('vmap', { columns: 16, rows: all(50) }, [5], waits ? [6, 8] : [8])]),
    dma1: [...loop(0, layers, [make('dst', { lines: 40, rows: all(1) }, [8])]), make('sync', {}, [], [7])],
  }, [still, accumulators, weights]);
}

const shape: fc.Arbitrary<Layers> = fc.record({
  layers: fc.integer({ min: 4, max: 14 }), tiles: fc.integer({ min: 60, max: 80 }), lines: fc.integer({ min: 1, max: 8 }), height: fc.integer({ min: 1, max: 30 }),
  perLayer: fc.constantFrom(0, 0, 1, 2), depth: fc.integer({ min: 0, max: 3 }), moves: fc.constantFrom(0, 0, 0, 0, 0, 1), shrinks: fc.constantFrom(false, false, false, false, false, true), waits: fc.boolean(), calls: fc.boolean(),
});
const steps = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })).map(([first, second]): readonly StepInput[] => [stepOf(first), stepOf(second)]);

it('what is skipped adds up to what it takes, to the last cycle and byte; and to who gives up where', () => {
  const repeat = vi.spyOn(Repetition.prototype, 'repeat');
  let [skipped, walked, called] = [0, 0, 0];
  fc.assert(fc.property(fc.array(shape, { minLength: 1, maxLength: 2 }), fc.boolean(), steps, fc.double({ min: 0.1, max: 1.1, noNaN: true }), (shapes, alike, inputs, share) => {
    const machine = shapes.length === 1 ? tiny : tiny2;
    const chips = shapes.map((own) => ({ code: codeOfLayers(alike ? shapes[0]! : own), steps: inputs }));
    repeat.mockClear();
    const whole = done(timeRuns(machine, chips, true));
    expect(repeat).not.toHaveBeenCalled();
    expect({ ...done(timeRuns(machine, chips)), path: whole.path }).toEqual(whole);
    const within = Math.ceil(share * whole.cycles);
    const [stopped, skipping] = [timeRuns(machine, chips, true, within), timeRuns(machine, chips, false, within)];
    expect(skipping).toEqual(stopped.kind === 'fault' ? stopped : { ...stopped, path: undefined });
    if (repeat.mock.calls.length === 0) walked++;
    else if (shapes[0]!.calls) called++;
    else skipped++;
  }), { numRuns: 100 });
  expect(Math.min(skipped, walked, called)).toBeGreaterThan(3);
}, 60_000);
