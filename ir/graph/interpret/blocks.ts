import { volume } from '../../weight-expr.ts';
import { axisOf } from '../infer-primitives.ts';
import type { BlockAttrs } from '../ops.ts';
import { blockActivation } from './activations.ts';
import { tmoe } from './experts.ts';
import { broadcastIndex, broadcastSizes, expand } from './elementwise.ts';
import { map, type Tensor } from './tensor.ts';

type Rule<K extends keyof BlockAttrs> = (attrs: BlockAttrs[K], operands: readonly [Tensor, Tensor, Tensor, ...Tensor[]]) => Tensor;

/** Pairs: how far the first elements of neighbours are apart, and the two of each. */
type Places = { readonly step: number; readonly apart: number };

/** The recognised functions on concrete tensors, in double precision. */
export const blocks: { readonly [K in keyof BlockAttrs]: Rule<K> } = {
  tnorm: ({ norm, axes, epsilon }, [x, gamma, beta]) => {
    const over = axes.map((axis) => axisOf(axis, x.shape.length));
    const kept = x.shape.map((size, axis) => (over.includes(axis) ? 1 : size));
    const of = broadcastIndex(kept, x.shape);
    const count = x.data.length / volume(kept);
    const average = (data: Float64Array): Float64Array => {
      const sums = new Float64Array(volume(kept));
      of.forEach((to, i) => (sums[to] = (sums[to] as number) + (data[i] as number) / count));
      return sums;
    };
    const mean = norm === 'layer' ? average(x.data) : undefined;
    const apart = mean === undefined ? x.data : x.data.map((value, i) => value - (mean[of[i] as number] as number));
    const power = average(apart.map((value) => value * value));
    const [gain, bias] = [gamma, beta].map((parameter) => (parameter === undefined ? undefined : expand(parameter, x.shape).data));
    return { shape: x.shape, data: apart.map((value, i) => (value === 0 ? 0 : value / Math.sqrt((power[of[i] as number] as number) + epsilon)) * (gain?.[i] ?? 1) + (bias?.[i] ?? 0)) };
  },
  tactivate: ({ activation, slope }, [x]) => map(x, (value) => blockActivation[activation](slope * value) / slope),
  trope: ({ pairs }, [x, cos, sin]) => {
    const width = x.shape.at(-1) as number;
    const turning = cos.shape.at(-1) as number;
    const angles = [...x.shape.slice(0, -1), turning];
    const [c, s] = [cos, sin].map((table) => expand(table, angles).data) as [Float64Array, Float64Array];
    const data = Float64Array.from(x.data);
    // As they are read and as they are written.
    const [from, to] = [pairs === 'halves', pairs !== 'interleaved'].map((halves) => (halves ? { step: 1, apart: turning } : { step: 2, apart: 1 })) as [Places, Places];
    for (let row = 0, at = 0; row < data.length; row += width) {
      for (let i = 0; i < turning; i++, at++) {
        const source = row + i * from.step;
        const target = row + i * to.step;
        const a = x.data[source] as number;
        const b = x.data[source + from.apart] as number;
        data[target] = a * (c[at] as number) - b * (s[at] as number);
        data[target + to.apart] = b * (c[at] as number) + a * (s[at] as number);
      }
    }
    return { shape: x.shape, data };
  },
  tmoe,
  tattention: ({ scale, softCap, biased, sinks }, [q, k, v, ...rest]) => {
    const [m, d] = q.shape.slice(-2) as [number, number];
    const [n, e] = v.shape.slice(-2) as [number, number];
    const leads = [q, k, v].map(({ shape }) => shape.slice(0, -2));
    const lead = broadcastSizes(leads);
    const [fromQ, fromK, fromV] = leads.map((shape) => broadcastIndex(shape, lead)) as [Int32Array, Int32Array, Int32Array];
    const bias = biased ? expand(rest.shift() as Tensor, [...lead, m, n]).data : undefined;
    const sink = sinks ? expand(rest.shift() as Tensor, [...lead, m, 1]).data : undefined;
    const data = new Float64Array(volume(lead) * m * e);
    for (let at = 0; at < volume(lead); at++) {
      for (let row = 0; row < m; row++) {
        const logits = Float64Array.from({ length: n }, (_, key) => {
          let dot = 0;
          for (let i = 0; i < d; i++) dot += (q.data[((fromQ[at] as number) * m + row) * d + i] as number) * (k.data[((fromK[at] as number) * n + key) * d + i] as number);
          const z = scale * dot;
          return (softCap === 0 ? z : softCap * Math.tanh(z / softCap)) + (bias?.[(at * m + row) * n + key] ?? 0);
        });
        const extra = sink?.[at * m + row] ?? -Infinity;
        const most = logits.reduce((a, b) => Math.max(a, b), extra);
        if (most === -Infinity) continue;
        const weights = logits.map((z) => Math.exp(z - most));
        const total = weights.reduce((a, b) => a + b, Math.exp(extra - most));
        for (let i = 0; i < e; i++) {
          let sum = 0;
          for (let key = 0; key < n; key++) sum += (weights[key] as number) * (v.data[((fromV[at] as number) * n + key) * e + i] as number);
          data[(at * m + row) * e + i] = sum / total;
        }
      }
    }
    return { shape: [...lead, m, e], data };
  },
};
