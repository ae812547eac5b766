import { encodeBf16, encodeE4m3 } from '../isa-spec/numerics.ts';
import type { Kernels } from '../simulator/functional/machine-state.ts';
import { AttentionUnit } from '../test/simulator/attention-unit.ts';
import { fastest, type Measurement, normal, type Run } from './measure.ts';
import { session, tensor } from './onnx.ts';

type Shape = { readonly rows: number; readonly past: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number };

const shapes: readonly Shape[] = [64, 128].flatMap((headDim) => [
  { rows: 256, past: 0, heads: 4, kvHeads: 4, headDim }, { rows: 128, past: 384, heads: 4, kvHeads: 1, headDim }, { rows: 16, past: 496, heads: 4, kvHeads: 4, headDim },
  { rows: 1, past: 511, heads: 8, kvHeads: 8, headDim }, { rows: 1, past: 1023, heads: 8, kvHeads: 2, headDim }, { rows: 1, past: 1023, heads: 8, kvHeads: 1, headDim },
]);

const attention = ({ rows, past, heads, kvHeads, headDim }: Shape, format: 'e4m3' | 'bf16', kernels: Kernels): Run => {
  const encode = format === 'e4m3' ? encodeE4m3 : encodeBf16;
  const unit = new AttentionUnit({ format, heads, kvHeads, headDim, valueDim: headDim, latent: false }, [{ rows, past }], () => encode(3 * normal()), kernels);
  return { before: () => unit.load(), run: () => unit.attend() };
};

/** The products, the mask and the softmax in FP32, every row by every key. The heads that share keys are rows that do, as the simulator has it. */
const inRuntime = async ({ rows, past, heads, kvHeads, headDim }: Shape): Promise<Run> => {
  const keys = past + rows;
  const together = (heads / kvHeads) * rows;
  const shapes = { q: [kvHeads, together, headDim], k: [kvHeads, headDim, keys], v: [kvHeads, keys, headDim], mask: [together, keys] } as const;
  const runtime = await session(
    shapes, [['MatMul', ['q', 'k'], 'dots'], ['Add', ['dots', 'mask'], 'scores'], ['Softmax', ['scores'], 'weights'], ['MatMul', ['weights', 'v'], 'y']], [kvHeads, together, headDim],
  );
  const causal = (i: number): number => (i % keys <= past + (Math.floor(i / keys) % rows) ? 0 : -Infinity);
  const feeds = { q: tensor(normal, ...shapes.q), k: tensor(normal, ...shapes.k), v: tensor(normal, ...shapes.v), mask: tensor(causal, ...shapes.mask) };
  return { run: () => runtime.run(feeds) };
};

/** The instruction `attn`, causal, of one sequence. Operations are those of the keys a row sees. */
export const attentions: Measurement = {
  shapes: shapes.map(({ rows, past, heads, kvHeads, headDim }) => ({
    name: `${rows} after ${past}, heads ${heads}/${kvHeads} of ${headDim}`,
    operations: 4 * (rows * past + (rows * (rows + 1)) / 2) * heads * headDim,
  })),
  measure: async (way) => {
    const seconds: (readonly number[])[] = [];
    for (const shape of shapes) seconds.push(await (way === 'onnxruntime' ? fastest([await inRuntime(shape)], 0.2) : fastest([attention(shape, way, 'plain'), attention(shape, way, 'simd')], 0.4)));
    return seconds;
  },
};
