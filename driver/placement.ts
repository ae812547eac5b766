import { allocate, type Layout } from '../backend-sohu/allocate.ts';
import { regionsOf } from '../backend-sohu/program.ts';
import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import type { TileModule } from '../ir/tile/module.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { Program } from '../isa-spec/program.ts';
import { apply } from '../passes/plan/apply.ts';
import { fit } from '../passes/plan/fit.ts';
import type { TilingPlan } from '../passes/plan/tiling.ts';
import type { GraphStage } from '../passes/stage.ts';
import type { Bounds } from '../passes/tile/lowering.ts';

/** What a model is put on: the machine, chips a layer is divided over (`tp`) or the layers are (`pp`), the share of SRAM an op may stage in, the parts a step's rows are worked on in, and how many times all of it is there (absent: once). */
export type Chips = { readonly machine: Machine; readonly tp: number; readonly pp: number; readonly stageShare: number; readonly parts: number; readonly replicas?: number };

/** What stages alike have in common, all but the values of weights: `graph` with the tables lowering added to its weights, where everything is, and the plan that put it there. `like`: the first of them. */
export type Kind = { readonly like: number; readonly graph: GraphModule; readonly tile: TileModule; readonly layout: Layout; readonly plan: TilingPlan };

/** Finds a place for every buffer of every stage, for steps within `bounds`. Undefined, and reported, where SRAM cannot do it; HBM is as long as it takes. */
export function place(stages: readonly GraphStage[], { machine, tp, stageShare, parts }: Chips, bounds: Bounds, diagnostics: Diagnostics): readonly Kind[] | undefined {
  const kinds: Kind[] = [];
  for (const [stage, { module, like }] of stages.entries()) {
    if (like !== stage) continue;
    const target = { machine, bounds, chips: tp, stageShare, parts };
    const found = fit(module, target, diagnostics);
    if (found === undefined) return undefined;
    const { graph, tile, plan } = apply(module, target, found);
    kinds.push({ like, graph, tile, plan, layout: allocate(tile, machine) });
  }
  return kinds;
}

/** What a chip keeps in its HBM: `bytes` in all, of `capacity`. */
export type MemoryMap = { readonly regions: Program['regions']; readonly bytes: number; readonly capacity: number };

/** The memory of a program of these kinds of stages, as it will declare it. */
export function memoryOf(kinds: readonly Kind[], machine: Machine): MemoryMap {
  const regions = regionsOf(kinds.map(({ layout }) => layout));
  return { regions, bytes: regions.reduce((sum, { bytes }) => sum + bytes, 0), capacity: machine.hbm.bytes.value };
}
