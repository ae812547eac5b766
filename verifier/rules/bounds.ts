import { printInstruction } from '../../isa-spec/disassembly.ts';
import { formatBytes, type RowWindow } from '../../isa-spec/fields.ts';
import { hbmBases, type StepCount, type StrideSet } from '../../isa-spec/instructions.ts';
import { type Access, type Sizes, touchedBy } from '../accesses.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf, type QueueView } from '../chip.ts';
import { extent, type Range, windowParts } from '../extent.ts';
import { loopsAround } from '../unroll.ts';

/**
 * V10. Whatever the loop indices, and however many rows the step has within the entry's bounds, an instruction stays inside
 * SRAM, the accumulators, and the regions of HBM its base registers are set to. Interval arithmetic: a ring counts as all its slots.
 */
export function bounds(chip: ChipView): readonly Finding[] {
  return chip.queues.flatMap((view) => boundsOfQueue(chip, view));
}

function boundsOfQueue(chip: ChipView, { queue, code, strideSets }: QueueView): readonly Finding[] {
  const { program } = chip;
  const entryBounds = program.entries[chip.entry]?.bounds ?? {};
  const registers = new Map<number, StepCount>();
  const around = loopsAround(code);
  let sizes: Sizes = { side: program.machine.arrays.size.value, lineBytes: program.machine.sram.lineBytes.value, chips: program.chips, bound: (name) => entryBounds[name], queries: undefined };

  return code.flatMap((instruction, pc): readonly Finding[] => {
    if (instruction.op === 'sreg') registers.set(instruction.fields.reg, instruction.fields.count);
    if (instruction.op === 'aq') sizes = { ...sizes, queries: instruction.fields };
    const ranges: Range[] = [[0, 0], [0, 0], [0, 0], [0, 0]];
    for (const { level, count } of around[pc]!) ranges[level] = [0, count - 1];
    const window = 'rows' in instruction.fields ? instruction.fields.rows : undefined;
    const count = window === undefined ? undefined : registers.get(window.reg);
    const bound = count === undefined ? undefined : entryBounds[count];
    const box: Box = { ranges, window, bound, strideSets, sizes, limits: limitsOf(chip) };
    return touchedBy(instruction, sizes).flatMap((access) => {
      const problem = 'list' in access ? listProblem(access, box) : accessProblem(access, box);
      if (problem === undefined) return [];
      const notes = [`\`${printInstruction(instruction)}\``, ...(count === undefined ? [] : [`a step has at most ${bound ?? 'any number of'} ${count}`])];
      return [{ rule: 'V10', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)}: \`${access.name}\` ${problem}`, notes }];
    });
  });
}

/** Sizes of the memories in their units, and what the units are called. */
type Limits = { readonly [space in Access['space']]: (base: number) => { readonly size: number; readonly what: string } };
type Box = {
  readonly ranges: readonly Range[];
  readonly window: RowWindow | undefined;
  readonly bound: number | undefined;
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

function accessProblem({ space, operand, rows, pitch, units }: Access, { ranges, window, bound, strideSets, limits }: Box): string | undefined {
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
function listProblem({ list }: { readonly list: number }, { ranges, window, bound, sizes, limits }: Box): string | undefined {
  if (window === undefined) return undefined;
  const reach = window.max * (ranges[window.level]![1] + 1);
  const end = list + Math.ceil((Math.min(reach, bound ?? reach) * formatBytes.f32) / sizes.lineBytes);
  const { size, what } = limits.sram(0);
  return end > size ? `ends at ${end} of ${size} ${what}` : undefined;
}
