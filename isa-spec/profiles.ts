import type { Format } from './fields.ts';
import type { BlockScaling, InstructionOf } from './instructions.ts';
import { blockScales } from './numerics-scales.ts';

/** Formats a matrix product takes, in any mixture. */
const matrixFormats = ['e4m3', 'e5m2', 'bf16'] as const;
export type MatrixFormat = (typeof matrixFormats)[number];
export const isMatrixFormat = (format: string): format is MatrixFormat => (matrixFormats as readonly string[]).includes(format);

/** How products are summed: X, exact; F, a chain of FP32 sums; or exact within a block, with scales. */
export type Profile = 'exact' | 'chained' | BlockScaling;

type Product = Pick<InstructionOf<'mm'>['fields'], 'format' | 'weightFormat' | 'scaling'>;

/** The blocks that have scales, if any do. */
export const blocksOf = ({ scaling }: Pick<Product, 'scaling'>): BlockScaling | undefined => (scaling === 'outer' ? undefined : scaling);
/** The format of the weights an `mm` takes from the FIFO. */
export const weightFormatOf = ({ format, weightFormat = format }: Product): Format => weightFormat;
/** The profile of an `mm`. */
export const profileOf = (product: Product): Profile =>
  blocksOf(product) ?? (product.format === 'e4m3' && weightFormatOf(product) === 'e4m3' ? 'exact' : 'chained');
/** Whether a product runs at the rate of BF16: one of its operands is. */
export const isSlow = (product: Product): boolean => product.format === 'bf16' || weightFormatOf(product) === 'bf16';

/** Scales of blocks in memory: rows of so many, packed. */
export type Scales = { readonly format: Format; readonly columns: number; readonly rows: number };

/** Of the weights a `wld` loads, tiles of `side` x `side`: a row for each block of k. */
export const weightScales = (load: InstructionOf<'wld'>['fields'], side: number): Scales | undefined => {
  const blocks = blocksOf(load);
  if (blocks === undefined) return undefined;
  const { size, format } = blockScales[blocks];
  const columns = load.nTiles * side;
  return { format, columns: blocks === 'block' ? Math.ceil(columns / size) : columns, rows: Math.ceil((load.kTiles * side) / size) };
};

/** Of one row of activations, k elements of it. */
export const rowScales = (product: Pick<Product, 'scaling'>, k: number): Scales | undefined => {
  const blocks = blocksOf(product);
  return blocks === undefined ? undefined : { format: blockScales[blocks].format, columns: Math.ceil(k / blockScales[blocks].size), rows: 1 };
};
