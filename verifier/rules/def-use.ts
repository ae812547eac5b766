import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, iterationText, nameOf, placeOf } from '../chip.ts';
import type { Effects, Site } from '../effects.ts';
import { rowLevel } from '../grid.ts';
import { differences } from '../operands.ts';
import type { Turn } from '../tags.ts';
import type { Values, WrongRead } from '../values.ts';

/**
 * V12. Every instruction touches just what the certificate says, in the same loops: so its definitions and uses are those of
 * the code. The second half is `wrongReads`.
 */
export function operands(chip: ChipView, effects: Effects, certificate: Certificate): readonly Finding[] {
  const unknown = chip.queues.flatMap(({ queue, code }, q) => code.flatMap((_, pc): readonly Finding[] => {
    if (effects[q]![pc]!.effects.length === 0 || certificate.opAt(queue, pc) !== undefined) return [];
    return [{ rule: 'V12', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} touches memory, and the certificate has no such op`, notes: [] }];
  }));
  const last = new Map<string, number>();
  return [...unknown, ...certificate.ops.flatMap(({ queue, pc }, number): readonly Finding[] => {
    const q = chip.queues.findIndex((view) => view.queue === queue);
    const site = effects[q]?.[pc];
    const problems = site === undefined
      ? ['is not in the code']
      : [...(pc <= (last.get(queue) ?? -1) ? ['comes before an instruction it should follow'] : []), ...opProblems(chip, site, number, certificate, q)];
    last.set(queue, pc);
    return problems.map((problem) => ({ rule: 'V12', place: placeOf(chip, queue, pc), message: `${nameOf(chip, queue, pc)} ${problem}`, notes: [`op ${number} of the certificate`] }));
  })];
}

function opProblems(chip: ChipView, site: Site, number: number, certificate: Certificate, queue: number): readonly string[] {
  const touches = certificate.touches[number]!;
  const fields = new Set(touches.map(({ access }) => access.field));
  const missing = site.effects.filter(({ field }) => !fields.has(field)).map(({ field }) => `touches memory by \`${field}\`, of which the certificate says nothing`);
  const loops = certificate.around[number]!;
  const alike = loops.length === site.loops.length && loops.every(({ level, count }, i) => level === site.loops[i]!.level && count === site.loops[i]!.count);
  const turns = (all: readonly { readonly level: number; readonly count: number }[]): string => (all.length === 0 ? 'no loop' : `loops ${all.map(({ level, count }) => `I${level} < ${count}`).join(', ')}`);
  return [
    ...(alike ? [] : [`is in ${turns(site.loops)}; the certificate has it in ${turns(loops)}`]),
    ...windowProblems(site, number, certificate),
    ...missing,
    ...differences(site, touches, certificate.buffers, chip.queues[queue]!.strideSets),
  ];
}

/** The rows an op works on: at most `max`, shortened by a count of the step as row tiles go on. */
function windowProblems({ instruction, loops, shortened }: Site, number: number, { ops }: Certificate): readonly string[] {
  if (!('rows' in instruction.fields)) return [];
  const { max, level } = instruction.fields.rows;
  const wanted = ops[number]!;
  const counted = (by: number): boolean => loops.some((loop) => loop.level === by);
  return [
    ...(max === wanted.max ? [] : [`works on ${max} rows at a time, not ${wanted.max}`]),
    ...(shortened.text === wanted.of ? [] : [`works on as many rows as there are ${shortened.text}, not ${wanted.of}`]),
    ...(level !== rowLevel && wanted.of !== 'all' && (counted(level) || counted(rowLevel)) ? [`counts its rows by I${level}, not I${rowLevel}`] : []),
  ];
}

/** V12. Each read sees the values of the ops the certificate says, of the turn it says: nothing undefined, nothing stale, no other ring slot. */
export const wrongReads = (chip: ChipView, values: Values): readonly Finding[] => [
  ...values.unfollowed.map(({ name }): Finding => ({ rule: 'V12', place: placeOf(chip), message: `not proved: \`${name}\` is accessed in too many different parts`, notes: [] })),
  ...values.wrong.filter(({ kind }) => kind !== 'overwritten').map((wrong): Finding => {
    const { found, buffer, access } = wrong;
    const reader = turnText(chip, values.certificate, wrong.reader);
    const sources = access.from.map(([op, level]) => `${opName(chip, values.certificate, op)}${level < 0 ? '' : `, of the turn before of I${level}`}`);
    return {
      rule: 'V12', place: placeOfOp(chip, values.certificate, wrong.reader.op),
      message: `${reader} reads ${found === undefined ? `what nobody has written` : `what ${turnText(chip, values.certificate, found)} wrote`}: ${partText(wrong)}`,
      notes: [`meant to read what was written by ${sources.length === 0 ? 'nobody' : sources.join('; ')}`, `\`${buffer.name}\` has ${buffer.rows} rows of ${buffer.columns}${buffer.depth > 1 ? `, ${buffer.depth} times over` : ''}`],
    };
  }),
];

const opName = (chip: ChipView, { ops }: Certificate, op: number): string => nameOf(chip, ops[op]!.queue, ops[op]!.pc);
export const turnText = (chip: ChipView, certificate: Certificate, { op, I }: Turn): string => `${opName(chip, certificate, op)}${iterationText(I)}`;
export const placeOfOp = (chip: ChipView, { ops }: Certificate, op: number) => placeOf(chip, ops[op]!.queue, ops[op]!.pc);

/** `rows 0 to 7, elements 0 to 63 of slot 1 of `w.ring``. */
export const partText = ({ part, buffer }: WrongRead): string =>
  buffer.role === 'kv' ? `\`${buffer.name}\`` : `rows ${part.row} to ${part.rowEnd - 1}, elements ${part.column} to ${part.columnEnd - 1}${buffer.depth > 1 ? ` of slot ${part.slot}` : ''} of \`${buffer.name}\``;
