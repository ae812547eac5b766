import { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import { lending } from '../isa-spec/machine.ts';
import { ungroup } from '../passes/group.ts';
import { type LeastEngine, leastOf } from '../passes/plan/least.ts';
import { stagesOf } from '../passes/stage.ts';
import { si } from '../report/format.ts';
import { cutFor, dividingPasses, lentOf, runPass, type Target } from './compile.ts';
import type { Mapping } from './mapping.ts';
import { leastBytes } from './placement.ts';
import { fastestFirst, type Serving, tokensOf } from './serving.ts';
import { countsOf, ofStage, type Workload } from './workload.ts';

/** What no schedule exceeds: tokens a second of all replicas, because an engine of the slowest stage is at work `seconds` of each step. */
export type Bound = { readonly tokensPerSecond: number; readonly engine: LeastEngine; readonly seconds: number };

/** What a step is of: how many requests, and the parts they are worked on in. */
export type Served = { readonly requests: number; readonly parts: number };
export const servedBy = (workload: Workload, { pp }: Pick<Mapping, 'pp'>): Served => ({ requests: ofStage(workload, pp).batch, parts: workload.parts ?? 1 });
export const isAlike = (a: Served, b: Served): boolean => a.requests === b.requests && a.parts === b.parts;

/** Rows of a step: of prompts, and of requests that decode; and the parts they are in. */
export type StepSize = { readonly prefillRows: number; readonly decodeRows: number; readonly parts: number };
export function stepSizeOf(workload: Workload, { pp }: Pick<Mapping, 'pp'>): StepSize {
  const { prompts, promptRows, decoding } = countsOf(ofStage(workload, pp));
  return { prefillRows: prompts * promptRows, decodeRows: decoding, parts: workload.parts ?? 1 };
}

/** A way to serve what is asked: what bounds it, and the tokens a second by estimate; `excess`: what keeps it from fitting, which then is all there is to say. */
export type Way = Bound & Served & { readonly serving: Serving; readonly step: StepSize; readonly estimate: number; readonly bytes: number; readonly excess: string | undefined };

/** A mapping, and the ways it has to serve what is asked, those to be preferred first: `all`, and those that may `fit`; `problem`: why there are none. */
export type Candidate = { readonly mapping: Mapping; readonly target: Target; readonly all: readonly Way[]; readonly fit: readonly Way[]; readonly problem: string };

export function candidateOf(whole: GraphModule, mapping: Mapping, target: Target): Candidate {
  const diagnostics = new Diagnostics();
  const all = waysOf(whole, target, diagnostics);
  const [nearest] = all.toSorted((a, b) => a.bytes - b.bytes);
  return { mapping, target, all, fit: all.filter(({ excess }) => excess === undefined), problem: diagnostics.all[0]?.message ?? nearest?.excess ?? '' };
}

/** Those that divide layers over fewer chips first; of these the fastest by estimate, or as fast in fewer stages. */
export function inOrder(candidates: readonly Candidate[]): readonly Candidate[] {
  const counts = [...new Set(candidates.map(({ mapping: { tp } }) => tp))];
  return counts.flatMap((tp) => fastestFirst(candidates.filter(({ mapping }) => mapping.tp === tp), ({ fit: [preferred] }) => preferred?.estimate ?? 0));
}

/** None, and reported, where a model cannot be so divided. */
function waysOf(whole: GraphModule, target: Target, diagnostics: Diagnostics): readonly Way[] {
  let module = whole;
  for (const pass of dividingPasses(target, diagnostics)) {
    const made = runPass(pass, module, diagnostics);
    if (made === undefined) return [];
    module = made;
  }
  const flat = ungroup(module);
  const { machine, replicas = 1, precision } = target;
  const ways: Way[] = [];
  for (let serving: Serving | undefined = target.serve(module); serving !== undefined; serving = serving.instead) {
    const { step = [], workload, estimate = 0 } = serving;
    const lent = lentOf(flat, target, serving);
    const stages = stagesOf(flat, cutFor(flat, target, serving, lent), diagnostics);
    if (diagnostics.hasErrors) return [];
    const bytes = leastBytes(stages, serving.bounds, precision);
    const excess = bytes > machine.hbm.bytes.value ? `weights, keys and values alone are ${si(bytes, 'B')} of a chip's ${si(machine.hbm.bytes.value, 'B')}` : undefined;
    const [seconds, engine] = stages
      .filter(({ like }, stage) => like === stage && excess === undefined)
      .flatMap((stage) => Object.entries(leastOf(stage.module.body.ops, stage.module, step, lending(machine, lent))).map(([name, least]) => [least, name as LeastEngine] as const))
      .reduce((most, one) => (one[0] > most[0] ? one : most), [0, 'matrix'] as const);
    ways.push({ tokensPerSecond: (tokensOf(workload, target) * replicas) / seconds, engine, seconds, ...servedBy(workload, target), serving, step: stepSizeOf(workload, target), estimate, bytes, excess });
  }
  return ways;
}
