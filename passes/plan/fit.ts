import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { allOps, type GraphModule } from '../../ir/graph/module.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import { lending } from '../../isa-spec/machine.ts';
import { accessesOf } from '../../ir/tile/lifetimes.ts';
import { allTileOps, type Buffer, type BufferId, type TileModule } from '../../ir/tile/module.ts';
import type { StepSequence } from '../../ir/step.ts';
import type { ValueId } from '../../ir/types.ts';
import { sizeOf } from '../rewrite.ts';
import { MustSpill } from '../tile/lowering.ts';
import { fellowsOf, type Haste, type Lag, partsOf } from '../tile/parts.ts';
import type { TileTarget } from '../tile/tile.ts';
import { deciding } from './decisions.ts';
import { hasteOf } from './haste.ts';
import { type Fitted, holding } from './hold.ts';
import { lagOf } from './lag.ts';
import { pieceColumns, ringDepths } from './matmul.ts';
import { attempt, bytesTogether, overflow } from './room.ts';
import type { Homes, TilingPlan, Try } from './tiling.ts';

/** Turns that queries need be ahead at the most: more of them wait. */
const aheadMost = 4;

/** What to fit: the machine, the largest step, the chips the graph is divided over, the share of SRAM an op may stage in, the parts a step's rows are to be worked on in; at most so many, and such a share (absent: no more), the share where all else has room in SRAM as well (absent: as otherwise), the step that is to be fast (absent: none is known), and the matrix arrays that are lent to the attention unit (absent: none). */
export type FitTarget = TileTarget & { readonly stageShare: number; readonly stageShareMost?: number | undefined; readonly stageShareDeep?: number | undefined; readonly parts: number; readonly partsMost?: number | undefined; readonly step?: readonly StepSequence[] | undefined; readonly lent?: number | undefined };

/** What SRAM must have room for: all values, of as many parts as keep attention busy; all values of parts in haste, or of others, if stages are smaller; or whatever there is room for. */
const wishes = ['busy', 'hasty', 'kept', 'any'] as const;
type Wish = (typeof wishes)[number];

/**
 * In as few parts as have room for all that is to be in SRAM, of those there may be; if none has, in the most, with what there is room for; in rings as deep as then still have room. Results do not depend
 * on any of it, only time does.
 */
export function fit(module: GraphModule, { lent = 0, ...asked }: FitTarget, diagnostics: Diagnostics): TilingPlan | undefined {
  const target = { ...asked, lent, machine: lending(asked.machine, lent) };
  const { parts: least, partsMost: most = least, machine, stageShare, stageShareMost, stageShareDeep } = target;
  const less = [stageShare, ...[14 / 15, 5 / 6, 2 / 3].map((share) => share * stageShare)];
  const shares: Readonly<Record<Wish, readonly number[]>> = { busy: [...(stageShareMost === undefined ? [] : [stageShareMost]), stageShare], hasty: less, kept: less, any: [stageShare] };
  const turns = new Map<number, Turns>();
  const turnsOf = (count: number): Turns => {
    const known = turns.get(count) ?? turnsIn(module, target, partsOf(module, target.bounds.tokens, count, machine));
    turns.set(count, known);
    return known;
  };
  const inParts = (count: number, wish: Wish): Fitted | undefined => firstOf(shares[wish], (share) => fitParts(module, { ...target, stageShare: share }, turnsOf(count), wish));
  const found = firstOf(most === 1 ? (['any'] as const) : wishes, (wish) => (wish === 'any' ? inParts(most, wish) : leastCount(least, most, (count) => inParts(count, wish))));
  if (found !== undefined) {
    const { parts, spilled, parked, ahead } = found.plan.homes;
    const same = [...turns.values()].find((one) => one.parts === parts);
    const deeper = stageShareDeep === undefined || same === undefined || spilled.length > 0 || parked !== 'no' ? undefined : fitParts(module, { ...target, stageShare: stageShareDeep }, same, 'busy');
    return holding(module, target, deeper?.plan.homes.parked === 'no' && deeper.plan.homes.ahead === ahead ? deeper : found);
  }
  diagnostics.report({
    code: 'E4001',
    message: `one row of an op of \`${module.name}\` and its weight tiles do not fit the ${machine.sram.bytes.value} bytes of SRAM of \`${machine.name}\``,
    origin: { kind: 'none' },
    help: 'use a machine with more SRAM',
  });
  return undefined;
}

/** What is made of the first of some that anything is made of. */
function firstOf<T, R>(some: readonly T[], make: (one: T) => R | undefined): R | undefined {
  for (const one of some) {
    const made = make(one);
    if (made !== undefined) return made;
  }
  return undefined;
}

/** What is made of the least count, from `least` to `most`, that anything is made of: what fits in some parts does in more, which are lower. */
function leastCount<R>(least: number, most: number, make: (count: number) => R | undefined): R | undefined {
  const first = make(least);
  if (first !== undefined || least === most) return first;
  let made = make(most);
  for (let [under, over] = [least, most]; made !== undefined && over - under > 1; ) {
    const middle = Math.floor((under + over) / 2);
    const next = make(middle);
    if (next === undefined) under = middle;
    else [made, over] = [next, middle];
  }
  return made;
}

/**
 * Keeps every value in SRAM that it can: tries all of them, and as long as SRAM does not hold what is alive, parks what parts carry, lets fewer queries wait for their
 * attention, and moves the value of the crowd to HBM that is missed least there; when there is none left to move, makes the weight ring less deep, and halves what
 * an op may stage. Undefined if there is no room at all, or none without what is wished for.
 */
function fitParts(module: GraphModule, target: FitTarget & Pick<Homes, 'lent'>, turns: Turns, wish: Wish, some = waysOf(turns.parts.length, wish)): Fitted | undefined {
  const least = some.slice(-1);
  if (some.length === 0) return undefined;
  if (wish !== 'any' && some.length > 1 && fitParts(module, target, turns, wish, least) === undefined) return undefined;
  const { machine, stageShare, lent } = target;
  const { parts, haste, lagOf: lag } = turns;
  const [{ rows }] = parts;
  const spilled: string[] = [];
  const tries: Try[] = [];
  let stageBytes = machine.sram.bytes.value * stageShare;
  let ways = some;
  let depths = ringDepths(machine, rows, stageBytes);
  while (stageBytes >= machine.sram.lineBytes.value) {
    const [ringDepth] = depths;
    const [way] = ways;
    if (ringDepth === undefined || way === undefined) return undefined;
    const homes: Homes = { stageBytes, ringDepth, pieceColumns: stripedColumns(module) ?? pieceColumns(machine, rows, { stageBytes, ringDepth }), spilled: [...spilled], parts, haste, ...way, lag: lag(way.ahead), lent, held: [] };
    const { tiled, decisions } = attempt(module, target, homes, deciding(machine, homes));
    if (tiled === undefined) {
      tries.push({ why: 'room', so: 'shallower' });
      depths = depths.slice(1);
      continue;
    }
    const mayMove = wish === 'any';
    if (tiled instanceof MustSpill) {
      if (!mayMove) return undefined;
      tries.push({ why: 'sum', so: 'spill', value: tiled.buffer });
      spilled.push(...fellowsOf(tiled.buffer, parts.length));
      continue;
    }
    const crowd = overflow(tiled.tile, machine);
    if (crowd === undefined) return { plan: { homes, tries, decisions }, tile: tiled.tile };
    const failed = { why: 'crowd', bytes: bytesTogether(crowd, tiled.tile, machine) } as const;
    const next = ways[1];
    if (next !== undefined || !mayMove) {
      if (next !== undefined) tries.push({ ...failed, so: next.ahead < way.ahead ? 'fewer' : 'park' });
      ways = ways.slice(1);
      continue;
    }
    const victim = leastMissed(crowd, tiled.tile);
    if (victim !== undefined) {
      tries.push({ ...failed, so: 'spill', ...victim });
      spilled.push(...fellowsOf(victim.value, parts.length));
    } else if (depths.length > 1) {
      tries.push({ ...failed, so: 'shallower' });
      depths = depths.slice(1);
    } else {
      tries.push({ ...failed, so: 'halve' });
      stageBytes /= 2;
      depths = ringDepths(machine, rows, stageBytes);
    }
  }
  return undefined;
}

/** The parts of a step, and how they take turns, whatever there is room for. */
type Turns = { readonly parts: Homes['parts']; readonly haste: Haste; readonly lagOf: (ahead: number) => Lag };

/** Of a step that is known; else as it comes. Each lag is asked for once. */
function turnsIn(module: GraphModule, { step, machine }: FitTarget, parts: Homes['parts']): Turns {
  if (step === undefined) return { parts, haste: 'none', lagOf: () => 'none' };
  const lags = new Map<number, Lag>();
  return {
    parts,
    haste: parts.length === 2 ? hasteOf(module, parts, step, machine) : 'none',
    lagOf: (ahead) => {
      const lag = lags.get(ahead) ?? lagOf(module, parts, step, machine, ahead);
      lags.set(ahead, lag);
      return lag;
    },
  };
}

/** How parts share SRAM. */
type Way = Pick<Homes, 'ahead' | 'parked'> & { readonly haste?: Haste };

/** The ways of so many parts, each with less in SRAM than the one before: what is carried is parked; then queries are no further ahead than keeps attention busy, which two turns do; then not even that. */
function waysOf(count: number, wish: Wish): readonly Way[] {
  const most = Math.max(1, Math.min(count - 1, aheadMost));
  const busy = Math.min(2, most);
  const parked = Array.from({ length: most - busy + 1 }, (_, i): Way => ({ ahead: most - i, parked: 'attending' }));
  const aside: readonly Way[] = [{ ahead: busy, parked: 'aside' }, { ahead: 1, haste: 'most', parked: 'aside' }, { ahead: 1, parked: 'aside' }];
  const ways: readonly Way[] = [{ ahead: most, parked: 'no' }, ...(count > 1 ? parked : []), ...(count > 2 ? aside : [])];
  return ways.filter(({ ahead, haste = 'none' }) => (wish === 'busy' ? ahead >= busy && haste === 'none' : wish !== 'hasty' || haste !== 'none'));
}

/**
 * The value to live in HBM, and how many ops touch it. Not what is multiplied, if there is another: its rows must come back whole, and the products' row tiles would be
 * lower. Of the others one that makes room, being at least half as large as the largest, and of those the one that is touched least often.
 */
function leastMissed(crowd: readonly BufferId[], module: TileModule): { readonly value: string; readonly touched: number } | undefined {
  const touched = new Map<BufferId, number>();
  const multiplied = new Set<BufferId>();
  for (const op of allTileOps(module.body)) {
    for (const { buffer } of accessesOf(op)) touched.set(buffer, (touched.get(buffer) ?? 0) + 1);
    if (op.kind === 'multiply') multiplied.add(op.regions.a.buffer);
  }
  const values = crowd.filter((id) => module.buffers[id]?.role === 'value');
  const others = values.filter((id) => !multiplied.has(id));
  const bytes = (id: BufferId): number => {
    const { rows, columns, format } = module.buffers[id] as Buffer;
    return rows * columns * formatBytes[format];
  };
  const among = others.length > 0 ? others : values;
  const largest = Math.max(...among.map(bytes));
  const [least] = among.filter((id) => 2 * bytes(id) >= largest).toSorted((a, b) => (touched.get(a) ?? 0) - (touched.get(b) ?? 0) || bytes(b) - bytes(a) || a - b);
  return least === undefined ? undefined : { value: (module.buffers[least] as Buffer).name, touched: touched.get(least) ?? 0 };
}

/** The columns of a piece, if chips have strips of them. */
export function stripedColumns({ body, types }: GraphModule): number | undefined {
  for (const op of allOps(body)) {
    const [value] = op.results;
    if (op.kind === 'allgather' && op.attrs.strips > 1 && types[value as ValueId]?.dtype !== 'f32') return sizeOf(types[value as ValueId]?.shape[1]) / op.attrs.strips;
  }
  return undefined;
}
