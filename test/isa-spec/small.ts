import fc from 'fast-check';
import { isZero } from '../../isa-spec/encoding.ts';
import type { FieldKind } from '../../isa-spec/fields.ts';
import type { Instruction, Mnemonic } from '../../isa-spec/instructions.ts';
import { layouts } from '../../isa-spec/layout.ts';
import { illegalities } from '../../isa-spec/legal.ts';
import type { Machine } from '../../isa-spec/machine.ts';

const small = fc.integer({ min: 0, max: 24 });
/** Fields a small machine has little room for. */
const limits: Readonly<Record<string, number>> = { kTiles: 3, nTiles: 4, split: 2, kSplit: 2, kLast: 8, nLast: 8, lines: 8, heads: 4, kvHeads: 2, headDim: 16, rotary: 16, columns: 40, experts: 12, k: 3, bytes: 64, level: 3, merge: 3, splitBlocks: 2, firstPart: 2, parts: 2, valueDim: 12, group: 2 };

/** Values of a field, one in three of them zero: much may be named only where it is used. */
const smallValue = (name: string, field: FieldKind): fc.Arbitrary<unknown> => {
  const ss = fc.constantFrom(0, 0, 1);
  const unset = <T>(none: unknown, some: fc.Arbitrary<T>): fc.Arbitrary<unknown> => fc.oneof({ weight: 1, arbitrary: fc.constant(none) }, { weight: 2, arbitrary: some });
  switch (field.kind) {
    case 'uint': {
      if (field.line === true) return fc.integer({ min: 0, max: 600 });
      const limit = Math.min(limits[name] ?? 24, 2 ** field.bits - 1);
      return field.minusOne ? fc.integer({ min: 1, max: limit }) : unset(0, fc.integer({ min: 0, max: limit }));
    }
    case 'f32':
      return fc.integer({ min: 1, max: 8 }).map((n) => n / 8);
    case 'flag':
      return fc.boolean();
    case 'enum':
      return unset(field.names[0], fc.constantFrom(...field.names.filter((word) => word !== 'i32' && word !== 'ue8m0')));
    case 'hbm':
      return fc.record({ base: fc.constantFrom(2, 4), off: small, ss });
    case 'acc':
      return fc.record({ addr: fc.integer({ min: 0, max: 12 }), ss });
    case 'sram':
      return unset({ addr: 0, ss: 0 }, fc.record({ addr: fc.integer({ min: 0, max: 600 }), ss }));
    case 'rows':
      return fc.record({ max: fc.integer({ min: 1, max: 7 }), reg: fc.constantFrom(0, 1), level: fc.integer({ min: 0, max: 3 }) });
    case 'pc':
      return small;
  }
};

/** Instructions with small fields, whether a machine may run them or not. */
export const smallAny = (op: Mnemonic): fc.Arbitrary<Instruction> =>
  fc.record(Object.fromEntries(layouts[op].fields.map(({ name, field }) => [name, smallValue(name, field)]))).map((fields) => {
    const kept = layouts[op].fields.filter(({ name, field }) => field.added !== true || !isZero(field, fields[name] as number)).map(({ name }) => [name, fields[name]]);
    return { op, waits: [], posts: [], fields: Object.fromEntries(kept) } as unknown as Instruction;
  });

/** Those that it may. */
export const smallInstruction = (op: Mnemonic, machine: Machine): fc.Arbitrary<Instruction> => smallAny(op).filter((instruction) => illegalities(instruction, machine).length === 0);
