import { describe, expect, it } from 'vitest';
import { packWeights } from '../../../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../../../backend-sohu/program.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { sohu } from '../../../isa-spec/machines/sohu.ts';
import { tiny } from '../../../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { createMachineState, imageSource, type Kernels, readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor, tablesOf } from '../../passes/lower.ts';
import { small, tinyLlama } from '../../passes/tiny-llama.ts';

// More than one block of 128 between gates and downs.
const source = tinyLlama({ ...small, inner: 300 });
const store = storeFor(source);

const steps = [
  raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], small.vocabulary),
  raggedStep([{ id: 0, rows: 1, past: 7 }, { id: 2, rows: 5, past: 0 }, { id: 1, rows: 1, past: 12 }], small.vocabulary),
];

describe.each([['fp8', 'sohu', sohu], ['bf16', 'sohu', sohu], ['fp8', 'tiny', tiny], ['bf16', 'tiny', tiny]] as const)('a Llama in %s on %s', (precision, _, machine) => {
  it('leaves the same outputs and caches with either kernels', () => {
    const fit = fitted(normative(source, machine, precision, 1), machine, 0.25, 1, smallBounds);
    const placed = placedOn(fit.tile, machine);
    const program = buildProgram([placed], machine, 'step', {});
    const from = { graph: fit.graph, values: new WeightValues(store, 1), tile: fit.tile.tile, lineBytes: machine.sram.lineBytes.value };
    const image = imageSource(Uint8Array.from(Buffer.concat([...packWeights(fit.tile, placed.layout, from, 0)])));
    const memoryAfter = (kernels: Kernels): readonly Uint8Array[] => {
      const state = createMachineState(program, [image], kernels);
      return steps.flatMap((step) => {
        runStep(state, [encodeStepBlock(tablesOf(step, smallBounds))]);
        return program.regions.flatMap(({ base, bytes }) => (base === 'weights' ? [] : [readHbm(state, 0, base, 0, bytes)]));
      });
    };
    const plain = memoryAfter('plain');
    memoryAfter('simd').forEach((bytes, i) => expect(Buffer.compare(bytes, plain[i]!), `region ${i}`).toBe(0));
  });
});
