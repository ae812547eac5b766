import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { compile } from '../driver/compile.ts';
import { blankStep, boundsOf, freshTables, steadyStep } from '../driver/workload.ts';
import { memoryFiles } from '../frontend/files.ts';
import { importFolder } from '../frontend/huggingface/import.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { decodeAll } from '../isa-spec/encoding.ts';
import { hostTables, queues, stepCounts } from '../isa-spec/instructions.ts';
import { sohu, sohu8 } from '../isa-spec/machines/sohu.ts';
import { decodeWorklist, encodeStepBlock, openStepBlock } from '../isa-spec/step-block.ts';
import { timeSteps } from '../simulator/timing/core.ts';
import type { QueueLabels } from '../simulator/timing/result.ts';
import { simulateTiming } from '../simulator/timing/simulate.ts';
import type { ChipCode } from '../simulator/timing/stream.ts';
import { codeOf, done, hbmAt, make, rows, stepOf, time } from '../test/simulator/timing/build.ts';

/** Run from a bundle, in a process of its own: `compile DIR`, `layers`, `first DIR`, `repeated DIR`, `decoded DIR`; prints a Measurement. */
export type Measurement = { readonly instructions: number; readonly milliseconds: number };

const workload = { isl: 2048, osl: 128, batch: 256 };
const llama70 = {
  model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_size: 8192, intermediate_size: 28672, num_hidden_layers: 80, num_attention_heads: 64, num_key_value_heads: 8, vocab_size: 128256,
  max_position_embeddings: 8192, rms_norm_eps: 1e-5, rope_theta: 500000, hidden_act: 'silu', torch_dtype: 'bfloat16', tie_word_embeddings: false,
};

/** A 70B decoder for eight chips, and a step of it, as files. */
function compileTo(folder: string): void {
  const diagnostics = new Diagnostics();
  const imported = importFolder(memoryFiles(new Map([['config.json', new TextEncoder().encode(JSON.stringify(llama70))]])), diagnostics);
  const sequences = steadyStep(workload, 1, false);
  const compiled = imported && compile({ ...imported, primitive: false }, { machine: sohu8, precision: 'fp8', tp: 8, pp: 1, stageShare: 0.25, parts: 1, serve: (module) => ({ workload, bounds: boundsOf(module, sohu8, sequences, { context: 2176, elementBytes: 1, stages: 1 }) }) }, diagnostics);
  if (compiled === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  writeFileSync(join(folder, 'model.sohu'), writeContainer(compiled.program));
  writeFileSync(join(folder, 'step'), encodeStepBlock(freshTables(blankStep(sequences), compiled.stages[0]!.tile.bounds)));
}

/** The shape of such a step with ten times the layers, written by hand: row tiles and column groups, double-buffered. */
function layers(): () => number {
  const around = (...body: ReturnType<typeof make>[]): ReturnType<typeof make>[] => [
    make('loop', { level: 0, count: 800, body: body.length + 2 }), make('loop', { level: 1, count: 4, body: body.length + 1 }), make('loop', { level: 2, count: 8, body: body.length }), ...body,
  ];
  const code = codeOf({
    dma0: around(make('dld', { src: hbmAt(1), lines: 1024, srcPitch: 1024, rows: rows(64) }, [8], [1])),
    wld: [make('sync', {}, [], [8]), make('sync', {}, [], [8]), ...around(make('wld', { kTiles: 32, nTiles: 32, split: 1 }, [1], [8]))],
    mxu: around(make('mm', { kTiles: 32, kLast: 256, nTiles: 32, split: 1, rows: rows(512) }, [9], [2])),
    epi: [make('sync', {}, [], [9]), make('sync', {}, [], [9]), ...around(make('epi', { nTiles: 32, nLast: 256, split: 1, rows: rows(512) }, [2], [3, 9]))],
    vec: around(make('vqnt', { columns: 8192, rows: rows(512) }, [3], [4])),
    dma1: around(make('dst', { dst: hbmAt(3), lines: 128, dstPitch: 128, rows: rows(512) }, [4])),
  });
  return () => done(time(sohu, code, stepOf(2048))).instructions;
}

function compiledStep(folder: string): () => number {
  const program = readContainer(new Uint8Array(readFileSync(join(folder, 'model.sohu'))));
  const block = new Uint8Array(readFileSync(join(folder, 'step')));
  return () => done(simulateTiming(program, [block])).instructions;
}

/** The same step, its words decoded beforehand. */
function decodedStep(folder: string): () => number {
  const program = readContainer(new Uint8Array(readFileSync(join(folder, 'model.sohu'))));
  const { counts, tables } = openStepBlock(new Uint8Array(readFileSync(join(folder, 'step'))));
  const [chip] = program.code[0]!;
  const code = Object.fromEntries(queues.map((queue) => [queue, { instructions: decodeAll(chip![queue].words, queue), strideSets: chip![queue].strideSets }])) as unknown as ChipCode;
  const labels = Object.fromEntries(queues.map((queue) => [queue, []])) as unknown as QueueLabels;
  const step = { counts: stepCounts.map((name) => counts[name]), tableBytes: hostTables.map((table) => tables[table].length), work: { worklist: decodeWorklist(tables.worklist), memoryWorklist: decodeWorklist(tables.memoryWorklist) } };
  return () => done(timeSteps({ machine: program.machine, entry: 'step', chips: program.chips, simulated: [{ code, labels, steps: [step] }], stands: Array.from({ length: program.chips }, () => 0), budget: 1e8 })).instructions;
}

/** The fastest of `runs`: what else the computer does only adds. */
function fastest(runs: number, run: () => number): Measurement {
  let best: Measurement = { instructions: 0, milliseconds: Infinity };
  for (let i = 0; i < runs; i++) {
    const started = performance.now();
    const instructions = run();
    const milliseconds = performance.now() - started;
    if (milliseconds < best.milliseconds) best = { instructions, milliseconds };
  }
  return best;
}

const [, , what, folder = ''] = process.argv;
const print = (measurement: Measurement): void => console.log(JSON.stringify(measurement));
if (what === 'compile') compileTo(folder);
else if (what === 'layers') print(fastest(40, layers()));
else if (what === 'first') print(fastest(1, compiledStep(folder)));
else if (what === 'decoded') print(fastest(200, decodedStep(folder)));
else if (what === 'repeated') print(fastest(200, compiledStep(folder)));
