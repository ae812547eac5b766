import { expect, it } from 'vitest';
import { stepFlops } from '../../../ir/graph/flops.ts';
import { tinyLlama } from './llama.ts';
import { stepOf } from './modules.ts';

it('counts two a multiply-add, sampled rows alone in the head, keys a row may see in attention', () => {
  const { module } = tinyLlama('bf16');
  const layer = 16 * 16 + 8 * 16 + 8 * 16 + 16 * 16 + 48 * 16 + 16 * 24;
  expect(stepFlops(module, stepOf([{ id: 0, rows: 3, past: 0 }, { id: 1, rows: 1, past: 9 }]))).toEqual({
    gemm: 2 * (2 * 4 * layer + 2 * 32 * 16),
    attention: 2 * 4 * 16 * (1 + 2 + 3 + 10),
  });
});
