import type { Program } from '../../../isa-spec/program.ts';
import { encodeStepBlock, type StepTables } from '../../../isa-spec/step-block.ts';
import { createMachineState, imageSource, type MachineState, readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { type ReferenceResult, runReference } from '../../../simulator/reference/run.ts';
import { simulateTiming } from '../../../simulator/timing/simulate.ts';

/**
 * Cycles of the event simulator and of the reference; of the reference, too, when SRAM's readers share a port of two rows a cycle. What the
 * reference and the functional simulator have written to the `io` region.
 */
export type Measured = { readonly event: number; readonly reference: ReferenceResult; readonly shared: number; readonly written: Uint8Array; readonly functional: Uint8Array };

const limit = 1_000_000;
/** Banks a matrix array has on the described machine. */
const banks = 2;

export function measure({ program, image }: { readonly program: Program; readonly image: Uint8Array }, step: StepTables): Measured {
  const block = encodeStepBlock(step);
  const fresh = (): MachineState => createMachineState(program, [imageSource(image)]);
  const written = (state: MachineState): Uint8Array => readHbm(state, 0, 'io', 0, program.regions.find(({ base }) => base === 'io')!.bytes);
  const [stepped, whole] = [fresh(), fresh()];
  const reference = runReference(stepped, block, limit);
  runStep(whole, [block]);
  const timing = simulateTiming(program, [block]);
  if (timing.kind === 'fault') throw new Error(timing.fault.message);
  return { event: timing.cycles, reference, shared: runReference(fresh(), block, limit, banks).cycles, written: written(stepped), functional: written(whole) };
}
