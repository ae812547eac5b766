import type { Instruction, Queue } from '../../isa-spec/instructions.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';

type Report = (pc: number, message: string) => void;

/**
 * V03. Loops end within the code and within the loop around them, and each counts an index of its own: so code unrolls to a
 * finite sequence, at most four loops deep. A register is set before it is used, by the same queue.
 */
export function control(chip: ChipView): readonly Finding[] {
  return chip.queues.flatMap(({ queue, code }) => {
    const found: Finding[] = [];
    const report: Report = (pc, message) => void found.push({ rule: 'V03', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)}: ${message}`, notes: [] });
    nesting(code, queue, report);
    registers(code, report);
    return found;
  });
}

function nesting(code: readonly Instruction[], queue: Queue, report: Report): void {
  let open: { level: number; end: number; pc: number }[] = [];
  code.forEach((instruction, pc) => {
    open = open.filter(({ end }) => pc < end);
    if (instruction.op !== 'loop') return;
    const { level, body } = instruction.fields;
    const end = pc + 1 + body;
    const around = open.at(-1);
    if (end > (around?.end ?? code.length)) report(pc, `the loop's ${body} instructions end at ${end}, ${around === undefined ? `the code of ${queue}` : `the loop at ${around.pc}`} at ${around?.end ?? code.length}`);
    const same = open.find((outer) => outer.level === level);
    if (same !== undefined) report(pc, `the loop counts I${level}, and so does the loop at ${same.pc} around it`);
    open.push({ level, end, pc });
  });
}

function registers(code: readonly Instruction[], report: Report): void {
  const set = new Set([0]);
  code.forEach(({ op, fields }, pc) => {
    if (op === 'sreg') set.add(fields.reg);
    if ('rows' in fields && !set.has(fields.rows.reg)) report(pc, `\`rows\` is shortened by R${fields.rows.reg}, which nothing has set`);
  });
}
