import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { buildReport, type CostReport } from '../report/report.ts';
import type { Timing } from '../simulator/timing/result.ts';
import { simulateSteps, timingDefaults } from '../simulator/timing/simulate.ts';
import { blankStep, freshTables, steadyStep, type Workload } from './workload.ts';

/** Consecutive steps a report is of. Their contexts are not the same. */
export const reportedSteps = 3;

/**
 * Times `steps` consecutive steady-state steps of a program: each stage of a pipeline runs its own, all alike. A text says why the program stops.
 * `path`: whether to find the critical path. `within`: seconds after which to give up. Throws as the simulator does.
 */
export function steadyTiming(program: Program, workload: Workload, { steps, path, within = Infinity }: { readonly steps: number; readonly path: boolean; readonly within?: number }): Timing | string {
  const pageRows = program.entries[0]?.bounds['pageRows'];
  if (pageRows === undefined) return 'the entry does not say its page size';
  const hasMemory = program.ioMap.inputs.some(({ rows }) => rows === 'memory');
  const blocks = Array.from({ length: steps }, (_, nth) => {
    const tables = freshTables(blankStep(steadyStep(workload, stageCount(program), hasMemory, nth)), { pageRows });
    const ofEntry = program.entries.map((__, entry) => encodeStepBlock({ ...tables, entry }));
    return Array.from({ length: program.chips }, (__, chip) => ofEntry[program.entries.findIndex(({ chips }) => chips.includes(chip))] as Uint8Array);
  });
  const timing = simulateSteps(program, blocks, { ...timingDefaults, path, cycles: within * program.machine.clockHz.value });
  return timing.kind === 'fault' ? timing.fault.message : timing;
}

/** The report of such steps, of a program of `bytes` bytes. Throws as the simulator and the report do. */
export function steadyReport(program: Program, bytes: number, workload: Workload, how: { readonly steps: number; readonly within?: number }): CostReport | string {
  const timing = steadyTiming(program, workload, { ...how, path: false });
  return typeof timing === 'string' ? timing : buildReport(program, bytes, timing, workload);
}

/** Stages of a program: none is like the first, so they are of as many chips as it. */
export const stageCount = ({ entries, chips }: Program): number => chips / (entries[0]?.chips.length ?? chips);
