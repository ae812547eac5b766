import { Diagnostics } from '../diagnostics/diagnostic.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import { ungroup } from '../passes/group.ts';
import { cutOf } from '../passes/plan/cut.ts';
import { stagesOf } from '../passes/stage.ts';
import { reportUnlowerable } from '../passes/tile/tile.ts';
import { grouped, plural } from '../report/format.ts';
import { cutFor, dividingPasses, lentOf, runPass, type Target } from './compile.ts';
import { divisionsOf, flagsOf } from './mapping.ts';
import { memoryOf, type MemoryMap, place } from './placement.ts';
import { contextOf, mostRows, rowsOf, steadyServing } from './serving.ts';
import type { Workload } from './workload.ts';

/** What a model is put on, and in which formats. */
export type On = Omit<Target, 'serve' | 'offers'>;

/** The memory a chip needs of a model, to serve a workload; undefined if SRAM does not do. */
export type Needs = (workload: Workload) => MemoryMap | undefined;

/**
 * Divides a fused model as the compiler does. Undefined, and reported, where the model cannot be so divided, or lacks an op's lowering. What it then needs
 * is what a program will declare: found by placing every buffer, not by a formula.
 */
export function divided(whole: GraphModule, on: On, diagnostics: Diagnostics): Needs | undefined {
  let module = whole;
  for (const pass of dividingPasses(on, diagnostics)) {
    const made = runPass(pass, module, diagnostics);
    if (made === undefined) return undefined;
    module = made;
  }
  reportUnlowerable(module, diagnostics);
  if (diagnostics.hasErrors) return undefined;
  const flat = ungroup(module);
  stagesOf(flat, cutOf(flat, on.pp, undefined), diagnostics);
  if (diagnostics.hasErrors) return undefined;
  return (workload) => {
    const serving = steadyServing(module, workload, on);
    const lent = lentOf(flat, on, serving);
    const kinds = place(stagesOf(flat, cutFor(flat, on, serving, lent), new Diagnostics()), { ...on, lent }, serving, new Diagnostics());
    return kinds === undefined ? undefined : memoryOf(kinds, on.machine);
  };
}

const holds = (memory: MemoryMap | undefined): memory is MemoryMap => memory !== undefined && memory.bytes <= memory.capacity;

/** The last of what fits, and what one more would need: undefined where it is not memory that ends it. */
export type Edge = { readonly workload: Workload; readonly memory: MemoryMap; readonly beyond: MemoryMap | undefined };

type Tried = { readonly n: number; readonly memory: MemoryMap | undefined };

/** An `n` from 1 to `limit` for which `of(n)` fits, and one more does not; undefined if 1 does not. Memory grows about linearly: the rule of false position, Illinois's way, finds it in a few tries. */
function edgeOf(needs: Needs, of: (n: number) => Workload, limit: number): Edge | undefined {
  const tried = (n: number): Tried => ({ n, memory: needs(of(n)) });
  if (limit < 1) return undefined;
  let fits = tried(1);
  if (!holds(fits.memory)) return undefined;
  let fails = fits;
  while (holds(fails.memory)) {
    fits = fails;
    if (fits.n === limit) return { workload: of(limit), memory: fails.memory, beyond: undefined };
    fails = tried(Math.min(limit, stride * fits.n));
  }
  let [under, over] = [excess(fits), excess(fails)];
  for (let last = 0; fails.n - fits.n > 1; ) {
    const share = over === Infinity ? 0.5 : under / (under - over);
    const next = tried(Math.min(fails.n - 1, Math.max(fits.n + 1, Math.floor(fits.n + (fails.n - fits.n) * share))));
    if (holds(next.memory)) [fits, under, over, last] = [next, excess(next), last < 0 ? over / 2 : over, -1];
    else [fails, over, under, last] = [next, excess(next), last > 0 ? under / 2 : under, 1];
  }
  return { workload: of(fits.n), memory: fits.memory as MemoryMap, beyond: fails.memory };
}

/** The first to fail is looked for in steps of this factor: large steps take longer to place. */
const stride = 64;

/** Bytes beyond the capacity, negative where there is room; without end where SRAM does not do. */
const excess = ({ memory }: Tried): number => (memory === undefined ? Infinity : memory.bytes - memory.capacity);

/** More requests at once are not looked for. */
const mostAtOnce = 2 ** 16;

/** The most requests at once, of the lengths given. */
export function mostRequests(needs: Needs, { isl, osl }: Omit<Workload, 'batch'>): Edge | undefined {
  return edgeOf(needs, (batch) => ({ isl, osl, batch }), Math.min(mostAtOnce, Math.floor(mostRows / rowsOf({ isl, osl, batch: 1 }))));
}

/** The longest input of requests of `osl` output tokens, `batch` at once, that the model has `positions` for. */
export function longestInput(needs: Needs, { osl, batch }: Omit<Workload, 'isl'>, positions: number): Edge | undefined {
  const ofRows = Math.floor(((mostRows - batch) * Math.max(1, osl)) / batch);
  return edgeOf(needs, (isl) => ({ isl, osl, batch }), Math.min(ofRows, positions - contextOf({ isl: 0, osl, batch })));
}

/** What of a workload that does not fit would: on these chips, on others, in another format; one thing changed at a time. */
export function offersFor(whole: GraphModule, on: On, workload: Workload): readonly string[] {
  const needs = divided(whole, on, new Diagnostics());
  if (needs === undefined) return [];
  const requests = mostRequests(needs, workload);
  const input = longestInput(needs, workload, whole.source.maxPositions);
  const would = (other: Partial<On>): boolean => holds(divided(whole, { ...on, ...other }, new Diagnostics())?.(workload));
  const others = divisionsOf(on.machine.chips).filter(({ tp, pp }) => (tp !== on.tp || pp !== on.pp) && would({ tp, pp }));
  const least = Math.min(...others.map(({ tp, pp }) => tp * pp));
  const tokens = plural(workload.isl + workload.osl, 'token');
  return [
    requests === undefined ? `on these chips not one request of ${tokens} fits` : `on these chips \`--batch ${requests.workload.batch}\` fits, of ${tokens} each`,
    ...(input === undefined ? [] : [`on these chips \`--isl ${input.workload.isl}\` fits, at batch ${grouped(workload.batch)}`]),
    others.length === 0 ? (on.machine.chips === 1 ? `\`${on.machine.name}\` has one chip` : `no division over the ${on.machine.chips} chips of \`${on.machine.name}\` holds it all`) : `all of it fits with ${others.filter(({ tp, pp }) => tp * pp === least).map((other) => `\`${flagsOf(other)}\``).join(' or ')}`,
    ...(on.precision !== 'fp8' && would({ precision: 'fp8' }) ? ['all of it fits with weights, keys and values in FP8: `--precision fp8`'] : []),
  ];
}
