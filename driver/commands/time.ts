import { statSync } from 'node:fs';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { encodeStepBlock } from '../../isa-spec/step-block.ts';
import { buildReport } from '../../report/report.ts';
import { renderText } from '../../report/text.ts';
import { simulateTiming } from '../../simulator/timing/simulate.ts';
import type { Options } from '../options.ts';
import { UsageError } from '../session.ts';
import { Terminal } from '../terminal.ts';
import { blankStep, freshTables, steadyStep } from '../workload.ts';
import { readProgram } from './assembly.ts';

/** `sohuc time x.sohu`: times the step the program was compiled for, from its bytes. */
export async function timeCommand(path: string, options: Options): Promise<boolean> {
  const terminal = new Terminal(options);
  const diagnostics = new Diagnostics();
  const program = readProgram(path, diagnostics);
  if (program === undefined) return !terminal.diagnostics(diagnostics);
  const { isl, osl, batch } = program.meta['workload'] as { isl: number; osl: number; batch: number };
  const bounds = program.entries[0]?.bounds;
  const pageRows = bounds?.['pageRows'];
  if (pageRows === undefined) throw new UsageError(`\`${path}\` does not say its page size`);
  const timing = simulateTiming(program, [encodeStepBlock(freshTables(blankStep(steadyStep({ isl, osl, batch })), { pageRows }))]);
  if (timing.kind === 'fault') {
    diagnostics.report({ code: 'E6001', message: timing.fault.message, origin: { kind: 'file', path } });
    return !terminal.diagnostics(diagnostics);
  }
  const report = buildReport(program, statSync(path).size, timing, { isl, osl, batch });
  terminal.print(renderText(report, { stages: [], files: [] }));
  terminal.value(report);
  return true;
}
