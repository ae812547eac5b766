import { queues } from '../../isa-spec/instructions.ts';
import { type Finding, placeOf, type RawChip } from '../chip.ts';
import { wordBytes } from '../../isa-spec/instructions.ts';

/** V23. Every instruction is part of an op people can look up, and every op of the map is part of the code. */
export function debugMap(chip: RawChip): readonly Finding[] {
  const { program, entry } = chip;
  const { labels, entries } = program.debugMap;
  if (labels.length === 0) return [];
  const map = entries[entry];
  if (map === undefined) return [{ rule: 'V23', place: placeOf(chip), message: 'the debug map has nothing of this entry', notes: [] }];
  const used = new Set(entries.flatMap((one) => queues.flatMap((queue) => one[queue])));
  const lengths = queues.flatMap((queue): readonly Finding[] => {
    const words = chip.code[queue].words.length / wordBytes;
    const wild = map[queue].findIndex((label) => label >= labels.length);
    return [
      ...(map[queue].length === words ? [] : [{ rule: 'V23', place: placeOf(chip, queue), message: `${queue} has ${words} instructions, the debug map labels ${map[queue].length}`, notes: [] } as const]),
      ...(wild < 0 ? [] : [{ rule: 'V23', place: placeOf(chip, queue, wild), message: `${queue}:${wild} has label ${map[queue][wild]} of ${labels.length}`, notes: [] } as const]),
    ];
  });
  const idle = labels.findIndex((_, number) => !used.has(number));
  return [...lengths, ...(idle < 0 ? [] : [{ rule: 'V23', place: placeOf(chip), message: `no instruction is part of \`${labels[idle]!.label}\``, notes: [] } as const])];
}
