import type { Certificate, CertifiedAccess, CertifiedBuffer } from './certificate.ts';
import type { ChipView } from './chip.ts';
import type { Effects } from './effects.ts';
import { type Extent, type Grid, gridOf, type Part, partOf } from './grid.ts';
import { copies } from './shapes.ts';
import type { Instance, Standing, Watcher } from './walk.ts';

/** An op in an iteration. */
export type Turn = { readonly op: number; readonly I: readonly number[] };

/** A read that does not see what it should. `found`: who wrote what is there; `lost`: what wrote over the whole buffer, from another. */
export type WrongRead = {
  readonly kind: 'undefined' | 'overwritten' | 'other';
  readonly reader: Turn;
  readonly access: CertifiedAccess;
  readonly buffer: CertifiedBuffer;
  readonly part: Part;
  readonly found: Turn | undefined;
};

/** A drain or a product, and which ops quantised the product's operand and made the scales it is multiplied by: the same, or the result is wrong. */
export type Drain = { readonly op: number; readonly operand: number; readonly scales: number | undefined };

/** A source a use may see: of the op, in the same turn of `common` loops, or in the turn before of the loop at `carried`. */
type Source = { readonly common: readonly number[]; readonly carried: number };
type Use = { readonly access: CertifiedAccess; readonly extent: Extent; readonly sources: ReadonlyMap<number, readonly Source[]>; readonly when: 'always' | 'not first' };
type Define = { readonly access: CertifiedAccess; readonly extent: Extent };
type Op = { readonly uses: readonly (Use & { readonly home: Home })[]; readonly defines: readonly (Define & { readonly home: Home })[]; readonly copies: string | undefined };

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

/**
 * Who wrote what every read sees, by the certificate's buffers, in the order of the walk: in every order, if there are no
 * races. Tags number the instances that have written.
 */
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
  readonly #tags: { readonly op: number; readonly queue: number; readonly index: number; readonly I: number[]; readonly origin: number }[] = [{ op: -1, queue: 0, index: -1, I: [], origin: -1 }];
  readonly #reported = new Set<string>();

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
        copies: instruction.op === 'coll' && (instruction.fields.kind === 'allreduce' || instruction.fields.kind === 'reducescatter') ? undefined : copies[instruction.op],
      };
    });
  }

  sees(queue: number, pc: number): boolean {
    return this.#ops[queue]![pc] !== undefined;
  }

  issued({ queue, pc, index, I }: Instance): void {
    const number = this.#ops[queue]![pc]!;
    const { uses, defines, copies: copied } = this.#byOp[number]!;
    let origin = number;
    const seen: { operand?: number; scales?: number; rows?: number; blocks?: number } = {};
    for (const use of uses) {
      if (use.when === 'not first' && I[3] === 0) continue;
      const tag = this.#read(use, number, I);
      if (tag === 0) continue;
      const { origin: of } = this.#tags[tag]!;
      if (use.access.field === copied || use.access.field === 'a') origin = of;
      if (use.access.field === 'acc') seen.operand = of;
      if (use.access.field === 'rowScale') seen.scales = of;
      if (use.access.field === 'a') seen.rows = of;
      if (use.access.field === 'scales') seen.blocks = of;
    }
    if (seen.rows !== undefined) this.products.set(number, { op: number, operand: seen.rows, scales: seen.blocks });
    if (seen.operand === undefined && seen.scales !== undefined) this.given.set(number, seen.scales);
    if (seen.operand !== undefined && !defines.some(({ access }) => access.field === 'acc')) this.drains.set(number, { op: number, operand: seen.operand, scales: seen.scales });
    if (defines.length === 0) return;
    const tag = this.#tags.length;
    this.#tags.push({ op: number, queue, index, I: [...I], origin });
    for (const { home, access, extent } of defines) this.#write(home, partOf(access, extent, home.grid.depth, I), tag, number);
  }

  /** The tag of the first cell read; 0 if there is none. */
  #read(use: Use & { readonly home: Home }, op: number, I: readonly number[]): number {
    const { home, access, extent } = use;
    const part = partOf(access, extent, home.grid.depth, I);
    if (home.buffer.role === 'kv') {
      for (const [from] of access.from) this.#judge(use, op, I, part, home.pool.get(from) ?? 0);
      return 0;
    }
    let first = 0;
    let last = -1;
    const { r0, r1, c0, c1 } = cellsOf(home.grid, part);
    for (let r = r0; r < r1; r++) {
      const line = r * home.grid.columns.size;
      for (let cell = line + c0; cell < line + c1; cell++) {
        const tag = home.cells[cell]!;
        if (tag === last) continue;
        last = tag;
        if (first === 0) first = tag;
        if (!this.#judge(use, op, I, part, tag)) return 0;
      }
    }
    return first;
  }

  #judge({ home, access, sources }: Use & { readonly home: Home }, op: number, I: readonly number[], part: Part, tag: number): boolean {
    const found = tag === 0 ? undefined : this.#tags[tag]!;
    if (found === undefined && home.buffer.role === 'input' && home.wiped === 0) return true;
    if (found !== undefined && (sources.get(found.op) ?? []).some((source) => agrees(source, found.I, I))) return true;
    const key = `${op} ${access.field} ${found?.op}`;
    if (this.#reported.has(key)) return false;
    this.#reported.add(key);
    const lost = found === undefined && home.wiped !== 0 ? this.#tags[home.wiped]! : undefined;
    this.wrong.push({ kind: found !== undefined ? 'other' : lost === undefined ? 'undefined' : 'overwritten', reader: { op, I: [...I] }, access, buffer: home.buffer, part, found: found ?? lost });
    return false;
  }

  #write(home: Home, part: Part, tag: number, op: number): void {
    for (const other of home.neighbours) {
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
    const { r0, r1, c0, c1 } = cellsOf(home.grid, part);
    const width = home.grid.columns.size;
    for (let r = r0; r < r1; r++) home.cells.fill(tag, r * width + c0, r * width + c1);
  }

  state({ began, level, base }: Standing): string {
    const names = new Map<number, string>([[0, '-']]);
    const nameOf = (tag: number): string => {
      const known = names.get(tag);
      if (known !== undefined) return known;
      const { op, queue, index, I } = this.#tags[tag]!;
      const name = `${op}.${index >= began[queue]! ? I.map((i, l) => (l === level[queue] ? i - base : i)).join('.') : `x${I.join('.')}`}`;
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

  skip(by: number, { began, level }: Standing): void {
    const tags = new Set<number>();
    for (const home of this.#homes) {
      home?.cells.forEach((tag) => tags.add(tag));
      home?.pool.forEach((tag) => tags.add(tag));
    }
    tags.delete(0);
    for (const number of tags) {
      const tag = this.#tags[number]!;
      if (tag.index >= began[tag.queue]!) tag.I[level[tag.queue]!]! += by;
    }
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

/** A part as cells: rows of cells [r0, r1), counted through all slots, and of each the cells [c0, c1). */
function cellsOf({ rows, columns }: Grid, { slot, row, rowEnd, column, columnEnd }: Part): { readonly r0: number; readonly r1: number; readonly c0: number; readonly c1: number } {
  const nothing = rowEnd <= row || columnEnd <= column;
  const first = slot * rows.size;
  return { r0: first + (nothing ? 0 : rows.get(row)!), r1: first + (nothing ? 0 : rows.get(rowEnd)!), c0: columns.get(column)!, c1: columns.get(columnEnd)! };
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

/** Whether a value written in iteration `wrote` is the one a source means for a read in iteration `reads`. */
function agrees({ common, carried }: Source, wrote: readonly number[], reads: readonly number[]): boolean {
  for (const level of common) {
    if (level === carried) return wrote[level]! === reads[level]! - 1;
    if (wrote[level]! !== reads[level]!) return false;
  }
  return carried < 0;
}
