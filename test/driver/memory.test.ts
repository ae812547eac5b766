import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { Comparing } from '../../driver/compare.ts';
import { compile, type Compiled } from '../../driver/compile.ts';
import { weightImages } from '../../driver/commands/compile.ts';
import { HostError, HostSession, type SequenceRows } from '../../driver/host.ts';
import { boundsOf } from '../../driver/workload.ts';
import type { Dim, ValueId } from '../../ir/types.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { sohu8 } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { scheduleNamed } from '../../simulator/functional/schedule.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { asRows } from '../passes/raise/as-rows.ts';
import { SourceWriter } from '../passes/raise/source-module.ts';

const width = 16;

/** Layers of attention to a memory, 4 heads of 4 features, of activations. */
class Decoder extends SourceWriter {
  heads(x: ValueId, name: string, rows: Dim): ValueId {
    const product = this.build.op('pmatmul', {}, [x, this.weight(name, [width, width])]);
    return this.build.op('ptranspose', { perm: [0, 2, 1, 3] }, [this.build.op('preshape', {}, [product], { dtype: 'f32', shape: ['batch', rows, 4, 4] })]);
  }
  layer(x: ValueId, memory: ValueId, hidden: ValueId | undefined, name: string): ValueId {
    return this.attended(x, [this.heads(memory, `${name}.k`, 'mem'), this.heads(memory, `${name}.v`, 'mem')], hidden, name);
  }
  attended(x: ValueId, [k, v]: readonly [ValueId, ValueId], hidden: ValueId | undefined, name: string): ValueId {
    const q = this.heads(x, `${name}.q`, 'sequence');
    const scores = this.by('mul', this.build.op('pmatmul', {}, [q, this.build.op('ptranspose', { perm: [0, 1, 3, 2] }, [k])]), 0.5);
    const weights = this.build.op('psoftmax', { axis: -1 }, [hidden === undefined ? scores : this.binary('add', scores, hidden)]);
    const mixed = this.build.op('ptranspose', { perm: [0, 2, 1, 3] }, [this.build.op('pmatmul', {}, [weights, v])]);
    const flat = this.build.op('preshape', {}, [mixed], { dtype: 'f32', shape: ['batch', 'sequence', width] });
    return this.binary('add', x, this.build.op('pmatmul', {}, [flat, this.weight(`${name}.o`, [width, width])]));
  }
  /** -Infinity for the rows of memory a mask says are padding. */
  hidden(mask: ValueId): ValueId {
    const there = this.build.op('preshape', {}, [this.build.op('pcast', {}, [mask], { dtype: 'bool', shape: ['batch', 'mem'] })], { dtype: 'bool', shape: ['batch', 1, 1, 'mem'] });
    return this.build.op('pwhere', {}, [there, this.number(0), this.number(-Infinity)]);
  }
}

function decoder(masked: boolean, least?: (write: Decoder, mask: ValueId) => ValueId) {
  const write = new Decoder();
  const inputs = [
    { name: 'x', type: { dtype: 'f32', shape: ['batch', 'sequence', width] } }, { name: 'memory', type: { dtype: 'f32', shape: ['batch', 'mem', width] } },
    ...(masked ? [{ name: 'mask', type: { dtype: 'i64', shape: ['batch', 'mem'] } } as const] : []),
  ] as const;
  const module = write.module(inputs, ([x, memory, mask]) => {
    const hidden = mask === undefined ? undefined : (least?.(write, mask) ?? write.hidden(mask));
    return [['a', 'b', 'c'].reduce((rows, name) => write.layer(rows, memory as ValueId, hidden, name), x as ValueId)];
  });
  return { module, store: write.store };
}

const lengths = [{ rows: 7, memory: 3 }, { rows: 2, memory: 20 }];
const sequences = lengths.map(({ rows, memory }, id): SequenceRows => {
  const wave = (count: number, by: number): Float64Array => Float64Array.from({ length: count * width }, (_, i) => Math.sin(i * by + id));
  return { id, ids: Array.from({ length: rows }, () => 0), samples: 'last', rows: new Map([['x', wave(rows, 0.7)], ['memory', wave(memory, 1.1)]]) };
});

function compiledFor(machine: Machine, tp: number, masked = false): { readonly compiled: Compiled; readonly session: HostSession; readonly comparing: Comparing } {
  const { module, store } = decoder(masked);
  const diagnostics = new Diagnostics();
  const steps = lengths.map((length, id) => ({ id, past: 0, ...length }));
  const compiled = compile({ module, store, primitive: true }, { machine, precision: 'fp8', tp, pp: 1, stageShare: 0.25, parts: 1, serve: (rows) => ({ workload: { isl: 7, osl: 0, batch: 2 }, bounds: boundsOf(rows, machine, steps, { context: 7, elementBytes: 1, stages: 1 }) }) }, diagnostics);
  if (compiled === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  const image = Buffer.concat([...weightImages(compiled, store)]);
  const size = image.length / tp;
  const session = new HostSession(compiled.program, Array.from({ length: tp }, (_, rank) => imageSource(image.subarray(rank * size, (rank + 1) * size))));
  return { compiled, session, comparing: new Comparing(compiled, store, tp) };
}

describe('attention to memory', () => {
  test.each([['a machine of 8x8 arrays', tiny, 1, 'roundRobin'], ['the same, late', tiny, 1, 'late'], ['two chips', sohu8, 2, 'roundRobin']] as const)('on %s has the bits of the graph, step after step', (_, machine, tp, order) => {
    const { session, comparing } = compiledFor(machine, tp);
    for (const step of [sequences, sequences.toReversed()]) comparing.add(session.step(step, scheduleNamed(order)), undefined);
    const [result] = comparing.result().results;
    expect(result?.equalBits).toBe(result?.values);
    expect(result?.programToTruth.cosine).toBeGreaterThan(0.99);
  });
  test('its layers are one loop, its memory is loaded by the program, and a mask of padding is the host\'s', () => {
    const { compiled } = compiledFor(tiny, 1, true);
    expect(compiled.rows.body.ops.filter(({ kind }) => kind === 'loop')).toHaveLength(1);
    expect(compiled.program.ioMap.inputs.map(({ name, rows }) => [name, rows])).toEqual([['x', 'tokens'], ['memory', 'memory']]);
    expect(compiled.rows.source.interface.inputs.map(({ role }) => role)).toEqual(['rows', 'rows', 'memoryMask']);
  });
  test('a step without memory, or with less of one input than of another, is refused', () => {
    const { session } = compiledFor(tiny, 1);
    const [first] = sequences as [SequenceRows];
    const given = (memory: number) => [{ ...first, rows: new Map([...(first.rows ?? []), ['memory', new Float64Array(memory)]]) }];
    expect(() => session.step(given(0))).toThrow(new HostError('sequence 0 brings nothing to attend to'));
    expect(() => session.step(given(40))).toThrow(new HostError('sequence 0 has 40 elements of `memory` for 2 rows of 16'));
    expect(() => session.step(given(width * 24))).toThrow('a step of 24 memory where the program takes 23');
  });
  test('its layers are not divided: each reads the memory', () => {
    const { module, store } = decoder(false);
    const diagnostics = new Diagnostics();
    compile({ module, store, primitive: true }, { machine: sohu8, precision: 'bf16', tp: 1, pp: 2, stageShare: 0.25, parts: 1, serve: (rows) => ({ workload: { isl: 7, osl: 0, batch: 2 }, bounds: boundsOf(rows, sohu8, lengths.map((length, id) => ({ id, past: 0, ...length })), { context: 7, elementBytes: 1, stages: 2 }) }) }, diagnostics);
    expect(diagnostics.all.map(({ message }) => message)).toEqual(['`by-hand` cannot be cut into 2 stages: `memory`, which the host brings to the first, is read by others']);
  });
  test('keys and values are brought as they were kept, heads before rows', () => {
    const write = new Decoder();
    const kept = { dtype: 'f32', shape: ['batch', 4, 'mem', 4] } as const;
    const module = write.module([{ name: 'x', type: { dtype: 'f32', shape: ['batch', 'sequence', width] } }, { name: 'k', type: kept }, { name: 'v', type: kept }], ([x, k, v]) => [write.attended(x as ValueId, [k as ValueId, v as ValueId], undefined, 'a')]);
    const diagnostics = new Diagnostics();
    const rows = asRows(module, write.store, diagnostics);
    expect(diagnostics.all).toEqual([]);
    const [unfold] = (rows.source.interface.unfolds ?? []).filter(({ tensor }) => tensor === 'k');
    expect(unfold).toMatchObject({ of: 'memory', rows: [{ size: 'mem', stride: 4 }], columns: [{ size: 4, stride: '4*mem' }, { size: 4, stride: 1 }] });
  });
  test('a bias that is no mask of padding is refused', () => {
    const { module, store } = decoder(true, (write, mask) => write.binary('add', write.hidden(mask), write.number(0.25)));
    const diagnostics = new Diagnostics();
    compile({ module, store, primitive: true }, { machine: tiny, precision: 'fp8', tp: 1, pp: 1, stageShare: 0.25, parts: 1, serve: () => { throw new Error('refused before'); } }, diagnostics);
    expect(diagnostics.all.map(({ message }) => message).join()).toMatch(/is added to the scores/);
  });
});
