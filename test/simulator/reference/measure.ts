import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { createMachineState, imageSource, readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { type ReferenceResult, runReference } from '../../../simulator/reference/run.ts';
import { simulateTiming } from '../../../simulator/timing/simulate.ts';
import { emptyStep } from '../functional/harness.ts';
import { type Products, programFor } from './products.ts';

/** Cycles of the event simulator and of the reference, and the results of the reference and of the functional simulator. */
export type Measured = { readonly event: number; readonly reference: ReferenceResult; readonly values: Uint8Array; readonly functional: Uint8Array };

export function measure(products: Products, shared: number | 'own' = 'own'): Measured {
  const { program, image, resultBytes } = programFor(products);
  const block = encodeStepBlock({ ...emptyStep, counts: { tokens: products.tokens, sequences: 1, samples: 0 } });
  const fresh = () => createMachineState(program, [imageSource(image)]);
  const [stepped, whole] = [fresh(), fresh()];
  const reference = runReference(stepped, block, 1_000_000, shared);
  runStep(whole, [block]);
  const timing = simulateTiming(program, [block]);
  if (timing.kind === 'fault') throw new Error(timing.fault.message);
  return { event: timing.cycles, reference, values: readHbm(stepped, 0, 'io', 0, resultBytes), functional: readHbm(whole, 0, 'io', 0, resultBytes) };
}
