import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { asRows } from './as-rows.ts';
import { ids, onRows, SourceWriter } from './source-module.ts';

/** Kinds of the raised ops, or the reasons why there are none. */
function raised(width: number, fill: (write: SourceWriter, x: ValueId) => ValueId): readonly string[] {
  const { module, store } = onRows(width, fill);
  const diagnostics = new Diagnostics();
  const result = asRows(module, store, diagnostics);
  if (diagnostics.hasErrors) return diagnostics.all.map(({ message }) => message);
  const weights = new WeightValues(store, 1);
  const tokens = [3, 1, 4, 1, 5, 9];
  const wanted = interpretTensors(module, new Map([['input_ids', { shape: [2, 3], data: Float64Array.from(tokens) }]]), weights).get('out0');
  const step = { sequences: [{ id: 0, rows: 3, past: 0 }, { id: 1, rows: 3, past: 0 }], ids: tokens, positions: [0, 1, 2, 0, 1, 2], types: tokens.map(() => 0), samples: [] };
  const got = interpret(result, step, { weights, arithmetic: 'real', state: new KvState() }).get('out0');
  expect(got?.data.length).toBe(wanted?.data.length);
  got?.data.forEach((value, i) => expect(value).toBeCloseTo(wanted?.data[i] as number, 5));
  return result.body.ops.filter(({ kind }) => kind !== 'weight').map((op) => (op.kind === 'activate' ? op.attrs.activation : op.kind === 'norm' ? `${op.attrs.norm} ${op.attrs.epsilon} ${op.operands.length}${op.attrs.groups === 1 ? '' : ` in ${op.attrs.groups}`}` : op.kind));
}

const gain = (write: SourceWriter, width: number): ValueId => write.weight('gain', [width], (i) => 1 + i / 50);

describe('norms, however they are spelled', () => {
  const rms = (write: SourceWriter, x: ValueId, axis = -1): ValueId => {
    const mean = write.mean(write.by('pow', x, 2), axis);
    return write.binary('mul', x, write.unary('reciprocal', write.unary('sqrt', write.by('add', mean, 1e-5))));
  };
  test('x * 1/sqrt(mean(x^2) + eps) * gain', () => {
    expect(raised(16, (write, x) => write.binary('mul', rms(write, x), gain(write, 16)))).toEqual(['embed', 'rms 0.00001 2']);
  });
  test('x / sqrt(mean(x * x) + eps), no gain', () => {
    expect(raised(16, (write, x) => write.binary('div', x, write.unary('sqrt', write.by('add', write.mean(write.binary('mul', x, x), 2), 1e-6))))).toEqual(['embed', 'rms 0.000001 1']);
  });
  test('a layer norm whose gain comes before the division', () => {
    const layer = (write: SourceWriter, x: ValueId): ValueId => {
      const d = write.binary('sub', x, write.mean(x, -1));
      const spread = write.unary('sqrt', write.by('add', write.mean(write.binary('mul', d, d), -1), 1e-12));
      return write.binary('add', write.binary('div', write.binary('mul', gain(write, 16), d), spread), write.weight('shift', [16]));
    };
    expect(raised(16, layer)).toEqual(['embed', 'layer 1e-12 3']);
  });
  const heads = (write: SourceWriter, x: ValueId, gain: ValueId): ValueId => {
    const reshaped = (of: ValueId, features: readonly number[]): ValueId => write.build.op('preshape', {}, [of], { dtype: 'f32', shape: ['batch', 'sequence', ...features] });
    return reshaped(write.binary('mul', rms(write, reshaped(x, [2, 8])), gain), [16]);
  };
  test('of each head, with the same gain', () => {
    expect(raised(16, (write, x) => heads(write, x, gain(write, 8)))).toEqual(['embed', 'rms 0.00001 2 in 2']);
  });
  test('of each head, with gains of its own', () => {
    expect(raised(16, (write, x) => heads(write, x, write.weight('gains', [2, 8], (i) => 1 + i / 50)))).toEqual(['embed', 'rms 0.00001 2 in 2']);
  });
  test('not of each head with a gain a head: that is no number for each feature', () => {
    expect(raised(16, (write, x) => heads(write, x, write.weight('gains', [2, 1], (i) => 1 + i / 50)))[0]).toMatch(/multiplies by a constant \[2, 1\] that is not one number a feature/);
  });
  test('by half the logarithm of the mean', () => {
    expect(raised(16, (write, x) => write.binary('mul', x, write.unary('exp', write.by('mul', write.unary('log', write.by('add', write.mean(write.binary('mul', x, x), 2), 1e-6)), -0.5))))).toEqual(['embed', 'rms 0.000001 1']);
  });
  test('not along the sequence', () => {
    expect(raised(16, (write, x) => rms(write, x, 1))[0]).toMatch(/not recognised/);
  });
  test('not with epsilon outside the root', () => {
    const outside = (write: SourceWriter, x: ValueId): ValueId => write.binary('div', x, write.by('add', write.unary('sqrt', write.mean(write.binary('mul', x, x), -1)), 1e-2));
    expect(raised(16, outside)[0]).toMatch(/nearest is a norm, but the values differ/);
  });
});

describe('rotations, wherever their angles and pairs are', () => {
  const frequencies = [1, 0.1];
  const [heads, pairs] = [[2, 4], [2, 2, 2]].map((features) => (write: SourceWriter, x: ValueId): ValueId => write.build.op('preshape', {}, [x], { dtype: 'f32', shape: ['batch', 'sequence', ...features] })) as [(write: SourceWriter, x: ValueId) => ValueId, (write: SourceWriter, x: ValueId) => ValueId];
  /** The first rows of a table of twelve, one for all heads. */
  const table = (write: SourceWriter, of: (angle: number) => number, shape: readonly number[]): ValueId => {
    const rows = write.weight(of.name, [12, 2], (i) => of(Math.floor(i / 2) * (frequencies[i % 2] as number)));
    const first = write.build.op('pslice', { axis: 0, start: '0', end: 'sequence', step: 1 }, [rows], { dtype: 'f32', shape: ['sequence', 2] });
    return write.build.op('preshape', {}, [first], { dtype: 'f32', shape: ['sequence', ...shape] });
  };
  const turned = (write: SourceWriter, a: ValueId, b: ValueId, shape: readonly number[]): readonly [ValueId, ValueId] => {
    const [cos, sin] = [table(write, Math.cos, shape), table(write, Math.sin, shape)];
    return [write.binary('sub', write.binary('mul', a, cos), write.binary('mul', b, sin)), write.binary('add', write.binary('mul', b, cos), write.binary('mul', a, sin))];
  };
  const part = (write: SourceWriter, x: ValueId, axis: number, start: number, size: number): ValueId => write.build.op('pslice', { axis, start: String(start), end: String(start + size), step: 1 }, [x]);
  const flat = (write: SourceWriter, x: ValueId): ValueId => write.build.op('preshape', {}, [x], { dtype: 'f32', shape: ['batch', 'sequence', 8] });

  test('halves, by the first rows of a table', () => {
    expect(raised(8, (write, x) => {
      const y = heads(write, x);
      return flat(write, write.build.op('pconcat', { axis: 3 }, turned(write, part(write, y, 3, 0, 2), part(write, y, 3, 2, 2), [1, 2])));
    })).toEqual(['embed', 'rope']);
  });
  test('pairs that have an axis of their own', () => {
    expect(raised(8, (write, x) => {
      const y = pairs(write, x);
      return flat(write, write.build.op('pconcat', { axis: 4 }, turned(write, part(write, y, 4, 0, 1), part(write, y, 4, 1, 1), [1, 2, 1])));
    })).toEqual(['embed', 'rope']);
  });
  test('elements moved by an index: that is no table', () => {
    expect(raised(8, (write, x) => {
      const y = heads(write, x);
      const wide = (of: (angle: number) => number): ValueId => write.build.op('pconcat', { axis: 2 }, [table(write, of, [1, 2]), table(write, of, [1, 2])]);
      const moved = write.build.op('pgather', { axis: 3 }, [y, write.build.op('pconst', { values: [2, 3, 0, 1] }, [], { dtype: 'i64', shape: [4] })]);
      const signs = write.build.op('pconst', { values: [-1, -1, 1, 1] }, [], { dtype: 'f32', shape: [4] });
      return flat(write, write.binary('add', write.binary('mul', y, wide(Math.cos)), write.binary('mul', write.binary('mul', moved, signs), wide(Math.sin))));
    })).toEqual(['embed', 'rope']);
  });
});

describe('activations, however they are spelled', () => {
  test('gelu: 0.5x * (1 + erf(x / sqrt 2))', () => {
    expect(raised(8, (write, x) => write.binary('mul', write.by('mul', x, 0.5), write.by('add', write.unary('erf', write.by('div', x, Math.fround(Math.SQRT2))), 1)))).toEqual(['embed', 'gelu']);
  });
  test('gelu: (x * (1 + erf(0.7071x))) * 0.5', () => {
    expect(raised(8, (write, x) => write.by('mul', write.binary('mul', x, write.by('add', write.unary('erf', write.by('mul', x, Math.fround(Math.SQRT1_2))), 1)), 0.5))).toEqual(['embed', 'gelu']);
  });
  test('tanh gelu, factored', () => {
    const inner = (write: SourceWriter, x: ValueId): ValueId => write.binary('mul', write.by('mul', x, 0.7978845608), write.by('add', write.by('mul', write.binary('mul', x, x), 0.044715), 1));
    expect(raised(8, (write, x) => write.binary('mul', write.by('mul', x, 0.5), write.by('add', write.unary('tanh', inner(write, x)), 1)))).toEqual(['embed', 'gelu_tanh']);
  });
  test('silu: x / (1 + exp(-x))', () => {
    expect(raised(8, (write, x) => write.binary('div', x, write.by('add', write.unary('exp', write.unary('neg', x)), 1)))).toEqual(['embed', 'silu']);
  });
  test('relu as a maximum', () => {
    expect(raised(8, (write, x) => write.by('max', x, 0))).toEqual(['embed', 'relu']);
  });
  test('quick gelu is silu between two factors', () => {
    const quick = (write: SourceWriter, x: ValueId): ValueId => write.binary('mul', x, write.unary('sigmoid', write.by('mul', x, 1.702)));
    expect(raised(8, (write, x) => write.build.op('pmatmul', {}, [quick(write, x), write.weight('w', [8, 4])]))).toEqual(['embed', 'silu', 'linear']);
  });
  test('the square of relu: relu times itself', () => {
    expect(raised(16, (write, x) => write.by('pow', write.unary('relu', x), 2))).toEqual(['embed', 'relu', 'multiply']);
  });
  test('a third power of relu is none of the library', () => {
    expect(raised(8, (write, x) => write.by('pow', write.unary('relu', x), 3))[0]).toMatch(/not recognised/);
  });
});

test('a mixture of experts that each have matrices of their own', () => {
  const [width, inner, experts] = [16, 8, 4];
  const mixture = (write: SourceWriter, x: ValueId): ValueId => {
    const { build } = write;
    const scores = build.op('psoftmax', { axis: -1 }, [build.op('pmatmul', {}, [x, write.weight('router', [width, experts], (i) => Math.sin(i * 2.3))])]);
    const chosen = build.op('ptopk', { axis: 2, k: '2', largest: true }, [scores]);
    const shares = build.op('ppick', { axis: 2 }, [scores, chosen]);
    return Array.from({ length: experts }, (_, expert) => {
      const by = (rows: ValueId, name: string, shape: readonly number[]): ValueId => build.op('pmatmul', {}, [rows, write.weight(`${name}.${'x'.repeat(expert)}`, shape)]);
      const gate = by(x, 'gate', [width, inner]);
      const made = by(write.binary('mul', write.binary('mul', gate, write.unary('sigmoid', gate)), by(x, 'up', [width, inner])), 'down', [inner, width]);
      const part = build.op('pwhere', {}, [build.op('pbinary', { fn: 'equal' }, [chosen, write.number(expert, 'i64')]), shares, write.number(0)]);
      return write.binary('mul', made, build.op('preduce', { fn: 'sum', axes: [2], keepDims: true }, [part]));
    }).reduce((sum, each) => write.binary('add', sum, each));
  };
  expect(raised(width, mixture)).toEqual(['embed', 'linear', 'experts']);
});

test('experts without gates, two of four to a row', () => {
  expect(raised(8, (write, x) => {
    const { build } = write;
    const f32 = (...shape: readonly (number | string)[]) => ({ dtype: 'f32', shape: ['batch*sequence', ...shape] }) as const;
    const rows = build.op('preshape', {}, [x], f32(8));
    const shares = build.op('psoftmax', { axis: 1 }, [build.op('pmatmul', {}, [rows, write.weight('router', [8, 4])])]);
    const chosen = build.op('ptopk', { axis: 1, k: '2', largest: true }, [shares]);
    const of = (name: string, shape: readonly number[]): ValueId => build.op('pgather', { axis: 0 }, [write.weight(name, shape), chosen]);
    const inside = write.unary('relu', build.op('pmatmul', {}, [build.op('preshape', {}, [rows], f32(1, 1, 8)), of('first', [4, 8, 6])]));
    const made = build.op('preshape', {}, [build.op('pmatmul', {}, [inside, of('downs', [4, 6, 8])])], f32(2, 8));
    const own = build.op('preshape', {}, [build.op('ppick', { axis: 1 }, [shares, chosen])], f32(2, 1));
    const sum = build.op('preduce', { fn: 'sum', axes: [1], keepDims: false }, [write.binary('mul', made, own)]);
    return build.op('preshape', {}, [sum], { dtype: 'f32', shape: ['batch', 'sequence', 8] });
  })).toEqual(['embed', 'linear', 'experts']);
});

describe('what is refused says what it is', () => {
  test('features of two products side by side', () => {
    const beside = (write: SourceWriter, x: ValueId): ValueId => write.build.op('pconcat', { axis: 2 }, ['one', 'other'].map((name) => write.build.op('pmatmul', {}, [x, write.weight(name, [16, 8])])));
    expect(raised(16, beside)[0]).toMatch(/it puts features of several ops side by side, as the heads of latent attention/);
  });
  test('ids of a second sequence', () => {
    const write = new SourceWriter();
    const module = write.module([ids, { name: 'decoder_input_ids', type: { dtype: 'i64', shape: ['batch', 'target'] } }], (params) => {
      const table = write.weight('table', [32, 16]);
      return params.map((param) => write.build.op('pgather', { axis: 0 }, [table, param]));
    });
    const diagnostics = new Diagnostics();
    asRows(module, write.store, diagnostics);
    expect(diagnostics.all[0]?.message).toMatch(/its index, \[batch, target\], is not one of each row: `decoder_input_ids` is a second sequence; export the encoder and the decoder as graphs of their own/);
  });
});
