import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { interpret } from '../../ir/graph/interpret.ts';
import { KvState } from '../../ir/graph/interpret/kv-state.ts';
import { allOps, type GraphModule } from '../../ir/graph/module.ts';
import { verifyGraph } from '../../ir/graph/verify.ts';
import { randomStore } from '../../ir/random-store.ts';
import { WeightValues } from '../../ir/weight-values.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import { fusedOps, group, ungroup } from '../../passes/group.ts';
import { compact } from '../../passes/rewrite.ts';
import { graphModules, rowKinds } from '../ir/graph/generate.ts';
import { stepOf } from '../ir/graph/modules.ts';
import { normative } from './lower.ts';
import { tinyLlama } from './tiny-llama.ts';

const problemsOf = (module: GraphModule): readonly string[] => {
  const diagnostics = new Diagnostics();
  verifyGraph(module, diagnostics);
  return diagnostics.all.map(({ message }) => message);
};
const runs = { numRuns: 100, seed: 3 };

describe('grouping', () => {
  it('makes a pre-norm decoder layer of five', () => {
    expect(fusedOps(normative(tinyLlama(), tiny, 'fp8'))).toEqual({
      fusedOps: ['norm quantise linear columns columns columns rope rope convert', 'attention', 'quantise linear', 'norm quantise linear', 'quantise linear'],
      fusedOpsPerLayer: 5,
    });
  });

  it('keeps the rules, is taken back whole, and is done once', () => {
    fc.assert(fc.property(graphModules(rowKinds), ({ module }) => {
      const flat = compact(ungroup(module));
      const grouped = group(flat);
      expect(problemsOf(grouped)).toEqual([]);
      expect(ungroup(grouped)).toEqual(flat);
      expect(group(grouped)).toEqual(grouped);
    }), runs);
  });

  it('puts at most one anchor into an op, and holds what it reads', () => {
    fc.assert(fc.property(graphModules(rowKinds), ({ module }) => {
      for (const op of allOps(group(module).body)) {
        if (op.kind !== 'fused') continue;
        expect(op.body.ops.filter(({ kind }) => ['embed', 'linear', 'attention', 'experts', 'custom'].includes(kind)).length).toBeLessThanOrEqual(1);
        const own = new Set([...op.body.params, ...op.body.ops.flatMap(({ results }) => results)]);
        expect(op.body.ops.flatMap(({ operands }) => operands).filter((operand) => !own.has(operand))).toEqual([]);
      }
    }), runs);
  });

  it('changes nothing of what is computed', () => {
    const step = stepOf([{ id: 1, rows: 2, past: 0 }, { id: 2, rows: 1, past: 0 }]);
    fc.assert(fc.property(graphModules(rowKinds), ({ module, shapes }) => {
      const computed = (of: GraphModule) => interpret(of, step, { weights: new WeightValues(randomStore(shapes, 1), 1), arithmetic: 'real', state: new KvState() });
      expect(computed(group(module))).toEqual(computed(module));
    }), runs);
  });
});
