import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, nameOf, placeOf } from '../chip.ts';

/**
 * V09. A predicate decides over an effect alone, never over tokens: those of a predicated instruction are counted with all
 * others (V05, V06). It is set (from a register that is: V03) before an instruction depends on it; and no value others count on does: ops
 * of the certificate have none.
 */
export function predicates(chip: ChipView, certificate: Certificate | undefined): readonly Finding[] {
  return chip.queues.flatMap(({ queue, code }) => {
    const set = new Set<number>();
    return code.flatMap((instruction, pc): readonly Finding[] => {
      const { predicate } = instruction;
      const problems = [
        ...(predicate !== undefined && !set.has(predicate) ? [`depends on P${predicate}, which nothing has set`] : []),
        ...(predicate !== undefined && certificate?.opAt(queue, pc) !== undefined ? [`has its effect only while P${predicate} holds; the certificate counts on it`] : []),
      ];
      if (instruction.op === 'setp') set.add(instruction.fields.target);
      return problems.map((problem) => ({ rule: 'V09', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} ${problem}`, notes: [] }));
    });
  });
}
