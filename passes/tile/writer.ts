import type { Origin } from '../../diagnostics/diagnostic.ts';
import type { Affine, Buffer, BufferId, Region, RowBound, TileLoop, TileNode, TileOpOf } from '../../ir/tile/module.ts';
import type { TileAttrs, TileKind } from '../../ir/tile/ops.ts';

/** An affine position: `base` plus steps of loop levels 0 to 3. */
export const affine = (base: number, layer = 0, row = 0, group = 0, chunk = 0): Affine => ({ base, steps: [layer, row, group, chunk] });
const zero: Affine = affine(0);

/** The same position, further on. */
export const shift = (at: Affine, by: number): Affine => ({ base: at.base + by, steps: at.steps });

/** A position so many times as far. */
export const times = ({ base, steps }: Affine, by: number): Affine => ({ base: base * by, steps: steps.map((step) => step * by) as unknown as Affine['steps'] });

/** Two positions added. */
export const add = (a: Affine, b: Affine): Affine => ({ base: a.base + b.base, steps: a.steps.map((step, i) => step + (b.steps[i] as number)) as unknown as Affine['steps'] });

/** Writes a tile program: buffers, then nodes in order, loops nested. */
export class TileWriter {
  readonly buffers: Buffer[] = [];
  #nodes: TileNode[] = [];
  readonly #first: TileNode[] = [];
  #label = '';
  #origin: Origin = { kind: 'none' };

  /** What the ops from here on do part of. */
  label(label: string, origin: Origin): void {
    this.#label = label;
    this.#origin = origin;
  }

  buffer(buffer: Omit<Buffer, 'depth' | 'packing'> & Partial<Pick<Buffer, 'depth' | 'packing'>>): BufferId {
    this.buffers.push({ depth: 1, packing: undefined, ...buffer });
    return (this.buffers.length - 1) as BufferId;
  }

  /** A region of a buffer; columns from the first unless said. The buffer grows to hold `reach` rows. */
  region(buffer: BufferId, row: Affine, rows: number, columns: number, at: { column?: Affine; slot?: Affine; reach?: number } = {}): Region {
    const known = this.buffers[buffer] as Buffer;
    if ((at.reach ?? 0) > known.rows) this.buffers[buffer] = { ...known, rows: at.reach ?? 0 };
    return { buffer, slot: at.slot ?? zero, row, column: at.column ?? zero, rows, columns };
  }

  op<K extends TileKind>(kind: K, attrs: TileAttrs[K], regions: TileOpOf<K>['regions'], rows: RowBound): void {
    this.#nodes.push({ kind, attrs, regions, rows, label: this.#label, origin: this.#origin } as unknown as TileNode);
  }

  /** Repeats what `body` writes; once or never needs no loop. */
  loop(level: TileLoop['level'], name: string, count: number, body: () => void): void {
    if (count === 0) return;
    if (count === 1) return body();
    const outer = this.#nodes;
    this.#nodes = [];
    body();
    outer.push({ kind: 'loop', level, name, count, body: this.#nodes });
    this.#nodes = outer;
  }

  /** Writes an op that comes before all others, once: what it makes is there for the whole step. */
  first<K extends TileKind>(label: string, kind: K, attrs: TileAttrs[K], regions: TileOpOf<K>['regions'], rows: RowBound): void {
    this.#first.push({ kind, attrs, regions, rows, label, origin: { kind: 'none' } } as unknown as TileNode);
  }

  get nodes(): readonly TileNode[] {
    return [...this.#first, ...this.#nodes];
  }
}
