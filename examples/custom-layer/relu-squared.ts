import { defineLayer } from 'sohuc';

/**
 * relu(x)^2, the activation of Primer (So et al. 2021, arXiv:2109.08668), exported as a node of a domain no runtime knows.
 * The machine has no such activation, so the layer says how to make it of what there is.
 *
 *     sohuc examples/custom-layer/decoder.onnx --plugin examples/custom-layer/relu-squared.ts
 */
export const reluSquared = defineLayer({
  name: 'relu-squared',
  docs: 'the square of relu(x)',
  match: ({ domain, op }) => (domain === 'example' && op === 'ReluSquared' ? {} : undefined),
  infer: (operands) => {
    const [x] = operands;
    if (x === undefined || operands.length > 1) throw new Error(`ReluSquared takes one operand, not ${operands.length}`);
    return x;
  },
  reference: ([x]) => Float64Array.from(x?.data ?? [], (value) => (value > 0 ? value * value : 0)),
  lower: (build, [x]) => {
    const positive = build.op('activate', { activation: 'relu' }, [x as NonNullable<typeof x>]);
    return build.op('multiply', {}, [positive, positive]);
  },
});
