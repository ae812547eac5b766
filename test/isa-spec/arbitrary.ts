import fc from 'fast-check';
import { type FieldKind, fieldParts } from '../../isa-spec/fields.ts';
import { isZero } from '../../isa-spec/encoding.ts';
import { hbmBases, type Instruction, instructions, mnemonics, type Queue, type StrideSet, type Token } from '../../isa-spec/instructions.ts';

const finite = fc.float({ noNaN: true, noDefaultInfinity: true });
const below = (bits: number): fc.Arbitrary<number> => fc.oneof(fc.constantFrom(0, 2 ** bits - 1), fc.integer({ min: 0, max: Math.min(2 ** bits - 1, 0x7fffffff) }), fc.nat({ max: 20 }).map((n) => n % 2 ** bits));

const valueOf = (field: FieldKind): fc.Arbitrary<unknown> => {
  switch (field.kind) {
    case 'uint':
      return field.minusOne ? below(field.bits).map((n) => n + 1) : below(field.bits);
    case 'f32':
      return finite;
    case 'flag':
      return fc.boolean();
    case 'enum':
      return fc.constantFrom(...field.names);
    case 'pc':
      return below(24);
    case 'hbm':
      return fc.record({ base: fc.nat({ max: hbmBases.length - 1 }), off: below(32), ss: below(5) });
    default:
      return fc.record(Object.fromEntries(fieldParts(field).map((part) => [part.name, below(part.bits)])));
  }
};

const tokens = fc.array(fc.record<Token>({ semaphore: fc.integer({ min: 1, max: 255 }), count: fc.integer({ min: 1, max: 15 }) }), { maxLength: 2 });

/** Any instruction the records allow, with a queue it may be in. */
export const anyInstruction: fc.Arbitrary<{ readonly instruction: Instruction; readonly queue: Queue }> = fc.constantFrom(...mnemonics).chain((op) => {
  const fields: Readonly<Record<string, FieldKind>> = { ...instructions[op].flags, ...instructions[op].payload };
  return fc.record({
    instruction: fc.record({
      op: fc.constant(op),
      predicate: fc.integer({ min: -4, max: 7 }),
      waits: tokens,
      posts: tokens,
      fields: fc.record(Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(field)]))).map((values) =>
        Object.fromEntries(Object.entries(values).filter(([name, value]) => fields[name]!.added !== true || !isZero(fields[name]!, value as number)))),
    }).map(({ predicate, ...rest }) => ({ ...rest, ...(predicate > 0 ? { predicate } : {}) })) as unknown as fc.Arbitrary<Instruction>,
    queue: fc.constantFrom(...instructions[op].queues),
  });
});

const u16 = fc.integer({ min: 0, max: 65535 });
const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
export const anyStrideSet: fc.Arbitrary<StrideSet> = fc.record({
  strides: fc.tuple(i32, i32, i32, i32),
  ring: fc.record({ stride: fc.nat(), depth: u16, base: u16, steps: fc.tuple(u16, u16, u16, u16) }),
});
