import type { Origin } from '../../diagnostics/diagnostic.ts';
import { type Affine, type Buffer, type BufferId, isLoop, type Region, type RowBound, type RowPart, type TileLoop, type TileNode, type TileOpOf } from '../../ir/tile/module.ts';
import type { TileAttrs, TileKind } from '../../ir/tile/ops.ts';
import { ringMost } from '../plan/matmul.ts';

/** An affine position: `base` plus steps of loop levels 0 to 3. */
export const affine = (base: number, layer = 0, row = 0, group = 0, chunk = 0): Affine => ({ base, steps: [layer, row, group, chunk] });
const zero: Affine = affine(0);

/** The same position, further on. */
export const shift = (at: Affine, by: number): Affine => ({ base: at.base + by, steps: at.steps });

/** A position so many times as far. */
export const times = ({ base, steps }: Affine, by: number): Affine => ({ base: base * by, steps: steps.map((step) => step * by) as unknown as Affine['steps'] });

/** Two positions added. */
export const add = (a: Affine, b: Affine): Affine => ({ base: a.base + b.base, steps: a.steps.map((step, i) => step + (b.steps[i] as number)) as unknown as Affine['steps'] });

/** A ring that what is brought goes through, in turn; `next`: the slot it goes to, counting on. */
type Ring = { readonly buffer: BufferId; next: number };

/** Writes a tile program: buffers, then nodes in order, loops nested. */
export class TileWriter {
  readonly buffers: Buffer[] = [];
  #nodes: TileNode[] = [];
  readonly #first: TileNode[] = [];
  #label = '';
  #origin: Origin = { kind: 'none' };
  /** The rows of the step the ops from here on work on; undefined: all. */
  part: RowPart | undefined;
  readonly #weights = new Map<string, BufferId>();
  readonly #rings = new Map<string, Ring>();

  /** What the ops from here on do part of, and on which of the step's rows. */
  label(label: string, origin: Origin, part?: RowPart): void {
    this.#label = label;
    this.#origin = origin;
    this.part = part;
  }

  /** What ops written now are part of. */
  get labelled(): string {
    return this.#label;
  }

  /** A new buffer; of weights packed alike the one there is. */
  buffer(buffer: Omit<Buffer, 'depth' | 'packing'> & Partial<Pick<Buffer, 'depth' | 'packing'>>): BufferId {
    const made = (): BufferId => (this.buffers.push({ depth: 1, packing: undefined, ...buffer }) - 1) as BufferId;
    if (buffer.role !== 'weights') return made();
    const key = JSON.stringify(buffer);
    const id = this.#weights.get(key) ?? made();
    this.#weights.set(key, id);
    return id;
  }

  /** The ring of a name, and its next `count` slots: the first of them. In the layer loop each turn goes on where the one before ended. */
  slots(name: string, count: number, made: () => Omit<Buffer, 'name' | 'space' | 'role' | 'packing'> & { readonly space?: 'acc' }): { readonly buffer: BufferId; readonly first: number } {
    const ring: Ring = this.#rings.get(name) ?? { buffer: this.buffer({ name, space: 'sram', role: 'ring', ...made() }), next: 0 };
    this.#rings.set(name, ring);
    const first = ring.next;
    ring.next += count;
    return { buffer: ring.buffer, first };
  }

  /** Makes the rows of a buffer no shorter than `columns`. */
  widen(buffer: BufferId, columns: number): void {
    const known = this.buffers[buffer] as Buffer;
    if (columns > known.columns) this.buffers[buffer] = { ...known, columns };
  }

  /** A region of a buffer; columns from the first unless said. The buffer grows to hold `reach` rows. */
  region(buffer: BufferId, row: Affine, rows: number, columns: number, at: { column?: Affine; slot?: Affine; reach?: number } = {}): Region {
    const known = this.buffers[buffer] as Buffer;
    if ((at.reach ?? 0) > known.rows) this.buffers[buffer] = { ...known, rows: at.reach ?? 0 };
    return { buffer, slot: at.slot ?? zero, row, column: at.column ?? zero, rows, columns };
  }

  op<K extends TileKind>(kind: K, attrs: TileAttrs[K], regions: TileOpOf<K>['regions'], rows: RowBound): void {
    const part = rows.of === 'tokens' && this.part !== undefined ? { part: this.part } : {};
    this.#nodes.push({ kind, attrs, regions, rows: { ...rows, ...part }, label: this.#label, origin: this.#origin } as unknown as TileNode);
  }

  /** Repeats what `body` writes; once or never needs no loop. */
  loop(level: TileLoop['level'], name: string, count: number, body: () => void): void {
    if (count === 0) return;
    if (count === 1) return body();
    const outer = this.#nodes;
    this.#nodes = [];
    const before = new Map([...this.#rings.values()].map((ring) => [ring, ring.next]));
    body();
    outer.push({ kind: 'loop', level, name, count, body: level === 0 ? this.#goOn(before, count) : this.#nodes });
    this.#nodes = outer;
  }

  /** Writes an op that comes before all others, once: what it makes is there for the whole step. */
  first<K extends TileKind>(label: string, kind: K, attrs: TileAttrs[K], regions: TileOpOf<K>['regions'], rows: RowBound): void {
    this.#first.push({ kind, attrs, regions, rows, label, origin: { kind: 'none' } } as unknown as TileNode);
  }

  /** The nodes of a layer loop, in whose every turn rings go on from where they were. */
  #goOn(before: ReadonlyMap<Ring, number>, count: number): readonly TileNode[] {
    const taken = new Map<BufferId, number>();
    for (const ring of this.#rings.values()) {
      const first = before.get(ring) ?? 0;
      const round = roundOf(ring.next - first, (this.buffers[ring.buffer] as Buffer).depth);
      taken.set(ring.buffer, round);
      ring.next = first + count * round;
    }
    const moved = (nodes: readonly TileNode[]): readonly TileNode[] => nodes.map((node) => {
      if (isLoop(node)) return { ...node, body: moved(node.body) };
      const regions = Object.entries(node.regions as Readonly<Record<string, Region | undefined>>).map(([name, region]) => {
        const by = region === undefined || this.buffers[region.buffer]?.depth === 1 ? undefined : taken.get(region.buffer);
        return [name, region === undefined || by === undefined ? region : { ...region, slot: { base: region.slot.base, steps: [by, ...region.slot.steps.slice(1)] } }];
      });
      return { ...node, regions: Object.fromEntries(regions) } as TileNode;
    });
    return moved(this.#nodes);
  }

  get nodes(): readonly TileNode[] {
    return [...this.#first, ...this.#nodes];
  }
}

/**
 * Slots that a turn of the layer loop goes on by in a ring of which it fills so many: as many as bring it back to where it began, if that leaves out no more than a third
 * of the ring and a semaphore counts those left out beside the others. Then all turns are alike, and who looks at a few of them (the verifier) has seen all.
 */
function roundOf(filled: number, depth: number): number {
  const left = Math.ceil(filled / depth) * depth - filled;
  return left <= Math.min(depth / 3, ringMost - depth) ? filled + left : filled;
}
