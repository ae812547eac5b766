import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../../diagnostics/diagnostic.ts';
import { interpret } from '../../../ir/graph/interpret.ts';
import { interpretTensors } from '../../../ir/graph/interpret-tensors.ts';
import { KvState } from '../../../ir/graph/interpret/kv-state.ts';
import { allOps } from '../../../ir/graph/module.ts';
import { opKinds } from '../../../ir/graph/attributes.ts';
import { parseGraph } from '../../../ir/graph/parse.ts';
import { printGraph } from '../../../ir/graph/print.ts';
import { verifyGraph } from '../../../ir/graph/verify.ts';
import { randomStore } from '../../../ir/random-store.ts';
import { WeightValues } from '../../../ir/weight-values.ts';
import { graphModules, primitiveKinds, rowKinds, triple } from './generate.ts';
import { stepOf } from './modules.ts';

describe('over random modules', () => {
  it('parse(print(m)) = m, and m keeps the rules', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(graphModules(opKinds), ({ module }) => {
        const diagnostics = new Diagnostics();
        verifyGraph(module, diagnostics);
        expect(diagnostics.all).toEqual([]);
        const text = printGraph(module);
        const read = parseGraph(text, 'random.sir', diagnostics, [triple]);
        expect(diagnostics.all).toEqual([]);
        expect(read).toEqual(module);
        for (const op of allOps(module.body)) seen.add(op.kind);
      }),
      { numRuns: 200, seed: 1 },
    );
    expect(opKinds.filter((kind) => !seen.has(kind))).toEqual([]);
  });

  it('values have the shapes of their types', () => {
    const step = stepOf([{ id: 1, rows: 2, past: 0 }, { id: 2, rows: 1, past: 0 }]);
    const sizes = new Map([['tokens', 3], ['samples', 2]]);
    fc.assert(
      fc.property(graphModules(rowKinds), ({ module, shapes }) => {
        interpret(module, step, { weights: new WeightValues(randomStore(shapes, 1), 1), arithmetic: 'real', state: new KvState() }, (op, results) => {
          results.forEach(([tensor], i) => {
            const { shape } = module.types[op.results[i]!]!;
            expect(tensor!.shape).toEqual(shape.map((dim) => (typeof dim === 'number' ? dim : sizes.get(dim))));
            expect(tensor!.data.length).toBe(tensor!.shape.reduce((a, b) => a * b, 1));
          });
        });
      }),
      { numRuns: 100, seed: 1 },
    );
    fc.assert(
      fc.property(graphModules(primitiveKinds), ({ module, shapes }) => {
        const list = { shape: [3], data: Float64Array.of(1, 0, 2) };
        const inputs = new Map(module.inputs.map(({ name }) => [name, list]));
        interpretTensors(module, inputs, new WeightValues(randomStore(shapes, 1), 1), (_, { shape, data }) => expect(data.length).toBe(shape.reduce((a, b) => a * b, 1)));
      }),
      { numRuns: 100, seed: 1 },
    );
  });
});
