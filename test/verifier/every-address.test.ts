import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FieldKind } from '../../isa-spec/fields.ts';
import { instructions, mnemonics } from '../../isa-spec/instructions.ts';
import { touchedBy } from '../../verifier/accesses.ts';
import { anyInstruction } from '../isa-spec/arbitrary.ts';
import { make } from '../simulator/timing/build.ts';

const query = make('aq');
const sizes = { side: 8, lineBytes: 64, chips: 2, bound: () => 16, queries: query.op === 'aq' ? query.fields : undefined };
/** Operands, and the 24-bit numbers that are lines of row lists: all but pitches. */
const isAddress = ([name, field]: readonly [string, FieldKind]): boolean =>
  field.kind === 'sram' || field.kind === 'hbm' || field.kind === 'acc' || (field.kind === 'uint' && field.bits === 24 && !name.endsWith('Pitch'));

it.each(mnemonics.map((op) => [op]))('%s: the verifier knows what each of its addresses is for', (op) => {
  const { flags, payload } = instructions[op];
  const addresses = Object.entries<FieldKind>({ ...flags, ...payload }).filter(isAddress).map(([name]) => name);
  const samples = fc.sample(anyInstruction.filter(({ instruction }) => instruction.op === op), { numRuns: 60, seed: 9 });
  const named = new Set(samples.flatMap(({ instruction }) => touchedBy(instruction, sizes).map(({ name }) => name)));
  expect([...named].toSorted()).toEqual(addresses.toSorted());
});

it('a chain reads of an operand what its kind says, and none that no micro-operation takes', () => {
  const { y, z } = { y: { addr: 64, ss: 0 }, z: { addr: 96, ss: 3 } };
  const reads = (fields: object): object => touchedBy(make('vmap3', { function: 'subtract', second: 'multiply', yFormat: 'f32', zFormat: 'f32', y, z, columns: 40, ...fields }), sizes).filter(({ name }) => name === 'y' || name === 'z').map((touched) => ('list' in touched ? { list: touched.list } : { rows: touched.rows, pitch: touched.pitch, units: touched.units }));
  // 40 FP32 numbers take three lines of 64 bytes.
  expect(reads({})).toEqual([{ rows: 'window', pitch: 3, units: 3 }, { rows: 'window', pitch: 3, units: 3 }]);
  expect(reads({ yIs: 'list', zIs: 'vector' })).toEqual([{ list: 64 }, { rows: 1, pitch: 0, units: 3 }]);
  expect(reads({ yIs: 'number', second: 'square' })).toEqual([{ rows: 1, pitch: 0, units: 1 }]);
});
