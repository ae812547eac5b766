import type { RowPart } from '../../ir/tile/module.ts';
import type { Haste, Lag } from '../tile/parts.ts';
import type { Decision, Settled } from './decisions.ts';
import type { Staging } from './matmul.ts';

/** What of what parts carry is parked in HBM: nothing; what nobody needs from a part's queries to its next product; or all that nobody adds to, and the angles rows are rotated by. */
export const parkings = ['no', 'attending', 'aside'] as const;

/**
 * Where things are kept: values whose buffers are named in `spilled` live in HBM, the others in SRAM; SRAM for what passes through; the columns of
 * a piece of a row that is scaled in blocks; the parts a step's rows are worked on in (passes/tile/parts.ts): one of all of them, or several, one
 * after the other; how many turns the
 * parts' queries are ahead of their products; one turn ahead, the haste of the first of two, or of both, with those of their next layer, or of all of more with those of the part after the next; several ahead, whether late parts lag a layer behind; whether what those carry from layer to layer is parked in HBM while they attend, or whenever nobody adds to it; how many matrix arrays are the attention unit's; and by what weights of a layer all parts multiply that
 * are brought by the first and held for the others.
 */
export type Homes = Staging & { readonly spilled: readonly string[]; readonly pieceColumns: number; readonly parts: readonly [RowPart, ...RowPart[]]; readonly ahead: number; readonly haste: Haste; readonly lag: Lag; readonly parked: (typeof parkings)[number]; readonly lent: number; readonly held: readonly string[] };

/** What was tried and did not do, and what was done about it. */
export type Try =
  /** What is alive together needs `bytes` of SRAM: a value was moved to HBM, which in all of the program `touched` ops touch; or parts park what they carry; or fewer have their queries; or rings were made less deep; or stages were halved. */
  | { readonly why: 'crowd'; readonly bytes: number; readonly so: 'spill'; readonly value: string; readonly touched: number }
  | { readonly why: 'crowd'; readonly bytes: number; readonly so: 'park' | 'fewer' | 'shallower' | 'halve' }
  /** A sum and what is added to lie in the same memory. */
  | { readonly why: 'sum'; readonly so: 'spill'; readonly value: string }
  /** An op had no room for its stages. */
  | { readonly why: 'room'; readonly so: 'shallower' };

/** What a plan is applied by. */
export type Answers = { readonly homes: Homes; readonly decisions: readonly Settled[] };

/** How a module is put through a chip: all that is decided, as data, and how it was come to. Applying it (apply.ts) takes no decision. */
export type TilingPlan = { readonly homes: Homes; readonly tries: readonly Try[]; readonly decisions: readonly Decision[] };
