import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Access, accessesOf, type Circumstances } from '../../../isa-spec/declared.ts';
import { move } from '../../../isa-spec/encoding.ts';
import { instructions, type Mnemonic, mnemonics } from '../../../isa-spec/instructions.ts';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { SimulationFault } from '../../../simulator/fault.ts';
import type { Chip, QueueState } from '../../../simulator/functional/state.ts';
import { smallInstruction } from '../../isa-spec/small.ts';
import { loopCounters, offersTo, prepare, run, setting, strideSet, tableBytes } from './alone.ts';

const lineBytes = tiny2.sram.lineBytes.value;

type Memories = { readonly sram: Set<number>; readonly acc: Set<number>; readonly hbm: Set<number> };
type Accessed = { readonly reads: Memories; readonly writes: Memories };
const nothing = (): Accessed => ({ reads: { sram: new Set(), acc: new Set(), hbm: new Set() }, writes: { sram: new Set(), acc: new Set(), hbm: new Set() } });

const add = (into: Set<number>, first: number, count: number): void => {
  for (let i = 0; i < count; i++) into.add(first + i);
};
const linesTouched = (offset: number, length: number): readonly [number, number] => [Math.floor(offset / lineBytes), length === 0 ? 0 : Math.floor((offset + length - 1) / lineBytes) - Math.floor(offset / lineBytes) + 1];

/** Everything the chip accesses from now on. */
const watch = (chip: Chip): Accessed => {
  const seen = nothing();
  const of = (access: 'read' | 'write'): Memories => (access === 'read' ? seen.reads : seen.writes);
  chip.sram.witness = (access, first, count) => add(of(access).sram, ...linesTouched(first, count));
  chip.accumulators.witness = (access, first, count) => add(of(access).acc, first % chip.geometry.accumulatorRows, count);
  for (const region of Object.values(chip.hbm)) region.witness = (access, first, count) => add(of(access).hbm, ...linesTouched(first, count));
  return seen;
};

/** Where an operand points, in lines or accumulator rows; absent, to the first. */
const start = (operand: unknown, queue: QueueState): number => {
  if (operand === undefined) return 0;
  if (typeof operand === 'number') return operand;
  const { addr, off, ss } = operand as { readonly addr?: number; readonly off?: number; readonly ss: number };
  return (addr ?? off!) + (ss === 0 ? 0 : move(strideSet, queue.I));
};

/** The units a declared access covers: all of them, or, of a table, those it may touch below `end`. */
const covered = (declared: Access, at: number, { first, count }: Circumstances, end: number): ReadonlySet<number> => {
  const units = new Set<number>();
  if ('list' in declared) add(units, ...linesTouched(at * lineBytes + 4 * (declared.first ?? first), 4 * (declared.count ?? count)));
  else for (let row = 0; row < (declared.pitch === 0 ? 1 : declared.rows) && at + row * declared.pitch < end; row++) add(units, at + row * declared.pitch, declared.each);
  return units;
};

const kindOf = (op: Mnemonic, field: string): keyof Memories => {
  const { kind } = ({ ...instructions[op].flags, ...instructions[op].payload } as Readonly<Record<string, { readonly kind: string }>>)[field]!;
  return kind === 'acc' || kind === 'hbm' ? kind : 'sram';
};

it.each(mnemonics.map((op) => [op]))('%s touches what it is declared to touch, and all of it', (op) => {
  let ran = 0;
  fc.assert(
    fc.property(smallInstruction(op, tiny2), loopCounters, fc.nat({ max: 9 }), (instruction, I, tokens) => {
      const { chips, queue } = setting(I, tokens);
      const chip = chips[0]!;
      const { rows } = instruction.fields as { readonly rows?: { readonly max: number; readonly reg: number; readonly level: number } };
      const first = rows === undefined ? 0 : rows.max * I[rows.level]!;
      const count = rows === undefined ? 1 : Math.min(rows.max, Math.max(0, queue.R[rows.reg]! - first));
      const where: Circumstances = { machine: tiny2, chips: 2, first, count, more: { length: tableBytes, sequences: 1, pageListEntries: 64, rank: 0, 'aq.heads': 2, 'aq.headDim': 4, 'aq.valueDim': 6 } };
      prepare(instruction, chip, queue);
      const seen = watch(chip);
      try {
        if (instruction.op === 'coll') for (const one of chips) one.gathered = offersTo(one, chips, queue, instruction.fields);
        run(instruction, chip, queue);
      } catch (error) {
        fc.pre(!(error instanceof SimulationFault));
        throw error;
      }
      ran++;
      const [all, atLeast] = [nothing(), nothing()];
      for (const declared of accessesOf(instruction, where)) {
        const space = kindOf(op, declared.field);
        const units = covered(declared, start((instruction.fields as Readonly<Record<string, unknown>>)[declared.field], queue), where, 2 ** 14);
        for (const unit of units) {
          if (declared.does !== 'writes') all.reads[space].add(unit);
          if (declared.does !== 'reads') all.writes[space].add(unit);
          if ('some' in declared && declared.some) continue;
          (declared.does === 'reads' ? atLeast.reads : atLeast.writes)[space].add(unit);
        }
      }
      for (const access of ['reads', 'writes'] as const) {
        for (const space of ['sram', 'acc', 'hbm'] as const) {
          const beyond = [...seen[access][space]].filter((unit) => !all[access][space].has(unit));
          const missed = [...atLeast[access][space]].filter((unit) => !seen[access][space].has(unit));
          expect({ access, space, beyond, missed }).toEqual({ access, space, beyond: [], missed: [] });
        }
      }
    }),
    { numRuns: 120 },
  );
  expect(ran).toBeGreaterThan(60);
});
