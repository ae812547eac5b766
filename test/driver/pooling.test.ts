import { describe, expect, test } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { weightImages } from '../../driver/commands/compile.ts';
import { Comparing } from '../../driver/compare.ts';
import { compile } from '../../driver/compile.ts';
import { HostSession } from '../../driver/host.ts';
import { boundsOf } from '../../driver/workload.ts';
import type { ValueId } from '../../ir/types.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { SourceWriter } from '../passes/raise/source-module.ts';

/** Patches of an image, and a head on their mean. */
function classifier() {
  const write = new SourceWriter();
  const module = write.module([{ name: 'pixels', type: { dtype: 'f32', shape: ['batch', 2, 4, 6] } }], ([x]) => {
    const six = write.build.op('preshape', {}, [x as ValueId], { dtype: 'f32', shape: ['batch', 2, 2, 2, 2, 3] });
    const patches = write.build.op('preshape', {}, [write.build.op('ptranspose', { perm: [0, 2, 4, 1, 3, 5] }, [six])], { dtype: 'f32', shape: ['batch', 4, 12] });
    const rows = write.build.op('pmatmul', {}, [patches, write.weight('patch', [12, 24])]);
    const mean = write.build.op('preduce', { fn: 'mean', axes: [1], keepDims: false }, [rows]);
    return [write.build.op('pmatmul', {}, [mean, write.weight('head', [24, 5])])];
  });
  return { module, store: write.store };
}

describe('the mean of rows', () => {
  test.each(['fp8', 'bf16'] as const)('in %s has the bits of the graph, and is near to what it means', (precision) => {
    const { module, store } = classifier();
    const steps = [0, 1, 2].map((id) => ({ id, rows: 4, past: 0 }));
    const compiled = compile({ module, store, primitive: true }, { machine: tiny, precision, tp: 1, pp: 1, stageShare: 0.25, parts: 1, serve: (rows) => ({ workload: { isl: 4, osl: 0, batch: 3 }, bounds: boundsOf(rows, tiny, steps, { context: 4, elementBytes: 2, stages: 1 }) }) }, new Diagnostics());
    if (compiled === undefined) throw new Error('it was refused');
    const session = new HostSession(compiled.program, [imageSource(Buffer.concat([...weightImages(compiled, store)]))]);
    const comparing = new Comparing(compiled, store, 1);
    const pixels = (id: number): Float64Array => Float64Array.from({ length: 48 }, (_, i) => 1 + Math.sin(i * 0.9 + id) / (1 + id));
    comparing.add(session.step(steps.map(({ id }) => ({ id, ids: [0, 0, 0, 0], samples: 'first', rows: new Map([['pixels', pixels(id)]]) }))), undefined);
    const [result] = comparing.result().results;
    expect([result?.values, result?.equalBits]).toEqual([15, 15]);
    expect(result?.programToTruth.cosine).toBeGreaterThan(precision === 'bf16' ? 0.999 : 0.99);
  });
});
