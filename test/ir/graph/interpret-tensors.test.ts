import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../../ir/graph/build.ts';
import { GraphBuilder as Builder } from '../../../ir/graph/build.ts';
import { inferResults } from '../../../ir/graph/infer.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import { noSource } from '../../../ir/graph/module.ts';
import type { Dim, DType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { emptyStore } from './modules.ts';

type Given = { readonly type: readonly Dim[]; readonly shape: readonly number[]; readonly data: readonly number[] };

function run(given: readonly Given[], fill: (build: GraphBuilder, values: readonly ValueId[]) => ValueId): { shape: readonly number[]; data: number[] } {
  const build = new Builder(inferResults);
  const body = build.block(given.map(({ type }) => ({ dtype: 'f32' as const, shape: type })), (params) => [fill(build, params)]);
  const inputs = given.map((_, i) => ({ name: `x${i}`, feed: 'tensor' as const }));
  const module = { name: 't', family: 't', inputs, outputs: [{ name: 'y', rows: 'tensor' as const }], caches: [], weights: [], customLayers: [], types: build.types, body, source: noSource };
  const tensors = new Map(given.map(({ shape, data }, i) => [`x${i}`, { shape, data: Float64Array.from(data) }]));
  const { shape, data } = interpretTensors(module, tensors, new WeightValues(emptyStore, 1)).get('y')!;
  return { shape, data: [...data] };
}

const x23: Given = { type: ['b', 's'], shape: [2, 3], data: [1, 2, 3, 4, 5, 6] };
const typed = (dtype: DType, ...shape: Dim[]): { dtype: DType; shape: Dim[] } => ({ dtype, shape });

describe('primitives', () => {
  it('broadcast', () => {
    const row: Given = { type: ['s'], shape: [3], data: [10, 20, 30] };
    expect(run([x23, row], (b, [x, y]) => b.op('pbinary', { fn: 'add' }, [x!, y!]))).toEqual({ shape: [2, 3], data: [11, 22, 33, 14, 25, 36] });
    const column: Given = { type: ['b', 1], shape: [2, 1], data: [0, 1] };
    expect(run([column, x23, row], (b, [c, x, y]) => b.op('pwhere', {}, [c!, x!, y!]))).toEqual({ shape: [2, 3], data: [10, 20, 30, 4, 5, 6] });
    expect(() => run([x23, { type: ['n'], shape: [2], data: [1, 2] }], (b, [x, y]) => b.op('pbinary', { fn: 'add' }, [x!, y!]))).toThrow('do not broadcast');
  });

  it('multiply matrices, batches broadcasting', () => {
    const w: Given = { type: [2, 3, 1], shape: [2, 3, 1], data: [1, 0, 0, 1, 1, 1] };
    expect(run([x23, w], (b, [x, y]) => b.op('pmatmul', {}, [x!, y!]))).toEqual({ shape: [2, 2, 1], data: [1, 4, 6, 15] });
  });

  it('reduce, scan and normalise along axes', () => {
    expect(run([x23], (b, [x]) => b.op('preduce', { fn: 'mean', axes: [-1], keepDims: true }, [x!]))).toEqual({ shape: [2, 1], data: [2, 5] });
    expect(run([x23], (b, [x]) => b.op('preduce', { fn: 'max', axes: [0], keepDims: false }, [x!]))).toEqual({ shape: [3], data: [4, 5, 6] });
    expect(run([x23], (b, [x]) => b.op('pcumsum', { axis: 1 }, [x!]))).toEqual({ shape: [2, 3], data: [1, 3, 6, 4, 9, 15] });
    expect(run([{ type: [2], shape: [2], data: [0, Math.log(3)] }], (b, [x]) => b.op('psoftmax', { axis: -1 }, [x!])).data[1]).toBeCloseTo(0.75, 12);
  });

  it('move elements', () => {
    expect(run([x23], (b, [x]) => b.op('ptranspose', { perm: [1, 0] }, [x!]))).toEqual({ shape: [3, 2], data: [1, 4, 2, 5, 3, 6] });
    expect(run([x23], (b, [x]) => b.op('preshape', {}, [x!], typed('f32', 's', 'b')))).toEqual({ shape: [3, 2], data: [1, 2, 3, 4, 5, 6] });
    expect(run([x23], (b, [x]) => b.op('pslice', { axis: 1, start: 's - 2', end: 's', step: 1 }, [x!]))).toEqual({ shape: [2, 2], data: [2, 3, 5, 6] });
    expect(run([x23], (b, [x]) => b.op('pconcat', { axis: 1 }, [x!, x!]))).toEqual({ shape: [2, 6], data: [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6] });
    expect(run([x23, { type: [2], shape: [2], data: [-1, 0] }], (b, [x, i]) => b.op('pgather', { axis: 1 }, [x!, i!]))).toEqual({ shape: [2, 2], data: [3, 1, 6, 4] });
    expect(run([x23], (b, [x]) => b.op('ptrilu', { upper: false, k: '0' }, [x!]))).toEqual({ shape: [2, 3], data: [1, 0, 0, 4, 5, 0] });
    expect(run([{ type: ['b', 1], shape: [2, 1], data: [1, 2] }], (b, [x]) => b.op('pexpand', {}, [x!], typed('f32', 'b', 2)))).toEqual({ shape: [2, 2], data: [1, 1, 2, 2] });
  });

  it('pick and write elements by an index for each, other axes broadcasting', () => {
    const index: Given = { type: [2, 2], shape: [2, 2], data: [2, 0, -1, 1] };
    const column: Given = { type: [1, 2], shape: [1, 2], data: [2, 0] };
    expect(run([x23, index], (b, [x, i]) => b.op('ppick', { axis: 1 }, [x!, i!]))).toEqual({ shape: [2, 2], data: [3, 1, 6, 5] });
    expect(run([x23, column], (b, [x, i]) => b.op('ppick', { axis: -1 }, [x!, i!]))).toEqual({ shape: [2, 2], data: [3, 1, 6, 4] });
    expect(run([x23, { type: [1, 3], shape: [1, 3], data: [1, 0, 1] }], (b, [x, i]) => b.op('ppick', { axis: 0 }, [x!, i!]))).toEqual({ shape: [1, 3], data: [4, 2, 6] });
    const updates: Given = { type: [2, 2], shape: [2, 2], data: [10, 20, 30, 40] };
    const write = (reduction: 'none' | 'add' | 'mul' | 'min' | 'max', at: Given): number[] => run([x23, at, updates], (b, [x, i, u]) => b.op('pscatter', { axis: 1, reduction }, [x!, i!, u!])).data;
    expect(write('none', index)).toEqual([20, 2, 10, 4, 40, 30]);
    expect(write('add', column)).toEqual([21, 2, 13, 44, 5, 36]);
    expect(write('max', { type: [1, 1], shape: [1, 1], data: [1] })).toEqual([1, 20, 3, 4, 40, 6]);
    expect(write('none', { type: [1, 1], shape: [1, 1], data: [0] })).toEqual([20, 2, 3, 40, 5, 6]);
    expect(() => write('none', { type: [1, 1], shape: [1, 1], data: [3] })).toThrow('index 3 of an axis of 3');
  });

  it('rank the elements of an axis: of equals the first, not-a-number above all', () => {
    const x: Given = { type: [2, 4], shape: [2, 4], data: [1, 3, 3, 2, NaN, 0, -1, Infinity] };
    const top = (k: string, largest: boolean, axis = 1): number[] => run([x], (b, [v]) => b.op('ptopk', { axis, k, largest }, [v!])).data;
    expect(top('3', true)).toEqual([1, 2, 3, 0, 3, 1]);
    expect(top('2', false)).toEqual([0, 3, 2, 1]);
    expect(top('1', true, 0)).toEqual([1, 0, 0, 1]);
    expect(run([x23], (b, [v]) => b.op('ptopk', { axis: 1, k: 's - 1', largest: false }, [v!]))).toEqual({ shape: [2, 2], data: [0, 1, 0, 1] });
  });

  it('make numbers from sizes', () => {
    expect(run([x23], (b) => b.op('piota', { start: 'b', step: 2 }, [], typed('i64', 's')))).toEqual({ shape: [3], data: [2, 4, 6] });
    expect(run([x23], (b) => b.op('psizes', { sizes: ['b*s', '7'] }, []))).toEqual({ shape: [2], data: [6, 7] });
    expect(run([x23], (b) => b.op('pconst', { values: [1, 2] }, [], typed('i64', 2)))).toEqual({ shape: [2], data: [1, 2] });
  });

  it('compute element by element; integers divide towards zero', () => {
    const one = (value: number, fn: 'erf' | 'softplus' | 'round'): number => run([{ type: [], shape: [], data: [value] }], (b, [x]) => b.op('punary', { fn }, [x!])).data[0]!;
    expect(one(0.5, 'erf')).toBeCloseTo(0.5204998778130465, 14);
    expect(one(3, 'erf')).toBeCloseTo(0.9999779095030014, 14);
    expect(one(-2, 'erf')).toBeCloseTo(-0.9953222650189527, 14);
    expect(one(0, 'erf')).toBe(0);
    expect(one(100, 'softplus')).toBe(100);
    expect([-2.5, -1.5, -0.4, 0.5, 1.5, 2.6].map((value) => one(value, 'round') + 0)).toEqual([-2, -2, 0, 0, 2, 3]);
    const given: Given[] = [{ type: [1], shape: [1], data: [-7] }, { type: [1], shape: [1], data: [2] }];
    expect(run(given, (b, [x, y]) => b.op('pbinary', { fn: 'div' }, [x!, y!], typed('i64', 1))).data).toEqual([-3]);
    expect(run(given, (b, [x, y]) => b.op('pbinary', { fn: 'mod' }, [x!, y!], typed('i64', 1))).data).toEqual([1]);
  });

  it('bind sizes to the inputs and refuse others', () => {
    expect(() => run([x23, { type: ['b + s'], shape: [4], data: [1, 2, 3, 4] }], (_, [x]) => x!)).toThrow('input `x1` is [4], not [b + s]');
  });
});
