import { expect, test } from 'vitest';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { recognised } from '../raise/as-rows.ts';
import { SourceWriter } from '../raise/source-module.ts';

const [experts, k] = [8, 2];
type Sizes = { readonly width: number; readonly inner: number };
const small: Sizes = { width: 6, inner: 4 };
const f32 = (...shape: readonly Dim[]): TensorType => ({ dtype: 'f32', shape });

type Router = Sizes & { readonly x: ValueId; readonly chosen: ValueId; readonly shares: ValueId };
type Spelling = (write: SourceWriter, router: Router) => ValueId;

const gated = (write: SourceWriter, gate: ValueId, up: ValueId): ValueId => write.binary('mul', write.binary('mul', gate, write.unary('sigmoid', gate)), up);

/** The chosen experts of each row, gathered for it. */
const byRow: Spelling = (write, { x, chosen, shares, width, inner }) => {
  const { build } = write;
  const of = (name: string, shape: readonly number[]): ValueId => build.op('pgather', { axis: 0 }, [write.weight(name, shape), chosen]);
  const row = build.op('preshape', {}, [x], f32('n', 1, 1, width));
  const mixed = gated(write, build.op('pmatmul', {}, [row, of('gate', [experts, width, inner])]), build.op('pmatmul', {}, [row, of('up', [experts, width, inner])]));
  const made = build.op('preshape', {}, [build.op('pmatmul', {}, [mixed, of('downs', [experts, inner, width])])], f32('n', k, width));
  return build.op('preduce', { fn: 'sum', axes: [1], keepDims: false }, [write.binary('mul', made, build.op('preshape', {}, [shares], f32('n', k, 1)))]);
};

/** Expert after expert, in the order of how many rows chose them, and of every row the part it has in it; the last `left` are forgotten, or there may be none. */
const byExpert = (left: number, isAll = false): Spelling => (write, { x, chosen, shares, width, inner }) => {
  const { build } = write;
  const [gate, up, down] = [write.weight('gate', [experts, width, inner]), write.weight('up', [experts, width, inner]), write.weight('downs', [experts, inner, width])];
  const isOf = build.op('pbinary', { fn: 'equal' }, [build.op('preshape', {}, [chosen], { dtype: 'i64', shape: ['n', k, 1] }), build.op('pconst', { values: [...Array(experts).keys()] }, [], { dtype: 'i64', shape: [experts] })]);
  const rows = build.op('preduce', { fn: 'sum', axes: [0, 1], keepDims: false }, [build.op('pcast', {}, [isOf], f32('n', k, experts))]);
  const best = build.op('ptopk', { axis: 0, k: String(experts - left), largest: true }, [rows]);
  const met = build.op('preduce', { fn: 'sum', axes: [0], keepDims: false }, [build.op('pcast', {}, [write.binary('greater', rows, write.number(0))], { dtype: 'i64', shape: [experts] })]);
  const order = isAll ? build.op('pwhere', {}, [write.binary('greater', met, write.number(experts - left, 'i64')), write.number(experts, 'i64'), best]) : best;
  return Array.from({ length: experts - left }, (_, i) => {
    const which = build.op('preshape', {}, [build.op('pslice', { axis: 0, start: String(i), end: String(i + 1), step: 1 }, [order])], { dtype: 'i64', shape: [] });
    const of = (matrices: ValueId): ValueId => build.op('pgather', { axis: 0 }, [matrices, which]);
    const made = build.op('pmatmul', {}, [gated(write, build.op('pmatmul', {}, [x, of(gate)]), build.op('pmatmul', {}, [x, of(up)])), of(down)]);
    const part = build.op('pwhere', {}, [build.op('pbinary', { fn: 'equal' }, [chosen, which]), shares, write.number(0)]);
    return write.binary('mul', made, build.op('preduce', { fn: 'sum', axes: [1], keepDims: true }, [part]));
  }).reduce((sum, each) => write.binary('add', sum, each));
};

/** Expert after expert, each with matrices of its own; the last `left` are another function, and all leave out what is inside from the element `open` on. */
const byHand = (left: number, open = Infinity): Spelling => (write, { x, chosen, shares, width, inner }) => {
  const { build } = write;
  return Array.from({ length: experts }, (_, expert) => {
    const of = (name: string, shape: readonly number[]): ValueId => write.weight(`${name}.${'x'.repeat(expert)}`, shape);
    const gate = build.op('pmatmul', {}, [x, of('gate', [width, inner])]);
    const up = build.op('pmatmul', {}, [x, of('up', [width, inner])]);
    const mixed = expert < experts - left ? gated(write, gate, up) : write.binary('mul', gate, up);
    const made = build.op('pmatmul', {}, [open < inner ? write.binary('mul', mixed, write.weight(`open.${expert}`, [inner], (i) => (i < open ? 1 : 0))) : mixed, of('downs', [inner, width])]);
    const part = build.op('pwhere', {}, [build.op('pbinary', { fn: 'equal' }, [chosen, write.number(expert, 'i64')]), shares, write.number(0)]);
    return write.binary('mul', made, build.op('preduce', { fn: 'sum', axes: [1], keepDims: true }, [part]));
  }).reduce((sum, each) => write.binary('add', sum, each));
};

/** Eight experts, two to a row, which is a sum of so many residuals; the two are chosen among those `open` leaves of the scores. */
function mixture(open: (write: SourceWriter, scores: ValueId) => ValueId, spelled: Spelling = byRow, { width, inner, residuals = 0 }: Sizes & { readonly residuals?: number } = small): { readonly blocks: readonly unknown[]; readonly off: () => number } {
  const write = new SourceWriter();
  const { build } = write;
  const source = write.module([{ name: 'x', type: f32('n', width) }], ([given]) => {
    const x = Array.from({ length: residuals }).reduce<ValueId>((sum) => write.binary('add', sum, write.unary('sin', sum)), given as ValueId);
    const scores = write.unary('sigmoid', build.op('pmatmul', {}, [x, write.weight('router', [width, experts], (i) => Math.sin(i * 2.3))]));
    const chosen = build.op('ptopk', { axis: 1, k: String(k), largest: true }, [open(write, scores)]);
    const plain = build.op('ppick', { axis: 1 }, [scores, chosen]);
    const shares = write.by('mul', write.binary('div', plain, build.op('preduce', { fn: 'sum', axes: [1], keepDims: true }, [plain])), 2.5);
    return [spelled(write, { x, chosen, shares, width, inner })];
  });
  const module = recognised(source, write.store);
  const x = { shape: [40, width], data: Float64Array.from({ length: 40 * width }, (_, i) => 2 * Math.sin(i * 1.7)) };
  const run = (of: GraphModule): Float64Array => interpretTensors(of, new Map([['x', x]]), new WeightValues(write.store, 1)).get('out0')?.data as Float64Array;
  const off = (): number => {
    const [wanted, got] = [run(source), run(module)];
    return Math.max(...got.map((value, i) => Math.abs(value - (wanted[i] as number))));
  };
  return { blocks: module.body.ops.flatMap(({ kind, attrs }) => (kind === 'tmoe' ? [attrs] : [])), off };
}

/** Scores of the best of four groups, as many as judge a group by their sum; the others' are something else. */
function ofGroups(write: SourceWriter, scores: ValueId, judged: number, others: number): ValueId {
  const { build } = write;
  const grouped = build.op('preshape', {}, [scores], f32('n', 4, 2));
  const best = build.op('ppick', { axis: 2 }, [grouped, build.op('ptopk', { axis: 2, k: String(judged), largest: true }, [grouped])]);
  const kept = build.op('ptopk', { axis: 1, k: String(judged), largest: true }, [build.op('preduce', { fn: 'sum', axes: [2], keepDims: false }, [best])]);
  const [zeros, ones] = [[0, f32('n', 4)], [1, f32('n', judged)]].map(([number, type]) => build.op('pexpand', {}, [write.number(number as number)], type as TensorType)) as [ValueId, ValueId];
  const mask = build.op('preshape', {}, [build.op('pscatter', { axis: 1, reduction: 'none' }, [zeros, kept, ones])], f32('n', 4, 1));
  const open = build.op('preshape', {}, [build.op('pexpand', {}, [mask], f32('n', 4, 2))], f32('n', experts));
  return build.op('pwhere', {}, [build.op('pcast', {}, [open], { dtype: 'bool', shape: ['n', experts] }), scores, write.number(others)]);
}

const attrs = { k, scores: 'sigmoid', normalise: true, factor: 2.5, groups: 1, kept: 1, judged: 1, activation: 'silu', slope: 1, limit: 0, shift: 0, biased: false, expertBias: false };

test.each([
  ['of all experts', (_: SourceWriter, scores: ValueId) => scores, {}],
  ['of the best two of four groups, judged by their best two', (write: SourceWriter, scores: ValueId) => ofGroups(write, scores, 2, -Infinity), { groups: 4, kept: 2, judged: 2 }],
  ['of the one group whose best is best', (write: SourceWriter, scores: ValueId) => ofGroups(write, scores, 1, 0), { groups: 4, kept: 1, judged: 1 }],
  ['with a bias on the choice', (write: SourceWriter, scores: ValueId) => write.binary('add', scores, write.weight('bias', [experts])), { biased: true }],
] as const)('a mixture %s', (_, open, more) => {
  const { blocks, off } = mixture(open);
  expect(blocks).toEqual([{ ...attrs, ...more }]);
  expect(off()).toBeLessThan(1e-6);
});

test('a router that lets others in where their scores are low is none', () => expect(mixture((write, scores) => ofGroups(write, scores, 1, 0.4)).blocks).toEqual([]));

test.each([['matrices the data picks, and none where the last is forgotten', byExpert], ['matrices of their own, and none where the last is another', byHand]] as const)('a mixture expert by expert, of %s', (_, spelled) => {
  const { blocks, off } = mixture((_write, scores) => scores, spelled(0));
  expect(blocks).toEqual([attrs]);
  expect(off()).toBeLessThan(1e-6);
  expect(mixture((_write, scores) => scores, spelled(1)).blocks).toEqual([]);
});

test('a mixture of the few experts that were met in an export, which means nothing where there are more', () => {
  const { blocks, off } = mixture((_, scores) => scores, byExpert(3, true));
  expect(blocks).toEqual([attrs]);
  expect(off).toThrow('index 8 of an axis of 8');
});

test('a router that takes a sum of many residuals as it is', () => expect(mixture((_, scores) => scores, byRow, { ...small, residuals: 8 }).blocks).toEqual([attrs]));

/** The chosen experts of each row, which have no gate: relu of one product, then another; biases on both or none. */
const plain = (biased: boolean): Spelling => (write, { x, chosen, shares, width, inner }) => {
  const { build } = write;
  const of = (name: string, shape: readonly number[]): ValueId => build.op('pgather', { axis: 0 }, [write.weight(name, shape), chosen]);
  const plus = (made: ValueId, name: string, size: number): ValueId => (biased ? write.binary('add', made, of(name, [experts, 1, size])) : made);
  const inside = write.unary('relu', plus(build.op('pmatmul', {}, [build.op('preshape', {}, [x], f32('n', 1, 1, width)), of('first', [experts, width, inner])]), 'wide', inner));
  const made = build.op('preshape', {}, [plus(build.op('pmatmul', {}, [inside, of('downs', [experts, inner, width])]), 'narrow', width)], f32('n', k, width));
  return build.op('preduce', { fn: 'sum', axes: [1], keepDims: false }, [write.binary('mul', made, build.op('preshape', {}, [shares], f32('n', k, 1)))]);
};

test.each([false, true])('a mixture of experts without gates, which are gated by ones (with biases: %s)', (biased) => {
  const { blocks, off } = mixture((_, scores) => scores, plain(biased));
  expect(blocks).toEqual([{ ...attrs, activation: 'relu', expertBias: true }]);
  expect(off()).toBeLessThan(1e-6);
});

test.each([['gathered', byRow, 1], ['picked', byExpert(0), 1], ['written out', byHand(0), 1], ['written out, of which one is another', byHand(1), 0], ['written out, that leave a part out', byHand(0, 200), 0]] as const)('matrices that are large are looked at in small: %s', (_, spelled, found) => {
  const { blocks, off } = mixture((_write, scores) => scores, spelled, { width: 300, inner: 256 });
  expect(blocks.length).toBe(found);
  expect(off()).toBeLessThan(1e-6);
});
