import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { blockScales } from '../../isa-spec/numerics-scales.ts';
import { allOps, type OpOf } from '../../ir/graph/module.ts';
import type { Affine, Region, RowBound } from '../../ir/tile/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Lowering } from './lowering.ts';
import { add, affine, times } from './writer.ts';

/**
 * How the scales of rows scaled in blocks lie in memory. A product takes a piece of k at a time, and whoever quantises a row makes a piece of it at a
 * time; both find a piece's scales on a line. So a row of scales is those of its pieces, each padded to lines.
 */
export type Pieces = { readonly columns: number; readonly scales: number };

/** Pieces of so many columns. */
export function piecesOf(machine: Machine, columns: number): Pieces {
  const line = machine.sram.lineBytes.value / formatBytes.f32;
  return { columns, scales: Math.ceil(blocksIn(columns) / line) * line };
}

/** The pieces of what chips have in strips: a strip each. */
export const stripPieces = ({ columns, scales }: Pieces, parts: number): Pieces => ({ columns: columns / parts, scales });

/** Columns of the scales of rows of so many columns. */
export const scaleColumns = (columns: number, pieces: Pieces): number => Math.ceil(columns / pieces.columns) * pieces.scales;

export const blocksIn = (columns: number): number => Math.ceil(columns / blockScales.block.size);

/** Rows, what they are quantised to, and the scales of their blocks, from a piece's first column on. */
export type Quantised = { readonly x: Region; readonly out: Region; readonly scales: Region };

/** Quantises rows in blocks, piece by piece; so many of the first `ahead`, for who does not wait for the others. */
export function quantisePieces(low: Lowering, { x, out, scales }: Quantised, rows: RowBound, pieces = low.pieces, ahead = 0): void {
  eachPiece(low, pieces, x.columns, (first, scale, columns) =>
    low.write.op('quantiseBlocks', {}, { x: part(x, first, columns), out: part(out, first, columns), scales: part(scales, scale, blocksIn(columns)) }, rows), ahead,
  );
}

/** Moves the scales of rows of so many columns, piece by piece: between pieces is nothing. */
export function moveScales(low: Lowering, kind: 'load' | 'store', { from, out }: { readonly from: Region; readonly out: Region }, { columns: all, rows }: { readonly columns: number; readonly rows: RowBound }, pieces = low.pieces): void {
  eachPiece(low, pieces, all, (_, scale, columns) => low.write.op(kind, {}, { from: part(from, scale, blocksIn(columns)), out: part(out, scale, blocksIn(columns)) }, rows));
}

/** Collects the scales of rows of so many columns from the chips that share them, piece by piece. */
export function collectScales(low: Lowering, { from, out }: { readonly from: Region; readonly out: Region }, { columns: all, rows, parts, tag }: { readonly columns: number; readonly rows: RowBound; readonly parts: number; readonly tag: number }): void {
  eachPiece(low, low.pieces, all, (_, scale, columns) => low.write.op('collect', { parts, tag }, { from: part(from, scale, blocksIn(columns)), out: part(out, scale, blocksIn(columns)) }, rows));
}

/** Writes `body` for the pieces of a row: its first column, that of its scales, and its columns. */
function eachPiece(low: Lowering, { columns: size, scales }: Pieces, columns: number, body: (first: Affine, scale: Affine, columns: number) => void, ahead = 0): void {
  const full = Math.floor(columns / size);
  const piece = (index: Affine, of: number): void => body(times(index, size), times(index, scales), of);
  const run = (from: number, count: number): void => low.write.loop(3, 'pieces', count, () => piece(affine(from, 0, 0, 0, count > 1 ? 1 : 0), size));
  const first = Math.min(ahead, full);
  run(0, first);
  run(first, full - first);
  if (full * size < columns) piece(affine(full), columns - full * size);
}

/** Gathers columns that are strips from all chips, so that each is a piece of the rows they make: of codes or other values, or of their scales. */
export function gatherStrips(low: Lowering, { from, out }: { readonly from: Region; readonly out: Region }, { strips, parts, tag, isScales, rows }: { readonly strips: number; readonly parts: number; readonly tag: number; readonly isScales: boolean; readonly rows: RowBound }): void {
  const own = isScales ? low.pieces.scales : from.columns / strips;
  const whole = isScales ? low.pieces.scales : own * parts;
  const taken = isScales ? blocksIn(low.pieces.columns / parts) : own;
  low.write.loop(3, 'strips', strips, () => {
    const strip = affine(0, 0, 0, 0, strips > 1 ? 1 : 0);
    low.write.op('allgather', { parts, tag }, { from: part(from, times(strip, own), taken), out: part(out, times(strip, whole), taken * parts) }, rows);
  });
}

/** Columns of a region. */
export const part = (region: Region, from: Affine, columns: number): Region => ({ ...region, column: add(region.column, from), columns });

/** The op that quantises a value, by rows or in blocks, if nobody else reads the value. */
export function soleQuantiser({ module }: Lowering, value: ValueId, blocks: boolean): OpOf<'quantise'> | undefined {
  const ops = [...allOps(module.body)];
  const readers = ops.filter(({ operands, body }) => operands.includes(value) || body?.yields.includes(value));
  const [op] = readers;
  return readers.length === 1 && op?.kind === 'quantise' && op.attrs.blocks === blocks && !module.body.yields.includes(value) ? op : undefined;
}

/** The op that gathers a value in strips, if one does. */
export function stripGather({ module }: Lowering, value: ValueId): OpOf<'allgather'> | undefined {
  for (const op of allOps(module.body)) if (op.kind === 'allgather' && op.operands[0] === value && op.attrs.strips > 1) return op;
  return undefined;
}

/** The pieces of codes: strips, if they are gathered so. */
export function piecesOfCodes(low: Lowering, codes: ValueId): Pieces {
  const gather = stripGather(low, codes);
  return gather === undefined ? low.pieces : stripPieces(low.pieces, gather.attrs.parts);
}
