import type { GraphModule } from '../ir/graph/module.ts';
import { isDecoding, type Step, type StepSequence } from '../ir/step.ts';
import type { ValueId } from '../ir/types.ts';
import type { Machine } from '../isa-spec/machine.ts';
import type { StepTables } from '../isa-spec/step-block.ts';
import { type Pages, pageSizes, pagesOf } from '../passes/plan/pages.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { tablesOf } from './step-tables.ts';

/** What the report is about: requests of `isl` input and `osl` output tokens, `batch` of them served at once, over all stages of a pipeline; in steps arranged for that many `parts` (absent: one), of two of which the first has so many more requests that decode (`leading`; absent: none). */
export type Workload = { readonly isl: number; readonly osl: number; readonly batch: number; readonly parts?: number; readonly leading?: number };

/** The usual sizes, cut to what the model's positions allow; encoders have no output tokens. `ways`: into how many steps, and parts of them, requests are divided. */
export function workloadOf(module: GraphModule, asked: Workload, ways: number): Workload {
  const positions = module.source.maxPositions;
  const arranged = asked.parts === undefined || asked.parts === 1 ? {} : { parts: asked.parts };
  if (module.caches.length === 0) return { ...arranged, isl: asked.isl || Math.min(512, positions), osl: 0, batch: asked.batch || 8 * ways };
  const osl = asked.osl || Math.max(1, Math.min(128, Math.floor(positions / 4)));
  const isl = asked.isl || Math.max(1, Math.min(2048, positions - osl));
  return { ...arranged, isl, osl, batch: asked.batch || osl * ways };
}

/**
 * The sequences of a steady-state step of continuous batching: of `batch` requests, batch/osl start in each step and bring
 * their prompts, the others each decode one token, at contexts spread evenly over their outputs. Where fewer start than a step one, or not a whole number, a step has pieces of prompts, after as many rows of theirs
 * as on an average: half of the others. Encoders: `batch` inputs. Each has as many
 * rows of memory as it had input, where there is memory. A pipeline's requests are divided over the steps under way. `nth`: how many steps later; each has
 * gone on by one token a step, and where one has ended, one that had started goes on. In a step of several parts each has as many prompts and, but for those `leading`, as many decoding
 * ones as the others, in turn these first or those: what ends one part and begins the next is alike.
 */
export function steadyStep(workload: Workload, stages: number, hasMemory: boolean, nth = 0): readonly StepSequence[] {
  const all = ownRows(ofStage(workload, stages), nth);
  const sequences = dealt(all, workload);
  return hasMemory ? sequences.map((sequence) => ({ ...sequence, memory: workload.isl })) : sequences;
}

/** The sequences of a step, part after part. */
export function dealt(all: readonly StepSequence[], { parts = 1, leading = 0 }: Pick<Workload, 'parts' | 'leading'>): readonly StepSequence[] {
  if (parts === 1) return all;
  const [decoding, prompts] = [all.filter(isDecoding), all.filter((sequence) => !isDecoding(sequence))];
  // Those of the first of two are spread over all.
  const ofFirst = (count: number): number => Math.ceil((count * (decoding.length + leading)) / (2 * decoding.length));
  const partOf = (i: number): number => (parts === 2 ? Number(ofFirst(i + 1) === ofFirst(i)) : i % parts);
  return Array.from({ length: parts }, (_, part) => {
    const some = [decoding.filter((__, i) => partOf(i) === part), prompts.filter((__, i) => Math.floor((i * parts) / prompts.length) === part)];
    return (part % 2 === 0 ? some : some.toReversed()).flat();
  }).flat();
}

/** A stage's share of the requests of a pipeline: those of one of the steps under way. */
export const ofStage = (workload: Workload, stages: number): Workload => ({ ...workload, batch: Math.ceil(workload.batch / stages) });

/** What is in a step of one stage: prompts, or pieces of them, the rows of each, and requests that decode. */
export function countsOf({ isl, osl, batch }: Workload): { readonly prompts: number; readonly promptRows: number; readonly decoding: number } {
  if (osl === 0) return { prompts: batch, promptRows: isl, decoding: 0 };
  const prompts = Math.ceil(batch / osl);
  return { prompts, promptRows: Math.max(1, Math.round((isl * batch) / osl / prompts)), decoding: batch - prompts };
}

function ownRows(workload: Workload, nth: number): readonly StepSequence[] {
  const { isl, osl } = workload;
  const { prompts, promptRows, decoding } = countsOf(workload);
  // Of a piece the rows before it are there on an average; one row after others would be one that decodes.
  const past = promptRows === 1 ? 0 : Math.floor((isl - promptRows) / 2);
  const outputs = Math.max(1, osl - 1);
  // Those that are not as many as outputs are as far apart as they can be.
  const apart = decoding % outputs;
  const place = (i: number): number => (i < decoding - apart ? i : Math.floor(((i - decoding + apart + 0.5) * outputs) / apart));
  return [
    ...Array.from({ length: prompts }, (_, id) => ({ id, rows: promptRows, past })),
    ...Array.from({ length: decoding }, (_, i) => ({ id: prompts + i, rows: 1, past: isl + ((place(i) + nth) % outputs) })),
  ];
}

/** What the KV pool holds: contexts of at most `context` tokens, of keys and values of `elementBytes`, of the sequences of as many steps as there are stages; in pages of `pageRows` (absent: the best by estimate). */
export type Pool = { readonly context: number; readonly elementBytes: number; readonly stages: number; readonly pageRows?: number | undefined };

/** Bounds that hold any step of these sequences. */
export function boundsOf(module: GraphModule, machine: Machine, sequences: readonly StepSequence[], { pageRows: asked, ...pool }: Pool): Bounds {
  const tokens = sequences.reduce((sum, { rows }) => sum + rows, 0);
  const memory = sequences.reduce((sum, { memory: own = 0 }) => sum + own, 0);
  const [{ rows: pageRows }] = pagesOf(module, machine, { ...pool, sequences: sequences.length }, asked === undefined ? pageSizes : [asked]) as readonly [Pages];
  const pages = sequences.length * Math.ceil(pool.context / pageRows);
  const others = sequences.reduce((sum, { memory: own = 0 }) => sum + Math.ceil(own / pageRows), 0);
  return { tokens, sequences: sequences.length, samples: sequences.length, memory, poolPages: (pages + others) * pool.stages, pageRows, pageListEntries: Math.max(pages, others) };
}

/** Whether sequences of a module attend to rows besides their own. */
export const takesMemory = ({ inputs, body, types }: GraphModule): boolean => inputs.some((_, i) => types[body.params[i] as ValueId]?.shape[0] === 'memory');

/** A step of the given sequences with nothing in it but its shape. */
export function blankStep(sequences: readonly StepSequence[]): Step {
  const rows = sequences.flatMap(({ rows: count, past }) => Array.from({ length: count }, (_, i) => past + i));
  const zeros = rows.map(() => 0);
  let end = 0;
  const samples = sequences.map(({ rows: count }) => (end += count) - 1);
  return { sequences, ids: zeros, positions: rows, types: zeros, samples };
}

/** A step's tables on a pool nobody else uses: every sequence's pages one after the other. */
export function freshTables(step: Step, { pageRows }: Pick<Bounds, 'pageRows'>): StepTables {
  let next = 0;
  const take = (rows: number): readonly number[] => Array.from({ length: Math.ceil(rows / pageRows) }, () => next++);
  const pages = new Map(step.sequences.map(({ id, rows, past, memory = 0 }) => [id, { own: take(past + rows), memory: take(memory) }]));
  return tablesOf(step, (id) => pages.get(id) ?? { own: [], memory: [] }, pageRows);
}
