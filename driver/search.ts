import { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import { ungroup } from '../passes/group.ts';
import { type LeastEngine, leastOf } from '../passes/plan/least.ts';
import { stagesOf } from '../passes/stage.ts';
import { duration, grouped, si } from '../report/format.ts';
import type { CostReport } from '../report/report.ts';
import { type Compiled, compilePrepared, cutFor, dividingPasses, type Prepared, runPass, type Target } from './compile.ts';
import { type Mapping, mappingText } from './mapping.ts';
import { leastBytes } from './placement.ts';
import type { Serving } from './serving.ts';
import { steadyReport } from './steady-report.ts';
import type { Workload } from './workload.ts';

/** What no schedule exceeds: tokens a second of all replicas, because an engine of the slowest stage is at work `seconds` of each step. */
export type Bound = { readonly tokensPerSecond: number; readonly engine: LeastEngine; readonly seconds: number };

/** What a step is of: how many requests, and the parts they are worked on in. */
type Served = { readonly requests: number; readonly parts: number };
const servedBy = ({ batch, parts = 1 }: Workload, { pp }: Pick<Mapping, 'pp'>): Served => ({ requests: Math.ceil(batch / pp), parts });

/** A mapping: what bounds it, if it can be at all; the report of its program, if it was compiled; `why` not, or why there is none. */
export type Tried = { readonly mapping: Mapping; readonly bound: Bound | undefined; readonly report: CostReport | undefined; readonly why: string };

/** Mappings in the order they were looked at, and the program of the fastest; none if none can be compiled. */
export type Searched = { readonly tried: readonly Tried[]; readonly best: { readonly mapping: Mapping; readonly compiled: Compiled } | undefined };

/** How much more than what bounds the fastest so far must bound one that divides layers over more chips, and so waits more for the link, to be tried. */
const worthDividing = 1.05;

/** One step tells mappings apart. */
const triedSteps = 1;

/**
 * The fastest of mappings. Each is compiled and its program timed, so that what is compared is what the report would say; but those that cannot be, and those that
 * no schedule makes faster than the fastest so far. Unless all are wanted, nor those that divide layers over more chips for little (those with whole experts there may have fewer bins, which no bound knows of), nor those that work off the same step as one before in more stages of as many chips: more
 * stages add nothing but waiting.
 */
export function searched(prepared: Prepared, mappings: readonly Mapping[], targetFor: (mapping: Mapping) => Target, wanted: 'all' | 'fastest'): Searched {
  let best: (Searched['best'] & { readonly rate: number; readonly bound: Bound }) | undefined;
  const timed: (Mapping & Served)[] = [];
  const tried = mappings.map((mapping): Tried => {
    const target = targetFor(mapping);
    const problems = new Diagnostics();
    const ways = waysOf(prepared.whole, target, problems);
    const [preferred] = ways;
    const none = (why: string, bound?: Bound): Tried => ({ mapping, bound, report: undefined, why });
    if (preferred === undefined) return none(problems.all[0]?.message ?? '');
    const bound = ways.reduce<Bound>((most, way) => (way.tokensPerSecond > most.tokensPerSecond ? way : most), preferred);
    if (best !== undefined && bound.tokensPerSecond <= best.rate) return none(`not compiled: ${boundText(bound)}`, bound);
    if (wanted === 'fastest' && best !== undefined && mapping.ep === 1 && mapping.tp > best.mapping.tp && bound.tokensPerSecond < worthDividing * best.bound.tokensPerSecond) return none(`not compiled: ${boundText(bound)}; about what bounds ${mappingText(best.mapping)}, which waits less for the link`, bound);
    const shorter = timed.find((one) => one.tp === mapping.tp && one.ep === mapping.ep && one.requests === preferred.requests && one.parts === preferred.parts);
    if (wanted === 'fastest' && shorter !== undefined) return none(`not compiled: the steps of ${mappingText(shorter)} in more stages`, bound);
    const compiled = compilePrepared(prepared, target, problems, { until: 'time', ended: () => {}, isProved: false });
    const served = compiled === undefined ? preferred : servedBy(compiled.workload, mapping);
    timed.push({ ...mapping, ...served });
    const way = ways.find((one) => one.requests === served.requests && one.parts === served.parts) ?? preferred;
    const within = wanted === 'all' || best === undefined ? Infinity : (way.tokensPerSecond * way.seconds) / best.rate;
    const report = compiled === undefined ? undefined : steadyReport(compiled.program, 0, compiled.workload, { steps: triedSteps, within });
    if (compiled === undefined || report === undefined || typeof report === 'string') return none(typeof report === 'string' ? report : (problems.all[0]?.message ?? ''), bound);
    const rate = report.timing.totalTokensPerSecond;
    if (best === undefined || rate > best.rate) best = { mapping, compiled, rate, bound };
    return { mapping, bound, report, why: '' };
  });
  return { tried, best };
}

const boundText = ({ tokensPerSecond, engine, seconds }: Bound): string => `at most ~${grouped(Math.round(tokensPerSecond))} tok/s whatever the schedule, for ~${duration(seconds)} of ${engineNames[engine]} in a step`;

const engineNames: Readonly<Record<LeastEngine, string>> = { matrix: 'the matrix arrays', attention: 'the attention arrays', softmax: 'softmax', hbm: 'HBM', link: 'the link' };

/** Ways to serve what is asked, those to be preferred first, each with what bounds it; none that cannot be. Reported, where a model cannot be so divided, or no way of serving it fits. */
function waysOf(whole: GraphModule, target: Target, diagnostics: Diagnostics): readonly (Bound & Served)[] {
  let module = whole;
  for (const pass of dividingPasses(target, diagnostics)) {
    const made = runPass(pass, module, diagnostics);
    if (made === undefined) return [];
    module = made;
  }
  const flat = ungroup(module);
  const { machine, replicas = 1, precision } = target;
  const ways: (Bound & Served)[] = [];
  let needed = Infinity;
  for (let serving: Serving | undefined = target.serve(module); serving !== undefined; serving = serving.instead) {
    const { step = [], workload } = serving;
    const stages = stagesOf(flat, cutFor(flat, target, serving), diagnostics);
    if (diagnostics.hasErrors) return [];
    const bytes = leastBytes(stages, serving.bounds, precision);
    needed = Math.min(needed, bytes);
    if (bytes > machine.hbm.bytes.value) continue;
    // A prompt brings its tokens, and is given the first of its output.
    const tokens = step.reduce((sum, { rows, past }) => sum + rows + (past === 0 && workload.osl > 0 ? 1 : 0), 0);
    const [seconds, engine] = stages
      .flatMap((stage) => Object.entries(leastOf(stage.module.body.ops, stage.module, step, machine)).map(([name, least]) => [least, name as LeastEngine] as const))
      .reduce((most, one) => (one[0] > most[0] ? one : most));
    ways.push({ tokensPerSecond: (tokens * replicas) / seconds, engine, seconds, ...servedBy(workload, target) });
  }
  if (ways.length === 0) diagnostics.report({ code: 'E4001', message: `weights, keys and values alone are ${si(needed, 'B')} of a chip's ${si(machine.hbm.bytes.value, 'B')}`, origin: { kind: 'none' } });
  return ways;
}
