import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SimulationFault } from '../../../simulator/fault.ts';
import { runReference } from '../../../simulator/reference/run.ts';
import { createMachineState, imageSource } from '../../../simulator/functional/machine-state.ts';
import { encodeStepBlock, type StepTables } from '../../../isa-spec/step-block.ts';
import { raggedStep, smallBounds, tablesOf } from '../../passes/lower.ts';
import { small, tinyLlama } from '../../passes/tiny-llama.ts';
import { emptyStep, ins, programOf, token, sync } from '../functional/harness.ts';
import { difference, timingDocument } from './document.ts';
import { type Measured, measure } from './measure.ts';
import { compiled, linearLayers } from './model.ts';
import { machineOf, type Products, programFor, usual } from './products.ts';
import { suite } from './suite.ts';

const stepFor = ({ tokens }: Products): StepTables => ({ ...emptyStep, counts: { tokens, sequences: 1, samples: 0, memory: 0 } });
const run = (products: Products): Measured => measure(programFor(products), stepFor(products));

/** The values are the functional simulator's, nothing met in a bank, and the cycles agree. */
function agrees(measured: Measured, within: number): void {
  expect(measured.written).toEqual(measured.functional);
  expect(measured.reference.bankConflicts).toBe(0);
  expect(Math.abs(difference(measured))).toBeLessThanOrEqual(within);
}

const programs: Record<string, Measured> = {};
const models: Record<string, Measured> = {};

describe('the micro-suite: within 2 %', () => {
  it.each(Object.entries(suite))('%s', (name, products) => {
    programs[name] = run(products);
    agrees(programs[name], 0.02);
  });

  it('and products drawn at random', () => {
    type Kind = { readonly [F in 'format' | 'kSplits' | 'blocks']: fc.Arbitrary<Products[F]> };
    const sharing: Kind = { format: fc.constant('e4m3'), kSplits: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 3 }), blocks: fc.boolean() };
    const chained: Kind = { format: fc.constant('bf16'), kSplits: fc.constant([0]), blocks: fc.constant(false) };
    const products: fc.Arbitrary<Products> = fc.tuple(fc.constantFrom(8, 16), fc.constantFrom(sharing, sharing, chained)).chain(([side, kind]) =>
      fc.record({
        ...kind, side: fc.constant(side), rows: fc.integer({ min: 1, max: 64 }), kTiles: fc.integer({ min: 1, max: 12 }), kLast: fc.integer({ min: 1, max: side }),
        chunks: fc.integer({ min: 1, max: 3 }), groups: fc.integer({ min: 1, max: 8 }), ring: fc.integer({ min: 1, max: 3 }), sums: fc.constantFrom(1 as const, 2 as const), apart: fc.constant(64),
        // A channel that moves about a line a cycle: where a line takes several, which queue's comes first is more than 2 % of a short transfer.
        hbm: fc.constantFrom(4 * side, 8 * side), late: fc.constantFrom(0, 100), scale: fc.boolean(), residual: fc.boolean(), dependent: fc.boolean(), loops: fc.boolean(), tokens: fc.constantFrom(0, 5, 4096),
      }),
    );
    fc.assert(fc.property(products, (one) => agrees(run(one), 0.02)), { seed: 1, numRuns: 60 });
  });
});

describe('the small model: within 5 %', () => {
  const step = tablesOf(raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], small.vocabulary), smallBounds);
  const sources = { 'linear layers': linearLayers(), 'the whole model': tinyLlama() };
  const machines = [[8, 64], [8, 4], [16, 32]] as const;
  const cases = Object.entries(sources).flatMap(([what, source]) => (['fp8', 'bf16'] as const).flatMap((precision) => machines.map(([side, hbm]) => ({ name: `${what}, ${precision}, ${side} x ${side}, ${hbm} B a cycle`, source, precision, machine: machineOf(1, side, hbm) }))));

  it.each(cases)('$name', ({ name, source, precision, machine }) => {
    models[name] = measure(compiled(source, machine, precision), step);
    agrees(models[name], 0.05);
  });
});

it('docs/timing.md has what was measured', async () => {
  await expect(timingDocument(programs, models)).toMatchFileSnapshot('../../../docs/timing.md');
});

describe('what the reference sees', () => {
  it('drains and products in one bank: same values, more cycles', () => {
    const products: Products = { ...usual, rows: 32, groups: 8 };
    const [apart, together] = [run(products), run({ ...products, apart: 32 })];
    expect(together.written).toEqual(together.functional);
    expect(together.reference.bankConflicts).toBeGreaterThan(0);
    expect(together.reference.cycles).toBeGreaterThan(1.1 * apart.reference.cycles);
    expect(together.event).toBe(apart.event);
  });

  it('arrays that share k: a product in steps, a cycle longer for each level of adders', () => {
    const [apart, shared] = [run({ ...usual, kTiles: 11 }), run({ ...usual, kTiles: 11, kSplits: [2] })];
    expect(shared.written).toEqual(apart.written);
    expect(apart.reference.cycles - shared.reference.cycles).toBe((11 - 3) * usual.rows - 2);
    for (const one of [apart, shared]) expect(difference(one)).toBe(0);
  });

  it('sums that must not overtake those before: a product of fewer levels of adders waits', () => {
    const chain: Products = { ...usual, chunks: 4, ring: 4, kSplits: [2, 0] };
    const [mixed, alike] = [run(chain), run({ ...chain, kSplits: [0] })];
    expect(mixed.written).toEqual(alike.written);
    expect(difference(mixed)).toBe(0);
  });

  it('queues that wait for ever, weights nobody takes, programs of more than one chip, products it does not step', () => {
    const state = (...code: Parameters<typeof programOf>[0]) => createMachineState(programOf(code, { machine: machineOf(1, 8, 64) }), [imageSource(new Uint8Array(0))]);
    const block = encodeStepBlock(emptyStep);
    const wld = (nTiles: number) => ins('wld', { format: 'e4m3', src: { addr: 0, ss: 0 }, kTiles: 1, nTiles, split: 0 });
    expect(() => runReference(state({ epi: [sync([token(1)], [])] }), block, 1000)).toThrow(/deadlock: epi\[0\]/);
    expect(() => runReference(state({ wld: [wld(1)] }), block, 1000)).toThrow(/unbalanced: 1 weight/);
    expect(() => runReference(state({ wld: [wld(2)] }), block, 1000)).toThrow(SimulationFault);
    const product = (load: object, mm: object) => () => runReference(state({
      wld: [ins('wld', { format: 'e4m3', src: { addr: 0, ss: 0 }, kTiles: 1, nTiles: 1, split: 0, ...load }, [], [])],
      mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: { addr: 0, ss: 0 }, pitch: 1, acc: { addr: 0, ss: 0 }, kTiles: 1, kLast: 8, nTiles: 1, rows: { max: 1, reg: 0, level: 0 }, ...mm })],
    }), block, 1000);
    expect(product({ format: 'e5m2' }, { format: 'e5m2' })).toThrow('the reference multiplies e4m3 by e4m3 and bf16 by bf16, not e5m2 by e5m2');
    expect(product({}, { format: 'bf16', weightFormat: 'e4m3' })).toThrow('not bf16 by e4m3');
    expect(product({ kTiles: 2, kSplit: 1 }, { kTiles: 2 })).toThrow('weights of 2^1 arrays that share k, there are 1');
    const gather = ins('dgat', { oob: 'skip', src: { base: 4, off: 0, ss: 0 }, srcPitch: 1, dst: { addr: 0, ss: 0 }, dstPitch: 1, index: 0, lines: 1, rows: { max: 1, reg: 0, level: 0 } });
    expect(() => runReference(state({ dma0: [gather] }), block, 1000)).toThrow('the reference skips no rows, as dgat is to');
    expect(product({ scaling: 'mx' }, { scaling: 'mx' })).toThrow('not e4m3 by e4m3 with mx scales');
    expect(() => runReference(createMachineState(programOf([{}, {}]), [imageSource(new Uint8Array(0)), imageSource(new Uint8Array(0))]), block, 1000)).toThrow(RangeError);
  });
});
