import { formatBytes, type RowWindow } from '../isa-spec/fields.ts';
import { move } from '../isa-spec/encoding.ts';
import { shareOf } from '../isa-spec/groups.ts';
import { hbmBases, type Instruction, type StrideSet } from '../isa-spec/instructions.ts';
import { type Access, type ListAccess, type Sizes, type Touched, touchedBy } from './accesses.ts';
import { type Box, endOf, overlap } from './boxes.ts';
import type { Certificate } from './certificate.ts';
import type { ChipView, QueueView } from './chip.ts';
import { extent, type Range } from './extent.ts';
import { all, type Held, registersOf } from './registers.ts';
import { type Frame, loopsAround } from './unroll.ts';

/** Numbers of memories: SRAM, accumulators, then HBM by base register. */
const sramSpace = 0;
const accSpace = 1;
const hbmSpace = 2;
export const spaceNames: readonly string[] = ['SRAM', 'the accumulators', ...hbmBases.map((base) => `\`${base}\``)];

/** One operand of an instruction as memory it touches. `hull`: what it may touch in all iterations. `outer`: how far an iteration of the outermost loop around moves it, apart from its ring; `turn`: after how many its ring is where it was. */
export type Effect = {
  readonly field: string;
  /** What of it the window of rows bounds: its rows; its elements, being a list of the step; nothing. */
  readonly windowed: 'rows' | 'elements' | 'all';
  readonly reads: boolean;
  readonly writes: boolean;
  readonly hull: Box;
  readonly outer: number;
  readonly turn: number;
  readonly box: (I: ArrayLike<number>) => Box;
  /** Of what the window bounds: the first in the step, and how many. */
  readonly firstAt: (I: ArrayLike<number>) => number;
  readonly rowsAt: (I: ArrayLike<number>) => number;
};

type Placed = Omit<Effect, 'firstAt' | 'rowsAt'>;

/** An instruction with what it touches. Of its window in an iteration: the first row of the step, and how many; `shortened`: by what. */
export type Site = {
  readonly instruction: Instruction;
  readonly loops: readonly Frame[];
  readonly touched: Touched;
  readonly effects: readonly Effect[];
  readonly sizes: Sizes;
  readonly shortened: Held;
  readonly firstAt: (I: ArrayLike<number>) => number;
  readonly rowsAt: (I: ArrayLike<number>) => number;
};

/** The operand of a field that the instruction has. */
export const effectOf = ({ effects }: Site, field: string): Effect => effects.find((effect) => effect.field === field)!;

/** By queue, in the order of the chip's queues, and pc. */
export type Effects = readonly (readonly Site[])[];

type Surroundings = { readonly chip: ChipView; readonly strideSets: readonly StrideSet[]; readonly loops: readonly Frame[]; readonly window: RowWindow | undefined; readonly bound: number; readonly certificate: Certificate | undefined };

/** What every instruction of a chip touches, as a function of the loop indices. */
export function effectsOf(chip: ChipView, certificate: Certificate | undefined): Effects {
  return chip.queues.map((view) => effectsOfQueue(chip, view, certificate));
}

function effectsOfQueue(chip: ChipView, { code, strideSets }: QueueView, certificate: Certificate | undefined): readonly Site[] {
  const { program } = chip;
  const bounds = program.entries[chip.entry]?.bounds ?? {};
  const around = loopsAround(code);
  const { before } = registersOf(code, bounds);
  let sizes: Sizes = { side: program.machine.arrays.size.value, lineBytes: program.machine.sram.lineBytes.value, chips: program.chips, bound: (name) => bounds[name], queries: undefined };
  return code.map((instruction, pc): Site => {
    if (instruction.op === 'aq') sizes = { ...sizes, queries: instruction.fields };
    const window = 'rows' in instruction.fields ? instruction.fields.rows : undefined;
    const shortened = before[pc]!.get(window?.reg ?? 0) ?? all;
    const bound = shortened.most;
    const site: Surroundings = { chip, strideSets, loops: around[pc]!, window, bound, certificate };
    const rowsAt = (I: ArrayLike<number>): number => (window === undefined ? 1 : Math.min(window.max, Math.max(0, bound - window.max * I[window.level]!)));
    const touched = touchedBy(instruction, sizes);
    const firstAt = (I: ArrayLike<number>): number => (window === undefined ? 0 : window.max * I[window.level]!);
    const effects = touched.map((access) => {
      const { shared } = access;
      const of = shared === undefined ? site : { ...site, window: shareOfWindow(window, shared), bound: shareOf(bound, shared) };
      const near = shared === undefined ? { firstAt, rowsAt } : { firstAt: (I: ArrayLike<number>) => (of.window?.max ?? 0) * I[of.window?.level ?? 0]!, rowsAt: (I: ArrayLike<number>) => shareOf(rowsAt(I), shared) };
      return { ...('list' in access ? listEffect(access, of, near.rowsAt) : effect(access, of, near.rowsAt)), ...near };
    });
    return { instruction, loops: site.loops, touched, effects, sizes, shortened, firstAt, rowsAt };
  });
}

/** The window of a chip's share of the rows. */
export const shareOfWindow = (window: RowWindow | undefined, shared: number): RowWindow | undefined => (window === undefined ? undefined : { ...window, max: shareOf(window.max, shared) });

function effect({ name, does, space, operand, rows, pitch, units, picked }: Access, site: Surroundings, rowsAt: Site['rowsAt']): Placed {
  const base = 'off' in operand ? operand.off : operand.addr;
  const set = operand.ss === 0 ? undefined : site.strideSets[operand.ss];
  const number = space === 'sram' ? sramSpace : space === 'acc' ? accSpace : hbmSpace + ('base' in operand ? operand.base : 0);
  const ranges = rangesOf(site.loops);
  const { low, high } = extent(set, ranges);
  const most = rows === 'window' ? (site.window?.max ?? 1) : rows;
  const reach = picked ? tableEnd(site, number, base + high.by) - (base + high.by) : 0;
  const width = Math.max(units, reach);
  const hull: Box = { space: number, start: base + low.by, rows: 1, pitch: 0, units: high.by - low.by + (most - 1) * pitch + width };
  const box = (I: ArrayLike<number>): Box => ({ space: number, start: base + (set === undefined ? 0 : move(set, I)), rows: rows === 'window' ? rowsAt(I) : rows, pitch, units: width });
  const outermost = site.loops[0]?.level;
  const outer = outermost === undefined || set === undefined ? 0 : set.strides[outermost]!;
  const turn = outermost === undefined || set === undefined || set.ring.depth < 2 ? 1 : set.ring.depth / gcd(set.ring.depth, set.ring.steps[outermost]! % set.ring.depth);
  return { field: name, windowed: rows === 'window' ? 'rows' : 'all', reads: does !== 'writes', writes: does !== 'reads', hull, outer, turn, box };
}

export const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Elements of a list: the window's, from the one numbered like its first row on. */
function listEffect({ name, does, list }: ListAccess, site: Surroundings, rowsAt: Site['rowsAt']): Placed {
  const { window } = site;
  const line = site.chip.program.machine.sram.lineBytes.value;
  const at = (first: number, count: number): Box => {
    const start = list + Math.floor((first * formatBytes.f32) / line);
    return { space: sramSpace, start, rows: 1, pitch: 0, units: count === 0 ? 0 : list + Math.ceil(((first + count) * formatBytes.f32) / line) - start };
  };
  const last = window === undefined ? 0 : rangesOf(site.loops)[window.level]![1];
  const reach = window === undefined ? 1 : Math.min(window.max * (last + 1), site.bound);
  const box = (I: ArrayLike<number>): Box => (window === undefined ? at(0, 1) : at(window.max * I[window.level]!, rowsAt(I)));
  return { field: name, windowed: 'elements', reads: does !== 'writes', writes: does !== 'reads', hull: at(0, reach), outer: window !== undefined && site.loops[0]?.level === window.level ? NaN : 0, turn: 1, box };
}

const rangesOf = (loops: readonly Frame[]): readonly Range[] => {
  const ranges: Range[] = [[0, 0], [0, 0], [0, 0], [0, 0]];
  for (const { level, count } of loops) ranges[level] = [0, count - 1];
  return ranges;
};

/** Where the table that starts at or before a line ends: its buffer, if the certificate has one there, else the region. */
function tableEnd({ chip, certificate }: Surroundings, space: number, line: number): number {
  const base = hbmBases[space - hbmSpace];
  const buffer = certificate?.buffers.find((one) => one.space === 'hbm' && one.base === base && one.at <= line && line < one.at + one.size);
  if (buffer !== undefined) return buffer.at + buffer.size;
  return Math.floor((chip.program.regions.find((region) => region.base === base)?.bytes ?? 0) / chip.program.machine.sram.lineBytes.value);
}

/** Two operands of different queues that may touch the same memory, one of them writing: queue and pc of each. */
export type Conflict = { readonly a: number; readonly aPc: number; readonly aEffect: Effect; readonly b: number; readonly bPc: number; readonly bEffect: Effect };

/** Every pair of operands that iterations of two queues may clash over, judged by all they may touch. */
export function conflictsOf(effects: Effects): readonly Conflict[] {
  const bySpace = new Map<number, { readonly queue: number; readonly pc: number; readonly effect: Effect }[]>();
  effects.forEach((sites, queue) => sites.forEach((site, pc) => site.effects.forEach((one) => {
    const list = bySpace.get(one.hull.space) ?? [];
    bySpace.set(one.hull.space, list);
    list.push({ queue, pc, effect: one });
  })));
  const found: Conflict[] = [];
  for (const list of bySpace.values()) {
    // A sweep by start: what ends before another starts cannot meet it.
    const sorted = list.toSorted((x, y) => x.effect.hull.start - y.effect.hull.start);
    let open: typeof sorted = [];
    for (const one of sorted) {
      open = open.filter(({ effect: other }) => endOf(other.hull) > one.effect.hull.start);
      for (const other of open) {
        if (other.queue === one.queue || !(other.effect.writes || one.effect.writes) || !overlap(other.effect.hull, one.effect.hull)) continue;
        const [a, b] = other.queue < one.queue ? [other, one] : [one, other];
        found.push({ a: a.queue, aPc: a.pc, aEffect: a.effect, b: b.queue, bPc: b.pc, bEffect: b.effect });
      }
      open.push(one);
    }
  }
  return found;
}
