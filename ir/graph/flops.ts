import type { Step } from '../step.ts';
import { tokensOf } from '../step.ts';
import type { ValueId } from '../types.ts';
import type { Block, BodyKind, GraphModule, GraphOp, OpOf } from './module.ts';

/** Useful work of a step in floating-point operations, a multiply-add being two. */
export type Flops = { readonly gemm: number; readonly attention: number };

/**
 * What a module has to compute on a step, every iteration of its loops counted: 2 rows n k of each linear (of experts' three, for the k a row chooses), and 2 pairs heads
 * headDim each for q k^T and p v, a pair being a row and a key it may see. Nothing is counted for what hardware pads or masks,
 * nor for element-wise ops. A module that is sharded counts one chip's work.
 */
export function stepFlops(module: GraphModule, step: Step): Flops {
  const rowsOf = (value: ValueId): number => (module.types[value]?.shape[0] === 'samples' ? step.samples.length : tokensOf(step));
  const sum = (block: Block): Flops =>
    block.ops.reduce<Flops>((total, op) => {
      const { gemm, attention } = op.kind === 'loop' ? times(sum(op.body), op.attrs.trip) : op.kind === 'fused' ? sum(op.body) : opFlops(op, module, step, rowsOf(op.results[0] as ValueId));
      return { gemm: total.gemm + gemm, attention: total.attention + attention };
    }, nothing);
  return sum(module.body);
}

/** Of one op, run once. */
function opFlops(op: Exclude<GraphOp, OpOf<BodyKind>>, module: GraphModule, step: Step, rows: number): Flops {
  if (op.kind === 'attention') return { gemm: 0, attention: 4 * op.attrs.heads * op.attrs.headDim * seenPairs(op.attrs, step) };
  if (op.kind === 'experts') {
    const [n, d] = module.types[op.operands[2] as ValueId]?.shape ?? [];
    return { gemm: 2 * rows * op.attrs.k * 1.5 * (Number(n) / op.attrs.experts) * Number(d), attention: 0 };
  }
  if (op.kind !== 'linear') return nothing;
  const [n, k] = module.types[op.operands[1] as ValueId]?.shape ?? [];
  return { gemm: 2 * rows * Number(n) * Number(k), attention: 0 };
}

/** Pairs of a row and a key it may see, over all sequences. */
function seenPairs({ mask, window, cache }: OpOf<'attention'>['attrs'], step: Step): number {
  let pairs = 0;
  for (const sequence of step.sequences) {
    const past = cache === '' ? 0 : sequence.past;
    const keys = past + sequence.rows;
    for (let row = 0; row < sequence.rows; row++) {
      const high = mask === 'causal' ? past + row + 1 : keys;
      pairs += high - (window > 0 ? Math.max(0, past + row - window + 1) : 0);
    }
  }
  return pairs;
}

const nothing: Flops = { gemm: 0, attention: 0 };
const times = ({ gemm, attention }: Flops, count: number): Flops => ({ gemm: gemm * count, attention: attention * count });
