import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import type { OpOf } from '../../../ir/graph/module.ts';
import { allOps } from '../../../ir/graph/module.ts';
import type { DType, Dim, ValueId } from '../../../ir/types.ts';
import type { WeightExpr } from '../../../ir/weights.ts';
import { asRows } from './as-rows.ts';
import { ids, SourceWriter } from './source-module.ts';

type Masking = (write: Attention) => ValueId | undefined;

/** Attention of 4 heads on 2 KV heads of 4 features, written with primitives. */
class Attention extends SourceWriter {
  keys: Dim = 'sequence';
  past = '0';
  mask: ValueId | undefined;

  reshape(x: ValueId, shape: readonly Dim[], dtype: DType = 'f32'): ValueId {
    return this.build.op('preshape', {}, [x], { dtype, shape });
  }
  heads(x: ValueId, name: string, heads: number): ValueId {
    const rows = this.build.op('pmatmul', {}, [x, this.weight(name, [16, heads * 4])]);
    return this.build.op('ptranspose', { perm: [0, 2, 1, 3] }, [this.reshape(rows, ['batch', 'sequence', heads, 4])]);
  }
  repeated(x: ValueId): ValueId {
    const five = this.reshape(x, ['batch', 2, 1, this.keys, 4]);
    return this.reshape(this.build.op('pexpand', {}, [five], { dtype: 'f32', shape: ['batch', 2, 2, this.keys, 4] }), ['batch', 4, this.keys, 4]);
  }
  iota(start: string, length: Dim, shape: readonly Dim[]): ValueId {
    return this.reshape(this.build.op('piota', { start, step: 1 }, [], { dtype: 'i64', shape: [length] }), shape, 'i64');
  }
  /** The weights of keys, a logit a head being one more key's. */
  sunk(logits: ValueId, sinks: readonly number[]): ValueId {
    const one = this.reshape(this.weight('sinks', [4], (i) => sinks[i] as number), [1, 4, 1, 1]);
    const more = this.build.op('pconcat', { axis: 3 }, [logits, this.build.op('pexpand', {}, [one], { dtype: 'f32', shape: ['batch', 4, 'sequence', 1] })]);
    return this.build.op('pslice', { axis: 3, start: '0', end: 'sequence', step: 1 }, [this.build.op('psoftmax', { axis: 3 }, [more])]);
  }
  compare(fn: 'lessEqual' | 'greater' | 'and', x: ValueId, y: ValueId): ValueId {
    return this.build.op('pbinary', { fn }, [x, y]);
  }
  bias(allowed: ValueId, least = -Infinity): ValueId {
    return this.build.op('pwhere', {}, [allowed, this.number(0), this.number(least)]);
  }
  causal(): ValueId {
    return this.compare('lessEqual', this.iota('0', this.keys, [1, this.keys]), this.iota(this.past, 'sequence', ['sequence', 1]));
  }
  padding(): ValueId {
    const cast = this.build.op('pcast', {}, [this.mask as ValueId], { dtype: 'bool', shape: ['batch', this.keys] });
    return this.reshape(cast, ['batch', 1, 1, this.keys], 'bool');
  }
}

/** `kept`: how many of the cached rows are attended to; all unless said. */
function graph(masking: Masking, { cached = false, kept, scale = 0.5, axis = -1, softCap = 0, sinks }: { cached?: boolean; kept?: number; scale?: number; axis?: number; softCap?: number; sinks?: readonly number[] } = {}): { readonly attrs: OpOf<'attention'>['attrs'] | undefined; readonly numbers: readonly WeightExpr[]; readonly messages: readonly string[]; readonly roles: readonly string[]; readonly positions: number } {
  const write = new Attention();
  const cut = kept === undefined ? 'past' : `min(past/${kept})`;
  const past = { dtype: 'f32', shape: ['batch', 2, 'past', 4] } as const;
  if (cached) Object.assign(write, { keys: `${cut} + sequence`, past: cut });
  const inputs = [ids, { name: 'attention_mask', type: { dtype: 'i64', shape: ['batch', cached ? 'total' : 'sequence'] } } as const, ...(cached ? [{ name: 'k', type: past }, { name: 'v', type: past }] : [])];
  const module = write.module(inputs, ([param, mask, pastK, pastV]) => {
    write.mask = cached ? write.reshape(mask as ValueId, ['batch', write.keys], 'i64') : mask;
    const x = write.build.op('pgather', { axis: 0 }, [write.weight('table', [32, 16]), param as ValueId]);
    const last = (of: ValueId): ValueId => (kept === undefined ? of : write.build.op('pslice', { axis: 2, start: `past - ${cut}`, end: 'past', step: 1 }, [of]));
    const grown = (of: ValueId | undefined, fresh: ValueId): ValueId => (of === undefined ? fresh : write.build.op('pconcat', { axis: 2 }, [last(of), fresh]));
    const q = write.heads(x, 'q', 4);
    const k = grown(pastK, write.heads(x, 'k', 2));
    const v = grown(pastV, write.heads(x, 'v', 2));
    const scores = write.by('mul', write.build.op('pmatmul', {}, [q, write.build.op('ptranspose', { perm: [0, 1, 3, 2] }, [write.repeated(k)])]), scale);
    const bias = masking(write);
    const capped = softCap === 0 ? scores : write.by('mul', write.unary('tanh', write.by('div', scores, softCap)), softCap);
    const logits = bias === undefined ? capped : write.binary('add', capped, bias);
    const weights = sinks === undefined ? write.build.op('psoftmax', { axis }, [logits]) : write.sunk(logits, sinks);
    const out = write.build.op('pmatmul', {}, [weights, write.repeated(v)]);
    const rows = write.reshape(write.build.op('ptranspose', { perm: [0, 2, 1, 3] }, [out]), ['batch', 'sequence', 16]);
    return [write.build.op('pmatmul', {}, [rows, write.weight('o', [16, 16])]), ...(cached ? [k, v] : [])];
  });
  const diagnostics = new Diagnostics();
  const raised = asRows(module, write.store, diagnostics);
  const found = diagnostics.hasErrors ? undefined : [...allOps(raised.body)].find((op): op is OpOf<'attention'> => op.kind === 'attention');
  const roles = diagnostics.hasErrors ? [] : [...raised.source.interface.inputs, ...raised.source.interface.outputs].map(({ role }) => role);
  const expressionsOf = (name: string): readonly WeightExpr[] => raised.weights.find((weight) => weight.name === name)?.instances ?? [];
  const numbers = [...allOps(raised.body)].flatMap((op) => (op.kind === 'weight' && op.results[0] === found?.operands[3] ? expressionsOf(op.attrs.name) : []));
  return { attrs: found?.attrs, numbers, messages: diagnostics.all.map(({ message }) => message), roles, positions: raised.source.maxPositions };
}

const plain = { heads: 4, kvHeads: 2, headDim: 4, scale: 0.5, softCap: 0, sinks: false, slopes: false, mask: 'full', window: 0, cache: '' };

describe('a mask is what it evaluates to', () => {
  test('none at all', () => expect(graph(() => undefined).attrs).toEqual(plain));
  test('padding alone', () => expect(graph((write) => write.bias(write.padding(), -10000)).attrs).toEqual(plain));
  test('causal', () => expect(graph((write) => write.bias(write.causal())).attrs).toEqual({ ...plain, mask: 'causal' }));
  test('causal and padding, the least FP32', () => {
    expect(graph((write) => write.bias(write.compare('and', write.causal(), write.padding()), -3.4028234663852886e38)).attrs).toEqual({ ...plain, mask: 'causal' });
  });
  test('a lower triangle of ones', () => {
    const triangle = (write: Attention): ValueId => {
      const ones = write.build.op('pexpand', {}, [write.number(1)], { dtype: 'f32', shape: ['sequence', 'sequence'] });
      return write.build.op('pcast', {}, [write.build.op('ptrilu', { upper: false, k: '0' }, [ones])], { dtype: 'bool', shape: ['sequence', 'sequence'] });
    };
    expect(graph((write) => write.bias(triangle(write))).attrs).toEqual({ ...plain, mask: 'causal' });
  });
  test('causal after a past', () => {
    const { attrs, roles } = graph((write) => write.bias(write.compare('and', write.causal(), write.padding())), { cached: true });
    expect(attrs).toEqual({ ...plain, mask: 'causal', cache: 'kv.0' });
    expect(roles).toEqual(['ids', 'mask', 'pastKey', 'pastValue', 'result', 'presentKey', 'presentValue']);
  });
  test('after a past of which only the last 100 rows are kept: no sequence is to be longer', () => {
    const { attrs, roles, positions } = graph((write) => write.bias(write.compare('and', write.causal(), write.padding())), { cached: true, kept: 100 });
    expect(attrs).toEqual({ ...plain, mask: 'causal', cache: 'kv.0' });
    expect(roles).toEqual(['ids', 'mask', 'pastKey', 'pastValue', 'result', 'presentKey', 'presentValue']);
    expect(positions).toBe(100);
  });
  test('after a past of which the last 2 rows are kept, all that a window of 3 shows', () => {
    const slide = (write: Attention): ValueId => {
      const from = write.binary('sub', write.iota(write.past, 'sequence', ['sequence', 1]), write.number(3, 'i64'));
      return write.bias(write.compare('and', write.causal(), write.compare('greater', write.iota('0', write.keys, [1, write.keys]), from)));
    };
    const { attrs, positions } = graph(slide, { cached: true, kept: 2 });
    expect([attrs, positions]).toEqual([{ ...plain, mask: 'causal', window: 3, cache: 'kv.0' }, 4096]);
  });
  test('not after one of which the last 2 are kept, and no window', () => {
    expect(graph((write) => write.bias(write.causal()), { cached: true, kept: 2 }).messages[0]).toMatch(/neither causal nor full nor a sliding window/);
  });
  test.each([3, 4096])('a sliding window of %d', (window) => {
    const slide = (write: Attention): ValueId => {
      const from = write.binary('sub', write.iota('0', 'sequence', ['sequence', 1]), write.number(window, 'i64'));
      return write.bias(write.compare('and', write.causal(), write.compare('greater', write.iota('0', 'sequence', [1, 'sequence']), from)));
    };
    expect(graph(slide).attrs).toEqual({ ...plain, mask: 'causal', window });
  });
});

describe('what else scores may go through', () => {
  test('a cap', () => expect(graph((write) => write.bias(write.causal()), { softCap: 5 }).attrs).toEqual({ ...plain, softCap: 5, mask: 'causal' }));
  test('one more key, its logit one of the head', () => {
    const { attrs, numbers } = graph((write) => write.bias(write.causal()), { sinks: [1, -2, 0.5, 3] });
    expect(attrs).toEqual({ ...plain, sinks: true, mask: 'causal' });
    expect(numbers).toEqual([{ kind: 'values', shape: [4], values: [1, -2, 0.5, 3] }]);
  });
});

/** A slope for each head, of keys counted from `first`. */
const sloped = (write: Attention, first: string): ValueId => {
  const places = write.build.op('pcast', {}, [write.iota(first, 'sequence', [1, 1, 'sequence'])], { dtype: 'f32', shape: [1, 1, 'sequence'] });
  return write.binary('mul', write.weight('slopes', [4, 1, 1], (head) => 2 ** -(head + 1)), places);
};

describe('slopes', () => {
  test.each(['0', '1'])('of keys counted from %s: a softmax does not see the difference', (first) => {
    const { attrs, numbers } = graph((write) => write.binary('add', sloped(write, first), write.bias(write.causal())));
    expect(attrs).toEqual({ ...plain, slopes: true, mask: 'causal' });
    expect(numbers).toEqual([{ kind: 'values', shape: [4], values: [0.5, 0.25, 0.125, 0.0625] }]);
  });
});

describe('near misses are refused', () => {
  test('a mask that lets every row see the next', () => {
    const ahead = (write: Attention): ValueId => write.bias(write.compare('lessEqual', write.iota('-1', write.keys, [1, write.keys]), write.iota('0', 'sequence', ['sequence', 1])));
    expect(graph(ahead).messages[0]).toMatch(/neither causal nor full nor a sliding window/);
  });
  test('a bias that grows with the square of the distance', () => {
    const slope = (write: Attention): ValueId => write.by('pow', write.build.op('pcast', {}, [write.iota('1', 'sequence', [1, 'sequence'])], { dtype: 'f32', shape: [1, 'sequence'] }), 2);
    expect(graph(slope).messages[0]).toMatch(/what is added to its scores, 36 for one, is no slope of the distance: the machine adds nothing else/);
  });
  test('a slope beside a sink, whose own logit does not rise with it', () => {
    expect(graph((write) => write.binary('add', sloped(write, '0'), write.bias(write.causal())), { sinks: [1, -2, 0.5, 3] }).messages[0]).toMatch(/beside a sink/);
  });
  test('a softmax over the rows', () => expect(graph(() => undefined, { axis: 2 }).messages[0]).toMatch(/do not sum to one along the last axis/));
  test('1/sqrt(headDim) in FP32 is that number', () => expect(graph(() => undefined, { scale: 0.50000003 }).attrs?.scale).toBe(0.5));
});
