import type { Format } from '../../../isa-spec/fields.ts';
import { type HostTable, isWorklist, workEntryBytes } from '../../../isa-spec/instructions.ts';
import type { StepTables } from '../../../isa-spec/step-block.ts';
import type { Affine, Buffer, BufferId, Region, RowBound, TileModule } from '../module.ts';

/** The rows of a buffer that have been touched, as values; the others are NaN. Row `slot * rows + row` has `columns` elements. */
export type Rows = Map<number, Float64Array>;

/** What lasts from one step to the next: the pages of every KV buffer. */
export type TileState = { readonly pages: Map<BufferId, Rows> };
export const freshState = (): TileState => ({ pages: new Map() });

/** Memory outside the program: weights and inputs by row, lazily, decoded; the length of a line, which packed parameters are padded to; the caches. */
export type TileMemory = { readonly fill: (buffer: Buffer) => (row: number) => Float64Array; readonly lineBytes: number; readonly state: TileState };

/** A region at the current loop indices: `row(i)` is its i-th row, shared with the buffer. */
export type View = { readonly format: Format; readonly rows: number; readonly columns: number; readonly row: (i: number) => Float64Array };

/** Rows of the step a windowed op works on: `count` rows from row `first`. */
export type Window = { readonly first: number; readonly count: number };

/** A chip's memories while a step runs, and the loop indices regions are taken at. */
export class Memories {
  readonly I: [number, number, number, number] = [0, 0, 0, 0];
  readonly lineBytes: number;
  readonly step: StepTables;
  readonly #module: TileModule;
  readonly #memory: TileMemory;
  readonly #rows = new Map<BufferId, Rows>();
  readonly #fills = new Map<BufferId, (row: number) => Float64Array>();

  constructor(module: TileModule, step: StepTables, memory: TileMemory) {
    this.#module = module;
    this.#memory = memory;
    this.step = step;
    this.lineBytes = memory.lineBytes;
  }

  at({ base, steps }: Affine): number {
    const { I } = this;
    return base + steps[0] * I[0] + steps[1] * I[1] + steps[2] * I[2] + steps[3] * I[3];
  }

  buffer(id: BufferId): Buffer {
    return this.#module.buffers[id] as Buffer;
  }

  /** Law of row bounds: `min(max, max(0, N - max * I[1]))` rows from row `max * I[1]`; `all`: N is unbounded; N of a part: min(its rows, what the step has beyond its first); of a share: N divided, rounded up. */
  window({ max, of, part, shared = 1 }: RowBound): Window {
    const first = max * this.I[1];
    if (of === 'all') return { first, count: max };
    const count = this.step.counts[of];
    const bound = part === undefined ? count : Math.min(part.rows, Math.max(0, count - part.first));
    return { first, count: Math.min(max, Math.max(0, Math.ceil(bound / shared) - first)) };
  }

  view(region: Region): View {
    const buffer = this.buffer(region.buffer);
    const { rows, columns } = region;
    const slot = ((this.at(region.slot) % buffer.depth) + buffer.depth) % buffer.depth;
    const first = this.at(region.row);
    const column = this.at(region.column);
    if (first < 0 || first + rows > buffer.rows || column < 0 || column + columns > buffer.columns)
      throw new RangeError(`rows ${first} to ${first + rows}, columns ${column} to ${column + columns} of \`${buffer.name}\`, which is ${buffer.rows} x ${buffer.columns}`);
    const whole = column === 0 && columns === buffer.columns;
    return {
      format: buffer.format, rows, columns,
      row: (i) => {
        if (!(i >= 0 && i < rows)) throw new RangeError(`row ${i} of ${rows} rows of \`${buffer.name}\``);
        const values = this.#row(region.buffer, buffer, slot * buffer.rows + first + i);
        return whole ? values : values.subarray(column, column + columns);
      },
    };
  }

  #row(id: BufferId, buffer: Buffer, index: number): Float64Array {
    const rows = this.#rowsOf(id, buffer);
    const known = rows.get(index);
    if (known !== undefined) return known;
    const isBrought = buffer.space === 'hbm' && (buffer.role === 'weights' || buffer.role === 'input');
    if (isBrought) return this.#brought(id, buffer, index);
    const made = new Float64Array(buffer.columns).fill(NaN);
    rows.set(index, made);
    return made;
  }

  /** A weight row is asked for each time it is read: weights are large, and whoever fills them knows what to keep. */
  #brought(id: BufferId, buffer: Buffer, index: number): Float64Array {
    const fill = this.#fills.get(id) ?? this.#memory.fill(buffer);
    this.#fills.set(id, fill);
    const values = fill(index);
    if (values.length !== buffer.columns) throw new RangeError(`row ${index} of \`${buffer.name}\` was filled with ${values.length} values, it has ${buffer.columns}`);
    return values;
  }

  #rowsOf(id: BufferId, buffer: Buffer): Rows {
    const all = buffer.role === 'kv' ? this.#memory.state.pages : this.#rows;
    const rows = all.get(id) ?? new Map<number, Float64Array>();
    all.set(id, rows);
    return rows;
  }
}

/** 4-byte words of a work-list entry. */
export const entryWords = workEntryBytes / 4;

/** A host table as the 4-byte words the control queue copies. */
export function wordsOf(step: StepTables, table: HostTable): readonly number[] {
  if (!isWorklist(table)) return step[table];
  return step[table].flatMap(({ firstRow, rows, keys, firstPosition, firstPage }) => {
    const used = [firstRow, rows, keys, firstPosition, firstPage];
    return [...used, ...Array.from({ length: entryWords - used.length }, () => 0)];
  });
}
