import { formatBytes } from '../../isa-spec/fields.ts';
import type { Certificate } from '../certificate.ts';
import { type ChipView, type Finding, placeOf } from '../chip.ts';

/** V24. What the program says it takes is what it takes: SRAM and HBM regions, with room for the results; and the machine has as much. */
export function resources(chip: ChipView, certificate: Certificate | undefined): readonly Finding[] {
  const { program } = chip;
  const { machine, meta } = program;
  const line = machine.sram.lineBytes.value;
  const problems: string[] = [];
  const claim = (name: string, value: number): void => {
    if (meta[name] !== undefined && meta[name] !== value) problems.push(`the program claims ${name} ${String(meta[name])}, it is ${value}`);
  };
  claim('tile', machine.arrays.size.value);
  claim('lineBytes', line);
  if (certificate !== undefined) claim('sramPeakBytes', certificate.buffers.reduce((peak, { space, at, size }) => (space === 'sram' ? Math.max(peak, at + size) : peak), 0) * line);

  const hbm = program.regions.reduce((sum, { bytes }) => sum + bytes, 0);
  if (hbm > machine.hbm.bytes.value) problems.push(`its regions take ${hbm} bytes of HBM, the machine has ${machine.hbm.bytes.value}`);
  if (program.chips > machine.chips) problems.push(`it runs on ${program.chips} chips, the machine has ${machine.chips}`);
  for (const { base, bytes } of program.regions) {
    const used = certificate?.buffers.reduce((end, buffer) => (buffer.base === base ? Math.max(end, buffer.at + buffer.size) : end), 0);
    if (used !== undefined && used * line !== bytes) problems.push(`region \`${base}\` has ${bytes} bytes, its buffers take ${used * line}`);
  }
  for (const { name, base, offset, pitch, columns, format, rows } of program.ioMap.outputs) {
    const bytes = program.regions.find((region) => region.base === base)?.bytes ?? 0;
    const count = program.entries[chip.entry]?.bounds[rows] ?? 0;
    if ((offset + pitch * count) * line > bytes) problems.push(`result \`${name}\` ends at line ${offset + pitch * count} of ${bytes / line} of \`${base}\``);
    if (columns * formatBytes[format] > pitch * line) problems.push(`rows of result \`${name}\` have ${columns * formatBytes[format]} bytes in ${pitch} lines`);
  }
  return problems.map((problem) => ({ rule: 'V24', place: placeOf(chip), message: problem, notes: [] }));
}
