import { type HostTable, hostTables, isWorklist, type StepCount, stepCounts, workEntryBytes } from './instructions.ts';

/** One sequence of a step, as the attention unit sees it: rows of the step, keys (past and new), position of its first row, its first page in the page list. */
export type WorkEntry = { readonly firstRow: number; readonly rows: number; readonly keys: number; readonly firstPosition: number; readonly firstPage: number };

/**
 * What the host writes for a step. Lists have one element a row of the step, but `samples` (one a sampled row: which row)
 * and `pages` (for every work entry its pages of the pool in order). `slots[i]` is the pool row of token i's keys,
 * page * 2 * pageRows + row within the page; its values are `pageRows` rows further on. Where pages are of latents, which
 * have no values of their own (the entry's bound `pagePlanes` is 1), it is page * pageRows + row within the page.
 */
export type StepTables = {
  readonly entry: number;
  readonly counts: Readonly<Record<StepCount, number>>;
  readonly ids: readonly number[];
  readonly positions: readonly number[];
  readonly types: readonly number[];
  readonly slots: readonly number[];
  readonly samples: readonly number[];
  readonly worklist: readonly WorkEntry[];
  readonly pages: readonly number[];
  /** As `slots`, `worklist` and `pages`, for the rows sequences attend to besides their own. Work entries: rows are the sequence's, keys and pages those of its memory. */
  readonly memorySlots: readonly number[];
  readonly memoryWorklist: readonly WorkEntry[];
  readonly memoryPages: readonly number[];
};

/** Bytes that are no step-control block. */
export class StepBlockError extends Error {
  readonly offset: number;
  constructor(offset: number, reason: string) {
    super(`step-control block, byte ${offset}: ${reason}`);
    this.name = 'StepBlockError';
    this.offset = offset;
  }
}

const magic = 0x31424353; // 'SCB1'
const version = 2;
/** magic, version, counts, entry; then offset and length of each table. All u32, little-endian. */
const entryAt = 8 + 4 * stepCounts.length;
const tablesAt = entryAt + 4;
const headerBytes = tablesAt + 8 * hostTables.length;
const workFields = ['firstRow', 'rows', 'keys', 'firstPosition', 'firstPage'] as const;

const lengthOf = (tables: StepTables, table: HostTable): number => tables[table].length * (isWorklist(table) ? workEntryBytes : 4);

/** A step as bytes: header, then the tables in the order of `hostTables`, each on a multiple of 4. */
export const encodeStepBlock = (tables: StepTables): Uint8Array => {
  const bytes = new Uint8Array(hostTables.reduce((sum, table) => sum + lengthOf(tables, table), headerBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setUint32(4, version, true);
  stepCounts.forEach((name, i) => view.setUint32(8 + 4 * i, tables.counts[name], true));
  view.setUint32(entryAt, tables.entry, true);
  let at = headerBytes;
  hostTables.forEach((table, i) => {
    view.setUint32(tablesAt + 8 * i, at, true);
    view.setUint32(tablesAt + 8 * i + 4, lengthOf(tables, table), true);
    if (isWorklist(table)) tables[table].forEach((entry, e) => workFields.forEach((field, f) => view.setUint32(at + workEntryBytes * e + 4 * f, entry[field], true)));
    else tables[table].forEach((value, v) => view.setInt32(at + 4 * v, value, true));
    at += lengthOf(tables, table);
  });
  return bytes;
};

/** Counts, entry, and each table's bytes as they stand in the block (what `hostw` copies). Throws StepBlockError. */
export const openStepBlock = (bytes: Uint8Array): { readonly entry: number; readonly counts: Readonly<Record<StepCount, number>>; readonly tables: Readonly<Record<HostTable, Uint8Array>> } => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < headerBytes) throw new StepBlockError(bytes.length, `ends within its header of ${headerBytes} bytes`);
  if (view.getUint32(0, true) !== magic) throw new StepBlockError(0, 'does not start with SCB1');
  if (view.getUint32(4, true) !== version) throw new StepBlockError(4, `has version ${view.getUint32(4, true)}, this is version ${version}`);
  const counts = Object.fromEntries(stepCounts.map((name, i) => [name, view.getUint32(8 + 4 * i, true)])) as Record<StepCount, number>;
  const tables = Object.fromEntries(
    hostTables.map((table, i) => {
      const at = tablesAt + 8 * i;
      const offset = view.getUint32(at, true);
      const length = view.getUint32(at + 4, true);
      const unit = isWorklist(table) ? workEntryBytes : 4;
      if (offset < headerBytes || offset + length > bytes.length) throw new StepBlockError(at, `\`${table}\` takes bytes ${offset} to ${offset + length} of ${bytes.length}`);
      if (length % unit !== 0) throw new StepBlockError(at + 4, `\`${table}\` has ${length} bytes, which is not a multiple of ${unit}`);
      return [table, bytes.subarray(offset, offset + length)];
    }),
  ) as Record<HostTable, Uint8Array>;
  return { entry: view.getUint32(entryAt, true), counts, tables };
};

/** The entries of a work-list table, as `openStepBlock` gives it. */
export const decodeWorklist = (table: Uint8Array): readonly WorkEntry[] => {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  return Array.from({ length: table.length / workEntryBytes }, (_, e): WorkEntry => {
    const field = (f: number): number => view.getUint32(workEntryBytes * e + 4 * f, true);
    return { firstRow: field(0), rows: field(1), keys: field(2), firstPosition: field(3), firstPage: field(4) };
  });
};

/** `decodeStepBlock(encodeStepBlock(t)) = t`. Throws StepBlockError. */
export const decodeStepBlock = (bytes: Uint8Array): StepTables => {
  const { entry, counts, tables } = openStepBlock(bytes);
  const list = (table: HostTable): readonly number[] => {
    const view = new DataView(tables[table].buffer, tables[table].byteOffset, tables[table].length);
    return Array.from({ length: tables[table].length / 4 }, (_, i) => view.getInt32(4 * i, true));
  };
  return {
    entry, counts, worklist: decodeWorklist(tables.worklist), memoryWorklist: decodeWorklist(tables.memoryWorklist),
    ids: list('ids'), positions: list('positions'), types: list('types'), slots: list('slots'), samples: list('samples'), pages: list('pages'), memorySlots: list('memorySlots'), memoryPages: list('memoryPages'),
  };
};
