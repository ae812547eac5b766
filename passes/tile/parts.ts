import { allOps, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { RowPart } from '../../ir/tile/module.ts';

/**
 * Ops of an iteration of the layer loop for a part of the step's rows; `layer`: which iteration, after that of the loop, or of all. `carried`: what
 * becomes of the values that go from layer to layer: they are made before the ops; or, if they are parked, leave SRAM after the ops, or come back before them.
 * `beside`: the attention of another part begins as they do, or is under way.
 */
export type Turn<Part> = { readonly part: Part; readonly layer: number; readonly ops: readonly GraphOp[]; readonly carried?: 'enter' | 'leave' | 'return'; readonly beside?: 'begins' | 'goes on' };

/**
 * The layers of the parts of a step, so that the attention of some is under the products of another. Every queue works in program order, so
 * the order of ops is the schedule. A layer is cut at its attention: Q what makes queries, keys and values, and attends; O the first product
 * after it; M the rest, but for its last product, D; each but Q's with what prepares its first product apart (n): the vector unit does that while
 * another part multiplies. Parts take turns, from O to D; in its turn a part makes room for the Q of the one before it. A turn of the loop is
 *
 *     O1 nM1 Q3 M1 nO2 D1 nQ1'  O2 nM2 Q1' M2 nO3 D2 nQ2'  O3 nM3 Q2' M3 nO1' D3 nQ3'        (of three; ': of the next layer)
 *
 * so a part's attention is under all that is multiplied between its Q and its O, which is everything of the others, and no product follows one of its own part but D. What
 * attention made is prepared before D in the order of the program: in memory that D does not read, so that it need not wait for D's end. All but
 * the last part lead by a Q, before the loop, and all have an O, an M and a D left after it. What the first layer takes is made for each part when its turn
 * comes, so that only the first has to wait for it. Earlier parts come first: what the others attend to has been stored. From its Q to its O nobody needs what a part
 * carries from layer to layer: it may be parked in HBM meanwhile.
 */
export function interleaving<Part>(ops: readonly GraphOp[], trip: number, parts: readonly [Part, ...Part[]]): { readonly before: readonly Turn<Part>[]; readonly body: readonly Turn<Part>[]; readonly after: readonly Turn<Part>[] } {
  const { nQ, Q, nO, O, nM, M, D } = cut(ops);
  const turn = (part: Part, layer: number, some: readonly GraphOp[]): Turn<Part> => ({ part, layer, ops: some });
  const entering = (part: Part): readonly Turn<Part>[] => [{ ...turn(part, 0, nQ), carried: 'enter' }];
  const attending = (part: Part, layer: number): readonly Turn<Part>[] => [{ ...turn(part, layer, []), carried: 'leave' }, turn(part, layer, Q)];
  /** From O to D, in a layer; beside it the Q of the part before, and the nO of the one after, whose attention is done by then. */
  const turnOf = (x: Part, i: number, layer: number, attends: readonly Turn<Part>[]): readonly Turn<Part>[] => [
    { ...turn(x, layer, [...O, ...nM]), carried: 'return' }, ...attends, { ...turn(x, layer, M), beside: 'begins' }, ...nextO(i, layer), { ...turn(x, layer, D), beside: 'goes on' },
  ];
  const nextO = (i: number, layer: number): readonly Turn<Part>[] => [i + 1 < parts.length ? turn(parts[i + 1] as Part, layer, nO) : turn(parts[0], layer + 1, nO)];
  const last = trip - 1;
  const [first, final] = [parts[0], parts.at(-1) as Part];
  return {
    before: [...parts.slice(0, -1).flatMap((part) => [...entering(part), ...attending(part, 0)]), ...entering(final), turn(first, 0, nO)],
    body: parts.flatMap((x, i) => [...turnOf(x, i, 0, i === 0 ? attending(final, 0) : attending(parts[i - 1] as Part, 1)), turn(x, 1, nQ)]),
    after: parts.flatMap((x, i) => turnOf(x, i, last, i === 0 ? attending(final, last) : [])).filter(({ layer }) => layer < trip),
  };
}

/** The ops of a layer, in order, by their place in the interleaving. */
function cut(ops: readonly GraphOp[]): Readonly<Record<'nQ' | 'Q' | 'nO' | 'O' | 'nM' | 'M' | 'D', readonly GraphOp[]>> {
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
  return { nQ: ops.slice(0, q), Q: ops.slice(q, attention + 1), nO: ops.slice(attention + 1, o), O: ops.slice(o, o + 1), nM: ops.slice(o + 1, m), M: ops.slice(m, d), D: ops.slice(d) };
}

/** Most parts: the count of each is in a register of every queue. */
export const partsMax = 16;

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
