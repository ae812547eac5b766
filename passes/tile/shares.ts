import { type Format, formatBytes } from '../../isa-spec/fields.ts';
import { shareOf } from '../../isa-spec/groups.ts';
import { allOps, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import type { Region, RowBound } from '../../ir/tile/module.ts';
import type { TensorType, ValueId } from '../../ir/types.ts';
import { isWorthSharing } from '../plan/shares.ts';
import { blocksIn, collectScales, moveScales, quantisePieces, scaleColumns } from './blocks.ts';
import { bufferOf, bytesPassing, listBuffer, type Lowering, overRows, type Passing, rowLimit, rowTiling, wholeList } from './lowering.ts';
import { normOf } from './rows.ts';
import { affine } from './writer.ts';

/** What whole rows are gathered for, if it is codes: a norm, if there is one, and the quantiser. */
type Codes = { readonly norm: OpOf<'norm'> | undefined; readonly quantise: OpOf<'quantise'> };

/** Counts of rows registers have room for, those of a share beside those they are shares of. */
const countsMax = 31;

/**
 * allgather, norm and quantise of what chips have in columns, each chip doing its share of the rows: columns of all rows are exchanged for whole rows of the share;
 * these are normed and quantised; codes and scales of all shares are collected. The numbers are those of one chip, as every row is whole where it is worked on.
 * False, and nothing is written, where whole rows are wanted as they are, or a share each is not worth it.
 */
export function lowerShared(low: Lowering, op: OpOf<'allgather'>): boolean {
  const { parts } = op.attrs;
  const made = codesOf(low, op);
  if (made === undefined || 2 * low.homes.parts.length + 4 > countsMax) return false;
  const { norm, quantise } = made;
  const from = low.place(op.operands[0] as ValueId);
  const [codes, scales] = quantise.results as [ValueId, ValueId];
  const to = low.place(codes);
  const { columns } = to;
  const [format, codeFormat] = [bufferOf(low, from.buffer).format, bufferOf(low, to.buffer).format];
  const { blocks } = quantise.attrs;
  const codeBytes = columns * formatBytes[codeFormat] + (blocks ? blocksIn(columns) : 1) * formatBytes.f32;
  // Whole rows of the share wait for their turn in SRAM.
  if (shareOf(rowLimit(low, from.of), parts) * columns * formatBytes[format] > low.homes.stageBytes) return false;
  if (!isWorthSharing({ rows: rowLimit(low, from.of), parts, columns, columnBytes: from.columns * formatBytes[format], codeBytes }, low.machine)) return false;

  const { write } = low;
  const name = (what: string): string => `${what}.${codes}.share`;
  const tags = { exchange: low.tag(), codes: low.tag(), scales: low.tag() };
  const toNormed = norm === undefined ? undefined : normOf(low, norm);
  const shared = (what: string, of: Format, wide: number): Passing => ({ name: name(what), format: of, columns: wide, shared: parts });
  const found = blocks ? low.place(scales) : undefined;
  const isFar = found !== undefined && bufferOf(low, found.buffer).space === 'hbm';
  const passing: readonly Passing[] = [
    shared('codes', codeFormat, columns),
    ...(norm === undefined ? [] : [shared('normed', (low.module.types[norm.results[0] as ValueId] as TensorType).dtype as Format, columns)]),
    ...(found === undefined ? [] : [shared('scales', 'f32', scaleColumns(columns, low.pieces))]),
    ...(isFar ? [{ name: `${bufferOf(low, found.buffer).name}.stage`, format: 'f32' as const, columns: found.columns }] : []),
  ];
  const tiling = rowTiling(low, 'rows', from.of, bytesPassing(low, [from, to], passing), parts);
  const shareRows = shareOf(tiling.rowTile, parts);
  const share = (rows: RowBound): RowBound => ({ ...rows, max: shareRows, shared: parts });
  const whole = write.region(write.buffer({ name: name('whole'), space: 'sram', role: 'stage', format, rows: shareRows * tiling.rowTiles, columns }), affine(0, 0, shareRows), shareRows, columns);
  overRows(low, 'rows', { reads: [from], tiling }, ([x], _, rows) => write.op('exchange', { parts, tag: tags.exchange }, { from: x as Region, out: whole }, rows));
  overRows(low, 'rows', { writes: [to], passing, tiling }, (_, [out], rows, home, [own, ...others]) => {
    const normed = toNormed === undefined ? whole : (others.shift() as Region);
    toNormed?.(whole, normed, share(rows));
    const collect = (): void => write.op('collect', { parts, tag: tags.codes }, { from: own as Region, out: out as Region }, rows);
    if (found === undefined) {
      const list = wholeList(write, listBuffer(write, name('scale'), 'f32', shareRows * tiling.rowTiles));
      write.op('quantise', {}, { x: normed, out: own as Region, rowScale: list }, share(rows));
      collect();
      write.op('collectList', { parts, tag: tags.scales }, { from: list, out: low.list(scales) }, rows);
      return;
    }
    const [ownScales, staged] = others as [Region, Region | undefined];
    const there = home(found);
    const local = staged ?? there;
    quantisePieces(low, { x: normed, out: own as Region, scales: ownScales }, share(rows));
    collect();
    collectScales(low, { from: ownScales, out: local }, { columns, rows, parts, tag: tags.scales });
    if (local !== there) moveScales(low, 'store', { from: local, out: there }, { columns, rows });
  });
  for (const done of [norm, quantise]) if (done !== undefined) low.done.add(done);
  return true;
}

/** What whole rows become before anybody else reads them, if it is codes. */
function codesOf(low: Lowering, { attrs, results }: OpOf<'allgather'>): Codes | undefined {
  if (attrs.strips > 1) return undefined;
  const next = soleReader(low, results[0] as ValueId);
  const norm = next?.kind === 'norm' ? next : undefined;
  const quantise = norm === undefined ? next : soleReader(low, norm.results[0] as ValueId);
  return quantise?.kind === 'quantise' ? { norm, quantise } : undefined;
}

/** The op that reads a value, if it is the only one. */
function soleReader({ module }: Lowering, value: ValueId): GraphOp | undefined {
  const ops = [...allOps(module.body)];
  const readers = ops.filter(({ operands, body }) => operands.includes(value) || body?.yields.includes(value));
  return readers.length === 1 && !module.body.yields.includes(value) ? readers[0] : undefined;
}
