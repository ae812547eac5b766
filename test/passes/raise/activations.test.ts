import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { rowsOf } from '../../../driver/unfold.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import type { GraphModule } from '../../../ir/graph/module.ts';
import type { Dim, TensorType, ValueId } from '../../../ir/types.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { asRows } from './as-rows.ts';
import { expectClose, expectSame } from './compare.ts';
import { ids, SourceWriter } from './source-module.ts';

/** A source graph of one input of floats. */
class Activations extends SourceWriter {
  reshape(x: ValueId, shape: readonly Dim[]): ValueId {
    return this.build.op('preshape', {}, [x], { dtype: 'f32', shape });
  }
  transpose(x: ValueId, perm: readonly number[]): ValueId {
    return this.build.op('ptranspose', { perm }, [x]);
  }
  product(x: ValueId, name: string, shape: readonly number[]): ValueId {
    return this.build.op('pmatmul', {}, [x, this.weight(name, shape)]);
  }
  /** [batch, 2, 4, 6] -> a product for each of its 4 patches of 2 x 3 pixels: [batch, 4, 8]. */
  patches(x: ValueId): ValueId {
    const cut = this.transpose(this.reshape(x, ['batch', 2, 2, 2, 2, 3]), [0, 2, 4, 1, 3, 5]);
    return this.product(this.reshape(cut, ['batch', 4, 12]), 'patch', [12, 8]);
  }
  repeated(row: ValueId, count: number): ValueId {
    return this.build.op('pexpand', {}, [row], { dtype: 'f32', shape: ['batch', count, 8] });
  }
  concat(parts: readonly ValueId[], axis: number): ValueId {
    return this.build.op('pconcat', { axis }, parts);
  }
}

const image = { dtype: 'f32', shape: ['batch', 2, 4, 6] } as const;
const sequence = { dtype: 'f32', shape: ['batch', 'sequence', 8] } as const;

function raised(type: TensorType, fill: (write: Activations, x: ValueId) => ValueId): { readonly source: GraphModule; readonly rows: GraphModule; readonly weights: WeightValues; readonly messages: readonly string[] } {
  const write = new Activations();
  const source = write.module([{ name: 'x', type }], ([x]) => [fill(write, x as ValueId)]);
  const diagnostics = new Diagnostics();
  const rows = asRows(source, write.store, diagnostics);
  return { source, rows, weights: new WeightValues(write.store, 1), messages: diagnostics.all.map(({ message }) => message) };
}

/** The rows and the source agree on two sequences. */
function expectAgree(type: TensorType, fill: (write: Activations, x: ValueId) => ValueId): GraphModule {
  const { source, rows, weights, messages } = raised(type, fill);
  expect(messages).toEqual([]);
  const shape = type.shape.map((size) => (size === 'batch' ? 2 : size === 'sequence' ? 5 : (size as number)));
  const x = { shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.3 + 0.2)) };
  const each = (rows.source.interface.unfolds ?? []).map((unfold) => [unfold.input, [0, 1].map((s) => rowsOf(unfold, x, s))] as const);
  const width = rows.types[rows.body.params.at(-1) as ValueId]?.shape[1] as number;
  const count = (each[0]?.[1][0]?.length ?? 0) / width;
  const positions = [0, 1].flatMap(() => Array.from({ length: count }, (_, i) => i));
  const step = {
    sequences: [0, 1].map((id) => ({ id, rows: count, past: 0 })), ids: positions, positions, types: positions.map(() => 0), samples: [0, count],
    rows: new Map(each.map(([name, [a, b]]) => [name, Float64Array.from([...(a as Float64Array), ...(b as Float64Array)])])),
  };
  const wanted = interpretTensors(source, new Map([['x', x]]), weights).get('out0');
  expectClose(interpret(rows, step, { weights, arithmetic: 'real', state: new KvState() }).get('out0'), wanted);
  return rows;
}

describe('activations as rows', () => {
  test('a product of each row', () => {
    const { inputs, source } = expectAgree(sequence, (write, x) => write.product(x, 'w', [8, 8]));
    expect(inputs).toEqual([{ name: 'x', feed: 'rows' }]);
    expect(source.interface.inputs).toEqual([{ name: 'x', role: 'rows', layer: 0 }]);
  });
  test('rows that are the columns of the input', () => {
    const { source } = expectAgree({ dtype: 'f32', shape: ['batch', 8, 'sequence'] }, (write, x) => write.product(write.transpose(x, [0, 2, 1]), 'w', [8, 8]));
    expect(source.interface.unfolds).toMatchObject([{ rows: [{ size: 'sequence', stride: 1 }], columns: [{ size: 8, stride: 'sequence' }] }]);
  });
  test('patches of an image', () => void expectAgree(image, (write, x) => write.patches(x)));
  test('a table of positions and a gain for each feature', () => {
    expectAgree(image, (write, x) => write.binary('add', write.binary('mul', write.patches(x), write.weight('gain', [8])), write.weight('positions', [1, 4, 8])));
  });
  test('a bias added after the residual is the linear\'s', () => {
    const { body } = expectAgree(image, (write, x) => {
      const rows = write.unary('tanh', write.patches(x));
      return write.binary('add', write.binary('add', rows, write.product(rows, 'w', [8, 8])), write.weight('bias', [8]));
    });
    expect(body.ops.filter(({ kind }) => kind !== 'weight').map(({ kind, attrs }) => `${kind} ${'bias' in attrs && attrs.bias ? 'biased' : ''}`.trim()).slice(-2)).toEqual(['linear biased', 'add']);
  });
  test.each([[false], [true]])('a class token and a register before the patches, of a product with a bias: %s', (biased) => {
    const { source } = expectAgree(image, (write, x) => {
      const patches = write.patches(x);
      const rows = biased ? write.binary('add', patches, write.weight('bias', [8])) : patches;
      return write.concat([write.repeated(write.weight('class', [1, 1, 8]), 1), write.repeated(write.weight('registers', [1, 2, 8]), 2), rows], 1);
    });
    expect(source.interface.unfolds?.[0]?.before).toBe(3);
  });
  test('positions added before the class token is put there, and the first row picked', () => {
    const { source } = expectAgree(image, (write, x) => {
      const rows = write.concat([write.repeated(write.weight('class', [1, 1, 8]), 1), write.binary('add', write.patches(x), write.weight('positions', [4, 8]))], 1);
      return write.product(write.build.op('pslice', { axis: 1, start: '0', end: '1', step: 1 }, [rows]), 'head', [8, 3]);
    });
    expect(source.interface.samples).toBe('first');
  });
  test.each([[false], [true]])('the mean of the rows, its axis kept: %s', (keepDims) => {
    const { body } = expectAgree(image, (write, x) => write.product(write.build.op('preduce', { fn: 'mean', axes: [1], keepDims }, [write.patches(x)]), 'head', [8, 3]));
    expect(body.ops.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['attention', 'sampleRows']));
  });
  test.each([
    ['products along the rows', (write: Activations, x: ValueId) => write.product(write.transpose(write.patches(x), [0, 2, 1]), 'mix', [4, 4]), 'does not have the features of a row along its last axis'],
    ['the largest of the rows', (write: Activations, x: ValueId) => write.build.op('preduce', { fn: 'max', axes: [1], keepDims: false }, [write.patches(x)]), 'is part of nothing a transformer computes'],
    ['rows before those an activation made', (write: Activations, x: ValueId) => write.concat([write.repeated(write.weight('class', [1, 1, 8]), 1), write.unary('tanh', write.patches(x))], 1), 'are not a product of an input'],
  ] as const)('%s are refused', (_, fill, reason) => expect(raised(image, fill).messages.join()).toContain(reason));
});

const asked = [ids, { name: 'attention_mask', type: { dtype: 'i64', shape: ['batch', 'sequence'] } }] as const;

/** A graph that embeds ids and makes one row of each sequence. */
function pooled(fill: (write: Activations, parts: { readonly x: ValueId; readonly ids: ValueId; readonly mask: ValueId }) => ValueId): { readonly samples: string | undefined; readonly messages: readonly string[] } {
  const write = new Activations();
  const source = write.module(asked, ([param, mask]) => {
    const x = write.build.op('pgather', { axis: 0 }, [write.weight('table', [32, 8]), param as ValueId]);
    return [write.product(fill(write, { x, ids: param as ValueId, mask: mask as ValueId }), 'head', [8, 8])];
  });
  const diagnostics = new Diagnostics();
  const rows = asRows(source, write.store, diagnostics);
  if (!diagnostics.hasErrors) expectSame(source, rows, write.store, [[[5, 7, 10, 3, 4], [11, 9, 2, 6, 8]]]);
  return { samples: rows.source.interface.samples, messages: diagnostics.all.map(({ message }) => message) };
}

describe('a row of each sequence', () => {
  const real = (write: Activations, mask: ValueId): ValueId => write.build.op('pcast', {}, [mask], { dtype: 'f32', shape: ['batch', 'sequence'] });
  const total = (write: Activations, x: ValueId, keepDims: boolean): ValueId => write.build.op('preduce', { fn: 'sum', axes: [1], keepDims }, [x]);
  /** Rows of all sequences, one after the other, at places. */
  const at = (write: Activations, x: ValueId, places: ValueId): ValueId => {
    const first = write.build.op('piota', { start: '0', step: 1 }, [], { dtype: 'i64', shape: ['batch'] });
    const length = write.build.op('preshape', {}, [write.build.op('psizes', { sizes: ['sequence'] }, [])], { dtype: 'i64', shape: [] });
    const index = write.binary('add', write.binary('mul', first, length), places);
    return write.build.op('pgather', { axis: 0 }, [write.reshape(x, ['batch*sequence', 8]), index]);
  };
  test('the mean of those that are no padding', () => {
    const { samples, messages } = pooled((write, { x, mask }) => {
      const there = real(write, mask);
      return write.binary('div', total(write, write.binary('mul', x, write.reshape(there, ['batch', 'sequence', 1])), false), write.binary('max', total(write, there, true), write.number(1e-9)));
    });
    expect([samples, messages]).toEqual(['first', []]);
  });
  test('that of the largest id', () => {
    const { samples, messages } = pooled((write, { x, ids: given }) => at(write, x, write.build.op('preshape', {}, [write.build.op('ptopk', { axis: 1, k: '1', largest: true }, [given])], { dtype: 'i64', shape: ['batch'] })));
    expect([samples, messages]).toEqual(['largest', []]);
  });
  test('the second is none the host knows of', () => {
    expect(pooled((write, { x, ids: given }) => at(write, x, write.build.op('preshape', {}, [write.build.op('pslice', { axis: 1, start: '1', end: '2', step: 1 }, [given])], { dtype: 'i64', shape: ['batch'] }))).messages.join()).toContain('neither the first nor the last, nor that of the largest id');
  });
});
