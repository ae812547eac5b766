import { allOps, type GraphModule, type GraphOp, type OpOf } from '../../ir/graph/module.ts';
import { formatBytes } from '../../isa-spec/fields.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { RowPart } from '../../ir/tile/module.ts';

/**
 * Ops of an iteration of the layer loop for a part of the step's rows; `layer`: which iteration, after that of the loop, or of all. `carried`: what
 * becomes of the values that go from layer to layer, if they are parked: they leave SRAM after the ops, or come back before them.
 */
export type Turn<Part> = { readonly part: Part; readonly layer: number; readonly ops: readonly GraphOp[]; readonly carried?: 'leave' | 'return' };

/**
 * The layers of two parts of a step, so that the attention of one is under the products of the other. Every queue works in program order, so
 * the order of ops is the schedule. A layer is cut at its attention: Q what makes queries, keys and values, and attends; O the first product
 * after it; M the rest, but for its last product, D; each but Q's with what prepares its first product apart (n): the vector unit does that while
 * the other part multiplies. A turn of the loop is
 *
 *     O1 nM1 Q2 M1 nO2 D1 nQ1'  O2 nM2 Q1' M2 nO1' D2 nQ2'        (': of the next layer)
 *
 * so attention 2 runs under M1 and D1, attention 1 under M2 and D2, and no product follows one of its own part but D. What attention made is
 * prepared before D in the order of the program: in memory that D does not read, so that it need not wait for D's end. Part 1 leads by a Q, before
 * the loop, and part 2 has an O and an M left after it. The first part's rows come first: what they attend to has been stored. From its Q to
 * its O nobody needs what a part carries from layer to layer: it may be parked in HBM meanwhile.
 */
export function interleaving<Part>(ops: readonly GraphOp[], trip: number, [one, two]: readonly [Part, Part]): { readonly before: readonly Turn<Part>[]; readonly body: readonly Turn<Part>[]; readonly after: readonly Turn<Part>[] } {
  const { nQ, Q, nO, O, nM, M, D } = cut(ops);
  const turn = (part: Part, layer: number, some: readonly GraphOp[]): Turn<Part> => ({ part, layer, ops: some });
  const leaving = (part: Part, layer: number): Turn<Part> => ({ ...turn(part, layer, []), carried: 'leave' });
  const goingOn = (part: Part, layer: number): Turn<Part> => ({ ...turn(part, layer, [...O, ...nM]), carried: 'return' });
  const half = (x: Part, xLayer: number, y: Part, yLayer: number, next: readonly Turn<Part>[]): readonly Turn<Part>[] => [goingOn(x, xLayer), leaving(y, yLayer), turn(y, yLayer, Q), turn(x, xLayer, M), turn(y, yLayer, nO), turn(x, xLayer, D), ...next];
  const last = trip - 1;
  return {
    before: [turn(one, 0, nQ), leaving(one, 0), turn(one, 0, Q), turn(two, 0, nQ), turn(one, 0, nO)],
    body: [...half(one, 0, two, 0, [turn(one, 1, nQ)]), ...half(two, 0, one, 1, [turn(two, 1, nQ)])],
    after: [...half(one, last, two, last, []), goingOn(two, last), turn(two, last, [...M, ...D])],
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

/**
 * The parts a step's rows may be worked on in, alike in height: `count` of them if every layer of the module's only loop attends once, with
 * the causal mask: rows attend to none after them, so a part needs none but those before it. Otherwise one. Parts begin on lines of row lists.
 */
export function partsOf({ body }: GraphModule, rows: number, count: number, machine: Machine): readonly [RowPart, ...RowPart[]] {
  const loops = body.ops.filter((op): op is OpOf<'loop'> => op.kind === 'loop');
  const attentions = [...allOps(body)].filter((op): op is OpOf<'attention'> => op.kind === 'attention');
  const [loop] = loops;
  const fits = loops.length === 1 && loop !== undefined && loop.attrs.trip > 1 && attentions.length === 1 && attentions.every(({ attrs }) => attrs.mask === 'causal' && attrs.cache !== '') && loop.body.ops.some(({ kind }) => kind === 'attention');
  const lineRows = machine.sram.lineBytes.value / formatBytes.i32;
  const height = Math.ceil(rows / count / lineRows) * lineRows;
  if (!fits || count === 1 || height >= rows) return [{ first: 0, rows }];
  return Array.from({ length: count }, (_, part) => ({ first: part * height, rows: height })) as unknown as readonly [RowPart, ...RowPart[]];
}
