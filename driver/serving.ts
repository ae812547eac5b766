import type { GraphModule } from '../ir/graph/module.ts';
import type { StepSequence } from '../ir/step.ts';
import type { Precision } from '../passes/formats.ts';
import { ungroup } from '../passes/group.ts';
import { pagesOf } from '../passes/plan/pages.ts';
import { bytesOfLayer } from '../passes/plan/hold.ts';
import { type Lent, lentFor } from '../passes/plan/lend.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { partsOf, severalParts } from '../passes/tile/parts.ts';
import type { Chips } from './placement.ts';
import { UsageError } from './session.ts';
import { boundsOf, countsOf, ofStage, type Pool, steadyStep, takesMemory, type Workload, workloadOf } from './workload.ts';

/**
 * What a program is for, once the model is known: requests, the largest step, and the one it is to be fast at, if any, with the tokens a second of such steps by estimate; where the target leaves it open, the parts of a
 * step and the SRAM to stage in; and what else to serve, if that does not fit.
 */
export type Serving = { readonly workload: Workload; readonly bounds: Bounds; readonly step?: readonly StepSequence[]; readonly estimate?: number; readonly parts?: number; readonly partsMost?: number; readonly stageShare?: number; readonly stageShareMost?: number; readonly stageShareDeep?: number; readonly instead?: Serving | undefined };

/** Bytes of an element of keys and values. */
export const operandBytes = { fp8: 1, bf16: 2 } as const satisfies Readonly<Record<Precision, number>>;

/** Serves the steady state of a workload. */
export function steadyServing(module: GraphModule, workload: Workload, on: Chips & { readonly precision: Precision }): Serving {
  const { machine, pp, pageRows } = on;
  const step = steadyStep(workload, pp, takesMemory(module));
  return { workload, step, bounds: boundsOf(module, machine, step, { ...poolOf(workload, on), pageRows }) };
}

export const poolOf = ({ isl, osl }: Workload, { pp, precision }: Chips & { readonly precision: Precision }): Omit<Pool, 'pageRows'> => ({ context: isl + osl, elementBytes: operandBytes[precision], stages: pp });

/** The numbers of matrix arrays that may be lent to the attention unit, and how long a step of all layers takes then, by estimate: the best first. */
export function lendingsOf(module: GraphModule, { workload, step = [], bounds, parts }: Serving, on: Chips & { readonly precision: Precision }): readonly [Lent, ...Lent[]] {
  const [pages] = pagesOf(module, on.machine, { ...poolOf(workload, on), sequences: bounds.sequences }, [bounds.pageRows]);
  return lentFor(module, { machine: on.machine, step, parts: parts ?? on.parts, runBytes: pages?.runBytes ?? 0 });
}

/** Tokens a second by estimate: of all stages alike, each the share of the whole. */
function estimateOf(module: GraphModule, serving: Serving, on: Chips & { readonly precision: Precision }): number {
  const { workload } = serving;
  const all = lendingsOf(module, serving, on);
  const { seconds } = all.find(({ lent }) => lent === on.lent) ?? all[0];
  // Of pieces only the last of a prompt is given a token.
  const { prompts, promptRows } = countsOf(ofStage(workload, on.pp));
  const tokens = tokensOf(workload, on) - prompts * (1 - promptRows / Math.max(1, workload.isl));
  return (tokens * on.pp * (on.replicas ?? 1)) / seconds;
}

/** Tokens of a step as a report counts them: all its rows; and a prompt brings its tokens, and is given the first of its output. */
export function tokensOf(workload: Workload, { pp }: Pick<Chips, 'pp'>): number {
  const { prompts, promptRows, decoding } = countsOf(ofStage(workload, pp));
  return prompts * promptRows + decoding + (workload.osl === 0 ? 0 : prompts);
}

/** Prompts that a step may bring, whole or half of one. Of those as fast by estimate the first: two, one for each of two parts, the others in turn less and more. */
const promptsTried = [2, 1, 3, 4, 1 / 2] as const;
/** What is as fast: the rest is not in an estimate. */
const asFast = 0.98;

/** What is decided already, 0 where it is not: the parts of a step, the share of SRAM an op may stage in, the rows of prompts in a step. */
export type Decided = { readonly parts: number; readonly stageShare: number; readonly prefillRows: number };

/**
 * Serves a workload as fast as may be, by estimate: where the batch is left open (0), with as many prompts a step as that takes; in several parts if each has rows enough, in one part if nothing
 * else fits. Throws UsageError for what no step is laid out for.
 */
export function servingOf(module: GraphModule, asked: Workload, on: Chips & { readonly precision: Precision }, decided: Decided): Serving {
  const { machine, pp } = on;
  const usual = workloadOf(module, { ...asked, batch: 0 }, pp);
  const asOften = Math.max(1, usual.osl);
  const fixed = decided.prefillRows === 0 ? asked.batch : pp * Math.max(1, Math.round((decided.prefillRows * asOften) / usual.isl));
  const flat = ungroup(module);
  const layerBytes = bytesOfLayer(flat);
  const serving = (parts: number, prompts: number, more: Partial<Serving> = {}): Serving => {
    const workload = workloadOf(module, { ...asked, batch: fixed, parts }, pp * prompts);
    checkWorkload(workload, module);
    const made = { ...steadyServing(module, workload, on), parts, stageShare: decided.stageShare || stageShare(parts), ...(decided.stageShare === 0 ? { stageShareDeep } : {}), ...more };
    return { ...made, estimate: estimateOf(flat, made, on) };
  };
  const inParts = (prompts: number): Serving => {
    if (decided.parts > 0) return serving(decided.parts, prompts);
    const whole = serving(1, prompts);
    const { bounds: { tokens } } = whole;
    const several = severalParts(tokens, machine, layerBytes);
    const [part] = partsOf(flat, tokens, several.parts, machine);
    return part.rows === tokens ? whole : serving(several.parts, prompts, { partsMost: several.partsMost, ...(several.parts === 2 && decided.stageShare === 0 ? { stageShareMost: stageShareRoomy } : {}) });
  };
  if (module.caches.length === 0) return serving(1, 1);
  const prompts = fixed > 0 ? [1] : [...(decided.parts > 0 ? [decided.parts] : []), ...promptsTried.filter((count) => count !== decided.parts && Number.isInteger(count * asOften) && (count <= 1 || pp * count * (usual.isl + asOften) <= mostRows))];
  const ways = fastestFirst(prompts.map(inParts), ({ estimate = 0 }) => estimate);
  const last = decided.parts > 0 || ways.some(({ parts, workload }) => parts === 1 && workload.batch === (fixed || pp * asOften)) ? [] : [serving(1, 1)];
  return [...ways, ...last].reduceRight((instead, preferred) => ({ ...preferred, instead }));
}

/** In the order of estimates; of those as fast the first comes first. */
export function fastestFirst<T>(ways: readonly T[], estimate: (way: T) => number): readonly T[] {
  const most = Math.max(...ways.map(estimate));
  const next = ways.find((way) => estimate(way) >= asFast * most);
  return next === undefined ? [] : [next, ...fastestFirst(ways.filter((way) => way !== next), estimate)];
}

/** The share of SRAM an op may stage in: of parts the values of several are there, but of more than two not of all. Of two that have room, `stageShareRoomy`. */
export const stageShare = (parts: number): number => (parts === 1 ? 0.25 : parts === 2 ? 0.1 : 0.15);
export const stageShareRoomy = 0.25;
/** The share where all else has room as well: the deeper the ring of weights, the less products wait for HBM while attention reads. */
export const stageShareDeep = 0.7;

/** Rows of a step of all stages together that is still laid out, far above what any machine holds; sequences as many. */
export const mostRows = 2 ** 22;

/** Rows of the steps of all stages. */
export const rowsOf = ({ isl, osl, batch }: Workload): number => (isl * batch) / Math.max(1, osl) + batch;

/** The longest context of a workload: the last token of a request is given out and not taken in. */
export const contextOf = ({ isl, osl }: Workload): number => isl + Math.max(0, osl - 1);

/** A workload the model has no positions for, or whose steps are beyond any machine, is a matter of how the command was called. */
function checkWorkload(workload: Workload, { source: { maxPositions } }: GraphModule): void {
  const { isl, osl, batch } = workload;
  const context = contextOf(workload);
  if (context > maxPositions) throw new UsageError(`\`--isl ${isl}\`${osl === 0 ? '' : ` with \`--osl ${osl}\``}: contexts of ${context} tokens, and the model has ${maxPositions} positions`);
  const rows = rowsOf(workload);
  if (rows > mostRows) throw new UsageError(`\`--batch ${batch}\` makes steps of ${Math.round(rows)} rows; ${mostRows} are the most`);
}
