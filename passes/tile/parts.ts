import { allOps, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { rowsToShare } from '../plan/matmul.ts';
import type { RowPart } from '../../ir/tile/module.ts';
import type { Homes } from '../plan/tiling.ts';

/**
 * Ops of an iteration of the layer loop for a part of the step's rows; `layer`: which iteration, after that of the loop, or of all. `carried`: what
 * becomes of the values that go from layer to layer: they are made before the ops; or, if they are parked, they leave SRAM after the ops, or (`aside`) may do so, or come back before them.
 * `beside`: the attention of another part begins as the ops do, or is under way, and the queue that brings values waits for nothing of it.
 */
export type Turn<Part> = { readonly part: Part; readonly layer: number; readonly ops: readonly GraphOp[]; readonly carried?: 'enter' | 'leave' | 'aside' | 'return'; readonly beside?: 'begins' | 'goes on' };

/**
 * Of two parts, when the queries of the first's next layer are made: in the turn of the second, after its O; or, if that has to wait because the second still attends, at once, after the first's own D: and what
 * that attention has made is prepared before these are rotated, where it ends first (`some`), or after them (`most`); or of both parts at once (`all`): where all wait for attention, it never does.
 */
export const hastes = ['none', 'some', 'most', 'all'] as const;
export type Haste = (typeof hastes)[number];

/** Whether the later half of parts lags a layer behind the earlier one. */
export const lags = ['none', 'late'] as const;
export type Lag = (typeof lags)[number];

/** The turns of all parts through the layers: before the loop, in each of so many turns of it, and after it. */
export type Interleaving<Part> = { readonly before: readonly Turn<Part>[]; readonly body: readonly Turn<Part>[]; readonly times: number; readonly after: readonly Turn<Part>[] };

/**
 * The layers of the parts of a step, so that the attention of some is under the products of another. Every queue works in program order, so
 * the order of ops is the schedule. A layer is cut at its attention: Q what makes queries, keys and values; A stores these, and attends; O the first product
 * after it; M the rest, but for its last product, D; each but Q's with what prepares its first product apart (n): the vector unit does that while
 * another part multiplies. Parts take turns, from O to D; in a turn Q is of the part `ahead` turns further on. Of two parts a turn of the loop is
 *
 *     O1 nM1 Q2 A2 M1 nO2 D1 nQ1'  O2 nM2 Q1' A1' M2 nO1' D2 nQ2'        (': of the next layer)
 *
 * and of three, two ahead
 *
 *     O1 nM1 Q3 M1 nO2 A3 D1 nQ1'  O2 nM2 Q1' M2 nO3 A1' D2 nQ2'  O3 nM3 Q2' M3 nO1' A2' D3 nQ3'
 *
 * so a part's attention is under what the others multiply between its Q and its O; with two ahead or more, the next has its queries when one
 * is done. No product follows one of its own part but D. What attention made is prepared before D in the order of the program: in memory that
 * D does not read, so that it need not wait for D's end. Earlier parts come first: what the others attend to has been stored. From its Q to
 * its O nobody needs what a part carries from layer to layer, and nobody but D from its nM on: it may be parked in HBM meanwhile, and so may it
 * between layers, if other parts come between D and nQ. What the first layer takes is made for each part when its turn comes (of two, the second's while the first's queries are made: it comes from another chip before keys and values go their way), so that only the first
 * has to wait for it; but if parts rest, for those that do at first before the others. If the second of two parts attends for longer than the first multiplies, there is
 * `haste`, and a turn of the loop is
 *
 *     O1 nM1 Q2 A2 M1 D1 nQ1' Q1' A1' nO2  O2 nM2 M2 nO1' D2 nQ2'
 *
 * so that the attention unit goes on to the first part's next layer as soon as it is done with the second; or, with both in haste, to either, and the turn is
 *
 *     O1 nM1 M1 D1 nQ1' Q1' A1' nO2  O2 nM2 M2 D2 nQ2' Q2' A2' nO1'
 *
 * Of more parts all are in haste, or none: where SRAM has no room for the queries of two beside the products, they are made between D and the next O, and a turn is
 *
 *     O1 nM1 M1 D1 nQ3 Q3 nO2 A3        (of three, one ahead)
 *
 * so that attention is under all of a turn, and not under M and D alone. Late parts of a prompt attend to all before them, and early ones to little: turns of early parts wait for nothing, those of late ones for attention. So the late may `lag` a layer behind the early, and
 * take turns with them: two ahead, what one attends longer the next does shorter. In the first round early parts are alone, in the last the late.
 */
export function interleaving<Part>(ops: readonly GraphOp[], trip: number, parts: readonly [Part, ...Part[]], { ahead, haste: first, lag }: Pick<Homes, 'ahead' | 'haste' | 'lag'>): Interleaving<Part> {
  const { nQ, Q, A, nO, O, nM, M, D } = layerCut(ops);
  const count = parts.length;
  const rests = ahead < count - 1;
  const turn = (at: number, some: readonly GraphOp[]): Turn<Part> => {
    const { part, layer } = turnAt(at, count, lag);
    return { part: parts[part] as Part, layer, ops: some };
  };
  const haste = (at: number): Haste => (count > 2 || first === 'all' || at % count === 0 ? first : 'none');
  const leaving = (at: number): readonly Turn<Part>[] => [{ ...turn(at, []), carried: 'leave' }];
  const queries = (at: number): readonly Turn<Part>[] => [...leaving(at), turn(at, ahead > 1 ? Q : [...Q, ...A])];
  const beside = (attention: 'begins' | 'goes on'): Pick<Turn<Part>, 'beside'> => (ahead > 1 || first === 'all' ? {} : { beside: attention });
  /** What haste has after a turn: the queries of the part after the next, and what the attention of the next has made. */
  const hurried = (at: number, own: Haste): readonly Turn<Part>[] =>
    own === 'some' ? [turn(at + 1, nO), ...queries(at + 2)] : count === 2 ? [...queries(at + 2), turn(at + 1, nO)] : [...leaving(at + 2), turn(at + 2, Q), turn(at + 1, nO), turn(at + 2, A)];
  /** Turn number `at`, counting through parts and layers. */
  const turnOf = (at: number): readonly Turn<Part>[] => {
    const own = haste(at);
    return [
      { ...turn(at, [...O, ...nM]), carried: 'return' }, { ...turn(at, []), carried: 'aside' }, ...(haste(at + ahead) === 'none' ? queries(at + ahead) : []), { ...turn(at, M), ...beside('begins') },
      ...(own === 'none' ? [turn(at + 1, nO)] : []), ...(ahead > 1 ? [turn(at + 2, A)] : []), { ...turn(at, D), carried: 'return', ...beside('goes on') }, ...(rests ? leaving(at) : []), turn(at + ahead + 1, nQ),
      ...(own === 'none' ? [] : hurried(at, own)),
    ];
  };
  const turns = (from: number, to: number): readonly Turn<Part>[] => Array.from({ length: to - from }, (_, i) => turnOf(from + i)).flat();
  const entering = (at: number): readonly Turn<Part>[] => (rests ? [{ ...turn(at, []), carried: 'enter' }, ...leaving(at)] : []);
  const prepared = (at: number): readonly Turn<Part>[] => [...entering(at), rests ? turn(at, nQ) : { ...turn(at, nQ), carried: 'enter' }];
  const leading = Array.from({ length: ahead }, (_, at) => [...prepared(at), ...queries(at), ...(at === 0 && ahead > 1 ? [turn(0, A)] : [])]).flat();
  const later = parts.flatMap((_, at) => (at > ahead ? entering(at) : []));
  /** Of two parts the second is made while the first's queries are: what that takes goes its way before keys and values do. */
  const begun: readonly Turn<Part>[] = count === 2 ? [...prepared(0), ...leaving(0), turn(0, Q), { ...turn(1, []), carried: 'enter' }, turn(0, A), turn(1, nQ)] : [...leading, ...prepared(ahead)];
  const before = [...later, ...begun, ...(first === 'all' || (count > 2 && first !== 'none') ? [...leaving(1), turn(1, Q), turn(0, nO), turn(1, A)] : [turn(0, nO)]), ...(ahead > 1 ? [turn(1, A)] : [])];
  // Rounds before the loop, in which nothing is late.
  const rounds = lag === 'none' ? 0 : 1;
  return {
    before: [...before, ...turns(0, rounds * count)].filter(({ layer, ops: some }) => layer >= 0 || some.length === 0),
    body: turns(rounds * count, (rounds + 1) * count),
    times: trip - 1 - rounds,
    after: turns((trip - 1) * count, (trip + rounds) * count).filter(({ layer }) => layer >= 0 && layer < trip),
  };
}

/** The part whose turn number `at` is, and its layer: turns go through the parts, or, where the late lag, through early and late ones alternately, these in the layer before. */
function turnAt(at: number, count: number, lag: Lag): { readonly part: number; readonly layer: number } {
  const [round, place] = [Math.floor(at / count), at % count];
  if (lag === 'none') return { part: place, layer: round };
  return place % 2 === 0 ? { part: place / 2, layer: round } : { part: Math.ceil(count / 2) + (place - 1) / 2, layer: round - 1 };
}

/** The ops of a layer, in order, by their place in the interleaving. */
export function layerCut(ops: readonly GraphOp[]): Readonly<Record<'nQ' | 'Q' | 'A' | 'nO' | 'O' | 'nM' | 'M' | 'D', readonly GraphOp[]>> {
  const product = (from: number): number => {
    const at = ops.findIndex(({ kind }, i) => i >= from && (kind === 'linear' || kind === 'experts'));
    return at < 0 ? ops.length : at;
  };
  const attention = ops.findIndex(({ kind }) => kind === 'attention');
  const q = Math.min(product(0), attention);
  const o = product(attention);
  const m = product(o + 1);
  const last = ops.findLastIndex(({ kind }) => kind === 'linear' || kind === 'experts');
  const d = last > m && ops[last]?.kind === 'linear' ? last : ops.length;
  return { nQ: ops.slice(0, q), Q: ops.slice(q, attention), A: ops.slice(attention, attention + 1), nO: ops.slice(attention + 1, o), O: ops.slice(o, o + 1), nM: ops.slice(o + 1, m), M: ops.slice(m, d), D: ops.slice(d) };
}

/** What names of a part's values end in. */
export const partName = (part: number): string => (part === 0 ? '' : `.part${part}`);

/** The names of a value in all parts, by its name in one: what is kept where is so for all. */
export const fellowsOf = (name: string, parts: number): readonly string[] => Array.from({ length: parts }, (_, part) => `${name.replace(/\.part\d+$/, '')}${partName(part)}`);

/** Most parts: the count of each is in a register of every queue, besides those of a step. */
export const partsMax = 27;
/** Parts that semaphores are enough for, whatever a layer is made of. */
export const partsSure = 16;

/** The share of the rows that make reading weights cheap from which on a part is worth it: what it hides of attention and norms is more than reading weights once more takes. */
const worth = 4 / 5;

/** Parts of rows by weights of which SRAM holds a layer's: as many as these while each has rows enough, of which a tile's are too few to hide that arrays are filled and drained. */
const keptMost = 3;
const keptRows = 5 / 4;

/**
 * In how many parts to work on so many rows: of twice the rows that make reading weights cheap, or, where SRAM has no room for what these need, of fewer,
 * but as many as do. Of few rows in one; unless weights need not be read again for each part: SRAM has room for the `layerBytes` of a layer, and for as much besides.
 */
export function severalParts(rows: number, machine: Machine, layerBytes: number): { readonly parts: number; readonly partsMost: number } {
  const share = rowsToShare(machine);
  const side = machine.arrays.size.value;
  const kept = rows < 2 * side || layerBytes > machine.sram.bytes.value / 2 ? 1 : Math.max(2, Math.min(keptMost, Math.floor(rows / (keptRows * side))));
  const shared = rows < 2 * worth * share ? 1 : Math.max(2, Math.round(rows / (2 * share)));
  const parts = Math.min(partsMax, Math.max(kept, shared));
  return { parts, partsMost: Math.min(partsMax, Math.max(parts, Math.floor(rows / share))) };
}

/**
 * The parts a step's rows may be worked on in, alike in height: `count` of them if every layer of the module's only loop attends once, with
 * the causal mask: rows attend to none after them, so a part needs none but those before it. Otherwise one. Parts begin on lines of row lists: of few rows there are fewer parts.
 */
export function partsOf({ body }: GraphModule, rows: number, count: number, machine: Machine): readonly [RowPart, ...RowPart[]] {
  const loops = body.ops.filter((op): op is OpOf<'loop'> => op.kind === 'loop');
  const attentions = [...allOps(body)].filter((op): op is OpOf<'attention'> => op.kind === 'attention');
  const [loop] = loops;
  const fits = loops.length === 1 && loop !== undefined && loop.attrs.trip > 1 && attentions.length === 1 && attentions.every(({ attrs }) => attrs.mask === 'causal' && attrs.cache !== '') && loop.body.ops.some(({ kind }) => kind === 'attention');
  const lineRows = machine.sram.lineBytes.value / formatBytes.i32;
  const height = Math.ceil(rows / count / lineRows) * lineRows;
  if (!fits || count === 1 || height >= rows) return [{ first: 0, rows }];
  return Array.from({ length: Math.ceil(rows / height) }, (_, part) => ({ first: part * height, rows: height })) as unknown as readonly [RowPart, ...RowPart[]];
}
