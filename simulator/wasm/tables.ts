import { e4m3Values, exp2Roots } from '../../isa-spec/numerics.ts';

/** The least of an E4M3 value is 2^-9: a magnitude is so many of them, below 2^18. */
const leastBits = 9;
/** A row of activations counts 2^-u, u as fine as its integers allow. */
export const units = { coarsest: 2, finest: leastBits } as const;
const unitsBetween = Array.from({ length: units.finest - units.coarsest + 1 }, (_, i) => units.coarsest + i);
/** Weights count eighths. */
export const eighths = 8;

/** In units of 2^-u, E4M3 codes from 1 to this are values that are not whole: exponent fields below 10 - u. */
export const smallCodes = (u: number): number => (u === leastBits ? 0 : 8 * (10 - u) - 1);

const magnitudes = Array.from({ length: 128 }, (_, code) => (code === 127 ? 0 : e4m3Values[code]! * 2 ** leastBits));
const wholes = unitsBetween.flatMap((u) => Array.from(e4m3Values, (value, code) => (value !== value || ((code & 0x7f) <= smallCodes(u)) ? 0 : value * 2 ** u)));

type Table = Float64Array | Int32Array | Int16Array | Uint8Array;
const tables = {
  /** E4M3 codes as doubles. */
  doubles: e4m3Values,
  /** What a product of a row of unit u and of eighths counts, by u - coarsest. */
  scales: Float64Array.from(unitsBetween, (u) => 2 ** -u / eighths),
  /** E4M3 codes without sign in units of 2^-9; NaN as 0. */
  magnitudes: Int32Array.from(magnitudes),
  /** By u - coarsest, 256 codes each: the values that are whole in units of 2^-u, others as 0. */
  wholes: Int16Array.from(wholes),
  /** `smallCodes`, by u - coarsest. */
  smallCodes: Uint8Array.from(unitsBetween, smallCodes),
  /** 2^(i / 32). */
  roots: exp2Roots,
  /** What a kernel noticed of the values it saw. */
  noticed: new Uint8Array(32),
} satisfies Record<string, Table>;

const align = 16;
let end = 0;
/** Where the tables are in the memory, in bytes. */
export const at = Object.fromEntries(
  Object.entries<Table>(tables).map(([name, values]) => {
    const from = end;
    end = Math.ceil((end + values.byteLength) / align) * align;
    return [name, from];
  }),
) as { readonly [T in keyof typeof tables]: number };

/** First byte of the memory after the tables. */
export const firstFree = Math.ceil(end / 64) * 64;

export const putTables = (memory: Uint8Array): void => {
  for (const [name, values] of Object.entries<Table>(tables)) memory.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at[name as keyof typeof at]);
};
