import type { Certificate, CertifiedAccess, CertifiedBuffer } from './certificate.ts';
import type { ChipView } from './chip.ts';
import type { Effects } from './effects.ts';
import { type Extent, type Grid, gridOf, noPart, type Part, partOf } from './grid.ts';
import { copies } from './shapes.ts';
import { type Source, Tags, type Turn } from './tags.ts';
import type { Instance, Standing, Watcher } from './walk.ts';

/** A read that does not see what it should. `found`: who wrote what is there; `lost`: what wrote over the whole buffer, from another. */
export type WrongRead = {
  readonly kind: 'undefined' | 'overwritten' | 'other';
  readonly reader: Turn;
  readonly access: CertifiedAccess;
  readonly buffer: CertifiedBuffer;
  readonly part: Readonly<Part>;
  readonly found: Turn | undefined;
};

/** A drain or a product, and which ops quantised the product's operand and made the scales it is multiplied by: the same, or the result is wrong. */
export type Drain = { readonly op: number; readonly operand: number; readonly scales: number | undefined };

type Use = { readonly access: CertifiedAccess; readonly extent: Extent; readonly sources: ReadonlyMap<number, readonly Source[]>; readonly when: 'always' | 'not first' };
type Define = { readonly access: CertifiedAccess; readonly extent: Extent };
type Op = { readonly uses: readonly (Use & { readonly home: Home })[]; readonly defines: readonly (Define & { readonly home: Home })[]; readonly copies: string | undefined; readonly sums: boolean };

/** A buffer's values. `cells`: the tag of who wrote each; 0, nobody. A KV pool's rows are the host's to choose: of it, only the last of each op. */
type Home = {
  readonly buffer: CertifiedBuffer;
  readonly grid: Grid;
  readonly cells: Int32Array;
  readonly pool: Map<number, number>;
  /** Buffers that lie where this one does. */
  readonly neighbours: Home[];
  held: boolean;
  wiped: number;
};

/** Who wrote what every read sees, by the certificate's buffers, in the order of the walk: in every order, if there are no races. */
export class Values implements Watcher {
  readonly wrong: WrongRead[] = [];
  readonly drains = new Map<number, Drain>();
  /** By op that multiplies: its operand, and the scales of its blocks. */
  readonly products = new Map<number, Drain>();
  /** By op that quantises by scales it was given: who made them. */
  readonly given = new Map<number, number>();
  readonly #certificate: Certificate;
  readonly #ops: readonly (readonly (number | undefined)[])[];
  readonly #byOp: readonly Op[];
  readonly #homes: readonly (Home | undefined)[];
  readonly #tags = new Tags();
  readonly #reported = new Set<string>();
  /** What the access at hand touches. */
  readonly #part = noPart();
  readonly #cells: Cells = { r0: 0, r1: 0, c0: 0, c1: 0 };

  constructor(chip: ChipView, effects: Effects, certificate: Certificate) {
    this.#certificate = certificate;
    this.#ops = chip.queues.map(({ queue, code }) => code.map((_, pc) => certificate.opAt(queue, pc)));
    const extents = certificate.ops.map(({ queue, pc }) => {
      const site = effects[chip.queues.findIndex((view) => view.queue === queue)]![pc]!;
      return (field: string): Extent => site.effects.find((effect) => effect.field === field) ?? { windowed: 'all', firstAt: site.firstAt, rowsAt: site.rowsAt };
    });
    this.#homes = certificate.buffers.map((buffer) => homeOf(certificate, buffer, (access) => extents[access.op]!(access.field)));
    introduce(this.#homes.filter((home) => home !== undefined));
    this.#byOp = certificate.ops.map(({ queue, pc }, number) => {
      const { instruction } = effects[chip.queues.findIndex((view) => view.queue === queue)]![pc]!;
      const touches = certificate.touches[number]!.flatMap(({ buffer, access }) => {
        const home = this.#homes[buffer];
        return home === undefined ? [] : [{ home, access, extent: extents[number]!(access.field) }];
      });
      const first = instruction.op === 'mm' && instruction.fields.accumulate === 'first';
      return {
        uses: touches.filter(({ access }) => access.does !== 'defines').map((touch) => ({ ...touch, sources: sourcesOf(certificate, touch.access), when: first && touch.access.field === 'acc' ? 'not first' : 'always' })),
        defines: touches.filter(({ access }) => access.does !== 'uses'),
        sums: touches.some(({ access }) => access.field === 'acc' && access.does !== 'uses'),
        copies: instruction.op === 'coll' && (instruction.fields.kind === 'allreduce' || instruction.fields.kind === 'reducescatter') ? undefined : copies[instruction.op],
      };
    });
  }

  sees(queue: number, pc: number): boolean {
    return this.#ops[queue]![pc] !== undefined;
  }

  issued(instance: Instance): void {
    const { queue, pc, I } = instance;
    const number = this.#ops[queue]![pc]!;
    const { uses, defines, copies: copied, sums } = this.#byOp[number]!;
    let origin = number;
    let operand: number | undefined;
    let scales: number | undefined;
    let rows: number | undefined;
    let blocks: number | undefined;
    for (let u = 0; u < uses.length; u++) {
      const use = uses[u]!;
      if (use.when === 'not first' && I[3] === 0) continue;
      const tag = this.#read(use, number, I);
      if (tag === 0) continue;
      const of = this.#tags.origin(tag);
      const { field } = use.access;
      if (field === copied || field === 'a') origin = of;
      if (field === 'acc') operand = of;
      if (field === 'rowScale') scales = of;
      if (field === 'a') rows = of;
      if (field === 'scales') blocks = of;
    }
    if (rows !== undefined) note(this.products, number, rows, blocks);
    if (operand === undefined && scales !== undefined) this.given.set(number, scales);
    if (operand !== undefined && !sums) note(this.drains, number, operand, scales);
    if (defines.length === 0) return;
    const tag = this.#tags.add(number, origin, instance);
    for (let d = 0; d < defines.length; d++) {
      const { home, access, extent } = defines[d]!;
      partOf(access, extent, home.grid.depth, I, this.#part);
      this.#write(home, tag, number);
    }
  }

  /** The tag of the first cell read; 0 if there is none. */
  #read(use: Use & { readonly home: Home }, op: number, I: readonly number[]): number {
    const { home, access, extent } = use;
    partOf(access, extent, home.grid.depth, I, this.#part);
    if (home.buffer.role === 'kv') {
      for (const [from] of access.from) this.#judge(use, op, I, home.pool.get(from) ?? 0);
      return 0;
    }
    let first = 0;
    let last = -1;
    const width = home.grid.columns.size;
    cellsOf(home.grid, this.#part, this.#cells);
    const { r0, r1, c0, c1 } = this.#cells;
    for (let r = r0; r < r1; r++) {
      for (let cell = r * width + c0; cell < r * width + c1; cell++) {
        const tag = home.cells[cell]!;
        if (tag === last) continue;
        last = tag;
        if (first === 0) first = tag;
        if (!this.#judge(use, op, I, tag)) return 0;
      }
    }
    return first;
  }

  #judge({ home, access, sources }: Use & { readonly home: Home }, op: number, I: readonly number[], tag: number): boolean {
    if (tag === 0 && home.buffer.role === 'input' && home.wiped === 0) return true;
    const meant = tag === 0 ? undefined : sources.get(this.#tags.op(tag));
    if (meant !== undefined) for (let s = 0; s < meant.length; s++) if (this.#tags.isFrom(tag, meant[s]!, I)) return true;
    const key = `${op} ${access.field} ${tag === 0 ? undefined : this.#tags.op(tag)}`;
    if (this.#reported.has(key)) return false;
    this.#reported.add(key);
    const found = tag === 0 ? home.wiped : tag;
    this.wrong.push({
      kind: tag !== 0 ? 'other' : found === 0 ? 'undefined' : 'overwritten', reader: { op, I: [...I] }, access, buffer: home.buffer, part: { ...this.#part },
      found: found === 0 ? undefined : this.#tags.turn(found),
    });
    return false;
  }

  #write(home: Home, tag: number, op: number): void {
    for (let n = 0; n < home.neighbours.length; n++) {
      const other = home.neighbours[n]!;
      if (!other.held) continue;
      other.cells.fill(0);
      other.held = false;
      other.wiped = tag;
    }
    home.held = true;
    if (home.buffer.role === 'kv') {
      home.pool.set(op, tag);
      return;
    }
    const width = home.grid.columns.size;
    cellsOf(home.grid, this.#part, this.#cells);
    const { r0, r1, c0, c1 } = this.#cells;
    for (let r = r0; r < r1; r++) home.cells.fill(tag, r * width + c0, r * width + c1);
  }

  state(standing: Standing): string {
    const names = new Map<number, string>([[0, '-']]);
    const nameOf = (tag: number): string => {
      const name = names.get(tag) ?? this.#tags.name(tag, standing);
      names.set(tag, name);
      return name;
    };
    let text = '';
    for (const home of this.#homes) {
      if (home === undefined || !home.held) continue;
      text += `;${[...home.pool.values()].map(nameOf).join(' ')}`;
      let last = -1;
      home.cells.forEach((tag, cell) => {
        if (tag === last) return;
        text += ` ${cell}=${nameOf(tag)}`;
        last = tag;
      });
    }
    return text;
  }

  skip(by: number, standing: Standing): void {
    const tags = new Set<number>();
    for (const home of this.#homes) {
      home?.cells.forEach((tag) => tags.add(tag));
      home?.pool.forEach((tag) => tags.add(tag));
    }
    tags.delete(0);
    for (const tag of tags) this.#tags.skip(tag, by, standing);
  }

  get certificate(): Certificate {
    return this.#certificate;
  }

  /** Buffers whose values were not followed: they are in too many parts. */
  get unfollowed(): readonly CertifiedBuffer[] {
    return this.#certificate.buffers.filter((buffer, number) => !isThere(buffer) && this.#homes[number] === undefined);
  }
}

const isThere = ({ role }: CertifiedBuffer): boolean => role === 'weights' || role === 'pipe';

/** Most cells of a buffer that are worth following. */
const cellsMax = 4_000_000;

/** Undefined for what is there from the start (weights, rows to hand on), and for what has too many parts to follow. */
function homeOf(certificate: Certificate, buffer: CertifiedBuffer, extentOf: (access: CertifiedAccess) => Extent): Home | undefined {
  if (isThere(buffer)) return undefined;
  const nothing: Grid = { depth: 1, rows: new Map(), columns: new Map() };
  const grid = buffer.role === 'kv' ? nothing : gridOf(certificate, buffer.accesses.map((access) => ({ access, extent: extentOf(access) })), Math.max(1, buffer.depth));
  if (grid === undefined || grid.depth * grid.rows.size * grid.columns.size > cellsMax) return undefined;
  return { buffer, grid, cells: new Int32Array(grid.depth * grid.rows.size * grid.columns.size), pool: new Map(), neighbours: [], held: buffer.role === 'input', wiped: 0 };
}

/** Makes homes that share memory known to each other. */
function introduce(homes: readonly Home[]): void {
  for (let i = 0; i < homes.length; i++) {
    const home = homes[i]!;
    for (let j = 0; j < i; j++) {
      const other = homes[j]!;
      if (!sharesMemory(home.buffer, other.buffer)) continue;
      home.neighbours.push(other);
      other.neighbours.push(home);
    }
  }
}

const sharesMemory = (a: CertifiedBuffer, b: CertifiedBuffer): boolean => a.space === b.space && a.base === b.base && a.at < b.at + b.size && b.at < a.at + a.size;

/** Rows of cells [r0, r1), counted through all slots, and of each the cells [c0, c1). */
type Cells = { r0: number; r1: number; c0: number; c1: number };

/** A part as cells. */
function cellsOf({ rows, columns }: Grid, { slot, row, rowEnd, column, columnEnd }: Part, cells: Cells): void {
  const nothing = rowEnd <= row || columnEnd <= column;
  const first = slot * rows.size;
  cells.r0 = first + (nothing ? 0 : rows.get(row)!);
  cells.r1 = first + (nothing ? 0 : rows.get(rowEnd)!);
  cells.c0 = columns.get(column)!;
  cells.c1 = columns.get(columnEnd)!;
}

/** Notes what an op works on, if it is not known yet. */
function note(drains: Map<number, Drain>, op: number, operand: number, scales: number | undefined): void {
  const known = drains.get(op);
  if (known === undefined || known.operand !== operand || known.scales !== scales) drains.set(op, { op, operand, scales });
}

function sourcesOf(certificate: Certificate, access: CertifiedAccess): ReadonlyMap<number, readonly Source[]> {
  const mine = certificate.around[access.op]!;
  const byOp = new Map<number, Source[]>();
  for (const [from, carried] of access.from) {
    const common = mine.filter(({ first, last }) => first <= from && from <= last).map(({ level }) => level);
    byOp.set(from, [...(byOp.get(from) ?? []), { common, carried }]);
  }
  return byOp;
}
