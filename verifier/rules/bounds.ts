import { formatBytes, type RowWindow } from '../../isa-spec/fields.ts';
import { shareOf } from '../../isa-spec/groups.ts';
import { hbmBases, stepCounts, type StrideSet } from '../../isa-spec/instructions.ts';
import { registerMax } from '../../isa-spec/scalars.ts';
import type { Access, Sizes } from '../accesses.ts';
import { endOf } from '../boxes.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf, textOf } from '../chip.ts';
import { type Effects, shareOfWindow } from '../effects.ts';
import { extent, type Range, windowParts } from '../extent.ts';
import { all, type Held } from '../registers.ts';

/**
 * V10. Whatever the loop indices, and however many rows the step has within the entry's bounds, an instruction stays inside
 * SRAM, the accumulators, and the regions of HBM its base registers are set to. Interval arithmetic: a ring counts as all its slots.
 */
export function bounds(chip: ChipView, effects: Effects): readonly Finding[] {
  const limits = limitsOf(chip);
  return chip.queues.flatMap(({ queue, strideSets }, q) => {
    return effects[q]!.flatMap(({ instruction, touched, effects: ofSite, loops, sizes, shortened }, pc): readonly Finding[] => {
      // What no iteration could leave even with whole windows needs no closer look.
      if (ofSite.every(({ hull }) => hull.start >= 0 && endOf(hull) <= sizeOfSpace(hull.space, limits))) return [];
      const ranges: Range[] = [[0, 0], [0, 0], [0, 0], [0, 0]];
      for (const { level, count } of loops) ranges[level] = [0, count - 1];
      const window = 'rows' in instruction.fields ? instruction.fields.rows : undefined;
      const reach: Reach = { ranges, window, bound: shortened.most, strideSets, sizes, limits };
      return touched.flatMap((access) => {
        const { shared } = access;
        const own = shared === undefined ? reach : { ...reach, window: shareOfWindow(window, shared), bound: shareOf(reach.bound, shared) };
        const problem = 'list' in access ? listProblem(access, own) : accessProblem(access, own);
        if (problem === undefined) return [];
        const notes = [`\`${textOf(chip, queue, pc)}\``, ...(shortened === all ? [] : [boundText(shortened)])];
        return [{ rule: 'V10', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)}: \`${access.name}\` ${problem}`, notes }];
      });
    });
  });
}

const boundText = ({ text, most }: Held): string =>
  (stepCounts as readonly string[]).includes(text) ? `a step has at most ${most === registerMax ? 'any number of' : most} ${text}` : `${text} is at most ${most}`;

const sizeOfSpace = (space: number, limits: Limits): number => (space === 0 ? limits.sram(0) : space === 1 ? limits.acc(0) : limits.hbm(space - 2)).size;

/** Sizes of the memories in their units, and what the units are called. */
type Limits = { readonly [space in Access['space']]: (base: number) => { readonly size: number; readonly what: string } };
type Reach = {
  readonly ranges: readonly Range[];
  readonly window: RowWindow | undefined;
  readonly bound: number;
  readonly strideSets: readonly StrideSet[];
  readonly sizes: Sizes;
  readonly limits: Limits;
};

const limitsOf = ({ program }: ChipView): Limits => {
  const line = program.machine.sram.lineBytes.value;
  return {
    sram: () => ({ size: Math.floor(program.machine.sram.bytes.value / line), what: 'lines of SRAM' }),
    acc: () => ({ size: program.machine.accumulatorRows.value, what: 'accumulator rows' }),
    hbm: (base) => ({ size: Math.floor((program.regions.find((region) => region.base === hbmBases[base])?.bytes ?? 0) / line), what: `lines of \`${hbmBases[base] ?? base}\`` }),
  };
};

function accessProblem({ space, operand, rows, pitch, units }: Access, { ranges, window, bound, strideSets, limits }: Reach): string | undefined {
  const start = 'off' in operand ? operand.off : operand.addr;
  const { size, what } = limits[space]('base' in operand ? operand.base : 0);
  const parts = rows === 'window' && window !== undefined ? windowParts(window, ranges, bound) : [{ ranges, rows: rows === 'window' ? 1 : rows }];
  for (const part of parts) {
    const { low, high } = extent(strideSets[operand.ss], part.ranges);
    const end = start + high.by + (part.rows - 1) * pitch + units;
    if (start + low.by < 0) return `starts ${-(start + low.by)} before the first of ${size} ${what}${iterationText(low.I)}`;
    if (units > 0 && end > size) return `ends at ${end} of ${size} ${what}${iterationText(high.I)}`;
  }
  return undefined;
}

/** A list is not moved: a window takes elements max * I[level] on, as far as the step has any. */
function listProblem({ list }: { readonly list: number }, { ranges, window, bound, sizes, limits }: Reach): string | undefined {
  if (window === undefined) return undefined;
  const reach = window.max * (ranges[window.level]![1] + 1);
  const end = list + Math.ceil((Math.min(reach, bound) * formatBytes.f32) / sizes.lineBytes);
  const { size, what } = limits.sram(0);
  return end > size ? `ends at ${end} of ${size} ${what}` : undefined;
}
