import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, it } from 'vitest';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { targetOf, weightImages } from '../../driver/commands/compile.ts';
import { compile } from '../../driver/compile.ts';
import { HostSession, type SequenceRows } from '../../driver/host.ts';
import { defaults } from '../../driver/options.ts';
import { findSource, importSource, loadPlugins } from '../../driver/session.ts';
import { boundsOf } from '../../driver/workload.ts';
import { randomStore } from '../../ir/random-store.ts';
import { imageSource } from '../../simulator/functional/machine-state.ts';
import { noChecks } from '../../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin, type Schedule } from '../../simulator/functional/schedule.ts';
import { sweep } from '../sweep.ts';

const folder = resolve(import.meta.dirname, '../../examples');
const models = ['bert', 'gpt2', 'llama', 'qwen2', 'custom-layer'].flatMap((family) =>
  sweep(readdirSync(join(folder, family)).filter((name) => name === 'hf' || name.endsWith('.onnx')), 1).map((name) => `${family}/${name}`));

/** Two prompts, then a token more of one and a new sequence. */
const steps: readonly (readonly SequenceRows[])[] = [
  [{ id: 0, ids: [1, 5, 9, 2, 7], samples: 'last' }, { id: 1, ids: [4, 3], samples: 'last' }],
  [{ id: 0, ids: [8], samples: 'last' }, { id: 2, ids: [6, 2, 1], samples: 'all' }],
];
const largest = steps[0]!.map(({ id, ids }) => ({ id, rows: ids.length, past: 0 }));

/** The results of all steps, all values. */
async function runsOf(path: string): Promise<(schedule: Schedule) => readonly Float64Array[]> {
  const diagnostics = new Diagnostics();
  const source = findSource(join(folder, path));
  const imported = await importSource(source, await loadPlugins(path.startsWith('custom') ? [join(folder, 'custom-layer/relu-squared.ts')] : []), defaults, diagnostics);
  const compiled = imported === undefined ? undefined : compile(imported, {
    ...targetOf(defaults),
    serve: (module) => ({ workload: { isl: 5, osl: 1, batch: 2 }, bounds: { ...boundsOf(module, targetOf(defaults).machine, largest, { context: 8, elementBytes: 1, stages: 1 }), poolPages: 3, pageListEntries: 3, samples: 4 } }),
  }, diagnostics);
  if (imported === undefined || compiled === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('; '));
  const image = Buffer.concat([...weightImages(compiled, imported.store ?? randomStore(imported.tensors ?? new Map(), 1))]);
  return (schedule) => {
    const session = new HostSession(compiled.program, [imageSource(image)]);
    return (compiled.normative.caches.length > 0 ? steps : steps.slice(0, 1)).flatMap((rows) => {
      const { runs, end } = session.begin(rows, schedule, { ...noChecks, races: true });
      for (const run of runs) while (run.advance());
      return [...end().outputs.values()].map(({ data }) => data);
    });
  };
}

it.each(models)('%s: no race, and the same bits whoever goes first and however late writes are seen', async (path) => {
  const runs = await runsOf(path);
  const wanted = runs(roundRobin);
  expect(wanted.every((data) => data.length > 0 && data.every(Number.isFinite))).toBe(true);
  for (const schedule of [early, late, randomSchedule(1), randomSchedule(2)]) expect(runs(schedule)).toEqual(wanted);
});
