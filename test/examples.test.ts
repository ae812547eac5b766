import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { weightImages } from '../driver/commands/compile.ts';
import { Comparing } from '../driver/compare.ts';
import { compile, type Compiled, type Target } from '../driver/compile.ts';
import { HostSession } from '../driver/host.ts';
import { openReference } from '../driver/reference.ts';
import { defaults } from '../driver/options.ts';
import { findSource, importSource } from '../driver/session.ts';
import { withinFloat32 } from '../driver/similarity.ts';
import { boundsOf } from '../driver/workload.ts';
import type { TensorStore } from '../ir/weights.ts';
import { sohu, sohu8 } from '../isa-spec/machines/sohu.ts';
import { tiny } from '../isa-spec/machines/tiny.ts';
import { imageSource } from '../simulator/functional/machine-state.ts';
import { reluSquared } from '../examples/custom-layer/relu-squared.ts';
import { sweep } from './sweep.ts';

const root = resolve(import.meta.dirname, '..');
const examples = ['bert', 'gpt2', 'llama', 'qwen2', 'custom-layer'].flatMap((family) =>
  sweep(readdirSync(join(root, 'examples', family)).filter((file) => file.endsWith('.onnx')), 1).map((file) => join('examples', family, file)),
);

const prompts = [[1, 5, 9, 2, 7], [3, 8, 4, 1, 6, 2, 11, 30]];

/** Compiles an example for these prompts and three tokens more. */
async function compiled(path: string, target: Pick<Target, 'machine' | 'precision'>, tp = 1, pp = 1): Promise<{ readonly compiled: Compiled; readonly store: TensorStore }> {
  const diagnostics = new Diagnostics();
  const imported = await importSource(findSource(join(root, path)), [reluSquared], defaults, diagnostics);
  if (imported?.store === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  const serve: Target['serve'] = (module) => ({
    workload: { isl: 8, osl: 3, batch: prompts.length },
    bounds: boundsOf(module, target.machine, prompts.map((ids, id) => ({ id, rows: ids.length + 3, past: 0 })), { context: 11, elementBytes: 2, stages: pp }),
  });
  const made = compile(imported, { ...target, tp, pp, stageShare: 0.25, parts: 1, serve }, diagnostics);
  if (made === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  return { compiled: made, store: imported.store };
}

describe.each(examples)('%s', (path) => {
  it.each([
    ['fp8', sohu, 0.985],
    ['bf16', sohu, 0.9999],
    ['fp8', tiny, 0.985],
  ] as const)('in %s: the graph is ONNX Runtime\'s, the program is the graph to the bit', async (precision, machine, least) => {
    const { compiled: made, store } = await compiled(path, { machine, precision });
    const session = new HostSession(made.program, [imageSource(Buffer.concat([...weightImages(made, store)]))]);
    const opened = await openReference(join(root, path), made.rows.source.interface);
    // ONNX Runtime does not know the custom operator, which is what that example is for.
    const reference = typeof opened === 'string' ? undefined : opened;
    expect(reference === undefined).toBe(path.includes('custom-layer'));
    const comparing = new Comparing(made, store, 1);
    const cached = made.normative.caches.length > 0;
    for (let step = 0; step < 3; step++) {
      const rows = prompts.map((prompt, id) => {
        const whole = [...prompt, ...[17, 23].slice(0, step)];
        return { id, ids: cached && step > 0 ? whole.slice(-1) : whole, samples: 'last' as const };
      });
      comparing.add(session.step(rows), await reference?.step(rows));
    }
    for (const { equalBits, values, graphToRuntime, programToTruth } of comparing.result().results) {
      expect(values).toBeGreaterThan(0);
      expect(equalBits).toBe(values);
      expect(graphToRuntime === undefined).toBe(reference === undefined);
      expect(graphToRuntime === undefined || withinFloat32(graphToRuntime)).toBe(true);
      expect(programToTruth.cosine).toBeGreaterThan(least);
    }
  });
});

describe('every example', () => {
  it.each(sweep([['in a pipeline of two stages of two chips', 2, 2], ['divided over two chips', 2, 1], ['in a pipeline of two', 1, 2]] as const, 1))('computes the same bits %s as on one, prefill and decode', async (_, tp, pp) => {
    for (const path of examples) {
      const [one, two] = await Promise.all(
        ([[1, 1], [tp, pp]] as const).map(async ([parts, stages]) => {
          const { compiled: made, store } = await compiled(path, { machine: sohu8, precision: 'fp8' }, parts, stages);
          const image = Buffer.concat([...weightImages(made, store)]);
          const share = image.length / made.program.chips;
          const session = new HostSession(made.program, Array.from({ length: made.program.chips }, (__, rank) => imageSource(image.subarray(rank * share, (rank + 1) * share))));
          const steps = made.normative.caches.length === 0 ? [prompts] : [prompts, [[17], [23]]];
          return steps.map((ids) => session.step(ids.map((row, id) => ({ id, ids: row, samples: 'last' as const }))).outputs);
        }),
      );
      expect(two, path).toEqual(one);
    }
  });

  it('rolls its layers into one body, and leaves no node unaccounted for', async () => {
    for (const path of examples) {
      const { compiled: made } = await compiled(path, { machine: sohu, precision: 'fp8' });
      expect(made.rows.body.ops.filter(({ kind }) => kind === 'loop'), path).toHaveLength(1);
      expect(made.rows.source.nodes.filter(({ disposition }) => disposition === 'refused'), path).toEqual([]);
    }
  });
});
