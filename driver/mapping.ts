import { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { plural } from '../report/format.ts';
import type { CostReport } from '../report/report.ts';
import { compile, type Imported, type Target } from './compile.ts';
import { steadyReport } from './steady-report.ts';

/** How a model is put on the chips of a server: chips a layer is divided over, chips the layers are, and how many times all of it is there. */
export type Mapping = { readonly tp: number; readonly pp: number; readonly replicas: number };

/** A mapping that was tried: the report of its program, or why there is none. */
export type Tried = { readonly mapping: Mapping; readonly report: CostReport | undefined; readonly why: string };

/**
 * Mappings of a model on all chips of a server, those with the least between chips first: pipelines of one stage (as many replicas as chips), two, four ...,
 * then every layer over all of them.
 */
export function mappingsOf({ chips }: Machine): readonly Mapping[] {
  const divisors = Array.from({ length: chips }, (_, i) => i + 1).filter((pp) => chips % pp === 0);
  return [...divisors.map((pp) => ({ tp: 1, pp, replicas: chips / pp })), ...(chips === 1 ? [] : [{ tp: chips, pp: 1, replicas: 1 }])];
}

/** One step tells mappings apart. */
const triedSteps = 1;

/**
 * Tries mappings in their order until one is slower than the one before, or all have been: with more stages there is more to wait for. Each is compiled, and
 * its program timed: what is compared is what the report would say.
 */
export function tryMappings(imported: Imported, targetFor: (mapping: Mapping) => Target, machine: Machine): readonly Tried[] {
  const tried: Tried[] = [];
  let best = 0;
  for (const mapping of mappingsOf(machine)) {
    const problems = new Diagnostics();
    const compiled = compile(imported, targetFor(mapping), problems, { until: 'time', ended: () => {}, isProved: false });
    const report = compiled === undefined ? undefined : steadyReport(compiled.program, 0, compiled.workload, triedSteps);
    if (report === undefined || typeof report === 'string') {
      tried.push({ mapping, report: undefined, why: report ?? problems.all[0]?.message ?? 'it cannot be compiled' });
      continue;
    }
    const rate = report.timing.totalTokensPerSecond;
    tried.push({ mapping, report, why: best === 0 || rate > best ? '' : 'slower than the one before, and more to wait for with every stage' });
    if (rate <= best) break;
    best = rate;
  }
  return tried;
}

/** The fastest of those tried; undefined if none can be compiled. */
export const fastest = (tried: readonly Tried[]): Tried | undefined =>
  tried.reduce<Tried | undefined>((most, one) => (one.report !== undefined && one.report.timing.totalTokensPerSecond > (most?.report?.timing.totalTokensPerSecond ?? 0) ? one : most), undefined);

export const mappingText = ({ tp, pp, replicas }: Mapping): string => `TP ${tp} x PP ${pp}, ${plural(replicas, 'replica')}`;
