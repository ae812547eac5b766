import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { buildReport, type CostReport } from '../report/report.ts';
import type { Timing } from '../simulator/timing/result.ts';
import { simulateTiming, timingDefaults } from '../simulator/timing/simulate.ts';
import { blankStep, freshTables, steadyStep, type Workload } from './workload.ts';

/**
 * Times a steady-state step of a program: each stage of a pipeline runs its own step, all alike. A text says why the program stops.
 * `path`: whether to find the critical path. Throws as the simulator does.
 */
export function steadyTiming(program: Program, workload: Workload, { path }: { readonly path: boolean }): Timing | string {
  const pageRows = program.entries[0]?.bounds['pageRows'];
  if (pageRows === undefined) return 'the entry does not say its page size';
  const tables = freshTables(blankStep(steadyStep(workload, stageCount(program), program.ioMap.inputs.some(({ rows }) => rows === 'memory'))), { pageRows });
  const blocks = Array.from({ length: program.chips }, (_, chip) => encodeStepBlock({ ...tables, entry: program.entries.findIndex(({ chips }) => chips.includes(chip)) }));
  const timing = simulateTiming(program, blocks, { ...timingDefaults, path });
  return timing.kind === 'fault' ? timing.fault.message : timing;
}

/** The report of such a step, of a program of `bytes` bytes. Throws as the simulator and the report do. */
export function steadyReport(program: Program, bytes: number, workload: Workload): CostReport | string {
  const timing = steadyTiming(program, workload, { path: false });
  return typeof timing === 'string' ? timing : buildReport(program, bytes, timing, workload);
}

/** Stages of a program: none is like the first, so they are of as many chips as it. */
export const stageCount = ({ entries, chips }: Program): number => chips / (entries[0]?.chips.length ?? chips);
