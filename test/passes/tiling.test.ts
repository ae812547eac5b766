import { describe, expect, it } from 'vitest';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { isLoop, type TileNode } from '../../ir/tile/module.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { writeContainer } from '../../isa-spec/container.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { ungroup } from '../../passes/group.ts';
import { applyGiven, type Fit } from '../../passes/plan/apply.ts';
import { type Decision, NotThePlan } from '../../passes/plan/decisions.ts';
import { type Cut, cutProduct, slotsOf } from '../../passes/plan/matmul.ts';
import type { Homes, TilingPlan } from '../../passes/plan/tiling.ts';
import { createMachineState } from '../../simulator/functional/machine-state.ts';
import { runStep } from '../../simulator/functional/run.ts';
import { builtFrom, resultOf, source, steps, store, type Variant, variants } from '../compiled.ts';
import { sweep } from '../sweep.ts';
import { fitted, normative, tablesOf } from './lower.ts';
import { tinyMixture } from './tiny-mixture.ts';

const planned = ({ machine, tp, stageShare, bounds, parts }: Variant, module = source): Fit => fitted(normative(module, machine, 'fp8', tp), machine, stageShare, tp, { ...bounds, parts });
const applied = ({ machine, tp, bounds }: Variant, plan: TilingPlan, module = source): Fit => applyGiven(ungroup(normative(module, machine, 'fp8', tp)), { machine, bounds, chips: tp }, plan);
const bytesOf = (fit: Fit, machine: Machine): Uint8Array => writeContainer(builtFrom(fit, machine).program);
const whole = variants['the full-sized machine'] as Variant;
const inHbm = variants['values in HBM'] as Variant;

describe('a plan', () => {
  it.each(Object.entries(variants))('read back from its text makes the program again, to the byte: %s', (_, variant) => {
    const fit = planned(variant);
    const again = applied(variant, JSON.parse(JSON.stringify(fit.plan)) as TilingPlan);
    expect(again.plan).toEqual(fit.plan);
    expect(Buffer.compare(bytesOf(again, variant.machine), bytesOf(fit, variant.machine))).toBe(0);
  });

  it('has all kinds of decisions, of experts too', () => {
    const mixture = tinyMixture({ experts: 8, k: 2, scores: 'softmax', normalise: true, biased: false, bias: false });
    const fit = planned(whole, mixture);
    const again = applied(whole, JSON.parse(JSON.stringify(fit.plan)) as TilingPlan, mixture);
    expect(new Set(fit.plan.decisions.map(({ kind }) => kind))).toEqual(new Set(['rows', 'mix', 'product', 'bins']));
    expect([again.tile, again.plan]).toEqual([fit.tile, fit.plan]);
  });

  it.each(Object.entries(variants).filter(([, { parts = 1 }]) => parts === 1))('says how often weights are brought: %s', (_, variant) => {
    const { plan, tile } = planned(variant);
    const brought = new Map<string, number>();
    const walk = (nodes: readonly TileNode[], times: number): void => {
      for (const node of nodes) {
        if (isLoop(node)) walk(node.body, node.level === 0 ? times : times * node.count);
        else if (node.kind === 'weights') brought.set(node.label, (brought.get(node.label) ?? 0) + times);
      }
    };
    walk(tile.body, 1);
    const said = plan.decisions.flatMap((decision) => {
      if (decision.kind !== 'product' || decision.settled === undefined) return [];
      const plan = cutProduct(decision.of, decision.settled, variant.machine);
      return [[decision.op, plan.rowTiles * slotsOf(plan)] as const];
    });
    expect(new Map(said)).toEqual(brought);
  });
});

/** A plan with another cut of every product. */
const cuts = (change: (cut: Cut, of: Extract<Decision, { kind: 'product' }>['of']) => Partial<Cut>) => (plan: TilingPlan): TilingPlan => ({
  ...plan, decisions: plan.decisions.map((decision) => (decision.kind === 'product' && decision.settled !== undefined ? { ...decision, settled: { ...decision.settled, ...change(decision.settled, decision.of) } } : decision)),
});
const homes = (change: Partial<Homes>) => (plan: TilingPlan): TilingPlan => ({ ...plan, homes: { ...plan.homes, ...change } });

/** Plans no planner would make, all of which a machine can do. */
const changes: Readonly<Record<string, (plan: TilingPlan) => TilingPlan>> = {
  'products of fewer rows at a time': (plan) => homes({ held: [] })(cuts(({ rowTile }) => ({ rowTile: Math.ceil(rowTile / 3) }))(plan)),
  'rows staged, and attending, one at a time': (plan) => ({ ...plan, decisions: plan.decisions.map((decision) => (decision.kind === 'rows' && decision.settled !== undefined ? { ...decision, settled: { rowTile: 1 } } : decision)) }),
  'narrow groups': cuts(({ groupUnits }, { groupStep }) => ({ groupUnits: Math.min(groupUnits, groupStep) })),
  'short chunks': cuts(({ chunkTiles }, of) => ({ chunkTiles: Math.min(chunkTiles, of.chunkTiles ?? 1) })),
  'rows shared by two groups of arrays': cuts(({ groupUnits }) => ({ split: 1, groupUnits: Math.min(groupUnits, 1) })),
  'a ring of one slot': homes({ ringDepth: 1 }),
  'a ring of two slots': homes({ ringDepth: 2 }),
};

describe.each(sweep(Object.entries({ 'the full-sized machine': whole, 'values in HBM': inHbm, 'the rows in two parts': variants['the rows in two parts'] as Variant }), 2))('on %s', (_, variant) => {
  const graph = normative(source, sohu, 'fp8');
  const kv = new KvState();
  const wanted = steps.map((step) => interpret(graph, step, { weights: new WeightValues(store, 1), arithmetic: 'normative', state: kv }).get('logits')?.data);
  const fit = planned(variant);
  const programs = new Set([Buffer.from(bytesOf(fit, variant.machine)).toString('base64')]);

  it.each(Object.entries(changes))('another plan has the same bits: %s', (__, change) => {
    const other = applied(variant, change(fit.plan));
    const { program, images } = builtFrom(other, variant.machine);
    programs.add(Buffer.from(writeContainer(program)).toString('base64'));
    const state = createMachineState(program, images);
    for (const [i, step] of steps.entries()) {
      runStep(state, [encodeStepBlock(tablesOf(step, variant.bounds))]);
      expect(resultOf(state, program, step.samples.length, 0)).toEqual(wanted[i]);
    }
  });

  it('and most are other programs', () => {
    expect(programs.size).toBeGreaterThan(4);
  });
});

describe('what is no plan for a module is refused', () => {
  const { plan } = planned(whole);
  const [first] = plan.decisions.filter(({ kind }) => kind === 'product');
  it.each<[string, RegExp, (plan: TilingPlan) => TilingPlan]>([
    ['a decision is missing', /`layer\.\d+\.linear`: it says nothing of layer/, (of) => ({ ...of, decisions: of.decisions.filter((decision) => decision !== first) })],
    ['taller than what is in an accumulator bank', /row tiles of 100000 rows/, cuts(() => ({ rowTile: 100000 }))],
    ['no rows', /of one or more/, cuts(() => ({ rowTile: 0 }))],
    ['half a row', /of one or more/, cuts(() => ({ rowTile: 0.5 }))],
    ['more arrays than there are', /256 times, where there are 64 arrays/, cuts(() => ({ split: 8 }))],
    ['wider than the product', /groups of 64 of/, cuts((_, { gated }) => ({ split: 0, groupUnits: gated ? 32 : 64 }))],
    ['longer than the product', /chunks of 200 of/, cuts(() => ({ chunkTiles: 200 }))],
    ['a ring no semaphore counts', /ring of 16 slots, where there are 1 to 15/, homes({ ringDepth: 16 })],
    ['pieces that have not their scales on a line', /pieces of 100 columns/, homes({ pieceColumns: 100 })],
    ['parts the step is not in', /parts of 7, 13 rows, where the step's are of 16/, homes({ parts: [{ first: 0, rows: 7 }, { first: 7, rows: 13 }] })],
    ['stages of nothing', /stages of 0 bytes/, homes({ stageBytes: 0 })],
    ['held for nobody', /`layer.*` is held, which not every part of several multiplies/, (of) => homes({ held: [first?.what ?? ''] })(of)],
  ])('%s', (_, message, change) => {
    expect(() => applied(whole, change(plan))).toThrow(NotThePlan);
    expect(() => applied(whole, change(plan))).toThrow(message);
  });

  it('what SRAM does not hold', () => {
    const fits = planned(inHbm).plan;
    expect(fits.homes.spilled.length).toBeGreaterThan(0);
    expect(() => applied(inHbm, homes({ ringDepth: 15 })(fits))).toThrow(/alive together takes \d+ bytes of SRAM, and there are 8192/);
    expect(() => applied(inHbm, homes({ spilled: fits.homes.spilled.filter((name) => !name.startsWith('carried')) })(fits))).toThrow(NotThePlan);
  });
});
