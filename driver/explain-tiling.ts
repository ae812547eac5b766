import { bufferLines, pitchLines, slotLines } from '../ir/tile/footprint.ts';
import { lifetimes } from '../ir/tile/lifetimes.ts';
import { allTileOps, type Buffer, isLoop, type Region, type TileModule, type TileNode, type TileOp } from '../ir/tile/module.ts';
import { queueOf } from '../ir/tile/queue.ts';
import { binsOf } from '../isa-spec/bins.ts';
import type { Queue } from '../isa-spec/instructions.ts';
import { lending, type Machine } from '../isa-spec/machine.ts';
import type { Decision } from '../passes/plan/decisions.ts';
import { shapesOfBins } from '../passes/plan/experts.ts';
import { type Cut, cutProduct, kSplitOf, type MatmulShape, type Pieces, pitchFieldMax, slotsOf } from '../passes/plan/matmul.ts';
import { runOf } from '../passes/plan/pages.ts';
import type { Homes, TilingPlan } from '../passes/plan/tiling.ts';
import type { Compiled, Stage } from './compile.ts';
import type { Mapping } from './mapping.ts';
import type { Workload } from './workload.ts';

export const tilingSchema = 'sohuc-tiling/1';

/** A plan that was applied, and what follows from it. `stages`: those of the pipeline that are alike in it. */
export type TilingExplained = {
  readonly schema: typeof tilingSchema;
  readonly machine: string;
  readonly mapping: Mapping;
  /** Of a replica. */
  readonly workload: Workload;
  readonly stages: readonly StageTiling[];
};

export type StageTiling = {
  readonly stages: readonly number[];
  readonly plan: TilingPlan;
  readonly sram: { readonly bytes: number; readonly peakBytes: number };
  readonly products: readonly Product[];
  readonly attentions: readonly Attention[];
  readonly rings: readonly Ring[];
  readonly values: readonly Value[];
};

/**
 * A product; of experts, that of one bin. Row tiles are outermost, in each groups of columns (n), in each chunks of k. `arrays`: tiles along n at once, times so many groups of arrays that share the
 * rows, and so many arrays of a group that share k. `aside`: tiles of a chunk that the other queue of loads brings. `slots` of the ring, of all row tiles; `streamed`: how many times the weights are read; `held`: by the first part for all. Cycles: estimated, of all row tiles.
 */
export type Product = {
  readonly op: string; readonly weight: string; readonly rows: number; readonly k: number; readonly columns: number; readonly gated: boolean;
  readonly arrays: { readonly across: number; readonly sharing: number; readonly along: number }; readonly rowTile: number; readonly rowTiles: number; readonly groups: Pieces; readonly chunks: Pieces;
  readonly aside: number; readonly slots: number; readonly streamed: number; readonly held: boolean; readonly arrayCycles: number; readonly hbmCycles: number; readonly boundBy: 'arrays' | 'hbm';
};

/** Attention: `window` query rows at a time, keys and values appended so many rows at a time, in pages of `pageRows` rows: `runBytes` in a row in HBM. The keys of a row are attended to by one instruction. */
export type Attention = {
  readonly op: string; readonly rows: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly window: number;
  readonly append: { readonly keys: number; readonly values: number }; readonly pageRows: number; readonly runBytes: number;
};

/** Where parameters are brought before they are needed: as soon as a slot is free, by `queues`, in program order; `aheadCycles`: what all slots take to be filled at the rate of HBM; `aheadOps`: the most ops it is ahead of the one at work. */
export type Ring = { readonly name: string; readonly slots: number; readonly slotBytes: number; readonly bytes: number; readonly queues: readonly Queue[]; readonly aheadCycles: number; readonly aheadOps: number };

/** A value: where it lives, why not in SRAM if it does not, and from which op to which. */
export type Value = { readonly name: string; readonly space: 'sram' | 'hbm'; readonly why: '' | 'spilled' | 'parked' | 'picked' | 'wide'; readonly bytes: number; readonly live: readonly { readonly from: string; readonly to: string }[] };

/** What the plans of a compiled model's stages say, each once. */
export function tilingOf({ stages, workload }: Pick<Compiled, 'stages' | 'workload'>, machine: Machine, mapping: Mapping): TilingExplained {
  const plans = [...new Set(stages.map(({ plan }) => plan))];
  return {
    schema: tilingSchema, machine: machine.name, mapping, workload,
    stages: plans.map((plan): StageTiling => {
      const on = lending(machine, plan.homes.lent);
      const { tile, layout } = stages.find((stage) => stage.plan === plan) as Stage;
      return {
        stages: stages.flatMap((stage, i) => (stage.plan === plan ? [i] : [])), plan,
        sram: { bytes: machine.sram.bytes.value, peakBytes: layout.sramPeakBytes },
        products: plan.decisions.flatMap((decision) => productsOf(decision, plan.homes, on)),
        attentions: attentionsOf(tile, plan, on), rings: ringsOf(tile, machine), values: valuesOf(tile, plan, machine),
      };
    }),
  };
}

function productsOf(decision: Decision, { held }: Homes, machine: Machine): readonly Product[] {
  if (decision.kind === 'product') return decision.settled === undefined ? [] : [productOf(decision.op, decision.what, { of: decision.of, cut: decision.settled, held: held.includes(decision.what) }, machine)];
  if (decision.kind !== 'bins' || decision.settled === undefined) return [];
  const { op, of, settled: { size, gate, down } } = decision;
  const shapes = shapesOfBins(of, size, machine);
  const each = `of each of ${binsOf({ ...of, max: of.rows, size })} bins`;
  return [productOf(op, `gate and up, ${each}`, { of: shapes.gate, cut: gate, held: false }, machine), productOf(op, `down, ${each}`, { of: shapes.down, cut: down, held: false }, machine)];
}

function productOf(op: string, weight: string, { of, cut, held }: { readonly of: MatmulShape; readonly cut: Cut; readonly held: boolean }, machine: Machine): Product {
  const plan = cutProduct(of, cut, machine);
  const { rowTile, rowTiles, split, groups, chunks, tilesPerUnit, aside, arrayCycles, streamCycles } = plan;
  return {
    op, weight, rows: of.rows, k: of.k, columns: of.columns, gated: of.gated, arrays: { across: groups.size * tilesPerUnit, sharing: 2 ** split, along: 2 ** kSplitOf(plan, groups.size * tilesPerUnit, chunks.size) }, rowTile, rowTiles, groups, chunks,
    aside, slots: rowTiles * slotsOf(plan), streamed: rowTiles, held, arrayCycles: Math.round(rowTiles * arrayCycles), hbmCycles: Math.round(rowTiles * streamCycles), boundBy: arrayCycles >= streamCycles ? 'arrays' : 'hbm',
  };
}

function attentionsOf({ body, buffers }: TileModule, { decisions }: TilingPlan, machine: Machine): readonly Attention[] {
  const ops = [...allTileOps(body)];
  const rows = (op: string, what: string): { readonly rows: number; readonly rowTile: number } => {
    const found = decisions.find((decision) => decision.op === op && decision.what === what);
    return { rows: found?.kind === 'rows' ? found.of.rows : 0, rowTile: found?.kind === 'rows' ? (found.settled?.rowTile ?? 0) : 0 };
  };
  const known = new Set<string>();
  return ops.flatMap((op, i): Attention[] => {
    const query = ops[i - 1];
    if (op.kind !== 'attend' || query?.kind !== 'query' || known.has(op.label)) return [];
    known.add(op.label);
    const { pageRows, kvHeads } = op.attrs;
    const { heads, headDim } = query.attrs;
    const { rows: all, rowTile: window } = rows(op.label, 'queries');
    const line = machine.sram.lineBytes.value;
    const runBytes = runOf(pageRows, pitchLines(buffers[op.regions.kv.buffer] as Buffer, line) * line);
    return [{ op: op.label, rows: all, heads, kvHeads, headDim, window, append: { keys: rows(op.label, 'keys').rowTile, values: rows(op.label, 'values').rowTile }, pageRows, runBytes }];
  });
}

/** Where an op brings parameters, if it does: a row of them, or those that an index picks. */
function broughtBy(op: TileOp, buffers: readonly Buffer[]): Region | undefined {
  const from = op.kind === 'load' ? op.regions.from : op.kind === 'gather' ? op.regions.table : undefined;
  const { role, packing } = (from === undefined ? {} : buffers[from.buffer]) as Partial<Buffer>;
  return role === 'weights' && packing !== undefined && packing.kind !== 'rows' && 'out' in op.regions ? op.regions.out : undefined;
}

function ringsOf({ body, buffers }: TileModule, machine: Machine): readonly Ring[] {
  const line = machine.sram.lineBytes.value;
  const turns = new Map<number, { readonly queues: Set<Queue>; readonly of: { readonly label: string; slots: number }[] }>();
  const walk = (nodes: readonly TileNode[], times: number): void => {
    for (const node of nodes) {
      if (isLoop(node)) {
        walk(node.body, node.level === 0 ? times : times * node.count);
        continue;
      }
      const to = broughtBy(node, buffers);
      if (to === undefined) continue;
      const known = turns.get(to.buffer) ?? { queues: new Set<Queue>(), of: [] };
      turns.set(to.buffer, known);
      known.queues.add(queueOf(node, buffers));
      // What is brought into the middle of a slot is of one that has been counted.
      const slots = to.row.base > 0 ? 0 : times;
      const last = known.of.at(-1);
      if (last?.label === node.label) last.slots += slots;
      else known.of.push({ label: node.label, slots });
    }
  };
  walk(body, 1);
  return [...turns].map(([id, { queues, of }]): Ring => {
    const buffer = buffers[id] as Buffer;
    const slotBytes = slotLines(buffer, line) * line;
    const bytes = buffer.depth * slotBytes;
    return { name: buffer.name, slots: buffer.depth, slotBytes, bytes, queues: [...queues], aheadCycles: Math.round((bytes * machine.clockHz.value) / machine.hbm.bytesPerSecond.value), aheadOps: Math.max(...of.map((_, i) => opsAhead(of, i, buffer.depth))) };
  });
}

/** Ops that have a slot of a ring while an op is at its last, which it has too. */
function opsAhead(of: readonly { readonly slots: number }[], at: number, depth: number): number {
  let [left, ahead] = [depth - 1, 0];
  while (left > 0 && ahead < of.length) left -= (of[(at + ++ahead) % of.length] as { readonly slots: number }).slots;
  return ahead;
}

function valuesOf(module: TileModule, { homes: { spilled } }: TilingPlan, machine: Machine): readonly Value[] {
  const line = machine.sram.lineBytes.value;
  const labels = [...allTileOps(module.body)].map(({ label }) => label);
  return lifetimes(module).flatMap(({ buffer: id, spans }): Value[] => {
    const buffer = module.buffers[id] as Buffer;
    const { name, space, role } = buffer;
    if (role !== 'value' || space === 'acc') return [];
    const why = space === 'sram' ? '' : spilled.includes(name) ? 'spilled' : name.endsWith('.parked') ? 'parked' : pitchLines(buffer, line) > pitchFieldMax ? 'wide' : 'picked';
    return [{ name, space, why, bytes: bufferLines(buffer, line) * line, live: spans.map(({ from, to }) => ({ from: labels[from] as string, to: labels[to] as string })) }];
  });
}
