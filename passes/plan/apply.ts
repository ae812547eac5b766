import type { GraphModule } from '../../ir/graph/module.ts';
import { lending, lendings } from '../../isa-spec/machine.ts';
import { partsOf } from '../tile/parts.ts';
import type { Tiled, TileTarget } from '../tile/tile.ts';
import { decided, NotThePlan } from './decisions.ts';
import { stripedColumns } from './fit.ts';
import { holdable } from './hold.ts';
import { mayLag } from './lag.ts';
import { pieceSizes, ringMost } from './matmul.ts';
import { attempt, bytesTogether, overflow } from './room.ts';
import type { Answers, Homes, TilingPlan, Try } from './tiling.ts';

/** A module as a plan has it lowered; `plan`: as it was applied, with what was asked. */
export type Fit = Tiled & { readonly plan: TilingPlan };

/** Lowers a module by a plan: all is as it says, and nothing is left to decide. `tries`: those it was come to by, if it was found. Throws NotThePlan where it is not a plan for this module on this machine. */
export function apply(module: GraphModule, asked: TileTarget, { homes, decisions, tries = [] }: Answers & { readonly tries?: readonly Try[] }): Fit {
  const target = { ...asked, machine: lending(asked.machine, homes.lent) };
  const { tiled, decisions: taken } = attempt(module, target, homes, decided(decisions, target.machine));
  if (tiled === undefined) throw new NotThePlan('an op of it is said to have no room');
  if (!('tile' in tiled)) throw new NotThePlan(`\`${tiled.buffer}\` must be in HBM: it, or what is added to it, is`);
  return { ...tiled, plan: { homes, tries, decisions: taken } };
}

/** The same by a plan that was not found but given: throws NotThePlan, too, where what it says as a whole is not the machine's or the module's, or SRAM does not hold it. */
export function applyGiven(module: GraphModule, target: TileTarget, plan: Answers): Fit {
  const { machine } = target;
  const fault = faultOfHomes(plan.homes, module, target);
  if (fault !== undefined) throw new NotThePlan(fault);
  const fit = apply(module, target, plan);
  const { held, parts } = plan.homes;
  const may = holdable(fit.plan.decisions, parts.length, machine).map(({ weight }) => weight);
  const stray = held.find((weight) => !may.includes(weight));
  if (stray !== undefined) throw new NotThePlan(`\`${stray}\` is held, which not every part of several multiplies all its rows by at once`);
  const crowd = overflow(fit.tile, machine);
  if (crowd !== undefined) throw new NotThePlan(`what is alive together takes ${bytesTogether(crowd, fit.tile, machine)} bytes of SRAM, and there are ${machine.sram.bytes.value}`);
  return fit;
}

/** What of homes the machine cannot do, or the module does not allow; undefined if nothing. */
function faultOfHomes({ stageBytes, ringDepth, pieceColumns, parts, ahead, haste, lag, lent, held }: Homes, module: GraphModule, { machine, bounds: { tokens } }: TileTarget): string | undefined {
  const pieces = pieceSizes(machine);
  const here = partsOf(module, tokens, parts.length, machine);
  if (!lendings(machine).includes(lent)) return `${lent} arrays lent to the attention unit, where there may be ${lendings(machine).join(', ')}`;
  if (!(stageBytes > 0)) return `stages of ${stageBytes} bytes`;
  if (!Number.isInteger(ringDepth) || ringDepth < 1 || ringDepth > ringMost) return `a weight ring of ${ringDepth} slots, where there are 1 to ${ringMost}`;
  if (!pieces.includes(pieceColumns)) return `pieces of ${pieceColumns} columns, where there are ${pieces.join(', ')}`;
  const striped = stripedColumns(module);
  if (striped !== undefined && striped !== pieceColumns) return `pieces of ${pieceColumns} columns, where chips have strips of ${striped}`;
  const aheadMost = Math.max(1, parts.length - 1);
  if (!Number.isInteger(ahead) || ahead < 1 || ahead > aheadMost) return `queries ${ahead} turns ahead, where there are 1 to ${aheadMost}`;
  if (haste !== 'none' && (parts.length === 1 || ahead > 1)) return `\`${haste}\` haste in ${parts.length} parts, ${ahead} turns ahead, where there are several, and one`;
  if (haste === 'all' && parts.length !== 2) return `\`all\` haste in ${parts.length} parts, where there are two`;
  if (lag !== 'none' && (!mayLag(module, parts.length, ahead) || held.length > 0)) return `\`${lag}\` parts lag behind in ${parts.length} parts, ${ahead} turns ahead, where there are several ahead, and more parts than that, three layers or more, and no weights held`;
  const isHere = here.length === parts.length && here.every(({ first, rows }, i) => parts[i]?.first === first && parts[i]?.rows === rows);
  return isHere ? undefined : `parts of ${parts.map(({ rows }) => rows).join(', ')} rows, where the step's are of ${here.map(({ rows }) => rows).join(', ')}`;
}
