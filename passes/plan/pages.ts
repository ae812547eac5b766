import type { GraphModule } from '../../ir/graph/module.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { keyBlock } from './cycles.ts';

/** Rows of a page that are looked at. Of fewer than 16 the host has a list longer than what it saves. */
export const pageSizes = [16, 32, 64, 128, 256] as const;

/** Planes of a page: keys and values. */
const planes = 2;

/**
 * Pages of `rows` keys and values: the bytes of them that lie in a row as attention reads them (no more than a context has), the share of HBM's rate such runs reach, bytes a chip keeps that nobody uses (of each sequence half
 * its last page, on an average), and of the lists of pages a step brings.
 */
export type Pages = { readonly rows: number; readonly runBytes: number; readonly efficiency: number; readonly idleBytes: number; readonly listBytes: number };

/** What pages hold: contexts of `context` tokens of so many `sequences` a step, in as many steps as there are `stages`; keys and values of `elementBytes`. */
export type Paged = { readonly context: number; readonly sequences: number; readonly stages: number; readonly elementBytes: number };

/** Pages of every size, or of one, best first: those that attention reads fastest; of these that leave least idle. */
export function pagesOf({ caches }: Pick<GraphModule, 'caches'>, machine: Machine, { context, sequences, stages, elementBytes }: Paged, sizes: readonly number[] = pageSizes): readonly Pages[] {
  const line = machine.sram.lineBytes.value;
  const pitches = caches.map(({ layers, kvHeads, headDim }) => ({ layers, pitch: Math.ceil((kvHeads * headDim * elementBytes) / line) * line }));
  const narrowest = Math.min(...pitches.map(({ pitch }) => pitch));
  const rowBytes = pitches.reduce((sum, { layers, pitch }) => sum + (planes * layers * pitch) / stages, 0);
  return sizes
    .map((rows): Pages => {
      const runBytes = caches.length === 0 ? 0 : runOf(Math.min(rows, context), narrowest);
      return { rows, runBytes, efficiency: efficiencyOf(machine, runBytes), idleBytes: (rows / 2) * rowBytes * sequences * stages, listBytes: sequences * Math.ceil(context / rows) * formatBytes.i32 };
    })
    .toSorted((a, b) => b.efficiency - a.efficiency || a.idleBytes + a.listBytes - (b.idleBytes + b.listBytes) || a.rows - b.rows);
}

/** The bytes in a row that attention reads: both planes of a page, or, of long ones, a block of keys. */
export const runOf = (pageRows: number, pitch: number): number => pitch * (pageRows > keyBlock ? keyBlock : planes * pageRows);

/** The share of HBM's rate that runs of so many bytes reach. */
export function efficiencyOf({ hbm: { efficiency } }: Machine, runBytes: number): number {
  return (efficiency.find((row) => runBytes >= row.runBytes) ?? efficiency.at(-1))?.fraction.value ?? 1;
}
