import { allocate, type Layout } from '../backend-sohu/allocate.ts';
import { regionsOf } from '../backend-sohu/program.ts';
import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import type { TileModule } from '../ir/tile/module.ts';
import { type Format, formatBytes } from '../isa-spec/fields.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { Program } from '../isa-spec/program.ts';
import type { Precision } from '../passes/formats.ts';
import { apply, applyGiven, type Fit } from '../passes/plan/apply.ts';
import { partsOf } from '../passes/tile/parts.ts';
import { fit, type FitTarget } from '../passes/plan/fit.ts';
import { NotThePlan } from '../passes/plan/decisions.ts';
import type { Answers, TilingPlan } from '../passes/plan/tiling.ts';
import type { GraphStage } from '../passes/stage.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { operandBytes, type Serving } from './serving.ts';
import { plural } from '../report/format.ts';

/** What a model is put on: the machine, chips a layer is divided over (`tp`), those of them that whole experts are spread over (`ep`: 1 or all; absent: 1), or the layers are (`pp`), the share of SRAM an op may stage in, the parts a step's rows are worked on in, at most such a share and so many (absent: no more), the share where all else has room as well (absent: as otherwise), how many times all of it is there (absent: once), how many of the layers that are alike each stage has (absent: as the step is fastest), the rows of a page of keys and values (absent: as their width has it), the matrix arrays lent to the attention unit (absent: none), and the tiling plans of its kinds of stages (absent: they are to be found). */
export type Chips = { readonly machine: Machine; readonly tp: number; readonly ep?: number; readonly pp: number; readonly stageShare: number; readonly stageShareMost?: number | undefined; readonly stageShareDeep?: number | undefined; readonly parts: number; readonly partsMost?: number | undefined; readonly replicas?: number; readonly cut?: readonly number[]; readonly pageRows?: number; readonly lent?: number | undefined; readonly tiling?: readonly Answers[] | undefined };

/** What stages alike have in common, all but the values of weights: `graph` with the tables lowering added to its weights, where everything is, and the plan that put it there. `like`: the first of them. */
export type Kind = { readonly like: number; readonly graph: GraphModule; readonly tile: TileModule; readonly layout: Layout; readonly plan: TilingPlan };

/** Finds a place for every buffer of every stage, for steps within `bounds`, so that `step` is fast. Undefined, and reported, where SRAM cannot do it, or not as a plan that is given says; HBM is as long as it takes. */
export function place(stages: readonly GraphStage[], chips: Chips, { bounds, step }: Pick<Serving, 'bounds' | 'step'>, diagnostics: Diagnostics): readonly Kind[] | undefined {
  const { machine, tp, tiling } = chips;
  const target = { ...chips, bounds, step, chips: tp };
  const firsts = stages.flatMap(({ module, like }, stage) => (like === stage ? [{ module, like }] : []));
  const plans = tiling ?? alikeInTime(firsts.map(({ module }) => module), target, diagnostics);
  const kinds: Kind[] = [];
  for (const [i, { module, like }] of firsts.entries()) {
    const plan = plans?.[i];
    const made = plan === undefined ? undefined : tiling === undefined ? apply(module, target, plan) : asGiven(() => applyGiven(module, target, plan), diagnostics);
    if (made === undefined) break;
    kinds.push({ like, graph: made.graph, tile: made.tile, plan: made.plan, layout: allocate(made.tile, machine) });
  }
  if (tiling !== undefined && tiling.length !== firsts.length && !diagnostics.hasErrors) reportNotThePlan(`it is of ${plural(tiling.length, 'kind')} of stages, and there ${firsts.length === 1 ? 'is' : 'are'} ${firsts.length}`, diagnostics);
  return kinds.length === firsts.length && !diagnostics.hasErrors ? kinds : undefined;
}

/** Plans of the kinds of stages, all in parts alike and with as much to stage in: what a stage sends in tiles the next takes in tiles alike. */
function alikeInTime(modules: readonly GraphModule[], target: FitTarget, diagnostics: Diagnostics): readonly TilingPlan[] | undefined {
  const plans: TilingPlan[] = [];
  for (const module of modules) {
    // No stage need look at fewer parts than one before has.
    const plan = fit(module, { ...target, parts: Math.max(target.parts, ...plans.map(({ homes }) => homes.parts.length)) }, diagnostics);
    if (plan === undefined) return undefined;
    plans.push(plan);
  }
  const counts = plans.map(({ homes }) => homes.parts.length);
  const room = plans.map(({ homes }) => homes.stageBytes);
  const [most, stageBytes] = [Math.max(...counts), Math.min(...room)];
  if (Math.min(...counts) === most && Math.max(...room) === stageBytes) return plans;
  // A stage of one layer is in one part whatever is asked.
  const parts = Math.min(...modules.map((module) => partsOf(module, target.bounds.tokens, most, target.machine).length));
  return alikeInTime(modules, { ...target, parts, partsMost: undefined, stageShare: stageBytes / target.machine.sram.bytes.value, stageShareMost: undefined, stageShareDeep: undefined }, diagnostics);
}

/** What a plan of the user's makes; undefined, and reported, where it is none for this model on this machine. */
function asGiven(make: () => Fit, diagnostics: Diagnostics): Fit | undefined {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof NotThePlan)) throw error;
    reportNotThePlan(error.message, diagnostics);
    return undefined;
  }
}

const reportNotThePlan = (message: string, diagnostics: Diagnostics): void =>
  diagnostics.report({ code: 'E4004', message: `the tiling plan cannot be applied: ${message}`, origin: { kind: 'none' }, help: 'a plan is for a model, a machine, a mapping and a workload: `--explain tiling --json` prints the one there is' });

/** What a chip keeps in its HBM: `bytes` in all, of `capacity`. */
export type MemoryMap = { readonly regions: Program['regions']; readonly bytes: number; readonly capacity: number };

/** The memory of a program of these kinds of stages, as it will declare it. */
export function memoryOf(kinds: readonly Kind[], machine: Machine): MemoryMap {
  const regions = regionsOf(kinds.map(({ layout }) => layout));
  return { regions, bytes: regions.reduce((sum, { bytes }) => sum + bytes, 0), capacity: machine.hbm.bytes.value };
}

/** Bytes a chip of the fullest stage keeps of weights, keys and values at the least: as they are, without a gap. */
export function leastBytes(stages: readonly GraphStage[], { poolPages, pageRows }: Bounds, precision: Precision): number {
  return Math.max(...stages.map(({ module: { weights, caches } }) => {
    const ofWeights = weights.reduce((sum, { dtype, shape, instances }) => sum + shape.reduce((product, size) => product * size, 1) * formatBytes[dtype as Format] * instances.length, 0);
    return caches.reduce((sum, { layers, kvHeads, headDim }) => sum + 2 * layers * kvHeads * headDim * operandBytes[precision] * poolPages * pageRows, ofWeights);
  }));
}
