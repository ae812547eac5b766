import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { ungroup } from '../passes/group.ts';
import type { LeastEngine } from '../passes/plan/least.ts';
import type { Lent } from '../passes/plan/lend.ts';
import { type Pages, pagesOf } from '../passes/plan/pages.ts';
import { duration, grouped, percent, si } from '../report/format.ts';
import type { CostReport } from '../report/report.ts';
import { type Compiled, compilePrepared, type Prepared, type Target } from './compile.ts';
import { type Mapping, mappingText } from './mapping.ts';
import { lendingsOf, poolOf, steadyServing } from './serving.ts';
import { steadyReport } from './steady-report.ts';
import { type Bound, type Candidate, candidateOf, inOrder, isAlike, type Served, servedBy, type StepSize, stepSizeOf, type Way } from './ways.ts';

/** An alternative: a mapping, its steps, and its pages or the arrays it lends where they are not the best; what bounds it, if it can be at all; the report of its program, if it was compiled; `why` not, or why there is none. */
export type Tried = { readonly mapping: Mapping; readonly step?: StepSize; readonly pageRows?: number; readonly lent?: number; readonly bound?: Bound; readonly report: CostReport | undefined; readonly why: string };

/** Alternatives in the order they were looked at, and the program of the fastest; none if none can be compiled. */
export type Searched = { readonly tried: readonly Tried[]; readonly best: { readonly mapping: Mapping; readonly compiled: Compiled } | undefined };

/** How much more than what bounds the fastest so far must bound one that divides layers over more chips, and so waits more for the link, to be tried. */
const worthDividing = 1.05;
/** How much faster than the fastest so far other steps must be by estimate, in which nobody waits, to be tried. */
const worthTrying = 1.02;

/** One step tells alternatives apart. */
const triedSteps = 1;

/** The fastest alone, or all that may be; or what is decided of a mapping that is given. */
export type Wanted = 'fastest' | 'all' | 'given';

/** The fastest so far: its program, the tokens a second of it, what bounds it, and the way it serves of those there are. */
type Best = { readonly mapping: Mapping; readonly target: Target; readonly compiled: Compiled; readonly rate: number; readonly bound: Bound; readonly served: Served; readonly ways: readonly Way[] };
type Progress = { readonly prepared: Prepared; readonly wanted: Wanted; readonly timed: (Mapping & Served)[]; best: Best | undefined };

/**
 * The fastest of mappings, then of the steps of that, then of its pages; arrays are lent as its step is fastest by estimate. Mappings are compared with the steps that are fastest by estimate. Each is compiled and its program timed, so that what is compared is
 * what the report would say; but those that cannot be, and those that no schedule makes faster than the fastest so far. Unless all are wanted, nor those that are not faster by estimate, that divide layers over
 * more chips for little (those with whole experts there may have fewer bins, which no bound knows of), or work off the same step as one before in more stages of as many chips: more stages add nothing but waiting. Other steps of the fastest mapping are compiled if by estimate they are
 * faster than it is; of a mapping that is given, none are: it has the steps that are fastest by estimate. Pages are told apart by what attention reads, and what nobody uses.
 */
export function searched(prepared: Prepared, mappings: readonly Mapping[], targetFor: (mapping: Mapping) => Target, wanted: Wanted): Searched {
  const progress: Progress = { prepared, wanted, timed: [], best: undefined };
  const candidates = inOrder(mappings.map((mapping) => candidateOf(prepared.whole, mapping, targetFor(mapping))));
  const ofMappings = candidates.map((candidate) => triedMapping(candidate, progress));
  if (progress.best === undefined) return { tried: ofMappings, best: undefined };
  const { served, ways } = progress.best;
  const others = ways.filter((way) => !isAlike(way, served));
  const ofSteps = others.map((way) => (wanted === 'given' ? notTimed(way, progress.best as Best) : triedStep(way, progress)));
  return { tried: [...ofMappings, ...ofSteps, ...otherPages(progress.best), ...otherLendings(progress.best)], best: progress.best };
}

/** A mapping, with its preferred steps. */
function triedMapping(candidate: Candidate, progress: Progress): Tried {
  const { mapping, target, fit: [preferred, ...others], problem } = candidate;
  if (preferred === undefined) return { mapping, report: undefined, why: problem };
  const bound = others.reduce<Bound>((most, way) => (way.tokensPerSecond > most.tokensPerSecond ? way : most), preferred);
  const none = (why: string): Tried => ({ mapping, step: preferred.step, bound, report: undefined, why });
  const lost = whyNotTried(mapping, preferred, bound, progress);
  if (lost !== undefined) return none(`not compiled: ${lost}`);
  const timed = timedAs(target, [preferred, ...others], progress);
  const served = timed.served ?? preferred;
  progress.timed.push({ ...mapping, ...served });
  if (timed.report === undefined) return none(timed.why);
  const { compiled, report } = timed;
  const rate = report.timing.totalTokensPerSecond;
  if (progress.best === undefined || rate > progress.best.rate) progress.best = { mapping, target, compiled, rate, bound, served, ways: candidate.all };
  return { mapping, step: stepSizeOf(compiled.workload, mapping), bound, report, why: '' };
}

/** Why a mapping is not worth a try; undefined if it is. */
function whyNotTried(mapping: Mapping, preferred: Way, bound: Bound, { best, wanted, timed }: Progress): string | undefined {
  if (best === undefined) return undefined;
  if (bound.tokensPerSecond <= best.rate) return boundText(bound);
  if (wanted !== 'fastest') return undefined;
  if (mapping.ep === 1 && mapping.tp > best.mapping.tp && bound.tokensPerSecond < worthDividing * best.bound.tokensPerSecond) return `${boundText(bound)}; about what bounds ${mappingText(best.mapping)}, which waits less for the link`;
  if (preferred.estimate <= best.rate) return estimateText(preferred);
  const shorter = timed.find((one) => one.tp === mapping.tp && one.ep === mapping.ep && isAlike(one, preferred));
  return shorter === undefined ? undefined : `the steps of ${mappingText(shorter)} in more stages`;
}

/** Other steps of the fastest mapping. */
function triedStep(way: Way, progress: Progress): Tried {
  const best = progress.best as Best;
  const { mapping, target, rate } = best;
  const none = (why: string): Tried => ({ mapping, step: way.step, bound: way, report: undefined, why });
  if (way.excess !== undefined || way.tokensPerSecond <= rate) return notTimed(way, best);
  if (way.estimate <= (progress.wanted === 'fastest' ? worthTrying : 1) * rate) return none(`not compiled: ${estimateText(way)}`);
  const timed = timedAs({ ...target, serve: () => ({ ...way.serving, instead: undefined }) }, [way], progress);
  if (timed.report === undefined) return none(timed.why);
  const faster = timed.report.timing.totalTokensPerSecond;
  if (faster > rate) progress.best = { ...best, compiled: timed.compiled, rate: faster };
  return { ...none(''), report: timed.report };
}

/** What is known of steps without their program: that they do not fit, what bounds them, or what they are by estimate, and those of the fastest. */
function notTimed({ step, excess, ...way }: Way, { mapping, rate, ways, served }: Best): Tried {
  const chosen = ways.find((one) => isAlike(one, served));
  const none = (why: string): Tried => ({ mapping, step, bound: way, report: undefined, why });
  if (excess !== undefined) return { mapping, step, report: undefined, why: excess };
  return none(`not compiled: ${way.tokensPerSecond <= rate || chosen === undefined ? boundText(way) : `${estimateText(way)}, the fastest ~${grouped(Math.round(chosen.estimate))}`}`);
}

type Timed = { readonly served?: Served; readonly compiled: Compiled; readonly report: CostReport } | { readonly served?: Served; readonly report: undefined; readonly why: string };

/** What a target makes of a model, timed; unless all are wanted no longer than the fastest so far takes. */
function timedAs(target: Target, ways: readonly Way[], { prepared, wanted, best }: Progress): Timed {
  const problems = new Diagnostics();
  const compiled = compilePrepared(prepared, target, problems, { until: 'time', ended: () => {}, isProved: false });
  if (compiled === undefined) return { report: undefined, why: problems.all[0]?.message ?? '' };
  const served = servedBy(compiled.workload, target);
  const way = ways.find((one) => isAlike(one, served)) ?? ways[0];
  const within = wanted !== 'fastest' || best === undefined || way === undefined ? Infinity : (way.tokensPerSecond * way.seconds) / best.rate;
  const report = steadyReport(compiled.program, 0, compiled.workload, { steps: triedSteps, within });
  return typeof report === 'string' ? { served, report: undefined, why: report } : { served, compiled, report };
}

/** Pages of other sizes than those of the fastest, where they are not given. */
function otherPages({ mapping, target, compiled: { normative, workload, program } }: Best): readonly Tried[] {
  const bounds = program.entries[0]?.bounds as Readonly<Record<string, number>>;
  if (target.pageRows !== undefined || normative.caches.length === 0) return [];
  const all = pagesOf(normative, target.machine, { ...poolOf(workload, target), sequences: bounds['sequences'] ?? 0 });
  const chosen = all.find(({ rows }) => rows === bounds['pageRows']) as Pages;
  return all.flatMap((pages) => (pages === chosen ? [] : [{ mapping, step: stepSizeOf(workload, mapping), pageRows: pages.rows, report: undefined, why: whyNotPages(pages, chosen) }]));
}

/** Other numbers of arrays lent to the attention unit than those of the fastest, where they are not given. */
function otherLendings({ mapping, target, compiled: { normative, workload, program } }: Best): readonly Tried[] {
  if (target.lent !== undefined || normative.caches.length === 0) return [];
  const all = lendingsOf(ungroup(normative), { ...steadyServing(normative, workload, target), parts: workload.parts ?? 1 }, target);
  const chosen = all.find(({ lent }) => lent === program.entries[0]?.lent) as Lent;
  const why = ({ seconds }: Lent): string => `not compiled: a step of all layers in ~${duration(seconds)} by estimate, with ${chosen.lent === 0 ? 'none' : chosen.lent} in ~${duration(chosen.seconds)}`;
  return all.flatMap((other) => (other === chosen ? [] : [{ mapping, step: stepSizeOf(workload, mapping), lent: other.lent, report: undefined, why: why(other) }]));
}

function whyNotPages(pages: Pages, chosen: Pages): string {
  const reached = `runs of ${grouped(pages.runBytes)} B reach ${percent(pages.efficiency)} of HBM's rate`;
  if (pages.efficiency < chosen.efficiency) return `slower: ${reached}, of ${grouped(chosen.runBytes)} B ${percent(chosen.efficiency)}`;
  return `as fast: ${reached} as well; ${si(pages.idleBytes, 'B')} of a chip in pages half used, not ${si(chosen.idleBytes, 'B')}`;
}

const estimateText = ({ estimate }: Pick<Way, 'estimate'>): string => `~${grouped(Math.round(estimate))} tok/s by estimate`;
const boundText = ({ tokensPerSecond, engine, seconds }: Bound): string => `at most ~${grouped(Math.round(tokensPerSecond))} tok/s whatever the schedule, for ~${duration(seconds)} of ${engineNames[engine]} in a step`;

const engineNames: Readonly<Record<LeastEngine, string>> = { matrix: 'the matrix arrays', attention: 'the attention arrays', softmax: 'softmax', hbm: 'HBM', link: 'the link' };
