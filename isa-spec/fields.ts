/**
 * The field kinds an instruction record is made of. A record lists its fields in order; bit positions are derived:
 * flags fill bits 16 to 31, payload fills bits 80 to 255, both from the low end.
 */

/** Element formats a program can name, by their code in the word. */
export const formats = ['f32', 'bf16', 'e4m3', 'i32', 'e5m2', 'ue8m0'] as const;
export type Format = (typeof formats)[number];

/** Bytes an element of a format takes in memory. */
export const formatBytes: Readonly<Record<Format, number>> = { f32: 4, bf16: 2, e4m3: 1, i32: 4, e5m2: 1, ue8m0: 1 };

/** An SRAM operand: a line address, moved by stride set `ss` (0: not moved). */
export type SramOperand = { readonly addr: number; readonly ss: number };
/** An HBM operand: `B[base]` plus a line offset, moved by stride set `ss`. */
export type HbmOperand = { readonly base: number; readonly off: number; readonly ss: number };
/** An accumulator operand: an accumulator row, moved by stride set `ss`. */
export type AccOperand = { readonly addr: number; readonly ss: number };
/**
 * A window of the step's rows: the static bound `max`, shortened at run time to
 * `min(max, max(0, R[reg] - max * I[level]))`. `R0` is the constant 2^32-1, so register 0 means "not shortened".
 * The first row of the window is `max * I[level]`.
 */
export type RowWindow = { readonly max: number; readonly reg: number; readonly level: number };

type Kind =
  /** `optional`: assembly leaves it out when it is 0. `line`: it is a line of SRAM, where a list starts. */
  | { readonly kind: 'uint'; readonly bits: number; readonly minusOne: boolean; readonly optional: boolean; readonly line?: true }
  | { readonly kind: 'f32' }
  | { readonly kind: 'flag' }
  | { readonly kind: 'enum'; readonly bits: number; readonly names: readonly string[] }
  | { readonly kind: 'sram' }
  | { readonly kind: 'hbm' }
  | { readonly kind: 'acc' }
  | { readonly kind: 'rows' }
  /** An instruction of the same queue, by its number in the code. */
  | { readonly kind: 'pc' };
/** `added`: the field came after words of its instruction were written. Where its bits are all zero it is absent, and the instruction means what it did. */
export type FieldKind = Kind & { readonly added?: true };

export type FieldValue<K extends FieldKind> = K extends { kind: 'flag' }
  ? boolean
  : K extends { kind: 'enum'; names: readonly (infer N)[] }
    ? N
    : K extends { kind: 'sram' }
      ? SramOperand
      : K extends { kind: 'hbm' }
        ? HbmOperand
        : K extends { kind: 'acc' }
          ? AccOperand
          : K extends { kind: 'rows' }
            ? RowWindow
            : number;

export type FieldPart = { readonly name: string; readonly bits: number };

/** Bits of a stride set's number; number 0 moves nothing. */
const ssBits = 6;
export const strideSetMax = 2 ** ssBits - 1;
const frameBits = 16;
/** Stride sets a queue may have: those the last frame reaches. */
export const strideSetsMax = 2 ** frameBits - 1 + strideSetMax;

/** The numbers a field is made of, low bits first. Single-valued kinds have one part without a name. */
export const fieldParts = (field: FieldKind): readonly FieldPart[] => {
  switch (field.kind) {
    case 'uint':
    case 'enum':
      return [{ name: '', bits: field.bits }];
    case 'f32':
      return [{ name: '', bits: 32 }];
    case 'flag':
      return [{ name: '', bits: 1 }];
    case 'sram':
      return [{ name: 'addr', bits: 24 }, { name: 'ss', bits: ssBits }];
    case 'hbm':
      return [{ name: 'base', bits: 5 }, { name: 'off', bits: 32 }, { name: 'ss', bits: ssBits }];
    case 'acc':
      return [{ name: 'addr', bits: 10 }, { name: 'ss', bits: ssBits }];
    case 'rows':
      return [{ name: 'max', bits: 13 }, { name: 'reg', bits: 5 }, { name: 'level', bits: 2 }];
    case 'pc':
      return [{ name: '', bits: 24 }];
  }
};


export const uint = (bits: number) => ({ kind: 'uint', bits, minusOne: false, optional: false }) as const;
/** The line of SRAM a list starts at, which no stride set moves. */
export const line = { ...uint(24), line: true } as const;
/** A number that is 0 where there is nothing. */
export const slot = (bits: number) => ({ kind: 'uint', bits, minusOne: false, optional: true }) as const;
/** A count from 1 to 2^bits, stored less one. */
export const count = (bits: number) => ({ kind: 'uint', bits, minusOne: true, optional: false }) as const;
export const f32 = { kind: 'f32' } as const;
export const flag = { kind: 'flag' } as const;
export const oneOf = <const N extends readonly string[]>(bits: number, names: N) => ({ kind: 'enum', bits, names }) as const;
export const sram = { kind: 'sram' } as const;
export const hbm = { kind: 'hbm' } as const;
export const acc = { kind: 'acc' } as const;
export const rows = { kind: 'rows' } as const;
export const pc = { kind: 'pc' } as const;
export const frame = slot(frameBits);
export const format = oneOf(3, formats);
/** A field an instruction was given later. */
export const added = <const K extends FieldKind>(field: K): K & { readonly added: true } => ({ ...field, added: true });
