import type { BlockAttrs } from '../ops.ts';
import { blockActivation } from './activations.ts';
import type { Tensor } from './tensor.ts';

type Attrs = BlockAttrs['tmoe'];
export type Routing = Pick<Attrs, 'k' | 'scores' | 'normalise' | 'factor' | 'groups' | 'kept' | 'judged'>;

/** The experts chosen for a row of logits and their weights: best first, the lower number first among equals. */
export function routed(logits: Float64Array, bias: Float64Array | undefined, { k, scores, normalise, factor, ...limited }: Routing): readonly { readonly expert: number; readonly weight: number }[] {
  const score = scores === 'sigmoid' ? logits.map((z) => 1 / (1 + Math.exp(-z))) : scores === 'softmax' ? softmax(logits) : logits;
  const ranks = score.map((each, expert) => each + (bias?.[expert] ?? 0));
  const order = best(ranks, openTo(ranks, limited), k);
  const chosen = Float64Array.from(order, (expert) => score[expert] as number);
  const plain = scores === 'chosen' ? softmax(chosen) : chosen;
  const total = normalise ? plain.reduce((a, b) => a + b, 0) : 1;
  return order.map((expert, i) => ({ expert, weight: ((plain[i] as number) / total) * factor }));
}

/** The k highest of some ranks, the first among equals. */
const best = (ranks: ArrayLike<number>, of: readonly number[], k: number): readonly number[] => of.toSorted((a, b) => (ranks[b] as number) - (ranks[a] as number) || a - b).slice(0, k);

/** The experts of the best groups. */
function openTo(ranks: Float64Array, { groups, kept, judged }: Pick<Attrs, 'groups' | 'kept' | 'judged'>): readonly number[] {
  const size = ranks.length / groups;
  const members = Array.from({ length: groups }, (_, group) => Array.from({ length: size }, (_each, i) => group * size + i));
  const worth = members.map((group) => best(ranks, group, judged).reduce((sum, expert) => sum + (ranks[expert] as number), 0));
  return best(worth, [...members.keys()], kept).flatMap((group) => members[group] as readonly number[]);
}

function softmax(z: Float64Array): Float64Array {
  const most = z.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = z.map((each) => Math.exp(each - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((each) => each / sum);
}

/** A mixture of experts on concrete tensors, in double precision. */
export function tmoe(attrs: Attrs, [x, logits, ...rest]: readonly [Tensor, Tensor, ...Tensor[]]): Tensor {
  const { activation, slope, limit, shift, biased, expertBias } = attrs;
  const choice = biased ? (rest.shift() as Tensor).data : undefined;
  const [gate, up, down, gateBias, upBias, downBias] = rest as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const [experts, d, f] = gate.shape as [number, number, number];
  const rows = x.data.length / d;
  const act = (z: number): number => blockActivation[activation](slope * z) / slope;
  const [least, most] = limit === 0 ? [-Infinity, Infinity] : [-limit, limit];
  const times = (row: Float64Array, w: Tensor, expert: number, bias: Tensor): Float64Array => {
    const [, wide, out] = w.shape as [number, number, number];
    return Float64Array.from({ length: out }, (_, n) => {
      let sum = expertBias ? (bias.data[expert * out + n] as number) : 0;
      for (let i = 0; i < wide; i++) sum += (row[i] as number) * (w.data[(expert * wide + i) * out + n] as number);
      return sum;
    });
  };
  const data = new Float64Array(rows * d);
  for (let r = 0; r < rows; r++) {
    const row = x.data.subarray(r * d, (r + 1) * d);
    for (const { expert, weight } of routed(logits.data.subarray(r * experts, (r + 1) * experts), choice, attrs)) {
      const [g, u] = [times(row, gate, expert, gateBias), times(row, up, expert, upBias)];
      const inner = Float64Array.from({ length: f }, (_, i) => act(Math.min(g[i] as number, most)) * (Math.min(most, Math.max(least, u[i] as number)) + shift));
      times(inner, down, expert, downBias).forEach((value, i) => (data[r * d + i] = (data[r * d + i] as number) + weight * value));
    }
  }
  return { shape: x.shape, data };
}
