import { percent, readable } from '../report/format.ts';
import type { CostReport } from '../report/report.ts';
import type { Mapping } from './mapping.ts';
import type { Tried } from './search.ts';
import type { Bound, StepSize } from './ways.ts';

/** How a mapping is used: requests at once and rows of a step over all of a replica, parts the rows are worked on in, rows of a page of keys and values, matrix arrays lent to the attention unit, layers of each stage. */
export type Settings = { readonly batch: number; readonly stepRows: number; readonly parts: number; readonly pageRows: number; readonly lent: number; readonly cut: readonly number[] };

/** An alternative in its rank: 1 is the fastest, none has no program. `step`: rows of a step of one stage; `pageRows`, `lent`: where it is of other pages than the fastest, or lends other arrays, and has its mapping and steps. `why` it lost, or won. */
export type Ranked = Mapping & {
  readonly rank?: number;
  readonly totalTokensPerSecond?: number;
  readonly matrixUtilisation?: number;
  readonly step?: StepSize;
  readonly pageRows?: number;
  readonly lent?: number;
  readonly bound?: Bound;
  readonly settings?: Settings;
  readonly why: string;
};

/** Alternatives, the fastest first; then those that were not compiled, by what they might have been; then those that cannot be. */
export function ranked(tried: readonly Tried[]): readonly Ranked[] {
  const rate = ({ report }: Tried): number => report?.timing.totalTokensPerSecond ?? 0;
  const most = ({ bound }: Tried): number => bound?.tokensPerSecond ?? 0;
  const ordered = tried.toSorted((a, b) => rate(b) - rate(a) || most(b) - most(a));
  const best = ordered[0]?.report;
  return ordered.map(({ mapping, step, pageRows, lent, bound, report, why }, i): Ranked => ({
    ...mapping,
    ...(step === undefined ? {} : { step }),
    ...(pageRows === undefined ? {} : { pageRows }),
    ...(lent === undefined ? {} : { lent }),
    ...(report === undefined ? {} : { rank: i + 1, totalTokensPerSecond: report.timing.totalTokensPerSecond, matrixUtilisation: report.timing.matrixUtilisation, settings: settingsOf(report) }),
    ...(bound === undefined ? {} : { bound: { tokensPerSecond: bound.tokensPerSecond, engine: bound.engine, seconds: bound.seconds } }),
    why: report === undefined || best === undefined ? why : report === best ? 'the fastest' : whyLost(report, best),
  }));
}

const settingsOf = ({ workload, timing, program, mapping }: CostReport): Settings => {
  const bounds = program.entries[0]?.bounds as Readonly<Record<string, number>>;
  return { batch: workload.batch, stepRows: timing.tokens, parts: workload.parts, pageRows: bounds['pageRows'] ?? 0, lent: program.entries[0]?.lent ?? 0, cut: mapping.cut };
};

/** By how much it is slower, and what more of the peak is lost to than of the fastest. */
function whyLost({ timing }: CostReport, { timing: best }: CostReport): string {
  const before = new Map<string, number>(best.losses.map(({ name, fraction }) => [name, fraction]));
  const more = timing.losses.map(({ name, fraction }) => ({ name, more: fraction - (before.get(name) ?? 0) })).filter((loss) => loss.more > 0.0005).toSorted((a, b) => b.more - a.more);
  const lost = more.slice(0, 2).map((loss) => `${readable(loss.name)} (${percent(loss.more)} more of the peak)`).join(' and ');
  return `${percent(1 - timing.totalTokensPerSecond / best.totalTokensPerSecond)} slower${lost === '' ? '' : `: ${lost}`}`;
}
