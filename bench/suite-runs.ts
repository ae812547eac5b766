import { Diagnostics } from '../diagnostics/diagnostic.ts';
import { compile, type Imported, type Target } from '../driver/compile.ts';
import { stageShare, stageShareDeep, stageShareRoomy } from '../driver/serving.ts';
import { blankStep, boundsOf, dealt, freshTables } from '../driver/workload.ts';
import { memoryFiles } from '../frontend/files.ts';
import { importFolder } from '../frontend/huggingface/import.ts';
import type { StepSequence } from '../ir/step.ts';
import { sohu, sohu8 } from '../isa-spec/machines/sohu.ts';
import type { Program } from '../isa-spec/program.ts';
import { encodeStepBlock } from '../isa-spec/step-block.ts';
import { type Floor, floorOf } from '../passes/plan/floor.ts';
import { bytesKept, bytesOfLayer } from '../passes/plan/hold.ts';
import { severalParts } from '../passes/tile/parts.ts';
import { criticalPathReport } from '../report/critical-path.ts';
import { buildReport, type CostReport } from '../report/report.ts';
import type { TimingResult } from '../simulator/timing/result.ts';
import { simulateTiming, timingDefaults } from '../simulator/timing/simulate.ts';

/**
 * Models, phases and chips, and how near each step comes to its speed of light. Of those that stay far from it, `chain`: the share of the step that is work and latency one after the other, and whose; `hbm`: the share in which HBM is at work, weights read once a part; `floor`: how near any schedule could come, by the closed forms, and what bounds it (passes/plan/floor.ts): if SRAM held nothing but weights, and if it held of them from part to part what the program does. Run from a bundle; prints a Measured a line: of all, or of the model, phase and chips named. On several chips each stage of a
 * pipeline runs such a step.
 */
export type Measured = { readonly model: string; readonly phase: string; readonly chips: number; readonly parts: number; readonly share: number; readonly boundBy: string; readonly lost: string; readonly chain?: string; readonly hbm?: number; readonly floor?: string } | { readonly model: string; readonly phase: string; readonly chips: number; readonly refused: string };

const llama = (hidden: number, inner: number, layers: number, heads: number, vocabulary: number): object => ({
  model_type: 'llama', hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: 8, vocab_size: vocabulary,
  max_position_embeddings: 65536, rms_norm_eps: 1e-5, rope_theta: 500000, hidden_act: 'silu', tie_word_embeddings: false,
});
/** Of the published configs, but that all have positions for the longest step. */
const models: Readonly<Record<string, { readonly config: object; readonly chips: readonly number[]; readonly longest: number }>> = {
  'Llama-3-8B': { config: llama(4096, 14336, 32, 32, 128256), chips: [1, 8], longest: 65536 },
  'Llama-3-70B': { config: llama(8192, 28672, 80, 64, 128256), chips: [1, 8], longest: 65536 },
  'Llama-3.1-405B': { config: llama(16384, 53248, 126, 128, 128256), chips: [8], longest: 65536 },
  'Qwen2.5-7B': {
    config: { model_type: 'qwen2', hidden_size: 3584, intermediate_size: 18944, num_hidden_layers: 28, num_attention_heads: 28, num_key_value_heads: 4, vocab_size: 152064, max_position_embeddings: 65536, rms_norm_eps: 1e-6, rope_theta: 1e6, hidden_act: 'silu', tie_word_embeddings: false, use_sliding_window: false },
    chips: [1, 8], longest: 65536,
  },
  'GPT-2 XL': { config: { model_type: 'gpt2', n_embd: 1600, n_layer: 48, n_head: 25, n_positions: 1024, n_ctx: 1024, vocab_size: 50257, activation_function: 'gelu_new', layer_norm_epsilon: 1e-5 }, chips: [1, 8], longest: 1024 },
  'BERT-large': { config: { model_type: 'bert', hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24, num_attention_heads: 16, vocab_size: 30522, max_position_embeddings: 512, type_vocab_size: 2, hidden_act: 'gelu', layer_norm_eps: 1e-12 }, chips: [1, 8], longest: 512 },
};

type Phase = { readonly name: string; readonly context: number; readonly sequences: readonly StepSequence[] };
const each = (count: number, make: (id: number) => StepSequence): readonly StepSequence[] => Array.from({ length: count }, (_, id) => make(id));
const phases: readonly Phase[] = [
  ...[512, 2048, 8192, 32768].map((rows): Phase => ({ name: `prefill ${rows}`, context: rows, sequences: [{ id: 0, rows, past: 0 }] })),
  ...[512, 4096, 32768].flatMap((context) => [1, 16, 128, 512].map((count): Phase => ({ name: `decode ${count} at ${context}`, context, sequences: each(count, (id) => ({ id, rows: 1, past: context - 1 })) }))),
  ...[1, 2].map((lots): Phase => ({ name: `mixed, ${lots === 1 ? '2048 and 127' : 'twice that'}`, context: 2176, sequences: [...each(lots, (id) => ({ id, rows: 2048, past: 0 })), ...each(127 * lots, (id) => ({ id: id + lots, rows: 1, past: 2048 + Math.floor(id / lots) }))] })),
];

type Parts = { readonly parts: number; readonly partsMost: number };
/** In one part, and in as many as a compile would try. */
function waysOf(imported: Imported, phase: Phase, chips: number): readonly (Way | string)[] {
  const one = measured(imported, phase, chips, { parts: 1, partsMost: 1 });
  const several = severalParts(phase.sequences.reduce((sum, { rows }) => sum + rows, 0), sohu, typeof one === 'string' ? Infinity : one.layerBytes);
  return several.parts === 1 ? [one] : [one, measured(imported, phase, chips, several)];
}

type Way = { readonly report: CostReport; readonly parts: number; readonly layerBytes: number; readonly chain: () => string; readonly floor: () => string };

/** The report of a step, the most parts that a stage works on it in, and its chain. */
function measured(imported: Imported, { sequences, context }: Phase, chips: number, of: Parts): Way | string {
  const machine = chips === 1 ? sohu : sohu8;
  const workload = { isl: context, osl: 1, batch: sequences.length, parts: of.partsMost };
  const target: Target = { machine, precision: 'fp8', tp: 1, pp: chips, stageShare: stageShare(of.parts), stageShareDeep, ...(of.parts === 2 ? { stageShareMost: stageShareRoomy } : {}), ...of, serve: (module) => ({ workload, step: dealt(sequences, workload), bounds: boundsOf(module, machine, sequences, { context, elementBytes: 1, stages: chips }) }) };
  const diagnostics = new Diagnostics();
  const compiled = compile(imported, target, diagnostics, { until: 'time', ended: () => {}, isProved: false });
  if (compiled === undefined) return diagnostics.all[0]?.code ?? '';
  const { program } = compiled;
  const step = dealt(sequences, compiled.workload);
  const tables = freshTables(blankStep(step), { pageRows: program.entries[0]!.bounds['pageRows']! });
  const blocks = Array.from({ length: chips }, (_, chip) => encodeStepBlock({ ...tables, entry: program.entries.findIndex((entry) => entry.chips.includes(chip)) }));
  const timed = (path: boolean): TimingResult => simulateTiming(program, blocks, { ...timingDefaults, budget: 1e9, path });
  const timing = timed(false);
  return timing.kind === 'fault' ? timing.fault.message : { report: buildReport(program, 0, timing, workload), layerBytes: Math.max(...compiled.stages.map(({ graph }) => bytesOfLayer(graph))), parts: Math.max(...compiled.stages.map(({ plan }) => plan.homes.parts.length)), floor: () => [undefined, bytesKept].map((held) => floorText(compiled.stages.map((stage) => floorOf(stage.graph, step, machine, held?.(stage.plan, sohu))), buildReport(program, 0, timing, workload))).join('; with what is held, '), chain: () => (timing.instructions > mostRecorded ? '' : chainOf(program, timed(true))) };
}

/** `61 %, by its chain in 1`: of the slowest stage. */
function floorText(stages: readonly Floor[], { timing: { speedOfLightSeconds } }: CostReport): string {
  const { seconds, by, parts } = stages.reduce((most, one) => (one.seconds > most.seconds ? one : most));
  return `${((100 * speedOfLightSeconds) / Math.max(seconds, speedOfLightSeconds)).toFixed(0)} %, by ${by} in ${parts}`;
}

/** Instructions whose every execution is written down for a chain. */
const mostRecorded = 1e7;

/** `97 %: mxu 49, att 24, vec 14`. */
function chainOf(program: Program, timing: TimingResult): string {
  if (timing.kind === 'fault') return timing.fault.message;
  const { chain, cycles, path } = criticalPathReport(program, timing);
  const byQueue = new Map<string, number>();
  for (const { instruction, cause, from, to } of path) {
    const [, queue = ''] = instruction.split(':');
    if (cause === 'work' || cause === 'latency') byQueue.set(queue, (byQueue.get(queue) ?? 0) + to - from);
  }
  const most = [...byQueue].toSorted(([, a], [, b]) => b - a).slice(0, 4);
  return `${(100 * chain.fraction).toFixed(0)} %: ${most.map(([queue, own]) => `${queue} ${((100 * own) / cycles).toFixed(0)}`).join(', ')}`;
}

/** Names of a model, a phase, and chips that are all there is to be measured of, where they are given. */
const [, , ...only] = process.argv;
const isWanted = (...names: readonly string[]): boolean => only.every((name) => names.includes(name));

for (const [model, { config, chips: servers, longest }] of Object.entries(models)) {
  const module = importFolder(memoryFiles(new Map([['config.json', new TextEncoder().encode(JSON.stringify(config))]])), new Diagnostics());
  if (module === undefined) throw new Error(model);
  for (const phase of phases.filter(({ context, sequences }) => context <= longest && (model !== 'BERT-large' || sequences.every(({ past }) => past === 0)))) {
    for (const chips of servers.filter((count) => isWanted(model, phase.name, String(count)))) {
      const ways = waysOf({ ...module, primitive: false }, phase, chips);
      const done = ways.flatMap((way) => (typeof way === 'string' ? [] : [{ ...way, timing: way.report.timing }]));
      const best = done.toSorted((a, b) => a.timing.stepSeconds - b.timing.stepSeconds)[0];
      const line: Measured = best === undefined
        ? { model, phase: phase.name, chips, refused: String(ways[0]) }
        : { model, phase: phase.name, chips, parts: best.parts, share: best.timing.speedOfLightRatio, boundBy: best.timing.boundBy, lost: best.timing.losses.toSorted((a, b) => b.flops - a.flops).slice(0, 3).map(({ name, fraction }) => `${name} ${(100 * fraction).toFixed(1)}`).join(', '), ...(best.timing.speedOfLightRatio < 0.85 ? { chain: best.chain(), floor: best.floor(), hbm: best.timing.engines.find(({ name }) => name === 'hbm')?.busy ?? 0 } : {}) };
      console.log(JSON.stringify(line));
    }
  }
}
