import { describe, expect, it } from 'vitest';
import { interpretTile } from '../../../ir/tile/interpret.ts';
import { freshState } from '../../../ir/tile/interpret/memory.ts';
import type { Buffer } from '../../../ir/tile/module.ts';
import { moduleOf, stepOf, textOf } from './texts.ts';

/** Weight buffers from rows by name; a row that is not there may not be read. */
const fillFrom = (weights: Readonly<Record<string, readonly (readonly number[])[]>>) => ({ name }: Buffer) => (row: number): Float64Array => {
  const values = weights[name]?.[row];
  if (values === undefined) throw new Error(`row ${row} of ${name} was read`);
  return Float64Array.from(values);
};

const lineBytes = 16;

describe('a matrix product', () => {
  const module = moduleOf(textOf('matmul.tir'));
  // w = [[1, 0, 2, 0, 1], [0, 1, 0, -1, 0.5], [2, 2, 0, 0, 0]], as 2 x 2 tiles: rows are k, columns are n.
  const w = [[1, 0, 0, 1], [2, 0, 2, 0], [2, 0, 0, -1], [0, 0, 0, 0], [1, 0.5, 0, 0], [0, 0, 0, 0]];
  const params = [[1, 2, 0.5, 0, 10, 0, -1, 0]];
  const run = (x: readonly (readonly number[])[]) =>
    interpretTile(module, stepOf(x.length), { fill: fillFrom({ x, w, params }), lineBytes, state: freshState() })[0]!;

  it('is what it is by hand: row scales 1 and 2, then column scales, bias, relu, bf16', () => {
    const { rows, columns, data } = run([[448, 1, 2, 0, -1], [896, 2, 4, 6, 8]]);
    expect([rows, columns]).toEqual([2, 3]);
    // Sums 451, 0.5, 898 and 456, 0, 898; then 461, 1, 448 and 922, 0, 897, of which bf16 keeps eight bits.
    expect([...data]).toEqual([460, 1, 448, 920, 0, 896]);
  });

  it('clears what is below zero', () => {
    expect([...run([[-448, 1, 2, 0, -1]]).data]).toEqual([0, 1, 0]);
  });

  it('has no rows in a step without rows', () => {
    expect(run([]).data).toHaveLength(0);
  });
});

describe('attention', () => {
  const module = moduleOf(textOf('attention.tir'));
  const embedding = [[1, 0], [0, 1], [-1, 0], [2, 2]];
  const state = freshState();
  const run = (step: ReturnType<typeof stepOf>) => [...interpretTile(module, step, { fill: fillFrom({ embedding }), lineBytes, state })[0]!.data];

  it('sees its own sequence up to its own row, across pages and steps', () => {
    // Two sequences; the first alone on pages 2 and 0, the second on page 1. A row's keys are 4 * page + row within the page.
    const first = run(stepOf(3, { ids: [0, 3, 2], slots: [8, 9, 4], pages: [2, 1], worklist: [
      { firstRow: 0, rows: 2, keys: 2, firstPosition: 0, firstPage: 0 },
      { firstRow: 2, rows: 1, keys: 1, firstPosition: 0, firstPage: 1 },
    ] }));
    expect(first.slice(0, 2)).toEqual([1, 0]);
    expect(first.slice(4)).toEqual([-1, 0]);
    // Row 1: scores 2 and 8, halved; softmax weights 1 and e^-3 of what they share.
    const p = Math.exp(-3);
    expect(first[2]).toBeCloseTo((2 + p) / (1 + p), 2);
    expect(first[3]).toBeCloseTo(2 / (1 + p), 2);

    // The next row of the first sequence is on a page of its own and scores 1/2 * [0, 2, 1] against all three keys.
    const next = run(stepOf(1, { ids: [1], slots: [0], pages: [2, 0], worklist: [{ firstRow: 0, rows: 1, keys: 3, firstPosition: 2, firstPage: 0 }] }));
    const weights = [Math.exp(0), Math.exp(1), Math.exp(0.5)] as const;
    const sum = weights[0] + weights[1] + weights[2];
    expect(next[0]).toBeCloseTo((weights[0] + 2 * weights[1]) / sum, 2);
    expect(next[1]).toBeCloseTo((2 * weights[1] + weights[2]) / sum, 2);
  });

  it('reads NaN from pages nothing was written to', () => {
    expect(run(stepOf(1, { ids: [1], slots: [12], pages: [1, 3], worklist: [{ firstRow: 0, rows: 1, keys: 4, firstPosition: 3, firstPage: 0 }] }))).toEqual([NaN, NaN]);
  });
});

it('refuses a collective of several chips', () => {
  const module = moduleOf(`tile "t" side 2 chips 2
bounds tokens 1 sequences 1 samples 1 memory 0 poolPages 1 pageRows 1 pageListEntries 1
buffer a sram value bf16[1, 2]
buffer b sram value bf16[1, 4]
@gather
allgather parts=2 tag=0 from=a[0 +: 1, 0 +: 2] out=b[0 +: 1, 0 +: 4] rows 1 of tokens`);
  expect(() => interpretTile(module, stepOf(1), { fill: fillFrom({}), lineBytes, state: freshState() })).toThrow('2 chips');
});
