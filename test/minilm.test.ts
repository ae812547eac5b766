import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { compile, type Target } from '../driver/compile.ts';
import { weightImages } from '../driver/commands/compile.ts';
import { HostSession } from '../driver/host.ts';
import { defaults } from '../driver/options.ts';
import { importSource, findSource } from '../driver/session.ts';
import { boundsOf } from '../driver/workload.ts';
import { sohu } from '../isa-spec/machines/sohu.ts';
import type { Precision } from '../passes/formats.ts';
import { imageSource } from '../simulator/functional/machine-state.ts';

/**
 * all-MiniLM-L6-v2 with its real weights, made by scripts/fixtures/minilm.py; `SOHUC_MINILM` names the folder. The thresholds
 * are the product's promise: cosine of sentence embeddings, and the ranking of the sentences for each query.
 */
const folder = process.env['SOHUC_MINILM'] ?? '';
type Text = { readonly text: string; readonly ids: readonly number[]; readonly embedding: readonly number[] };

const present = folder !== '' && existsSync(join(folder, 'sentences.json'));
const { sentences, queries } = (present ? JSON.parse(readFileSync(join(folder, 'sentences.json'), 'utf8')) : { sentences: [], queries: [] }) as { sentences: Text[]; queries: Text[] };
const texts = [...sentences, ...queries];

describe.skipIf(!present)('all-MiniLM-L6-v2', () => {
  it.each([
    ['hf', 'bf16', 0.9999],
    ['hf', 'fp8', 0.99],
    ['encoder.dynamo.onnx', 'bf16', 0.9999],
    ['encoder.dynamo.onnx', 'fp8', 0.99],
    ['encoder.torchscript.onnx', 'fp8', 0.99],
  ] as const)('%s in %s: embeddings within cosine %f, ranking kept', async (file, precision, least) => {
    const embedded = await embed(join(folder, file), precision, texts);
    const cosines = embedded.map((vector, i) => dot(vector, texts[i]?.embedding ?? []));
    const scores = (vectors: readonly (readonly number[])[], query: readonly number[]): readonly number[] => sentences.map((_, i) => dot(vectors[i] ?? [], query));
    const judged = queries.map((query, q) => compareRankings(scores(sentences.map(({ embedding }) => embedding), query.embedding), scores(embedded, embedded[sentences.length + q] ?? [])));
    const [kept, inverted, gap] = [Math.min(...judged.map((one) => one.kept)), judged.reduce((sum, one) => sum + one.inverted, 0), Math.max(...judged.map((one) => one.gap))];
    const pairs = (queries.length * sentences.length * (sentences.length - 1)) / 2;
    process.stdout.write(`${file} ${precision}: least cosine ${Math.min(...cosines).toFixed(6)}; first ${kept} places kept for every query; ${inverted} of ${pairs} pairs change places, none further apart than ${gap.toFixed(4)}\n`);
    expect(Math.min(...cosines)).toBeGreaterThanOrEqual(least);
    expect(kept).toBeGreaterThanOrEqual(3);
    // Sentences that have nothing to do with a query lie as close to each other as the error of the scores.
    expect(gap).toBeLessThanOrEqual(2 * Math.sqrt(2 * (1 - Math.min(...cosines))));
  }, 600_000);
});

/** How many places from the first on agree, how many pairs of places are exchanged, and the largest score difference overturned. */
function compareRankings(wanted: readonly number[], actual: readonly number[]): { readonly kept: number; readonly inverted: number; readonly gap: number } {
  const order = (scores: readonly number[]): readonly number[] => scores.map((_, i) => i).toSorted((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
  const [first, second] = [order(wanted), order(actual)];
  const differing = first.findIndex((sentence, place) => sentence !== second[place]);
  const overturned = wanted.flatMap((a, i) => wanted.slice(i + 1).flatMap((b, j) => ((a - b) * ((actual[i] ?? 0) - (actual[i + 1 + j] ?? 0)) < 0 ? [Math.abs(a - b)] : [])));
  return { kept: differing < 0 ? wanted.length : differing, inverted: overturned.length, gap: Math.max(0, ...overturned) };
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

/** Embeddings of texts, all in one step of the simulated program: mean over a sentence's rows, normalised. */
async function embed(path: string, precision: Precision, texts: readonly Text[]): Promise<readonly (readonly number[])[]> {
  const diagnostics = new Diagnostics();
  const imported = await importSource(findSource(path), [], defaults, diagnostics);
  if (imported?.store === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  const rows = texts.map(({ ids }, id) => ({ id, rows: ids.length, past: 0 }));
  const serve: Target['serve'] = (module) => ({ workload: { isl: 64, osl: 0, batch: texts.length }, bounds: boundsOf(module, sohu, rows, { context: 64, elementBytes: 2, stages: 1 }) });
  const compiled = compile(imported, { machine: sohu, precision, tp: 1, pp: 1, stageShare: 0.25, parts: 1, serve }, diagnostics);
  if (compiled === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  const session = new HostSession(compiled.program, [imageSource(Buffer.concat([...weightImages(compiled, imported.store)]))]);
  const { outputs } = session.step(texts.map(({ ids }, id) => ({ id, ids, samples: 'last' as const })));
  const [hidden] = outputs.values();
  if (hidden === undefined) throw new Error('no output');
  let row = 0;
  return texts.map(({ ids }) => {
    const mean = Array.from({ length: hidden.columns }, () => 0);
    for (let i = 0; i < ids.length; i++, row++) for (let c = 0; c < hidden.columns; c++) mean[c] = (mean[c] ?? 0) + (hidden.data[row * hidden.columns + c] as number);
    const norm = Math.hypot(...mean);
    return mean.map((value) => value / norm);
  });
}
