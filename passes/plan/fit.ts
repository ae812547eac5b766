import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { firstFit } from '../../ir/tile/first-fit.ts';
import { bufferLines } from '../../ir/tile/footprint.ts';
import { lifetimes } from '../../ir/tile/lifetimes.ts';
import type { Buffer, TileModule } from '../../ir/tile/module.ts';
import { type Bounds, DoesNotFit, type Homes, MustSpill } from '../tile/lowering.ts';
import { tile, type Tiled } from '../tile/tile.ts';

/** What the planner decided about SRAM. */
export type Fit = Tiled & { readonly spilled: readonly string[]; readonly stageBytes: number };

/** What to fit: the machine, the largest step, the chips the graph is divided over, the share of SRAM an op may stage in. */
export type FitTarget = { readonly machine: Machine; readonly bounds: Bounds; readonly chips: number; readonly stageShare: number };

/**
 * Keeps every value in SRAM that it can: tries all of them, and as long as SRAM does not hold what is alive, moves the
 * largest value of the crowd to HBM; when there is none left to move, halves what an op may stage. Results do not depend
 * on any of it, only time does.
 */
export function fit(module: GraphModule, target: FitTarget, diagnostics: Diagnostics): Fit | undefined {
  const { machine, stageShare } = target;
  const spilled = new Set<string>();
  let stageBytes = machine.sram.bytes.value * stageShare;
  while (stageBytes >= machine.sram.lineBytes.value) {
    const tiled = attempt(module, target, { spilled, stageBytes });
    if (tiled === undefined) break;
    if (tiled instanceof MustSpill) {
      spilled.add(tiled.buffer);
      continue;
    }
    const crowd = overflow(tiled.tile, machine);
    if (crowd === undefined) return { ...tiled, spilled: [...spilled], stageBytes };
    const victim = largestValue(crowd);
    if (victim === undefined) stageBytes /= 2;
    else spilled.add(victim.name);
  }
  diagnostics.report({
    code: 'E4001',
    message: `one row of an op of \`${module.name}\` and its weight tiles do not fit the ${machine.sram.bytes.value} bytes of SRAM of \`${machine.name}\``,
    origin: { kind: 'none' },
    help: 'use a machine with more SRAM',
  });
  return undefined;
}

function attempt(module: GraphModule, { machine, bounds, chips }: FitTarget, homes: Homes): Tiled | MustSpill | undefined {
  try {
    return tile(module, machine, bounds, homes, chips);
  } catch (error) {
    if (error instanceof DoesNotFit) return undefined;
    if (error instanceof MustSpill) return error;
    throw error;
  }
}

/** The SRAM buffers alive together with the first that finds no room; undefined when all do. */
function overflow(module: TileModule, machine: Machine): readonly Buffer[] | undefined {
  const line = machine.sram.lineBytes.value;
  const live = lifetimes(module).filter(({ buffer }) => module.buffers[buffer]?.space === 'sram');
  const claims = live.map(({ buffer, from, to }) => ({ size: bufferLines(module.buffers[buffer] as Buffer, line), from, to }));
  const fitted = firstFit(claims, Math.floor(machine.sram.bytes.value / line));
  if ('addresses' in fitted) return undefined;
  const failed = live[fitted.failed];
  return live.filter(({ from, to }) => failed !== undefined && from <= failed.to && failed.from <= to).map(({ buffer }) => module.buffers[buffer] as Buffer);
}

function largestValue(buffers: readonly Buffer[]): Buffer | undefined {
  const size = (buffer: Buffer): number => buffer.rows * buffer.columns;
  return buffers.filter((buffer) => buffer.role === 'value').reduce<Buffer | undefined>((most, buffer) => (most === undefined || size(buffer) > size(most) ? buffer : most), undefined);
}
