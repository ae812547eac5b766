import { describe, expect, test } from 'vitest';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { nearMisses } from '../../../passes/recognise/recognise.ts';
import { recognised } from '../raise/as-rows.ts';
import { SourceWriter } from '../raise/source-module.ts';

type Inputs = Readonly<Record<string, readonly Dim[]>>;
const sizes = new Map([['b', 2], ['m', 3], ['n', 5]]);

/** A source on tensors, and what is found in it; what is found computes what the source does, to so many digits. */
function found(inputs: Inputs, fill: (write: SourceWriter, values: readonly ValueId[]) => ValueId, digits = 6): { readonly blocks: readonly string[]; readonly misses: readonly string[] } {
  const write = new SourceWriter();
  const given = Object.entries(inputs).map(([name, shape]) => ({ name, type: { dtype: 'f32', shape } satisfies TensorType }));
  const source = write.module(given, (values) => [fill(write, values)]);
  const module = recognised(source, write.store);
  const tensors = new Map(given.map(({ name, type }, seed) => {
    const shape = type.shape.map((size) => (typeof size === 'number' ? size : (sizes.get(size) as number)));
    return [name, { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + seed)) }] as const;
  }));
  const run = (of: GraphModule): Float64Array => interpretTensors(of, tensors, new WeightValues(write.store, 1)).get('out0')?.data as Float64Array;
  const [wanted, got] = [run(source), run(module)];
  got.forEach((value, i) => expect(value).toBeCloseTo(wanted[i] as number, digits));
  const blocks = module.body.ops.flatMap((op) => (op.kind.startsWith('t') ? [`${op.kind} ${JSON.stringify(op.attrs)}`] : []));
  return { blocks, misses: nearMisses(module, write.store).map(({ kind, actual }) => `${kind}: ${actual}`) };
}

const attention = (write: SourceWriter, [q, k, v]: readonly ValueId[], between: (scores: ValueId) => ValueId, axis = -1): ValueId => {
  const scores = write.build.op('pmatmul', {}, [q as ValueId, write.build.op('ptranspose', { perm: [0, 2, 1] }, [k as ValueId])]);
  return write.build.op('pmatmul', {}, [write.build.op('psoftmax', { axis }, [between(scores)]), v as ValueId]);
};
const qkv: Inputs = { q: ['b', 'm', 4], k: ['b', 'n', 4], v: ['b', 'n', 6] };

describe('attention', () => {
  test('of queries and keys of their own numbers, values of another width', () => {
    expect(found(qkv, (write, values) => attention(write, values, (scores) => write.by('mul', scores, 0.5))).blocks).toEqual(['tattention {"scale":0.5,"softCap":0,"biased":false,"sinks":false}']);
  });
  test('with a bias that comes from anywhere', () => {
    const { blocks } = found({ ...qkv, bias: ['b', 1, 'n'] }, (write, values) => attention(write, values, (scores) => write.binary('add', write.by('div', scores, 2), values[3] as ValueId)));
    expect(blocks).toEqual(['tattention {"scale":0.5,"softCap":0,"biased":true,"sinks":false}']);
  });
  test('with scores kept within 30', () => {
    const capped = (write: SourceWriter, scores: ValueId): ValueId => write.by('mul', write.unary('tanh', write.by('div', scores, 30)), 30);
    expect(found(qkv, (write, values) => attention(write, values, (scores) => capped(write, scores))).blocks).toEqual(['tattention {"scale":1,"softCap":30,"biased":false,"sinks":false}']);
  });
  test('with one more key that has no value', () => {
    const { blocks } = found(qkv, (write, [q, k, v]) => {
      const scores = write.build.op('pmatmul', {}, [q as ValueId, write.build.op('ptranspose', { perm: [0, 2, 1] }, [k as ValueId])]);
      const sink = write.build.op('pexpand', {}, [write.number(0.3)], { dtype: 'f32', shape: ['b', 'm', 1] });
      const weights = write.build.op('psoftmax', { axis: 2 }, [write.build.op('pconcat', { axis: 2 }, [scores, sink])]);
      return write.build.op('pmatmul', {}, [write.build.op('pslice', { axis: 2, start: '0', end: 'n', step: 1 }, [weights]), v as ValueId]);
    });
    expect(blocks).toEqual(['tattention {"scale":1,"softCap":0,"biased":false,"sinks":true}']);
  });
  test('of normed queries, scaled before the product: the scale is no part of the norm', () => {
    const { blocks } = found(qkv, (write, [q, k, v]) => {
      const root = write.unary('sqrt', write.by('add', write.mean(write.binary('mul', q as ValueId, q as ValueId), 2), 1e-5));
      const normed = write.binary('mul', write.binary('div', q as ValueId, root), write.weight('gain', [4]));
      return attention(write, [write.by('mul', normed, 0.5), k as ValueId, v as ValueId], (scores) => scores);
    });
    expect(blocks).toEqual(['tnorm {"norm":"rms","axes":[2],"epsilon":0.00001}', 'tattention {"scale":0.5,"softCap":0,"biased":false,"sinks":false}']);
  });
  test('of keys scaled before they are turned', () => {
    const { blocks } = found(qkv, (write, [q, k, v]) => attention(write, [write.by('mul', q as ValueId, 0.5), write.by('mul', k as ValueId, 0.5), v as ValueId], (scores) => scores));
    expect(blocks).toEqual(['tattention {"scale":0.25,"softCap":0,"biased":false,"sinks":false}']);
  });
  test('of one softmax that weighs two values: two', () => {
    const { blocks } = found({ ...qkv, other: ['b', 'n', 6] }, (write, [q, k, v, other]) => {
      const weights = write.build.op('psoftmax', { axis: -1 }, [write.build.op('pmatmul', {}, [q as ValueId, write.build.op('ptranspose', { perm: [0, 2, 1] }, [k as ValueId])])]);
      const [one, two] = [v, other].map((values) => write.build.op('pmatmul', {}, [weights, values as ValueId])) as [ValueId, ValueId];
      return write.binary('sub', one, two);
    });
    expect(blocks).toEqual(Array.from({ length: 2 }, () => 'tattention {"scale":1,"softCap":0,"biased":false,"sinks":false}'));
  });
  test('of keys whose number was taken for granted in one place', () => {
    const { blocks } = found(qkv, (write, values) => attention(write, values, (scores) => write.binary('add', scores, write.weight('mask', [1, 5]))));
    expect(blocks).toEqual(['tattention {"scale":1,"softCap":0,"biased":true,"sinks":false}']);
  });
  test('with a scale of each head, which is its queries\'', () => {
    const heads: Inputs = { q: ['b', 2, 'm', 4], k: ['b', 2, 'n', 4], v: ['b', 2, 'n', 6] };
    const { blocks } = found(heads, (write, [q, k, v]) => {
      const scores = write.build.op('pmatmul', {}, [q as ValueId, write.build.op('ptranspose', { perm: [0, 1, 3, 2] }, [k as ValueId])]);
      const weights = write.build.op('psoftmax', { axis: 3 }, [write.binary('mul', scores, write.weight('scales', [2, 1, 1], (i) => 3 + i))]);
      return write.build.op('pmatmul', {}, [weights, v as ValueId]);
    });
    expect(blocks).toEqual(['tattention {"scale":1,"softCap":0,"biased":false,"sinks":false}']);
  });
  test('of keys by queries, their weights summing to one over the axis before the last', () => {
    const { blocks } = found({ ...qkv, mask: ['n', 1] }, (write, [q, k, v, mask]) => {
      const turned = (x: ValueId): ValueId => write.build.op('ptranspose', { perm: [0, 2, 1] }, [x]);
      const scores = write.build.op('pmatmul', {}, [k as ValueId, turned(q as ValueId)]);
      return write.build.op('pmatmul', {}, [turned(write.build.op('psoftmax', { axis: 1 }, [write.binary('add', write.by('mul', scores, 0.5), mask as ValueId)])), v as ValueId]);
    });
    expect(blocks).toEqual(['tattention {"scale":0.5,"softCap":0,"biased":true,"sinks":false}']);
  });
  test('not with a softmax over the queries', () => {
    expect(found(qkv, (write, values) => attention(write, values, (scores) => scores, 1))).toEqual({ blocks: [], misses: ['attention: the weights of its softmax do not sum to one along the last axis'] });
  });
  test('not with squared scores', () => {
    const { blocks, misses } = found(qkv, (write, values) => attention(write, values, (scores) => write.binary('mul', scores, scores)));
    expect({ blocks, misses }).toEqual({ blocks: [], misses: ['attention: the logits are not the scores times one factor, with something added'] });
  });
});

describe('rotations', () => {
  const halves = (write: SourceWriter, x: ValueId, start: number, step: number): ValueId => write.build.op('pslice', { axis: 2, start: String(start), end: String(step === 1 ? start + 2 : 4), step }, [x]);
  const turned = (write: SourceWriter, [x, angle]: readonly ValueId[], step: number, beside: readonly ValueId[] = []): ValueId => {
    const [a, b] = [halves(write, x as ValueId, 0, step), halves(write, x as ValueId, step === 1 ? 2 : 1, step)];
    const [cos, sin] = [write.unary('cos', angle as ValueId), write.unary('sin', angle as ValueId)];
    const real = write.binary('sub', write.binary('mul', a, cos), write.binary('mul', b, sin));
    return write.build.op('pconcat', { axis: 2 }, [...beside, real, write.binary('add', write.binary('mul', b, cos), write.binary('mul', a, sin))]);
  };
  const inputs: Inputs = { x: ['b', 'm', 4], angle: ['b', 'm', 2] };
  test('by any angles, of pairs that are halves', () => expect(found(inputs, (write, values) => turned(write, values, 1)).blocks).toEqual(['trope {"pairs":"halves"}']));
  test('in one concatenation with what is not turned', () => {
    expect(found({ ...inputs, still: ['b', 'm', 3] }, (write, [x, angle, still]) => turned(write, [x as ValueId, angle as ValueId], 1, [still as ValueId])).blocks).toEqual(['trope {"pairs":"halves"}']);
  });
  test('with rows before heads, put beside what is not turned with heads before rows', () => {
    const { blocks } = found({ x: ['b', 2, 'm', 6], angle: ['b', 'm', 2] }, (write, [x, angle]) => {
      const { build } = write;
      const [first, rest] = [[0, 4], [4, 6]].map(([start, end]) => build.op('pslice', { axis: 3, start: String(start), end: String(end), step: 1 }, [x as ValueId])) as [ValueId, ValueId];
      const inRows = build.op('ptranspose', { perm: [0, 2, 1, 3] }, [first]);
      const [a, b] = ['0', '2'].map((start) => build.op('pslice', { axis: 3, start, end: String(Number(start) + 2), step: 1 }, [inRows])) as [ValueId, ValueId];
      const [cos, sin] = (['cos', 'sin'] as const).map((fn) => build.op('preshape', {}, [write.unary(fn, angle as ValueId)], { dtype: 'f32', shape: ['b', 'm', 1, 2] })) as [ValueId, ValueId];
      const turning = build.op('pconcat', { axis: 3 }, [write.binary('sub', write.binary('mul', a, cos), write.binary('mul', b, sin)), write.binary('add', write.binary('mul', b, cos), write.binary('mul', a, sin))]);
      return build.op('pconcat', { axis: 3 }, [build.op('ptranspose', { perm: [0, 2, 1, 3] }, [turning]), rest]);
    });
    expect(blocks).toEqual(['trope {"pairs":"halves"}']);
  });
  const [rows, heads]: readonly [TensorType, TensorType] = [{ dtype: 'f32', shape: ['b', 'm', 8] }, { dtype: 'f32', shape: ['b', 'm', 2, 4] }];
  /** x cos + moved(x) sin, by head. */
  const added = (write: SourceWriter, x: ValueId, moved: ValueId, angle: ValueId): ValueId => {
    const wide = write.build.op('preshape', {}, [write.build.op('pconcat', { axis: 2 }, [angle, angle])], { dtype: 'f32', shape: ['b', 'm', 1, 4] });
    return write.binary('add', write.binary('mul', x, write.unary('cos', wide)), write.binary('mul', moved, write.unary('sin', wide)));
  };
  test('between other views of the heads', () => {
    const { blocks } = found({ x: ['b', 'm', 8], angle: ['b', 'm', 2] }, (write, [x, angle]) => {
      const { build } = write;
      const parts = build.op('preshape', {}, [x as ValueId], { dtype: 'f32', shape: ['b', 'm', 2, 2, 2] });
      const [first, second] = ['0', '1'].map((start) => build.op('pslice', { axis: 3, start, end: String(Number(start) + 1), step: 1 }, [parts])) as [ValueId, ValueId];
      const moved = build.op('preshape', {}, [build.op('pconcat', { axis: 3 }, [write.unary('neg', second), first])], heads);
      return build.op('preshape', {}, [added(write, build.op('preshape', {}, [x as ValueId], heads), moved, angle as ValueId)], rows);
    });
    expect(blocks).toEqual(['trope {"pairs":"halves"}']);
  });
  test('and not in a view of what is one: that is used as it is, too', () => {
    const { blocks } = found(inputs, (write, values) => {
      const turning = turned(write, values, 1);
      const view = write.build.op('preshape', {}, [turning], { dtype: 'f32', shape: ['b', 'm', 1, 4] });
      return write.binary('add', write.build.op('preshape', {}, [write.unary('exp', view)], { dtype: 'f32', shape: ['b', 'm', 4] }), turning);
    });
    expect(blocks).toEqual(['trope {"pairs":"halves"}']);
  });
  const quarter = [[0, 2, 1], [1, 3, 1], [2, 0, -1], [3, 1, -1]] as const;
  const half = [[0, 1, 1], [1, 0, -1], [2, 3, 1], [3, 2, -1]] as const;
  const matrix = (places: readonly (readonly [number, number, number])[]) => (i: number): number => places.find(([from, to]) => from * 4 + to === i)?.[2] ?? 0;
  test('by matrices, each as it moves', () => {
    const { blocks } = found({ x: ['b', 'm', 2, 4], angle: ['b', 'm', 2] }, (write, [x, angle]) => {
      const moved = (name: string, places: typeof quarter | typeof half): ValueId => write.build.op('pmatmul', {}, [x as ValueId, write.weight(name, [4, 4], matrix(places))]);
      return write.binary('sub', added(write, x as ValueId, moved('quarter', quarter), angle as ValueId), added(write, x as ValueId, moved('half', half), angle as ValueId));
    });
    expect(blocks).toEqual(['trope {"pairs":"halves"}']);
  });
  test('of neighbours, written as halves', () => expect(found(inputs, (write, values) => turned(write, values, 2)).blocks).toEqual(['trope {"pairs":"unzipped"}']));
});

test('two norms of one row have one root and are two', () => {
  const { blocks } = found({ x: ['b', 'm', 8] }, (write, [x]) => {
    const root = write.unary('sqrt', write.by('add', write.mean(write.binary('mul', x as ValueId, x as ValueId), 2), 1e-5));
    const even = write.binary('div', x as ValueId, root);
    const [one, other] = [write.binary('mul', even, write.weight('one', [8])), write.binary('mul', even, write.weight('other', [8]))];
    return write.binary('sub', write.unary('exp', one), other);
  });
  expect(blocks).toEqual(Array.from({ length: 2 }, () => 'tnorm {"norm":"rms","axes":[2],"epsilon":0.00001}'));
});

test('a norm of a table is found, whatever was looked at on the way to it', () => {
  const { blocks } = found({ x: ['b', 'm', 8] }, (write, [x]) => {
    const table = write.weight('table', [5, 8]);
    const centred = write.binary('sub', table, write.mean(table, 1));
    const root = write.unary('sqrt', write.by('add', write.mean(write.binary('mul', centred, centred), 1), 1e-5));
    return write.build.op('pmatmul', {}, [x as ValueId, write.build.op('ptranspose', { perm: [1, 0] }, [write.binary('div', centred, root)])]);
  });
  expect(blocks).toEqual(['tnorm {"norm":"layer","axes":[1],"epsilon":0.00001}']);
});

test('a gain of ones hides no order: the same ops with another gain are looked at again', () => {
  const { blocks } = found({ x: ['b', 'm', 8], y: ['b', 'm', 8] }, (write, [x, y]) => {
    const norm = (of: ValueId, bias: string, gain: ValueId): ValueId => {
      const centred = write.binary('sub', of, write.mean(of, 2));
      const root = write.unary('sqrt', write.by('add', write.mean(write.binary('mul', centred, centred), 2), 1e-5));
      return write.binary('mul', write.binary('add', write.binary('div', centred, root), write.weight(bias, [8])), gain);
    };
    const one = norm(x as ValueId, 'bias', write.weight('gain', [8]));
    return write.binary('sub', one, norm(y as ValueId, 'other', write.weight('ones', [8], () => 1)));
  });
  expect(blocks).toEqual(Array.from({ length: 2 }, () => 'tnorm {"norm":"layer","axes":[2],"epsilon":0.00001}'));
});

test('a gelu whose constants are halves is one; in single precision it is not', () => {
  const gelu = (half: boolean): readonly string[] => found({ x: ['b', 'm', 8] }, (write, [x]) => {
    const dtype = half ? 'f16' : 'f32';
    const narrow = write.build.op('pcast', {}, [x as ValueId], { dtype, shape: ['b', 'm', 8] });
    const one = write.binary('add', write.unary('erf', write.binary('mul', narrow, write.number(0.70703125, dtype))), write.number(1, dtype));
    return write.binary('mul', write.binary('mul', narrow, one), write.number(0.5, dtype));
  }, 4).blocks;
  expect([gelu(true), gelu(false)]).toEqual([['tactivate {"activation":"gelu","slope":1}'], []]);
});

test('steps are no activation, and hide none', () => {
  const { blocks } = found({ x: ['b', 'm', 8] }, (write, [x]) => {
    const stepped = write.build.op('punary', { fn: 'round' }, [write.by('mul', x as ValueId, 4)]);
    return write.by('add', write.binary('mul', stepped, write.unary('sigmoid', stepped)), 1);
  });
  expect(blocks).toEqual(['tactivate {"activation":"silu","slope":1}']);
});

test('a relu kept within 255 is a relu, and kept within 255', () => {
  const { blocks } = found({ x: ['b', 'm', 8] }, (write, [x]) => write.by('min', write.by('max', write.by('mul', x as ValueId, 1000), 0), 255));
  expect(blocks).toEqual(['tactivate {"activation":"relu","slope":1}']);
});

test('rows of length one are no norm', () => {
  const { blocks } = found({ x: ['b', 'm', 8] }, (write, [x]) => write.binary('div', x as ValueId, write.unary('sqrt', write.build.op('preduce', { fn: 'sum', axes: [2], keepDims: true }, [write.binary('mul', x as ValueId, x as ValueId)]))));
  expect(blocks).toEqual([]);
});
