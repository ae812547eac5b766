import { decode, IllegalInstruction } from '../../isa-spec/encoding.ts';
import { type Instruction, queues, wordBytes } from '../../isa-spec/instructions.ts';
import { illegalities } from '../../isa-spec/legal.ts';
import { lending } from '../../isa-spec/machine.ts';
import { type ChipView, type Finding, nameOf, placeOf, type QueueView, type RawChip } from '../chip.ts';

/** V01. Every word is an instruction of its queue that the machine can run, and the stride sets it names are defined. Without findings, what was decoded: the view other rules work on. */
export function legal(chip: RawChip): readonly Finding[] | ChipView {
  const views: QueueView[] = [];
  const machine = lending(chip.program.machine, chip.program.entries[chip.entry]?.lent ?? 0);
  const findings = queues.flatMap((queue) => {
    const { words, strideSets } = chip.code[queue];
    const code: Instruction[] = [];
    const found: Finding[] = [];
    if (words.length > 0) views.push({ queue, code, strideSets });
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
    code.forEach((instruction, pc) => illegalities(instruction, machine).forEach((message) => report(pc, message)));
    code.forEach((instruction, pc) => {
      const fields = instruction.fields as Readonly<Record<string, unknown>>;
      for (const name in fields) {
        const value = fields[name];
        if (typeof value !== 'object' || value === null || !('ss' in value) || value.ss === 0) continue;
        if ((value.ss as number) >= strideSets.length) report(pc, `\`${name}\` is moved by stride set ${value.ss as number}, which is not defined`);
      }
    });
    return found;
  });
  return findings.length > 0 ? findings : { program: chip.program, entry: chip.entry, chips: chip.chips, queues: views };
}
