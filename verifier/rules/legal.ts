import { decode, IllegalInstruction } from '../../isa-spec/encoding.ts';
import type { RowWindow } from '../../isa-spec/fields.ts';
import { type Instruction, type Queue, queues, wordBytes } from '../../isa-spec/instructions.ts';
import { illegalities } from '../../isa-spec/legal.ts';
import { type Finding, nameOf, placeOf, type RawChip } from '../chip.ts';

/**
 * V01. Every word is an instruction of its queue that the machine can run; loops nest, at levels of their own; stride sets
 * and registers an instruction names have been set.
 */
export function legal(chip: RawChip): readonly Finding[] {
  return queues.flatMap((queue) => {
    const { words, strideSets } = chip.code[queue];
    const code: Instruction[] = [];
    const found: Finding[] = [];
    const report = (pc: number, message: string): void => void found.push({ rule: 'V01', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)}: ${message}`, notes: [] });
    for (let pc = 0; pc * wordBytes < words.length; pc++) {
      try {
        code.push(decode(words, pc * wordBytes, queue));
      } catch (error) {
        if (!(error instanceof IllegalInstruction)) throw error;
        report(pc, error.message);
      }
    }
    if (found.length > 0) return found;
    code.forEach((instruction, pc) => illegalities(instruction, chip.program.machine).forEach((message) => report(pc, message)));
    structure(code, queue, report);
    settings(code, strideSets.length, report);
    return found;
  });
}

type Report = (pc: number, message: string) => void;

function structure(code: readonly Instruction[], queue: Queue, report: Report): void {
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

function settings(code: readonly Instruction[], strideSets: number, report: Report): void {
  const set = new Set([0]);
  code.forEach((instruction, pc) => {
    if (instruction.op === 'sreg') set.add(instruction.fields.reg);
    for (const [name, value] of Object.entries(instruction.fields) as [string, unknown][]) {
      if (typeof value !== 'object' || value === null) continue;
      if ('ss' in value && value.ss !== 0 && (value.ss as number) >= strideSets) report(pc, `\`${name}\` is moved by stride set ${value.ss as number}, which is not defined`);
      if ('reg' in value && !set.has((value as RowWindow).reg)) report(pc, `\`${name}\` is shortened by R${(value as RowWindow).reg}, which nothing has set`);
    }
  });
}
