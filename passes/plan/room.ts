import type { GraphModule } from '../../ir/graph/module.ts';
import { type Claim, firstFit, meet, mostTogether } from '../../ir/tile/first-fit.ts';
import { bufferLines } from '../../ir/tile/footprint.ts';
import { lifetimes } from '../../ir/tile/lifetimes.ts';
import type { Buffer, BufferId, TileModule } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { DoesNotFit, MustSpill } from '../tile/lowering.ts';
import { tile, type Tiled, type TileTarget } from '../tile/tile.ts';
import { type Decision, noted, type Settle } from './decisions.ts';
import type { Homes } from './tiling.ts';

/** What lowering makes where things are kept so: what it needs in HBM instead, or undefined, if an op has no room; and what has been settled on the way. */
export function attempt(module: GraphModule, target: TileTarget, homes: Homes, settle: Settle): { readonly tiled: Tiled | MustSpill | undefined; readonly decisions: readonly Decision[] } {
  const { settle: once, decisions } = noted(settle);
  try {
    return { tiled: tile(module, target, homes, once), decisions };
  } catch (error) {
    if (error instanceof DoesNotFit) return { tiled: undefined, decisions };
    if (error instanceof MustSpill) return { tiled: error, decisions };
    throw error;
  }
}

/** The SRAM buffers that are used, when, and the lines each takes. */
const claimsOn = (module: TileModule, { sram: { lineBytes } }: Machine): readonly (Claim & { readonly buffer: BufferId })[] =>
  lifetimes(module).filter(({ buffer }) => module.buffers[buffer]?.space === 'sram').map(({ buffer, spans }) => ({ buffer, spans, size: bufferLines(module.buffers[buffer] as Buffer, lineBytes.value) }));

const linesOf = ({ sram: { bytes, lineBytes } }: Machine): number => Math.floor(bytes.value / lineBytes.value);

/** The SRAM buffers alive together with the first that finds no room; undefined when all do. */
export function overflow(module: TileModule, machine: Machine): readonly BufferId[] | undefined {
  const claims = claimsOn(module, machine);
  const fitted = firstFit(claims, linesOf(machine));
  if ('addresses' in fitted) return undefined;
  const failed = claims[fitted.failed];
  return claims.filter(({ spans }) => failed !== undefined && meet(spans, failed.spans)).map(({ buffer }) => buffer);
}

/** Bytes of SRAM that nothing is in at any time, but for what is lost between buffers. */
export const roomIn = (module: TileModule, machine: Machine): number => (linesOf(machine) - mostTogether(claimsOn(module, machine))) * machine.sram.lineBytes.value;

/** Bytes of SRAM of buffers. */
export const bytesTogether = (crowd: readonly BufferId[], module: TileModule, { sram: { lineBytes } }: Machine): number =>
  crowd.reduce((sum, id) => sum + bufferLines(module.buffers[id] as Buffer, lineBytes.value) * lineBytes.value, 0);
