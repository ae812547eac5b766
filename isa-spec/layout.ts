import { type FieldKind, fieldParts } from './fields.ts';
import { instructions, type Mnemonic, mnemonics } from './instructions.ts';

/** A run of bits of the word: the lowest is bit `at`, bit 0 being the lowest of byte 0. */
export type BitRange = { readonly at: number; readonly bits: number };

export type FieldPosition = {
  readonly name: string;
  readonly field: FieldKind;
  readonly group: 'flags' | 'payload';
  /** Where each part of the field is, in the order of `fieldParts`. */
  readonly parts: readonly (BitRange & { readonly name: string })[];
};

export type Layout = { readonly mnemonic: Mnemonic; readonly fields: readonly FieldPosition[]; readonly reserved: readonly BitRange[]; /** The reserved bits, as eight u32. */ readonly reservedMask: Uint32Array };

/** Fields every word has. Semaphore id 0 means none, and then its count is 0. */
export const common = {
  op: { at: 0, bits: 8 },
  queue: { at: 8, bits: 4 },
  predicate: { at: 12, bits: 3 },
  wait0: { at: 32, bits: 8 },
  wait1: { at: 40, bits: 8 },
  post0: { at: 48, bits: 8 },
  post1: { at: 56, bits: 8 },
  waitCount0: { at: 64, bits: 4 },
  waitCount1: { at: 68, bits: 4 },
  postCount0: { at: 72, bits: 4 },
  postCount1: { at: 76, bits: 4 },
} as const satisfies Record<string, BitRange>;

/** The numbers of a stride set, from bit 0 of its 32 bytes. */
export const strideSetNumbers = [
  { name: 'strides[0]', at: 0, bits: 32, signed: true },
  { name: 'strides[1]', at: 32, bits: 32, signed: true },
  { name: 'strides[2]', at: 64, bits: 32, signed: true },
  { name: 'strides[3]', at: 96, bits: 32, signed: true },
  { name: 'ring.stride', at: 128, bits: 32, signed: false },
  { name: 'ring.depth', at: 160, bits: 16, signed: false },
  { name: 'ring.base', at: 176, bits: 16, signed: false },
  { name: 'ring.steps[0]', at: 192, bits: 16, signed: false },
  { name: 'ring.steps[1]', at: 208, bits: 16, signed: false },
  { name: 'ring.steps[2]', at: 224, bits: 16, signed: false },
  { name: 'ring.steps[3]', at: 240, bits: 16, signed: false },
] as const satisfies readonly (BitRange & { readonly name: string; readonly signed: boolean })[];

export const spaces = { flags: { at: 16, bits: 16 }, payload: { at: 80, bits: 176 } } as const satisfies Record<string, BitRange>;
/** Bit 15 means nothing yet and is zero. */
const unassigned: BitRange = { at: 15, bits: 1 };

const place = (mnemonic: Mnemonic, group: 'flags' | 'payload'): { readonly fields: readonly FieldPosition[]; readonly rest: BitRange } => {
  const space = spaces[group];
  let at: number = space.at;
  const fields = Object.entries<FieldKind>(instructions[mnemonic][group]).map(([name, field]): FieldPosition => {
    const parts = fieldParts(field).map((part) => {
      const start = at;
      at += part.bits;
      return { ...part, at: start };
    });
    return { name, field, group, parts };
  });
  const end = space.at + space.bits;
  if (at > end) throw new Error(`internal: ${group} of ${mnemonic} take ${at - end} bits more than a word has`);
  return { fields, rest: { at, bits: end - at } };
};

const layoutOf = (mnemonic: Mnemonic): Layout => {
  const flags = place(mnemonic, 'flags');
  const payload = place(mnemonic, 'payload');
  const reserved = [unassigned, flags.rest, payload.rest].filter((range) => range.bits > 0);
  const reservedMask = new Uint32Array(8);
  for (const range of reserved) for (let at = range.at; at < range.at + range.bits; at++) reservedMask[at >>> 5]! |= 1 << (at & 31);
  return { mnemonic, fields: [...flags.fields, ...payload.fields], reserved, reservedMask };
};

/** Where each instruction keeps each of its fields: fields in declared order, flags from bit 16, payload from bit 80, packed. */
export const layouts: Readonly<Record<Mnemonic, Layout>> = Object.fromEntries(mnemonics.map((m) => [m, layoutOf(m)])) as Record<Mnemonic, Layout>;

const byOpcode = new Map(mnemonics.map((m) => [instructions[m].opcode as number, m]));

/** The instruction of an opcode, or undefined. */
export const mnemonicOf = (opcode: number): Mnemonic | undefined => byOpcode.get(opcode);
