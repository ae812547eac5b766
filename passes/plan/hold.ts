import type { GraphModule } from '../../ir/graph/module.ts';
import type { BufferId, TileModule } from '../../ir/tile/module.ts';
import { lending, type Machine } from '../../isa-spec/machine.ts';
import { layerLoop } from '../stage.ts';
import type { TileTarget } from '../tile/tile.ts';
import { type Decision, deciding } from './decisions.ts';
import { bytesOfWeights } from './floor.ts';
import { bytesHeld } from './matmul.ts';
import { attempt, bytesTogether, overflow, roomIn } from './room.ts';
import type { Homes, TilingPlan } from './tiling.ts';

/** Choices of weights that are tried, those of most bytes first: what is left then is not worth a try. */
const choicesMost = 4;
/** A weight ring of so many slots may be half as deep for what is held instead. */
const deepEnough = 8;

/** A plan, and the tiles it makes. */
export type Fitted = { readonly plan: TilingPlan; readonly tile: TileModule };

/**
 * A plan by which the first part of several leaves the others as many of a layer's weights as there is room for besides all else: these are brought once, and not once a part.
 * None of them where SRAM is short as it is. `target`: as the plan was made for.
 */
export function holding(module: GraphModule, target: TileTarget, { plan, tile }: Fitted): TilingPlan {
  const { machine } = target;
  const { homes, tries, decisions } = plan;
  if (homes.parts.length === 1 || homes.spilled.length > 0 || homes.parked !== 'no' || homes.lag !== 'none') return plan;
  // Rings have smaller slots where the products that need the largest do without.
  const most = roomIn(tile, machine) + ringBytes(tile, machine);
  const choices = subsets(holdable(decisions, homes.parts.length, machine)).filter((some) => some.length > 0 && bytesOf(some) <= most).toSorted((a, b) => bytesOf(b) - bytesOf(a));
  const depths = homes.ringDepth < deepEnough ? [homes.ringDepth] : [homes.ringDepth, homes.ringDepth / 2];
  for (const some of choices.slice(0, choicesMost)) {
    for (const ringDepth of depths) {
      const kept: Homes = { ...homes, ringDepth, held: some.map(({ weight }) => weight) };
      const { tiled, decisions: settled } = attempt(module, target, kept, deciding(machine, kept));
      if (tiled !== undefined && 'tile' in tiled && overflow(tiled.tile, machine) === undefined) return { homes: kept, tries, decisions: settled };
    }
  }
  return plan;
}

/** A weight, and the bytes of SRAM it takes to hold it. */
type Holdable = { readonly weight: string; readonly bytes: number };

/** Weights that each of several parts multiplies all its rows by at once. */
export function holdable(decisions: readonly Decision[], parts: number, machine: Machine): readonly Holdable[] {
  const products = decisions.filter((one): one is Extract<Decision, { kind: 'product' }> => one.kind === 'product');
  return [...new Set(products.map(({ what }) => what))].flatMap((weight) => {
    const all = products.filter(({ what }) => what === weight);
    const [{ of, settled }] = all as [(typeof all)[number]];
    return parts === 1 || all.length < parts || settled === undefined || settled.rowTile < of.rows ? [] : [{ weight, bytes: bytesHeld(of, settled, machine) }];
  });
}

/** Bytes of the weights that each of several parts would multiply its rows by, of a layer; more than any SRAM has if some are of experts, of which a part brings those its rows choose. */
export function bytesOfLayer(module: GraphModule): number {
  const ops = layerLoop(module)?.body.ops ?? [];
  return ops.some(({ kind }) => kind === 'experts') ? Infinity : bytesOfWeights(ops, module);
}

/** Bytes of SRAM that a plan's weights take that are held. */
export const bytesKept = ({ homes: { parts, held, lent }, decisions }: TilingPlan, machine: Machine): number =>
  bytesOf(holdable(decisions, parts.length, lending(machine, lent)).filter(({ weight }) => held.includes(weight)));

const bytesOf = (some: readonly Holdable[]): number => some.reduce((sum, { bytes }) => sum + bytes, 0);

const ringBytes = (module: TileModule, machine: Machine): number => bytesTogether(module.buffers.flatMap(({ role, space }, id) => (role === 'ring' && space === 'sram' ? [id as BufferId] : [])), module, machine);

const subsets = <T>(all: readonly T[]): readonly (readonly T[])[] => all.reduce<readonly (readonly T[])[]>((some, one) => [...some, ...some.map((of) => [...of, one])], [[]]);
