import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { reluSquared } from '../../examples/custom-layer/relu-squared.ts';
import { GraphBuilder } from '../../ir/graph/build.ts';
import { inferResults } from '../../ir/graph/infer.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { interpret } from '../../ir/graph/interpret.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { lowerCustom } from '../../passes/lower-custom.ts';

const table = Float64Array.of(-2, -0.5, 0, 1, 3, 0.25);

/** The layer on the rows of a table. */
function moduleWith(): GraphModule {
  const build = new GraphBuilder(inferResults);
  const body = build.block([{ dtype: 'i32', shape: ['tokens'] }], ([ids]) => {
    const rows = build.op('embed', {}, [ids as NonNullable<typeof ids>, build.op('weight', { name: 't' }, [], { dtype: 'f32', shape: [3, 2] })]);
    return [build.op('custom', { layer: reluSquared.name, attrs: {} }, [rows], reluSquared.infer([{ dtype: 'f32', shape: ['tokens', 2] }], {}))];
  });
  return {
    name: 'm', family: '', inputs: [{ name: 'ids', feed: 'ids' }], outputs: [{ name: 'y', rows: 'tokens' }], caches: [], customLayers: [reluSquared], types: build.types, body,
    weights: [{ name: 't', dtype: 'f32', shape: [3, 2], instances: [{ kind: 'values', shape: [3, 2], values: [...table] }] }],
    source: { interface: { inputs: [], outputs: [] }, nodes: [], parameters: 6, layers: 0, maxPositions: 1 },
  };
}

describe('examples/custom-layer', () => {
  it('means the same as what it is lowered to', () => {
    const step = { sequences: [{ id: 0, rows: 3, past: 0 }], ids: [0, 1, 2], positions: [0, 1, 2], types: [0, 0, 0], samples: [] };
    const store = { describe: () => undefined, read: () => new Float64Array(0), names: () => [] };
    const lowered = lowerCustom(moduleWith());
    const y = interpret(lowered, step, { weights: new WeightValues(store, 1), arithmetic: 'real', state: new KvState() }).get('y')?.data;
    expect([...(y ?? [])]).toEqual([...reluSquared.reference([{ shape: [3, 2], data: table }], {})]);
  });

  it('matches its own node alone', () => {
    expect(reluSquared.match({ domain: 'example', op: 'ReluSquared', attrs: {} })).toEqual({});
    expect(reluSquared.match({ domain: '', op: 'Relu', attrs: {} })).toBeUndefined();
    expect(() => reluSquared.infer([], {})).toThrow('one operand');
  });

  it('has a model that uses it', () => {
    expect(readFileSync(new URL('../../examples/custom-layer/decoder.onnx', import.meta.url)).includes('ReluSquared')).toBe(true);
  });
});
