import type { GraphModule } from '../ir/graph/module.ts';
import type { StepSequence } from '../ir/step.ts';
import type { Precision } from '../passes/formats.ts';
import { ungroup } from '../passes/group.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { partsOf, severalParts } from '../passes/tile/parts.ts';
import type { Chips } from './placement.ts';
import { UsageError } from './session.ts';
import { boundsOf, steadyStep, takesMemory, type Workload, workloadOf } from './workload.ts';

/** What a program is for, once the model is known: requests, the largest step, and the one it is to be fast at, if any; where the target leaves it open, the parts of a step and the SRAM to stage in; and what else to serve, if that does not fit. */
export type Serving = { readonly workload: Workload; readonly bounds: Bounds; readonly step?: readonly StepSequence[]; readonly parts?: number; readonly partsMost?: number; readonly stageShare?: number; readonly stageShareMost?: number; readonly instead?: Serving };

/** Bytes of an element of keys and values. */
export const operandBytes = { fp8: 1, bf16: 2 } as const satisfies Readonly<Record<Precision, number>>;

/** Serves the steady state of a workload. */
export function steadyServing(module: GraphModule, workload: Workload, { machine, pp, precision, pageRows }: Chips & { readonly precision: Precision }): Serving {
  const pool = { context: workload.isl + workload.osl, elementBytes: operandBytes[precision], stages: pp, pageRows };
  const step = steadyStep(workload, pp, takesMemory(module));
  return { workload, step, bounds: boundsOf(module, machine, step, pool) };
}

/**
 * Serves a workload as fast as may be: in several parts if each has rows enough, with as many prompts a step as there are parts, or one, where the batch is left open (0); in one part if nothing
 * else fits. `parts`, `stageShare`: what is decided, 0 where it is not. Throws UsageError for what no step is laid out for.
 */
export function servingOf(module: GraphModule, asked: Workload, on: Chips & { readonly precision: Precision }, decided: { readonly parts: number; readonly stageShare: number }): Serving {
  const { machine, pp } = on;
  const serving = (parts: number, prompts: number, batch = asked.batch): Serving => {
    const workload = workloadOf(module, { ...asked, batch, parts }, pp * prompts);
    checkWorkload(workload, module);
    return { ...steadyServing(module, workload, on), parts, stageShare: decided.stageShare || stageShare(parts) };
  };
  const inParts = (prompts: number): readonly Serving[] => {
    if (decided.parts > 0) return [serving(decided.parts, prompts)];
    const { bounds: { tokens }, workload: { batch } } = serving(2, prompts);
    const [part] = partsOf(ungroup(module), tokens, 2, machine);
    const several = severalParts(tokens, machine);
    return part.rows < tokens && several.parts > 1 ? [{ ...serving(several.parts, prompts, batch), ...several, ...(several.parts === 2 && decided.stageShare === 0 ? { stageShareMost: stageShareRoomy } : {}) }] : [];
  };
  if (module.caches.length === 0 || decided.parts === 1) return serving(1, 1);
  const ways = (asked.batch > 0 ? [1] : [decided.parts || 2, 1]).flatMap(inParts);
  return [...ways, ...(decided.parts > 0 ? [] : [serving(1, 1)])].reduceRight((instead, preferred) => ({ ...preferred, instead }));
}

/** The share of SRAM an op may stage in: of parts the values of several are there, but of more than two not of all. Of two that have room, `stageShareRoomy`. */
export const stageShare = (parts: number): number => (parts === 1 ? 0.25 : parts === 2 ? 0.1 : 0.15);
export const stageShareRoomy = 0.25;

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
