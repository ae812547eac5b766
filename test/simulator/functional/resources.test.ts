import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { effects, type Resource, type Verb } from '../../../isa-spec/effects.ts';
import { mnemonics } from '../../../isa-spec/instructions.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { SimulationFault } from '../../../simulator/fault.ts';
import { advancePc } from '../../../simulator/functional/control.ts';
import type { Chip, QueueState } from '../../../simulator/functional/state.ts';
import { smallInstruction } from '../../isa-spec/small.ts';
import { loopCounters, offersTo, prepare, run, setting } from './alone.ts';

/** What is kept of the resources an instruction can change. */
const kept = (chip: Chip, { I, R, P, calls, frame }: QueueState): { readonly [R in Resource]?: unknown } =>
  structuredClone({ counters: I, registers: R, predicates: P, calls: { calls, frame }, host: chip.events, weights: chip.weightFifo.length, queries: chip.attention });

const verbs: readonly Verb[] = ['writes', 'updates', 'takes', 'gives'];

it.each(mnemonics.map((op) => [op]))('%s changes what it is declared to change', (op) => {
  const state: { readonly [V in Verb]?: readonly Resource[] } = effects[op].state ?? {};
  const declared = verbs.flatMap((verb) => state[verb] ?? []);
  const changed = new Set<string>();
  fc.assert(
    fc.property(smallInstruction(op, tiny2), loopCounters, fc.nat({ max: 9 }), (instruction, I, tokens) => {
      const { chips, queue } = setting(I, tokens);
      const chip = chips[0]!;
      const code = [instruction, ...queue.code];
      const ready = { ...queue, code };
      prepare(instruction, chip, ready);
      const before = kept(chip, ready);
      try {
        if (instruction.op === 'coll') for (const one of chips) one.gathered = offersTo(one, chips, ready, instruction.fields);
        run(instruction, chip, ready);
        advancePc(ready);
      } catch (error) {
        fc.pre(!(error instanceof SimulationFault));
        throw error;
      }
      const after = kept(chip, ready);
      for (const resource of Object.keys(before) as Resource[]) if (!isDeepStrictEqual(before[resource], after[resource])) changed.add(resource);
    }),
    { numRuns: 100 },
  );
  expect([...changed].toSorted()).toEqual(declared.toSorted());
});
