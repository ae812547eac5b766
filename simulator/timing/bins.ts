import { binsOf } from '../../isa-spec/bins.ts';
import { hbmBases, type InstructionOf, stepCounts } from '../../isa-spec/instructions.ts';
import { queueIndex } from './lane.ts';
import type { ChipStreams, Stream } from './stream.ts';

/** Bins of a step: how many, their places, and how much of both is of use. */
type Bins = { readonly bins: number; readonly size: number; readonly places: number; readonly owners: number };

/** Loop level that counts bins. */
const binLevel = 1;

/**
 * By queue and pc, the share of an instruction's work that is of use: of a product of bins the places that pairs of the step take, of a gather of
 * weights for bins as many experts as so many pairs may need. What a program runs over bins is in a loop of as many turns, with a window
 * nothing shortens; everything else is of use.
 */
export function usefulShares(streams: ChipStreams, counts: readonly number[]): readonly Float64Array[] {
  const vec = streams[queueIndex.vec]!;
  const known = vec.instructions.flatMap((instruction) => (instruction.op === 'bin' ? [binsIn(instruction.fields, vec, counts)] : []));
  return streams.map((stream) => {
    const shares = new Float64Array(stream.length).fill(1);
    if (known.length === 0) return shares;
    const turns = turnsOf(stream);
    stream.instructions.forEach((instruction, pc) => {
      if (instruction.op === 'mm' && instruction.fields.rows.reg === 0) {
        shares[pc] = known.find(({ bins, size }) => bins === turns[pc] && size === instruction.fields.rows.max)?.places ?? 1;
      } else if (instruction.op === 'dgat' && instruction.fields.rows.reg === 0 && instruction.fields.rows.max === 1 && hbmBases[instruction.fields.src.base] === 'weights') {
        shares[pc] = known.find(({ bins }) => bins === turns[pc])?.owners ?? 1;
      }
    });
    return shares;
  });
}

function binsIn({ experts, k, size, group = 1, rows: { max, reg } }: InstructionOf<'bin'>['fields'], { instructions }: Stream, counts: readonly number[]): Bins {
  const loaded = instructions.find((instruction) => instruction.op === 'sreg' && instruction.fields.reg === reg);
  const count = loaded?.op === 'sreg' ? Math.min(max, counts[stepCounts.indexOf(loaded.fields.count)]!) : max;
  const bins = binsOf({ max, k, experts, size, group });
  // Each row chooses k experts: the fewest that serve them all, each with no more rows than there are; of those chips share, each has as many as the others.
  const pairs = (count * k) / group;
  return { bins, size, places: pairs / (bins * size), owners: Math.min(1, Math.min(experts / group, pairs) / bins) };
}

/** Turns of the loop over bins around each instruction; 1 where there is none. */
function turnsOf({ instructions }: Stream): Int32Array {
  const turns = new Int32Array(instructions.length).fill(1);
  instructions.forEach((instruction, pc) => {
    if (instruction.op === 'loop' && instruction.fields.level === binLevel) turns.fill(instruction.fields.count, pc + 1, pc + 1 + instruction.fields.body);
  });
  return turns;
}
