import type { OpOf } from '../../ir/graph/module.ts';
import type { BufferId, Region } from '../../ir/tile/module.ts';
import type { ValueId } from '../../ir/types.ts';
import { instanceRow, type Lowering, overRows, type Place } from './lowering.ts';
import { stagedVector } from './weights.ts';
import { affine } from './writer.ts';

/** The lists the host hands over for attention, and the pages keys and values live in. */
export type AttentionSite = { readonly kv: BufferId; readonly slots: Region; readonly worklist: Region; readonly pages: Region; readonly layered: boolean };

/**
 * attention -> this step's keys and values scattered to their pages, then queries against the pages of their sequences.
 * Encoders use the same pages as scratch, so there is one path.
 */
export function lowerAttention(low: Lowering, op: OpOf<'attention'>, site: AttentionSite): void {
  const [q, k, v] = op.operands.slice(0, 3).map(low.place) as [Place, Place, Place];
  const each = op.operands.slice(3).map((value) => stagedVector(low, value));
  const [sinks, slopes] = op.attrs.sinks ? each : [undefined, ...each];
  const { write, bounds } = low;
  const { heads, kvHeads, headDim, scale, softCap, mask, window } = op.attrs;
  const poolRows = bounds.poolPages * bounds.pageRows * 2;
  const plane = (first: number): Region =>
    write.region(site.kv, site.layered ? instanceRow(low, poolRows, affine(first)) : affine(first), poolRows - first, k.columns);
  const append = (what: string, from: Place, first: number): void =>
    overRows(low, what, { reads: [from] }, ([rowsFrom], _, rows) => write.op('scatter', { skip: false }, { from: rowsFrom as Region, index: site.slots, out: plane(first) }, rows));
  append('keys', k, 0);
  append('values', v, bounds.pageRows);
  overRows(low, 'queries', { reads: [q], writes: [low.place(op.results[0] as ValueId)] }, ([queries], [out], rows) => {
    write.op('query', { heads, headDim, scale }, { q: queries as Region, worklist: site.worklist, slopes }, rows);
    write.op('attend', { mask, window, softCap, kvHeads, pageRows: bounds.pageRows }, { kv: plane(0), pages: site.pages }, rows);
    write.op('finish', {}, { sinks, out: out as Region }, rows);
  });
}
