import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, placeOf } from '../chip.ts';
import type { Values } from '../values.ts';
import { partText, placeOfOp, turnText } from './def-use.ts';

/** V13. Buffers that share memory are never alive together: nothing is written over a value that is still to be read; and all buffers are in their memories. */
export function lifetimes(chip: ChipView, certificate: Certificate, values: Values): readonly Finding[] {
  const { machine, regions } = chip.program;
  const line = machine.sram.lineBytes.value;
  const outside = certificate.buffers.flatMap(({ name, space, base, at, size }): readonly Finding[] => {
    const bytes = space === 'sram' ? machine.sram.bytes.value : space === 'hbm' ? (regions.find((region) => region.base === base)?.bytes ?? 0) : machine.accumulatorRows.value * line;
    if ((at + size) * line <= bytes) return [];
    return [{ rule: 'V13', place: placeOf(chip), message: `\`${name}\` ends at ${at + size} of ${Math.floor(bytes / line)} ${space === 'acc' ? 'accumulator rows' : `lines of ${space === 'sram' ? 'SRAM' : `\`${base}\``}`}`, notes: [] }];
  });
  const overwritten = values.wrong.filter(({ kind }) => kind === 'overwritten').map((wrong): Finding => {
    const writer = certificate.touches[wrong.found!.op]!.map(({ buffer }) => certificate.buffers[buffer]!).find((other) => other.space === wrong.buffer.space && other.base === wrong.buffer.base && other.at < wrong.buffer.at + wrong.buffer.size && wrong.buffer.at < other.at + other.size);
    return {
      rule: 'V13', place: placeOfOp(chip, certificate, wrong.reader.op),
      message: `${turnText(chip, certificate, wrong.reader)} reads ${partText(wrong)}, which ${turnText(chip, certificate, wrong.found!)} has written over`,
      notes: [`\`${wrong.buffer.name}\` is at ${wrong.buffer.at} to ${wrong.buffer.at + wrong.buffer.size - 1}${writer === undefined ? '' : `, \`${writer.name}\` at ${writer.at} to ${writer.at + writer.size - 1}`}`],
    };
  });
  return [...outside, ...overwritten];
}
