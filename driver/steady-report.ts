import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { buildReport, type CostReport } from '../report/report.ts';
import { simulateTiming } from '../simulator/timing/simulate.ts';
import { blankStep, freshTables, steadyStep, type Workload } from './workload.ts';

/** What a step is timed for: the workload it is the steady state of, and the pages of the KV pool. */
export type Steady = { readonly workload: Workload; readonly pageRows: number };

/** Times a steady-state step of a program of `bytes` bytes and puts the report together; a text says why the program stops. Throws as the simulator and the report do. */
export function steadyReport(program: Program, bytes: number, { workload, pageRows }: Steady): CostReport | string {
  const timing = simulateTiming(program, [encodeStepBlock(freshTables(blankStep(steadyStep(workload)), { pageRows }))]);
  return timing.kind === 'fault' ? timing.fault.message : buildReport(program, bytes, timing, workload);
}
