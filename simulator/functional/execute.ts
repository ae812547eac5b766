import type { InstructionOf, Mnemonic } from '../../isa-spec/instructions.ts';
import { afin, aq, attn } from './attention.ts';
import { coll } from './collective.ts';
import { call, loop, nop, ret, salu, setp, sreg, sync, trace } from './control.ts';
import { epi } from './epilogue.ts';
import { vmap, vmap3 } from './map.ts';
import { mm, wld } from './matrix.ts';
import { vqblk, vqnt } from './quantise.ts';
import { sample, vred } from './reduce.ts';
import { bin, mix } from './experts.ts';
import { perm, route } from './route.ts';
import type { Chip, QueueState } from './state.ts';
import { dcp, dgat, dld, dsct, dst, event, hostw } from './transfer.ts';
import { vnorm, vrope } from './vector.ts';

/** The effect of an instruction on its chip, whole: its tokens are the scheduler's. Throws SimulationFault. */
export type Execute<M extends Mnemonic> = (chip: Chip, queue: QueueState, fields: InstructionOf<M>['fields']) => void;

/** What each instruction does. */
export const effects: { readonly [M in Mnemonic]: Execute<M> } = {
  nop, sync, loop, call, ret, sreg, salu, setp, trace,
  hostw, event, dld, dst, dcp, dgat, dsct, wld, mm, epi, aq, attn, afin, vmap, vmap3, vred, vnorm, vrope, vqnt, vqblk, sample, route, perm, bin, mix, coll,
};
