import type { GraphOp, OpOf } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Weight, WeightExpr } from '../../ir/weights.ts';
import { isOfMachine } from './blocks.ts';
import { transpose, vectorOf, weightOf } from './constants.ts';
import { lastAxisRows } from './products.ts';
import { type Lifted, type Raising, viewOf } from './raising.ts';
import type { RowNode, View } from './rows.ts';
import type { Source } from './source.ts';

/** What each expert has of a constant that has one part for each: [in, out], or [out]. */
type Parts = (expert: number) => WeightExpr;

/**
 * A recognised mixture of experts. What the machine has no number for goes into the weights: a factor of the shares into the downs, the slope
 * of an activation f(slope z) / slope into gates and ups. A softmax over the chosen alone is one over all, normalised.
 */
export function liftExperts(op: OpOf<'tmoe'>, raising: Raising): Lifted {
  const { source } = raising;
  const { k, scores, normalise, factor, groups, activation, slope, limit, shift, biased, expertBias } = op.attrs;
  const [given, logitsOf, ...rest] = op.operands as readonly [ValueId, ValueId, ...ValueId[]];
  const [view, logitsView] = [raising.view(given), raising.view(logitsOf)];
  if (view === undefined || logitsView === undefined) return undefined;
  const [x, logits] = [view, logitsView].map((each) => (each.scale === 1 ? lastAxisRows(each) : undefined));
  if (x === undefined || logits === undefined) return 'its experts or their router do not work on whole rows';
  if (!isOfMachine(activation)) return `the machine does not compute \`${activation}\``;
  if (limit !== 0 || shift !== 0) return 'its experts bound their inner values, or move them: the machine does neither';
  if (groups !== 1) return 'its router chooses groups of experts first: the machine chooses among all';
  const choiceBias = biased ? vectorOf(source, rest[0] as ValueId, logits.width) : undefined;
  const parts = rest.slice(biased ? 1 : 0).map((value) => partsOf(source, value));
  if ((biased && choiceBias === undefined) || parts.includes(undefined)) return 'the weights of its experts are no part of the file\'s tensors each';
  const [gate, up, down, gateBias, upBias, downBias] = parts as [Parts, Parts, Parts, Parts, Parts, Parts];

  const experts = logits.width;
  const [, width, inner] = source.type(rest[biased ? 1 : 0] as ValueId).shape as readonly [number, number, number];
  const all = (name: string, shape: readonly number[], of: (expert: number) => readonly WeightExpr[]): Weight =>
    ({ name: `experts.${op.results[0]}.${name}`, dtype: source.type(rest[biased ? 1 : 0] as ValueId).dtype, shape, instances: [{ kind: 'concat', axis: 0, of: Array.from({ length: experts }, (_, expert) => of(expert)).flat() }] });
  const weights = [
    all('gates', [experts * 2 * inner, width], (expert) => [times(transpose(gate(expert)), slope), times(transpose(up(expert)), 1 / slope)]),
    all('downs', [experts * width, inner], (expert) => [times(transpose(down(expert)), factor)]),
    ...(choiceBias === undefined ? [] : [choiceBias]),
    ...(expertBias ? [
      all('gates.bias', [experts * 2 * inner], (expert) => [times(gateBias(expert), slope), times(upBias(expert), 1 / slope)]),
      all('downs.bias', [experts * width], (expert) => [times(downBias(expert), factor)]),
    ] : []),
  ];
  const attrs: RowNode['attrs'] & object = {
    experts, k, scores: scores === 'sigmoid' ? 'sigmoid' : 'softmax', normalise: normalise || scores === 'chosen', activation, scaled: false, biased, bias: expertBias, parts: 1, whole: false,
  } as const;
  const row = { kind: 'experts', attrs, rows: [x, logits], weights, width, of: x.of, from: [op] } as RowNode;
  return { row, layout: { base: 0, axes: [...view.layout.axes.slice(0, -1), [{ axis: 'feature', size: width, stride: 1 }]] }, scale: 1, past: undefined };
}

/** A gated feed-forward whose rows are each times the sigmoid of a number of theirs: a mixture of one expert, whose share the sigmoid is. */
export function sharedExpert(x: View, gate: View, op: GraphOp): View | undefined {
  const down = x.row;
  const logits = gate.row.kind === 'activate' && gate.row.attrs.activation === 'sigmoid' ? gate.row.rows[0] : undefined;
  if (logits === undefined || typeof logits === 'string' || logits.width !== 1 || !isPlain(down) || x.scale !== 1 || gate.scale !== 1 || x.past !== undefined || gate.past !== undefined) return undefined;
  const [product] = down.rows as readonly [RowNode];
  const factors = product.kind === 'multiply' ? (product.rows as readonly RowNode[]) : [];
  const acted = factors.find((row) => row.kind === 'activate');
  const [linear, up] = [acted?.rows[0], factors.find((row) => row !== acted)];
  if (acted?.kind !== 'activate' || linear === undefined || typeof linear === 'string' || up === undefined || !isPlain(linear) || !isPlain(up)) return undefined;
  const [input] = linear.rows as readonly [RowNode];
  if (up.rows[0] !== input || tokensOf(x) !== tokensOf(gate)) return undefined;
  const [first, second, last] = [linear, up, down].map((row) => row.weights[0] as Weight) as [Weight, Weight, Weight];
  const gates: Weight = { ...first, name: `${first.name}|${second.name}`, shape: [2 * up.width, input.width], instances: [{ kind: 'concat', axis: 0, of: [first.instances[0] as WeightExpr, second.instances[0] as WeightExpr] }] };
  const attrs = { experts: 1, k: 1, scores: 'sigmoid', normalise: false, activation: acted.attrs.activation, scaled: false, biased: false, bias: false, parts: 1, whole: false } as const;
  const from = [...product.from, ...acted.from, ...linear.from, ...up.from, ...down.from, ...gate.row.from, op];
  return viewOf({ kind: 'experts', attrs, rows: [input, logits], weights: [gates, last], width: down.width, of: down.of, from }, x);
}

const isPlain = (row: RowNode): boolean => row.kind === 'linear' && row.attrs.activation === 'none' && !row.attrs.bias;
const tokensOf = ({ layout }: View): string => JSON.stringify(layout.axes.map((factors) => factors.filter(({ axis }) => axis !== 'feature')));

const times = (of: WeightExpr, by: number): WeightExpr => (by === 1 ? of : { kind: 'scale', of, by });

/** A constant [experts, in, out] or [experts, out], expert by expert: transposes and slices of it are those of each. */
function partsOf(source: Source, value: ValueId): Parts | undefined {
  const op = source.definition(value);
  const shape = source.type(value).shape as readonly number[];
  const inner = op?.operands[0] === undefined ? undefined : partsOf(source, op.operands[0]);
  if (op?.kind === 'ptranspose' && op.attrs.perm.join() === '0,2,1') return inner && ((expert) => transpose(inner(expert)));
  if (op?.kind === 'pslice' && op.attrs.axis === shape.length - 1 && inner !== undefined) {
    const wide = (source.type(op.operands[0] as ValueId).shape as readonly number[]).slice(1);
    const { start, step } = op.attrs;
    return (expert) => everyOther(inner(expert), wide, { start: Number(start), step, count: shape.at(-1) as number });
  }
  if (op?.kind === 'pconcat' && op.attrs.axis === 0 && op.operands.every((operand) => source.type(operand).shape[0] === 1)) {
    const each = op.operands.map((operand) => weightOf(source, operand)?.instances[0]);
    return each.includes(undefined) ? undefined : (expert) => ({ kind: 'reshape', of: each[expert] as WeightExpr, shape: shape.slice(1) });
  }
  const weight = weightOf(source, value);
  const [expr] = weight?.instances ?? [];
  if (expr === undefined) return undefined;
  return (expert) => ({ kind: 'reshape', of: { kind: 'slice', of: expr, axis: 0, start: expert, end: expert + 1 }, shape: shape.slice(1) });
}

/** `count` of the elements of the last axis, `step` apart. */
function everyOther(of: WeightExpr, shape: readonly number[], { start, step, count }: { readonly start: number; readonly step: number; readonly count: number }): WeightExpr {
  if (step === 1) return { kind: 'slice', of, axis: shape.length - 1, start, end: start + count };
  const rest = shape.slice(0, -1);
  const turns: WeightExpr = { kind: 'reshape', of, shape: [...rest, (shape.at(-1) as number) / step, step] };
  return { kind: 'reshape', of: { kind: 'slice', of: turns, axis: shape.length, start: start % step, end: (start % step) + 1 }, shape: [...rest, count] };
}
