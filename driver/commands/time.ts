import { statSync } from 'node:fs';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { Program } from '../../isa-spec/program.ts';
import { IllegalInstruction } from '../../isa-spec/encoding.ts';
import { claimReport } from '../../report/claim.ts';
import { renderClaim } from '../../report/claim-text.ts';
import { buildReport } from '../../report/report.ts';
import { criticalPathReport, renderCriticalPath } from '../../report/critical-path.ts';
import { renderText } from '../../report/text.ts';
import { partsMax } from '../../passes/tile/parts.ts';
import type { Options } from '../options.ts';
import { UsageError } from '../session.ts';
import { reportedSteps, stageCount, steadyTiming } from '../steady-report.ts';
import { Terminal } from '../terminal.ts';
import { steadyStep, type Workload } from '../workload.ts';
import { readProgram } from './assembly.ts';

/** `sohuc time x.sohu`: times steps the program was compiled for, from its bytes. */
export async function timeCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  if (options.explain === 'recognition') throw new UsageError('`--explain recognition` is of a model: a program does not say what it was recognised in');
  if (options.explain === 'tiling') throw new UsageError('`--explain tiling` is of a model: a program does not say what was decided');
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const workload = workloadIn(program);
  if (typeof workload === 'string') {
    diagnostics.report({ code: 'E5002', message: workload, origin: { kind: 'file', path }, help: '`time` takes what `sohuc` compiled' });
    return !terminal.diagnostics(diagnostics);
  }
  const shown = attempt(() => shownOf(program, { workload, bytes: statSync(path).size }, options));
  if (typeof shown === 'string') {
    diagnostics.report({ code: 'E6001', message: shown, origin: { kind: 'file', path } });
    return !terminal.diagnostics(diagnostics);
  }
  terminal.print(shown.text);
  terminal.value(shown.value);
  return true;
}

/** What is shown, as text and as data; or a text that says why there is nothing. */
type Shown = { readonly text: string; readonly value: unknown } | string;

/** The report of steps of a program, their critical path, or the vendor's claim beside it. */
function shownOf(program: Program, { workload, bytes }: { readonly workload: Workload; readonly bytes: number }, { criticalPath, explain }: Options): Shown {
  const timing = steadyTiming(program, workload, { steps: reportedSteps, path: criticalPath });
  if (typeof timing === 'string') return timing;
  if (criticalPath) {
    const path = criticalPathReport(program, timing);
    return { text: renderCriticalPath(path), value: path };
  }
  const report = buildReport(program, bytes, timing, workload);
  if (explain !== 'claim') return { text: renderText(report, { stages: [], files: [] }), value: report };
  const claim = claimReport(program, timing, report);
  return { text: renderClaim(claim), value: claim };
}

/** The program may be none of the compiler's: what the simulator and the report then say. */
function attempt(show: () => Shown): Shown {
  try {
    return show();
  } catch (error) {
    if (error instanceof IllegalInstruction || error instanceof RangeError || error instanceof TypeError) return error.message;
    throw error;
  }
}

/** The workload a program was compiled for, if its step is one the program takes; otherwise what is wrong with it. */
function workloadIn(program: Program): Workload | string {
  const { meta, entries } = program;
  const { isl, osl, batch, parts = 1, leading = 0 } = (meta['workload'] ?? {}) as Readonly<Record<string, unknown>>;
  const bounds = entries[0]?.bounds;
  const whole = (value: unknown, least: number, most: number): value is number => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
  const most = Math.min(bounds?.['tokens'] ?? 0, stepRows);
  if (!whole(isl, 1, maxContext) || !whole(osl, 0, maxContext) || !whole(batch, 1, most * program.chips)) return 'it does not say what workload it is for';
  const workload = { isl, osl, batch, ...(whole(parts, 2, partsMax) ? { parts } : {}), ...(whole(leading, 1, most) ? { leading } : {}) };
  const rows = steadyStep(workload, stageCount(program), false).reduce((sum, sequence) => sum + sequence.rows, 0);
  return rows <= most ? workload : `its workload makes steps of ${rows} rows, and it takes ${most}`;
}

/** Rows of a step and tokens of a request, far above what any program serves, that can still be tabulated. */
const stepRows = 2 ** 22;
const maxContext = 2 ** 24;
