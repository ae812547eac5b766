import { formatBytes } from '../../isa-spec/fields.ts';
import { lendings } from '../../isa-spec/machine.ts';
import type { Program } from '../../isa-spec/program.ts';
import type { CertifiedBuffer, Claims } from '../certificate.ts';
import { type ChipView, type Finding, placeOf } from '../chip.ts';

/** V24. What the program says it takes is what it takes, of all entries the most: SRAM and HBM regions; and the machine has as much. */
export function claimed(program: Program, claims: readonly Claims[] | undefined): readonly Finding[] {
  const { machine, meta } = program;
  const line = machine.sram.lineBytes.value;
  const problems: string[] = [];
  const claim = (name: string, value: number): void => {
    if (meta[name] !== undefined && meta[name] !== value) problems.push(`the program claims ${name} ${String(meta[name])}, it is ${value}`);
  };
  claim('tile', machine.arrays.size.value);
  claim('lineBytes', line);
  const hbm = program.regions.reduce((sum, { bytes }) => sum + bytes, 0);
  if (hbm > machine.hbm.bytes.value) problems.push(`its regions take ${hbm} bytes of HBM, the machine has ${machine.hbm.bytes.value}`);
  for (const { name, lent } of program.entries) if (!lendings(machine).includes(lent)) problems.push(`entry \`${name}\` lends ${lent} matrix arrays to the attention unit, the machine has it lend ${lendings(machine).join(', ')}`);
  if (program.chips > machine.chips) problems.push(`it runs on ${program.chips} chips, the machine has ${machine.chips}`);
  const certificates = claims?.flatMap((one) => ('problems' in one ? [] : [one])) ?? [];
  if (certificates.length > 0) {
    const end = (isThere: (buffer: CertifiedBuffer) => boolean): number => Math.max(0, ...certificates.flatMap(({ buffers }) => buffers.flatMap((buffer) => (isThere(buffer) ? [buffer.at + buffer.size] : [])))) * line;
    claim('sramPeakBytes', end(({ space }) => space === 'sram'));
    for (const { base, bytes } of program.regions) {
      const used = end((buffer) => buffer.base === base);
      if (used !== bytes) problems.push(`region \`${base}\` has ${bytes} bytes, its buffers take ${used}`);
    }
  }
  return problems.map((problem) => ({ rule: 'V24', place: { entry: program.entries.map(({ name }) => name).join(', '), chips: Array.from({ length: program.chips }, (_, chip) => chip) }, message: problem, notes: [] }));
}

/** V24, of an entry: the results have room. */
export function resources(chip: ChipView): readonly Finding[] {
  const { program } = chip;
  const line = program.machine.sram.lineBytes.value;
  const problems: string[] = [];
  for (const { name, base, offset, pitch, columns, format, rows } of program.ioMap.outputs) {
    const bytes = program.regions.find((region) => region.base === base)?.bytes ?? 0;
    const count = program.entries[chip.entry]?.bounds[rows] ?? 0;
    if ((offset + pitch * count) * line > bytes) problems.push(`result \`${name}\` ends at line ${offset + pitch * count} of ${bytes / line} of \`${base}\``);
    if (columns * formatBytes[format] > pitch * line) problems.push(`rows of result \`${name}\` have ${columns * formatBytes[format]} bytes in ${pitch} lines`);
  }
  return problems.map((problem) => ({ rule: 'V24', place: placeOf(chip), message: problem, notes: [] }));
}
