import { describe, expect, it } from 'vitest';
import type { GraphBuilder } from '../../../ir/graph/build.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import type { Arithmetic } from '../../../ir/graph/interpret/numbers.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { DType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import type { Weight } from '../../../ir/weights.ts';
import { emptyStore, literal, moduleOf, stepOf } from './modules.ts';

type Rows = readonly (readonly number[])[];

/** Runs ops on matrices of numbers: each is a table whose rows the ids 0, 1, ... pick. */
function run(matrices: readonly Rows[], weights: readonly Weight[], fill: (build: GraphBuilder, values: readonly ValueId[], w: readonly ValueId[], positions: ValueId) => ValueId, how: { arithmetic?: Arithmetic; dtype?: DType } = {}): Rows {
  const rows = matrices[0]?.length ?? 0;
  const module = rowModule(matrices, weights, fill, how.dtype ?? 'f32');
  const result = interpret(module, stepOf([{ id: 0, rows, past: 0 }]), { weights: new WeightValues(emptyStore, 1), arithmetic: how.arithmetic ?? 'real', state: new KvState() });
  return unflat(result.get('y')!);
}

function rowModule(matrices: readonly Rows[], weights: readonly Weight[], fill: Parameters<typeof run>[2], dtype: DType): GraphModule {
  const tables = matrices.map((rows, i) => literal(`x${i}`, [rows.length, rows[0]!.length], rows.flat(), dtype));
  return moduleOf({ inputs: [{ name: 'ids', feed: 'ids' }, { name: 'positions', feed: 'positions' }], outputs: [{ name: 'y', rows: 'tokens' }], caches: [{ name: 'kv', layers: 1, kvHeads: 1, headDim: 2 }], weights: [...tables, ...weights] }, (build, [ids, positions]) => {
    const values = tables.map(({ name, shape }) => build.op('embed', {}, [ids!, build.op('weight', { name }, [], { dtype, shape })]));
    const made = weights.map(({ name, dtype: of, shape }) => build.op('weight', { name }, [], { dtype: of, shape }));
    return [fill(build, values, made, positions!)];
  });
}

const unflat = ({ shape, data }: { shape: readonly number[]; data: Float64Array }): number[][] => {
  const width = shape[1] ?? 1;
  return Array.from({ length: shape[0]! }, (_, row) => [...data.subarray(row * width, (row + 1) * width)]);
};
const near = (actual: Rows, expected: Rows): void => {
  expect(actual.length).toBe(expected.length);
  actual.forEach((row, i) => row.forEach((value, j) => expect(value).toBeCloseTo(expected[i]![j]!, 9)));
};

const plain = { activation: 'none', gated: false, scaled: false, bias: false, residual: false } as const;

describe('real meaning of row ops', () => {
  it('norm: rms and layer', () => {
    const x = [[3, 4, 0, 0]];
    near(run([x], [literal('gamma', [4], [1, 2, 1, 1])], (b, [v], [g]) => b.op('norm', { norm: 'rms', groups: 1, epsilon: 0 }, [v!, g!])), [[1.2, 3.2, 0, 0]]);
    near(run([[[1, 3]]], [literal('gamma', [2], [2, 2]), literal('beta', [2], [1, 0])], (b, [v], [g, beta]) => b.op('norm', { norm: 'layer', groups: 1, epsilon: 0 }, [v!, g!, beta!])), [[-1, 2]]);
    near(run([[[1, 3]]], [], (b, [v]) => b.op('norm', { norm: 'layer', groups: 1, epsilon: 3 }, [v!])), [[-0.5, 0.5]]);
  });

  it('rope: halves and interleaved pairs, the rest of a head copied', () => {
    const x = [[1, 2, 3, 4, 9], [1, 2, 3, 4, 9]];
    const attrs = { headDim: 5, frequencies: [Math.PI / 2, Math.PI], amplitude: 1, positions: 8 };
    near(run([x], [], (b, [v], _, p) => b.op('rope', { ...attrs, interleaved: false }, [v!, p])), [[1, 2, 3, 4, 9], [-3, -2, 1, -4, 9]]);
    near(run([x], [], (b, [v], _, p) => b.op('rope', { ...attrs, interleaved: true }, [v!, p])), [[1, 2, 3, 4, 9], [-2, 1, -3, -4, 9]]);
    near(run([x], [], (b, [v], _, p) => b.op('rope', { ...attrs, amplitude: 2, interleaved: true }, [v!, p])), [[2, 4, 6, 8, 9], [-4, 2, -6, -8, 9]]);
  });

  it('linear: bias, activation, gate and residual in this order', () => {
    const w = literal('w', [4, 2], [1, 0, 0, 1, 2, 0, 0, 3]);
    const bias = literal('b', [4], [0, 0, 1, 1]);
    const residual = [[100, 200]];
    near(run([[[1, -2]]], [w], (b, [x], [wv]) => b.op('linear', plain, [x!, wv!])), [[1, -2, 2, -6]]);
    near(run([[[1, -2]]], [w, bias], (b, [x], [wv, bv]) => b.op('linear', { ...plain, bias: true, activation: 'relu' }, [x!, wv!, bv!])), [[1, 0, 3, 0]]);
    near(run([[[1, -2]], residual], [w, bias], (b, [x, r], [wv, bv]) => b.op('linear', { ...plain, bias: true, gated: true, residual: true, activation: 'relu' }, [x!, wv!, bv!, r!])), [[103, 200]]);
  });

  it('activations', () => {
    const of = (activation: 'silu' | 'gelu' | 'gelu_tanh'): number => run([[[1]]], [], (b, [x]) => b.op('activate', { activation }, [x!]))[0]![0]!;
    expect(of('silu')).toBeCloseTo(0.7310585786300049, 12);
    expect(of('gelu')).toBeCloseTo(0.8413447460685429, 12);
    expect(of('gelu_tanh')).toBeCloseTo(0.8411919906082768, 12);
  });

  it('attention: causal, full and windowed', () => {
    const q = [[0, 0], [0, 0], [0, 0]];
    const v = [[1, 10], [3, 20], [8, 60]];
    const attrs = { heads: 1, kvHeads: 1, headDim: 2, scale: 1, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 0, cache: '' } as const;
    near(run([q, q, v], [], (b, [x, k, y]) => b.op('attention', attrs, [x!, k!, y!])), [[1, 10], [2, 15], [4, 30]]);
    near(run([q, q, v], [], (b, [x, k, y]) => b.op('attention', { ...attrs, mask: 'full' }, [x!, k!, y!])), [[4, 30], [4, 30], [4, 30]]);
    near(run([q, q, v], [], (b, [x, k, y]) => b.op('attention', { ...attrs, window: 2 }, [x!, k!, y!])), [[1, 10], [2, 15], [5.5, 40]]);
    const sharp = [[Math.log(3), 0], [0, 0], [0, 0]];
    near(run([[[1, 0], [1, 0], [1, 0]], sharp, v], [], (b, [x, k, y]) => b.op('attention', { ...attrs, scale: 1 }, [x!, k!, y!])).slice(0, 2), [[1, 10], [1.5, 12.5]]);
  });

  it('attention: capped scores, sinks of each head', () => {
    const attrs = { heads: 2, kvHeads: 1, headDim: 1, scale: 2, softCap: 0, sinks: false, slopes: false, mask: 'full', window: 0, cache: '' } as const;
    const [q, k, v] = [[[1, 1], [1, 1]], [[3], [0]], [[0], [1]]];
    // tanh(6 / 1.5) * 1.5 against 0.
    const other = 1 / (1 + Math.exp(1.5 * Math.tanh(4)));
    near(run([q, k, v], [], (b, [x, y, z]) => b.op('attention', { ...attrs, softCap: 1.5 }, [x!, y!, z!]))[0]!.map((value) => [value]), [[other], [other]]);
    // Three keys of scores 0, 0 and log 2; and two alone.
    near(run([q, [[0], [0]], v], [literal('sinks', [2], [Math.log(2), -100])], (b, [x, y, z], [sinks]) => b.op('attention', { ...attrs, sinks: true }, [x!, y!, z!, sinks!])), [[0.25, 0.5], [0.25, 0.5]]);
  });

  it('attention: query head h reads kv head floor(h / group)', () => {
    const attrs = { heads: 4, kvHeads: 2, headDim: 1, scale: 1, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 0, cache: '' } as const;
    near(run([[[0, 0, 0, 0]], [[5, 7]], [[1, 2]]], [], (b, [x, k, y]) => b.op('attention', attrs, [x!, k!, y!])), [[1, 1, 2, 2]]);
  });

  it('attention with a cache: rows of later steps see what came before, each sequence its own', () => {
    const attrs = { heads: 1, kvHeads: 1, headDim: 2, scale: 1, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 0, cache: 'kv' } as const;
    const zeros = Array.from({ length: 4 }, () => [0, 0]);
    const module = rowModule([zeros, zeros, [[1, 10], [3, 20], [8, 60], [6, 0]]], [], (b, [x, k, y]) => b.op('attention', attrs, [x!, k!, y!]), 'f32');
    const state = new KvState();
    const weights = new WeightValues(emptyStore, 1);
    const step = (sequences: Parameters<typeof stepOf>[0], ids: readonly number[]): number[][] =>
      unflat(interpret(module, stepOf(sequences, ids), { weights, arithmetic: 'real', state }).get('y')!);
    near(step([{ id: 7, rows: 1, past: 0 }, { id: 9, rows: 1, past: 0 }], [0, 3]), [[1, 10], [6, 0]]);
    near(step([{ id: 9, rows: 1, past: 1 }, { id: 7, rows: 2, past: 1 }], [2, 1, 2]), [[7, 30], [2, 15], [4, 30]]);
    near(step([{ id: 7, rows: 1, past: 1 }], [1]), [[2, 15]]);
    expect(() => step([{ id: 7, rows: 1, past: 3 }], [1])).toThrow('sequence 7 has 2 rows in cache `kv`, not 3');
  });

  it('loops carry values, pick weight instances and tell observers where they are', () => {
    const bias: Weight = { name: 'w', dtype: 'f32', shape: [1, 1], instances: [1, 2, 3].map((value) => ({ kind: 'values', shape: [1, 1], values: [value] })) };
    const module = moduleOf({ inputs: [{ name: 'ids', feed: 'ids' }], outputs: [{ name: 'y', rows: 'samples' }], weights: [literal('x', [2, 1], [5, 7]), bias] }, (b, [ids]) => {
      const x = b.op('embed', {}, [ids!, b.op('weight', { name: 'x' }, [], { dtype: 'f32', shape: [2, 1] })]);
      const [y] = b.loop(3, [x], ([c]) => [b.op('add', {}, [x, b.op('linear', plain, [c!, b.op('weight', { name: 'w' }, [], { dtype: 'f32', shape: [1, 1] })])])]);
      return [b.op('sampleRows', {}, [y!])];
    });
    const seen: string[] = [];
    const result = interpret(module, stepOf([{ id: 0, rows: 2, past: 0 }]), { weights: new WeightValues(emptyStore, 1), arithmetic: 'real', state: new KvState() }, (op, results, path) => {
      if (op.kind === 'linear') seen.push(`${path.join('.')}: ${results[0]![0]!.data.join(' ')}`);
    });
    expect(seen).toEqual(['0: 5 7', '1: 20 28', '2: 75 105']);
    expect(result.get('y')).toEqual({ shape: [1, 1], data: Float64Array.of(112) });
  });
});

describe('normative meaning of row ops', () => {
  const normative = { arithmetic: 'normative', dtype: 'bf16' } as const;

  it('rounds results to their dtype', () => {
    expect(run([[[1]], [[1 / 512]]], [], (b, [x, y]) => b.op('add', {}, [x!, y!]), normative)).toEqual([[1]]);
    expect(run([[[1]], [[1 / 512]]], [], (b, [x, y]) => b.op('add', {}, [x!, y!], { dtype: 'f32', shape: ['tokens', 1] }), normative)).toEqual([[1 + 1 / 512]]);
  });

  it('bf16 products sum in FP32, k ascending', () => {
    const w = literal('w', [1, 3], [1, 1, 1], 'bf16');
    const f32 = { dtype: 'f32', shape: ['tokens', 1] } as const;
    expect(run([[[2 ** 24, 1, 1]]], [w], (b, [x], [wv]) => b.op('linear', plain, [x!, wv!], f32), normative)).toEqual([[2 ** 24]]);
    expect(run([[[1, 1, 2 ** 24]]], [w], (b, [x], [wv]) => b.op('linear', plain, [x!, wv!], f32), normative)).toEqual([[2 ** 24 + 2]]);
  });

  it('e4m3: rows and columns by their scales', () => {
    const values = [1, -2, 0.5, 4];
    const w = literal('w', [2, 2], values, 'e4m3');
    const scale: Weight = { ...w, name: 'w.scale', dtype: 'f32', shape: [2] };
    const y = run([[[3, 1]]], [w, scale], (b, [x], [wv, sv]) => {
      const [codes, rows] = b.ops('quantise', { blocks: false }, [x!]);
      return b.op('linear', { ...plain, scaled: true }, [codes!, wv!, rows!, sv!], { dtype: 'f32', shape: ['tokens', 2] });
    }, normative);
    // x: 448, 144 (149.3) with scale 3/448; w: 224, -448 and 56, 448 with scales 2/448, 4/448.
    const [rowScale, first, second] = [3, 2, 4].map((amax) => Math.fround(amax / 448)) as [number, number, number];
    const scaled = (sum: number, column: number): number => Math.fround(Math.fround(sum * rowScale) * column);
    expect(y).toEqual([[scaled(448 * 224 - 144 * 448, first), scaled(448 * 56 + 144 * 448, second)]]);
  });

  it('e4m3 in blocks: each by its scale, rounded, and added in FP32', () => {
    const [large, inexact] = [2 ** 15, 3];
    // Two blocks, of 128 and of 2: amax 2^15 and 3. Weights are 1 throughout.
    const x = Array.from({ length: 130 }, (_, i) => (i === 0 ? large : i < 128 ? 0 : inexact));
    const w = literal('w', [1, 130], x.map(() => 1), 'e4m3');
    const scale: Weight = { ...w, name: 'w.scale', dtype: 'f32', shape: [1] };
    const f32 = { dtype: 'f32', shape: ['tokens', 1] } as const;
    const y = run([[x]], [w, scale], (b, [v], [wv, sv]) => {
      const [codes, scales] = b.ops('quantise', { blocks: true }, [v!]);
      return b.op('linear', { ...plain, scaled: true }, [codes!, wv!, scales!, sv!], f32);
    }, normative);
    // Codes of x are 448 and 0, then 448, 448; of w 448 all.
    const [first, second, column] = [large / 448, inexact / 448, 1 / 448].map(Math.fround) as [number, number, number];
    const sums = Math.fround(Math.fround(448 * 448 * first) + Math.fround(2 * 448 * 448 * second));
    expect(y).toEqual([[Math.fround(sums * column)]]);
  });

  it('stays near the real meaning in every op', () => {
    const x = Array.from({ length: 6 }, (_, r) => Array.from({ length: 8 }, (_, c) => Math.fround(Math.sin(r * 8 + c)) ));
    const attrs = { heads: 4, kvHeads: 4, headDim: 2, scale: 0.7, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 0, cache: '' } as const;
    const fills: Parameters<typeof run>[2][] = [
      (b, [v]) => b.op('norm', { norm: 'layer', groups: 1, epsilon: 1e-5 }, [v!]),
      (b, [v]) => b.op('norm', { norm: 'rms', groups: 1, epsilon: 1e-5 }, [v!]),
      (b, [v], _, p) => b.op('rope', { headDim: 4, frequencies: [1, 0.1], amplitude: 1, interleaved: false, positions: 8 }, [v!, p]),
      (b, [v]) => b.op('attention', attrs, [v!, v!, v!]),
      (b, [v]) => b.op('activate', { activation: 'gelu' }, [v!]),
      (b, [v]) => b.op('columns', { start: 2, end: 5 }, [b.op('multiply', {}, [v!, v!])]),
    ];
    for (const fill of fills) {
      const real = run([x], [], fill).flat();
      run([x], [], fill, normative).flat().forEach((value, i) => expect(Math.abs(value - real[i]!)).toBeLessThan(0.02));
    }
  });

  it('attention over several blocks of keys is one softmax', () => {
    const rows = 300;
    const x = Array.from({ length: rows }, (_, r) => [Math.sin(r), Math.cos(3 * r)]);
    const attrs = { heads: 1, kvHeads: 1, headDim: 2, scale: 2, softCap: 0, sinks: false, slopes: false, mask: 'causal', window: 170, cache: '' } as const;
    for (const dtype of ['bf16', 'e4m3'] as const) {
      const fill: Parameters<typeof run>[2] = (b, [v]) => {
        const stored = b.op('convert', {}, [v!], { dtype, shape: ['tokens', 2] });
        return b.op('attention', attrs, [stored, stored, stored], { dtype: 'f32', shape: ['tokens', 2] });
      };
      const real = run([x], [], fill).flat();
      const bound = dtype === 'bf16' ? 0.01 : 0.1;
      run([x], [], fill, normative).flat().forEach((value, i) => expect(Math.abs(value - real[i]!)).toBeLessThan(bound));
    }
  });
});
