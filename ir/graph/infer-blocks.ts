import type { Dim, TensorType } from '../types.ts';
import { axisOf, broadcastShapes } from './infer-primitives.ts';
import type { BlockAttrs } from './ops.ts';

type Rule<K extends keyof BlockAttrs> = (attrs: BlockAttrs[K], operands: readonly TensorType[]) => readonly TensorType[];

/** Result types of recognised functions. Throws on operands they cannot take. */
export const blockRules: { readonly [K in keyof BlockAttrs]: Rule<K> } = {
  tnorm: ({ norm, axes }, operands) => {
    const [x, ...parameters] = between(operands, 1, norm === 'rms' ? 2 : 3);
    for (const axis of axes) axisOf(axis, x.shape.length);
    for (const { shape } of parameters) broadcastShapes(shape, x.shape);
    return [x];
  },
  tactivate: (_, operands) => [between(operands, 1, 1)[0]],
  trope: (_, operands) => {
    const [x, cos, sin] = between(operands, 3, 3) as [TensorType, TensorType, TensorType];
    const [width, turning, other] = [x, cos, sin].map(({ shape }) => shape.at(-1));
    if (turning !== other) throw new Error(`cosines of ${turning} angles and sines of ${other}`);
    if (typeof width === 'number' && typeof turning === 'number' && 2 * turning > width) throw new Error(`${turning} angles rotate more than ${width} elements`);
    return [x];
  },
  tmoe: ({ k, groups, kept, judged, biased, expertBias }, operands) => {
    const count = 5 + (biased ? 1 : 0) + (expertBias ? 3 : 0);
    const [x, logits] = between(operands, count, count) as [TensorType, TensorType];
    const [gate, up, down] = operands.slice(biased ? 3 : 2) as unknown as [TensorType, TensorType, TensorType];
    const [experts, width] = [logits.shape.at(-1), x.shape.at(-1)];
    if ([gate, up, down].some(({ shape }) => shape.length !== 3 || shape[0] !== experts)) throw new Error(`matrices are of ${String(experts)} experts, [experts, in, out]`);
    if (gate.shape[1] !== width || up.shape[1] !== width || down.shape[2] !== width || gate.shape[2] !== up.shape[2] || gate.shape[2] !== down.shape[1]) throw new Error(`experts do not take and make rows of ${String(width)}`);
    if (typeof experts !== 'number') return [x];
    if (k > (experts / groups) * kept) throw new Error(`${k} of ${(experts / groups) * kept} experts`);
    if (experts % groups !== 0 || kept > groups || judged > experts / groups) throw new Error(`the best ${judged} of each of ${groups} groups, ${kept} kept, of ${experts} experts`);
    return [x];
  },
  tattention: ({ biased, sinks }, operands) => {
    const count = 3 + (biased ? 1 : 0) + (sinks ? 1 : 0);
    const [q, k, v] = between(operands, count, count) as [TensorType, TensorType, TensorType];
    if ([q, k, v].some(({ shape }) => shape.length < 2)) throw new Error('queries, keys and values have at least two axes');
    const lead = [q, k, v].map(({ shape }) => shape.slice(0, -2)).reduce<readonly Dim[]>((all, shape) => broadcastShapes(all, shape), []);
    return [{ dtype: q.dtype, shape: [...lead, q.shape.at(-2) as Dim, v.shape.at(-1) as Dim] }];
  },
};

function between(operands: readonly TensorType[], least: number, most: number): [TensorType, ...TensorType[]] {
  if (operands.length < least || operands.length > most) throw new Error(`${operands.length} operands where ${least === most ? least : `${least} to ${most}`} are wanted`);
  return [...operands] as [TensorType, ...TensorType[]];
}
