import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Access, accessesOf, type Circumstances } from '../../isa-spec/declared.ts';
import { effects } from '../../isa-spec/effects.ts';
import { membersOf, reachOf } from '../../isa-spec/groups.ts';
import { type Instruction, mnemonics } from '../../isa-spec/instructions.ts';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import { touchedBy } from '../../verifier/accesses.ts';
import { anyInstruction } from '../isa-spec/arbitrary.ts';
import { make } from '../simulator/timing/build.ts';

const queries = { ...(make('aq') as Extract<Instruction, { op: 'aq' }>).fields, valueDim: 24 };
const sizes = { side: sohu8.arrays.size.value, lineBytes: sohu8.sram.lineBytes.value, chips: 8, bound: () => 16, queries };

/** The most an instruction may touch: its whole window, of the chip it sends to, which is one of the first group. */
const atMost = (instruction: Instruction): Circumstances => {
  const max = 'rows' in instruction.fields ? instruction.fields.rows.max : 1;
  const rank = instruction.op !== 'coll' ? 0 : instruction.fields.kind === 'shift' ? reachOf(instruction.fields) : (instruction.fields.peer ?? 0);
  return { machine: sohu8, chips: 8, first: 0, count: max, more: { length: Infinity, sequences: 16, pageListEntries: 16, rank, 'aq.heads': queries.heads, 'aq.headDim': queries.headDim, 'aq.valueDim': queries.valueDim } };
};

type Shape = { readonly field: string; readonly does: string; readonly list?: true; readonly count?: number; readonly rows?: number; readonly pitch?: number; readonly each?: number };
const box = (rows: number, pitch: number, each: number): Pick<Shape, 'rows' | 'pitch' | 'each'> => ({ rows, pitch: rows === 1 ? 0 : pitch, each });

/** Of what the data pick from, only that it is touched: how much is for the entry's bounds to say. */
const declared = (one: Access): Shape => {
  const { field, does } = one;
  return 'list' in one ? { field, does, list: true, ...(one.count === undefined ? {} : { count: one.count }) } : { field, does, ...(one.some ? {} : box(one.rows, one.pitch, one.each)) };
};

const byField = (a: Shape, b: Shape): number => (a.field < b.field ? -1 : 1);

it.each(mnemonics.map((op) => [op]))('%s: the verifier knows what each of its addresses is for', (op) => {
  const names = new Set<string>();
  fc.assert(
    fc.property(anyInstruction.filter(({ instruction }) => instruction.op === op && !('rows' in instruction.fields && instruction.fields.rows.max === 0) && (instruction.op !== 'coll' || (instruction.fields.peer ?? 0) < membersOf(instruction.fields, sizes.chips))), ({ instruction }) => {
      const should = accessesOf(instruction, atMost(instruction)).map(declared).toSorted(byField);
      const is = touchedBy(instruction, sizes).map((one): Shape => {
        const { name: field, does } = one;
        const count = 'rows' in instruction.fields ? instruction.fields.rows.max : 1;
        if ('list' in one) return { field, does, list: true, ...(one.shared === undefined ? {} : { count: Math.ceil(count / one.shared) }) };
        const some = should.some((shape) => shape.field === field && shape.rows === undefined && shape.list === undefined);
        return { field, does, ...(some ? {} : box(one.rows === 'window' ? Math.ceil(count / (one.shared ?? 1)) : one.rows, one.pitch, one.units)) };
      });
      expect(is.toSorted(byField)).toEqual(should);
      for (const { field } of should) names.add(field);
    }),
    { numRuns: 60 },
  );
  expect([...names].toSorted()).toEqual(Object.keys(effects[op].memory).toSorted());
});
